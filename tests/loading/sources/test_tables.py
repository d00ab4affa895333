"""Tests of tables as datasets: files, and pictures inside tar files."""

import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import train_main
from faces_dataset import (
    FacesDataset,
    compute_fingerprint,
    compute_weights,
    describe_split,
)
from files.atomic import save_csv
from loading.sources.archives import list_members
from loading.sources.datasets import Source, list_datasets
from loading.sources.tables import open_table
from utils import find_shared_files, open_splits

SPLITS = ("train", "val", "test")
HEADER = ("path", "label", "split", "group", "row")
FOLDERS = ("out", "checkpoints", "features")


def list_rows(root: Path) -> list[tuple[str, ...]]:
    """Return a row for each image of a dataset in folders, in order of its paths."""
    paths = sorted(root.glob("*/*/*.png"), key=lambda p: (p.parent.name != "real", p))
    return [
        (
            str(path.relative_to(root.parent)),
            path.parent.name,
            path.parts[-3],
            f"{path.parts[-3]}-{int(path.stem) // 2}",
            f"camera {number % 3}",
        )
        for number, path in enumerate(paths)
    ]


def save_archived(root: Path, table: Path) -> None:
    """Put a dataset's images into two tar files, and write a table of them."""
    archives = [root.parent / f"{name}.tar" for name in ("a", "b")]
    rows, by_path = [], {row[0]: row for row in list_rows(root)}
    for archive, paths in zip(archives, np.array_split(list(by_path), 2), strict=True):
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            for path in paths.tolist():
                tar.add(root.parent / path, path)
                tar.add(root.parent / path, f"{'long' * 40}/{path}.txt")
        for name, offset, num_bytes in list_members(archive):
            if name.endswith(".png"):
                _, *cells = by_path[name]
                rows.append((f"{archive.name}/{name}", *cells, offset, num_bytes))
    save_csv(rows, table, header=(*HEADER, "offset", "bytes"))


def save_parquet(root: Path, table: Path) -> None:
    """Write the same as Parquet."""
    pyarrow = pytest.importorskip("pyarrow")
    columns = zip(*list_rows(root), strict=True)
    content = pyarrow.table(dict(zip(HEADER, map(list, columns), strict=True)))
    pyarrow.parquet.write_table(content, table.with_suffix(".parquet"))


def save_hub(root: Path, table: Path) -> None:
    """Write the same as the hub's package does."""
    datasets = pytest.importorskip("datasets")
    labels = datasets.ClassLabel(names=["fake", "real"])
    features = {"image": datasets.Image(), "label": labels}
    features |= {name: datasets.Value("string") for name in ("group", "row")}
    parts = {}
    for split, name in zip(SPLITS, ("train", "validation", "test"), strict=True):
        own = [row for row in list_rows(root) if row[2] == split]
        paths, label, _, group, row = map(list, zip(*own, strict=True))
        columns = {"image": [str(root.parent / path) for path in paths]}
        columns |= {"label": label, "group": group, "row": row}
        parts[name] = datasets.Dataset.from_dict(columns, datasets.Features(features))
    datasets.DatasetDict(parts).save_to_disk(table.with_suffix(""))


def save_table(root: Path, table: Path) -> None:
    """Write a table of the files."""
    save_csv(list_rows(root), table, header=HEADER)


def open_images(root: Path) -> Any:
    """Return the images and labels of all splits, as the hub's package has them."""
    datasets = pytest.importorskip("datasets")
    paths, labels, *_ = zip(*list_rows(root), strict=True)
    images = [str(root.parent / path) for path in paths]
    rows = datasets.Dataset.from_dict({"image": images, "label": list(labels)})
    return rows.cast_column("image", datasets.Image())


@pytest.fixture(params=[save_table, save_archived, save_parquet, save_hub])
def alike(own_faces_root, request) -> tuple[Path, str]:
    """The folder of a dataset, and the name of another that holds the same images."""
    table = own_faces_root.parent / "other.csv"
    request.param(own_faces_root, table)
    is_hub = request.param is save_hub
    return own_faces_root, f"hf:{table.with_suffix('')}" if is_hub else "other"


def test_open_splits_any_source_gives_what_the_folder_gives(alike):
    root, name = alike
    source = Source(root.parent)
    folders = open_splits("faces", source)
    others = open_splits(name, source)
    for split, dataset in others.items():
        own = folders[split]
        assert dataset.get_labels().tolist() == own.get_labels().tolist()
        for index in range(-1, len(own)):
            assert (dataset[index][0] == own[index][0]).all()
            assert dataset[index][1] == own[index][1]
        groups = dataset.get_column("group")
        assert len(groups) == len(own)
        assert set(groups) == {f"{split}-{i}" for i in range(-(-len(own) // 4))}
        assert set(dataset.list_others()) == {"row"}
        assert len({dataset.get_name(i) for i in range(len(own))}) == len(own)
        assert describe_split(split, dataset) == describe_split(split, own)
    same = open_splits(name, source)
    assert compute_fingerprint(others) == compute_fingerprint(same)
    fewer = {**others, "val": others["val"].drop([1])}
    assert compute_fingerprint(others) != compute_fingerprint(fewer)
    assert len(fewer["val"]) == 4
    limited = open_splits(name, Source(root.parent, limit=2), without_fakes=["train"])
    assert [len(dataset) for dataset in limited.values()] == [4, 4, 4]
    (real, _), (fake, label) = limited["train"][1], limited["train"][3]
    assert (real == fake).all()
    assert label == 1


def test_open_splits_joins_data_sets_and_mixes_them(own_faces_root):
    root = own_faces_root.parent
    shutil.copytree(own_faces_root, root / "more")
    shutil.rmtree(root / "more/train/real")
    shutil.copytree(own_faces_root / "val/real", root / "more/train/real")
    save_table(own_faces_root, root / "other.csv")
    joined = open_splits("other+more", Source(root))["train"]
    assert joined.get_labels().tolist() == [0] * 8 + [1] * 8
    names = [joined.get_name(i) for i in (0, 5, 15)]
    assert names[:2] == ["other/faces/train/real/00.png", "more/train/real/00.png"]
    assert names[2] == "more/train/fake/03.png"
    parts = np.repeat(["other", "more"] * 2, [5, 3, 4, 4]).tolist()
    assert joined.get_column("subset") == parts
    groups = joined.get_column("group")[:6]
    assert groups[:4] == [f"other/train-{number}" for number in (0, 0, 1, 1)]
    assert groups[4:] == ["other/train-2", "more/train/real/00.png"]
    assert (joined[5][0] == open_splits("more", Source(root))["train"][0][0]).all()
    weights = compute_weights(joined, "equal")
    assert weights[:5].sum() + weights[8:12].sum() == pytest.approx(8)
    assert compute_weights(joined) is None
    assert list_datasets(root) == ["faces", "more", "other"]
    (root / "other+more").mkdir()  # a folder of that name comes first
    with pytest.raises(FileNotFoundError):
        open_splits("other+more", Source(root))


def test_open_table_weights_masks_kinds_and_shares(own_faces_root):
    root = own_faces_root.parent
    Image.new("L", (2, 2), 255).save(root / "mask.png")
    rows = [
        (path, "original" if label == "real" else f"method{number % 2}", number % 4)
        for number, (path, label, *_) in enumerate(list_rows(own_faces_root))
    ]
    rows = [(*row, "" if row[1] == "method0" else "mask.png") for row in rows]
    save_csv(rows, root / "t.csv", header=("path", "label", "weight", "mask"))
    options = {"real_labels": ["original"], "shares": (0.5, 0.2, 0.3)}
    parts = open_table(root / "t.csv", SPLITS, **options)
    assert [len(part) for part in parts.values()] == [10, 4, 5]
    again = open_table(root / "t.csv", ["test"], **options)["test"]
    assert list(again.names) == list(parts["test"].names)
    train = FacesDataset(parts["train"])
    kinds = train.get_column("subset")
    assert set(kinds) == {"", "method0", "method1"}
    has_masks = [bool(train.get_mask(i)) for i in range(len(train))]
    assert has_masks == [kind == "method1" for kind in kinds]
    weights = compute_weights(train)
    texts = train.get_column("weight")
    assert weights.mean() == pytest.approx(1)
    assert ((weights == 0) == [text == "0" for text in texts]).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "path,class\na,real\n",
            "no column 'label', its columns are path, class",
        ),
        ("path,label\n", "it has no rows"),
        ("path,label\na,real\na,fake\n", "the path 'a' occurs twice"),
        ("path,label\na,real\nb/.././a,fake\n", "the path 'a' occurs twice"),
        ("path,label\na,real\nb, \n", "row 2 has no label"),
        ("path,label\na,real\n,fake\n", "row 2 has no path"),
        ("path,label,split\na,0,train\nb,1,old\n", "split 'old' in row 2 is not"),
        ("path,label,split\na,0,train\nb,1,val\n", "no row is of the split test, only"),
        ("path,label\na,cat\nb,dog\n", "name those that mean real with --real-labels"),
        ("path,label,offset\na,0,1\n", "the columns offset and bytes go together"),
        ("path,label,offset,bytes\na,0,1,-2\n", "does not hold whole numbers from 0"),
        ("path,label\na,real,x\n", "line 2: 3 cells, but the header names 2 columns"),
    ],
)
def test_open_table_refuses_what_it_cannot_use(content, says, tmp_path, refused):
    (tmp_path / "t.csv").write_text(content)
    with refused(f"t.csv.*{says}"):
        open_table(tmp_path / "t.csv", SPLITS)


def test_open_table_says_what_its_splits_are(own_faces_root, refused):
    table = own_faces_root.parent / "t.csv"
    save_table(own_faces_root, table)
    shares = Source(table.parent, shares=(0.6, 0.2, 0.2))
    for name in ("faces", "t", "faces+t"):
        with refused("says what its splits are, so"):
            open_splits(name, shares)
    rows = list_rows(own_faces_root)
    save_csv([row[:2] for row in rows], table, header=HEADER[:2])
    joined = open_splits("faces+t", shares)  # they say how one of the two is read
    leaks = find_shared_files(joined)
    shared = {(leak.split_a, leak.split_b) for leak in leaks}
    assert shared == {("train", "val"), ("train", "test"), ("val", "test")}
    assert str(own_faces_root) in str(leaks[0])
    assert not find_shared_files(open_splits("t", shares))
    with pytest.raises(FileNotFoundError, match="without its ending: -d t"):
        open_splits("t.csv", shares)


def test_archived_pictures_that_changed_are_an_error(own_faces_root, refused):
    root = own_faces_root.parent
    save_archived(own_faces_root, root / "t.csv")
    dataset = open_splits("t", Source(root))["train"]
    archive = root / "a.tar"
    content = archive.read_bytes()
    before = dataset.get_file(0).identify()
    for broken, says in (
        (content[512:], "is not the one that the table describes"),
        (content[: dataset.pictures.places["offset"][0] + 9], "is cut off"),
        (content.replace(b"PNG", b"BMP"), "not an image file that Pillow knows"),
    ):
        archive.write_bytes(broken)
        with refused(f"a.tar.*{says}"):
            dataset[0]
    assert dataset.get_file(0).identify() != before
    archive.unlink()
    with pytest.raises(ValueError, match="there is no archive"):
        dataset[0]
    archive.write_bytes(b"\x1f\x8b" + os.urandom(600))
    with pytest.raises(ValueError, match="not an uncompressed tar file"):
        list(list_members(archive))


def test_open_hub_says_revision_and_licence_and_deals_a_single_split_out(
    own_faces_root, refused
):
    datasets = pytest.importorskip("datasets")
    root, images = own_faces_root.parent, open_images(own_faces_root)
    checksums = {f"hf://datasets/a/b@{'0a' * 20}/data.parquet": None}
    info = datasets.DatasetInfo(license="mit", download_checksums=checksums)
    images.info.update(info)
    images.save_to_disk(root / "one")
    opened = open_splits(f"hf:{root / 'one'}", Source(root, shares=(0.5, 0.2, 0.3)))
    assert [len(dataset) for dataset in opened.values()] == [10, 3, 6]
    line = describe_split("val", opened["val"])
    assert line.endswith(f"; revision {'0a' * 20}, licence mit")
    for name, says in (
        ("./none", "there is no folder ./none"),
        ("a@b@c", "is not OWNER/NAME, with @REVISION"),
    ):
        with refused(says):
            open_splits(f"hf:{name}", Source(root))


def test_training_on_any_source_is_the_same_and_resumes(
    alike, tiny_network, tmp_path, monkeypatch
):
    monkeypatch.setattr(train_main, "qualify_best", lambda *given: None)
    root, name = alike
    weights = []
    for dataset, calls in (("faces", ["2"]), (name, ["1", "2"])):
        words = [f"--{w}-dir={tmp_path / f'{w}-{dataset[:2]}'}" for w in FOLDERS]
        words += ["-d", dataset, "--data-root", str(root.parent), "-m", "TinyNet"]
        for number, epochs in enumerate(calls):
            train_main.main([*words, *["--resume"] * number, "-b", "4", "-e", epochs])
        folder = tmp_path / f"checkpoints-{dataset[:2]}"
        (snapshot,) = folder.glob("*_last.pt")
        weights.append(torch.load(snapshot)["trainer"]["model"])
    first, second = weights
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_open_hub_says_what_it_cannot_take(own_faces_root, monkeypatch, refused):
    datasets = pytest.importorskip("datasets")
    images = open_images(own_faces_root)
    found = {"Train": images, "validation": images, "test": images}
    monkeypatch.setattr(datasets, "load_dataset", lambda name, revision: found)
    opened = open_splits("hf:a/b@v1")
    path = own_faces_root.parent / list_rows(own_faces_root)[1][0]
    assert opened["train"].get_file(1).name == str(path)  # a file of its own
    assert opened["train"][1][0].shape == (3, 256, 256)
    assert opened["val"].pictures.origin == {"revision": "v1"}
    kinds = images.remove_columns("label")
    kinds = kinds.add_column("label", ["real", *["gan", "swap"] * 9])
    found = dict.fromkeys(found, kinds)
    of_kinds = open_splits("hf:a/b", Source(real_labels=["real"]))["test"]
    assert of_kinds.get_column("subset") == ["", *["gan", "swap"] * 9]
    cases = (
        ({"train": images, "extra": images}, "it has no split val, but train, extra"),
        ({"train": images.remove_columns("label")}, "it has no column 'label', but im"),
        ({"train": images.remove_columns("image")}, "it must have one column of im"),
    )
    for found, says in cases:  # noqa: B007, the function above returns it
        with refused(f"^hf:a/b: {says}"):
            open_splits("hf:a/b")

    def fail(name: str, revision: str | None) -> None:
        raise ConnectionError("nobody\nanswers")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ValueError, match="cannot open hf:a/b: nobody answers"):
        open_splits("hf:a/b")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match="pip install -r requirements-datasets.txt"):
        open_splits("hf:a/b")
