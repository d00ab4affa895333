"""Who is in which split, and datasets that appear whole or not at all."""

from collections import Counter
from pathlib import Path

import pytest

from drawn_faces.plan import (
    DATASETS,
    MARK,
    check_replaceable,
    plan_dataset,
    publish,
)

SETTINGS = {"seed": 0, "images_per_class": 10, "size": 64}


def count_by_folder(pictures) -> Counter:
    """Count the pictures by split and class."""
    return Counter(picture.path.rpartition("/")[0] for picture in pictures)


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
        ("fakes_dataset", 10, [10, 10, 2, 2, 4, 2]),
        ("synthetic_dataset", 1, [1, 1, 1, 1, 1, 1]),
        ("fakes_dataset", 1, [1, 1, 1, 1, 1, 1]),
        ("fakes_dataset", 400, [400, 400, 80, 80, 160, 80]),
    ],
)
def test_plan_dataset_counts_follow_the_number(dataset, number, expected):
    pictures = plan_dataset(dataset, images_per_class=number, seed=0, size=64)
    folders = [f"{s}/{c}" for s in ("train", "val", "test") for c in ("real", "fake")]
    assert count_by_folder(pictures) == dict(zip(folders, expected, strict=True))


@pytest.mark.parametrize("number", [1, 2, 30])
def test_plan_dataset_both_datasets_keep_people_in_one_split(number):
    splits = {}
    for dataset in DATASETS:
        settings = {"images_per_class": number, "seed": 3, "size": 64}
        for picture in plan_dataset(dataset, **settings):
            for person in (picture.person, picture.donor):
                splits.setdefault(person, set()).add(picture.path.split("/")[0])
    splits.pop(None)
    assert all(len(names) == 1 for names in splits.values())


def test_plan_dataset_fakes_are_named_after_host_and_another_donor():
    for picture in plan_dataset("fakes_dataset", **SETTINGS):
        if picture.is_fake:
            assert picture.donor not in (None, picture.person)
            assert picture.path.endswith(
                f"/{picture.person:05d}_{picture.donor:05d}.jpg"
            )
        else:
            assert picture.donor is None
            assert picture.path.endswith(f"/{picture.person:05d}.jpg")


@pytest.mark.parametrize("dataset", DATASETS)
def test_plan_dataset_paths_are_unique_and_balanced_over_cameras(dataset):
    pictures = plan_dataset(dataset, **SETTINGS)
    assert len({picture.path for picture in pictures}) == len(pictures)
    train = [picture for picture in pictures if picture.path.startswith("train")]
    real, fake = (
        [picture.camera for picture in train if picture.is_fake is is_fake]
        for is_fake in (False, True)
    )
    assert real == fake


def test_plan_dataset_other_seed_changes_donors():
    first, second = (
        [p.donor for p in plan_dataset("fakes_dataset", **SETTINGS | {"seed": seed})]
        for seed in (0, 1)
    )
    assert first != second


def test_publish_new_dataset_is_there_alone(tmp_path):
    path = make(tmp_path / "data")
    assert list_names(path) == ["image.jpg", MARK]
    assert list_names(tmp_path / "data") == ["faces"]


def test_publish_replaces_what_was_there(tmp_path):
    (make(tmp_path, "old") / "more.jpg").touch()
    assert (make(tmp_path) / "image.jpg").read_text() == "new"
    assert list_names(tmp_path / "faces") == ["image.jpg", MARK]
    assert list_names(tmp_path) == ["faces"]


def test_publish_interrupted_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), publish(tmp_path / "faces") as folder:
        (folder / "half.jpg").touch()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_publish_interrupted_overwrite_keeps_the_old(tmp_path):
    path = make(tmp_path, "old")
    with pytest.raises(OSError, match="disk full"), publish(path):
        raise OSError("disk full")
    assert (path / "image.jpg").read_text() == "old"
    assert list_names(tmp_path) == ["faces"]


def test_publish_remains_of_a_killed_run_are_cleared(tmp_path):
    for leftover in (".faces.partial", ".faces.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "half.jpg").touch()
    assert list_names(make(tmp_path)) == ["image.jpg", MARK]
    assert list_names(tmp_path) == ["faces"]


def test_check_replaceable_nothing_there_or_its_own_passes(tmp_path):
    check_replaceable(tmp_path / "faces")
    check_replaceable(make(tmp_path))


def test_check_replaceable_somebodys_own_images_are_refused(tmp_path):
    (tmp_path / "faces").mkdir()
    with pytest.raises(ValueError, match="not made by this script"):
        check_replaceable(tmp_path / "faces")


def test_check_replaceable_link_to_elsewhere_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(make(tmp_path))
    with pytest.raises(ValueError, match="left alone"):
        check_replaceable(tmp_path / "link")
