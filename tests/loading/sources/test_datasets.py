"""Which datasets there are, how they are read, and what is said of others."""

import pytest

from loading.sources.datasets import Source
from records.checkpoint import CheckpointRecord
from utils import load_dataset, open_source


def test_what_is_not_yet_a_dataset_is_answered_with_the_command(tmp_path, refused):
    for name in ("a.tar", "b.zip"):
        (tmp_path / name).touch()
    (tmp_path / "c" / "train" / "genuine").mkdir(parents=True)
    for name, first, source in (
        ("a", r"a.tar is not a dataset: python", "a.tar"),
        ("a.tar", r"a.tar is not a dataset: python", "a.tar"),
        ("b", r"b.zip is not a dataset: unpack it, then python", "b"),
        ("b.zip", r"unpack it, then python", "b"),
        ("c", "real; .* python", "c"),
    ):
        command = f"make_table.py .*/{source} --to .*/{name[0]}_table.csv makes one"
        with refused(f"{first} {command}", FileNotFoundError):
            load_dataset(name, "train", data_root=tmp_path)


def test_real_labels_are_refused_where_folders_say_what_is_real(
    own_faces_root, refused
):
    root = own_faces_root.parent
    given = Source(root, "train", real_labels=["genuine"])
    for name in ("faces", "faces+faces"):
        with refused("the folders of faces.* say what is real, so --real-labels"):
            open_source(name, given)
    table = "path,label,split\na.png,genuine,train\nb.png,sd,train\n"
    (root / "t.csv").write_text(table)
    assert len(open_source("faces+t", given)) == 9 + 2
    record = CheckpointRecord(dataset="faces+t", flags=given.to_flags())
    assert open_source("faces", Source(root).follow(record, "faces"))


@pytest.mark.parametrize(
    ("dataset", "given", "expected"),
    [
        ("a", {}, (["x"], [0.5, 0.2, 0.3])),
        ("a+b", {"real_labels": ["y"]}, (["y"], [0.5, 0.2, 0.3])),
        ("b", {"shares": (0, 0, 1)}, (["x"], (0, 0, 1))),
        ("c", {}, ((), None)),
    ],
)
def test_follow_reads_a_dataset_as_its_training_did(dataset, given, expected):
    trained = Source(real_labels=["x"], shares=[0.5, 0.2, 0.3], limit=9)
    record = CheckpointRecord(dataset="a+b", flags=trained.to_flags())
    source = Source(limit=4, split="val", **given).follow(record, dataset)
    assert (source.real_labels, source.shares) == expected
    assert (source.limit, source.split) == (4, "val")
