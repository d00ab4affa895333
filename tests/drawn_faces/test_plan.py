"""Who is in which split, and datasets that appear whole or not at all."""

from collections import Counter
from pathlib import Path

import pytest

from drawn_faces.plan import DATASETS, MARK, check_replaceable, plan_dataset, publish


def plan(dataset: str, number: int = 10, seed: int = 0):
    return plan_dataset(dataset, images_per_class=number, seed=seed, size=64)


def make(root: Path, content: str = "new") -> Path:
    """Publish a dataset of one file."""
    with publish(root / "faces") as folder:
        (folder / "image.jpg").write_text(content)
    return root / "faces"


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("dataset", "number", "expected"),
    [
        ("synthetic_dataset", 10, [10, 10, 2, 2, 4, 4]),
        ("synthetic_dataset", 1, [1, 1, 1, 1, 1, 1]),
        ("fakes_dataset", 1, [1, 1, 1, 1, 1, 1]),
        ("fakes_dataset", 400, [400, 400, 80, 80, 160, 80]),
    ],
)
def test_plan_dataset_counts_follow_the_number(dataset, number, expected):
    folders = [f"{s}/{c}" for s in ("train", "val", "test") for c in ("real", "fake")]
    counts = Counter(p.path.rpartition("/")[0] for p in plan(dataset, number))
    assert counts == dict(zip(folders, expected, strict=True))


@pytest.mark.parametrize("number", [1, 2, 30])
def test_plan_dataset_both_datasets_keep_people_in_one_split(number):
    splits = {}
    for dataset in DATASETS:
        for picture in plan(dataset, number, seed=3):
            assert picture.donor != picture.person
            for person in {picture.person, picture.donor} - {None}:
                splits.setdefault(person, set()).add(picture.path.split("/")[0])
    assert all(len(names) == 1 for names in splits.values())


@pytest.mark.parametrize("dataset", DATASETS)
def test_plan_dataset_names_are_the_people_and_cameras_are_balanced(dataset):
    pictures = plan(dataset)
    assert len({picture.path for picture in pictures}) == len(pictures)
    for picture in pictures:
        has_donor = picture.is_fake and dataset == "fakes_dataset"
        assert (picture.donor is not None) == has_donor
        donor = f"_{picture.donor:05d}" if has_donor else ""
        label = "fake" if picture.is_fake else "real"
        assert picture.path.endswith(f"/{label}/{picture.person:05d}{donor}.jpg")
    real, fake = (
        [p.camera for p in pictures if p.path.startswith("train") and p.is_fake is f]
        for f in (False, True)
    )
    assert real == fake


def test_plan_dataset_other_seed_changes_donors():
    first, second = ([p.donor for p in plan("fakes_dataset", seed=n)] for n in (0, 1))
    assert first != second


def test_publish_replaces_its_own_and_clears_what_a_killed_run_left(tmp_path):
    path = make(tmp_path / "data", "old")
    (path / "more.jpg").touch()
    for leftover in (".faces.partial", ".faces.old"):
        (tmp_path / "data" / leftover).mkdir()
        (tmp_path / "data" / leftover / "half.jpg").touch()
    check_replaceable(path)
    make(tmp_path / "data")
    assert (path / "image.jpg").read_text() == "new"
    assert list_names(path) == ["image.jpg", MARK]
    assert list_names(tmp_path / "data") == ["faces"]


def test_publish_interrupted_leaves_what_was_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), publish(tmp_path / "faces") as folder:
        (folder / "half.jpg").touch()
        raise KeyboardInterrupt
    assert list_names(tmp_path) == []
    path = make(tmp_path, "old")
    with pytest.raises(OSError, match="disk full"), publish(path):
        raise OSError("disk full")
    assert (path / "image.jpg").read_text() == "old"
    assert list_names(tmp_path) == ["faces"]


def test_check_replaceable_somebodys_own_folder_or_a_link_is_refused(tmp_path):
    check_replaceable(tmp_path / "faces")
    (tmp_path / "own").mkdir()
    (tmp_path / "link").symlink_to(make(tmp_path))
    for name in ("own", "link"):
        with pytest.raises(ValueError, match="not made by this script and is left"):
            check_replaceable(tmp_path / name)
