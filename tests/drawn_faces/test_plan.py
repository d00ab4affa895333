"""Tests of demo_plan.py: who is in which split, and datasets that appear whole."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from drawn_faces.plan import (
    DATASETS,
    MANIFEST,
    is_made,
    plan_dataset,
    publish,
    refuse_foreign,
)

SETTINGS = {"seed": 0, "images_per_class": 10, "size": 64}


def count_by_folder(pictures) -> Counter:
    """Count the pictures by split and class."""
    return Counter(picture.path.rpartition("/")[0] for picture in pictures)


def make(root, name="fakes_dataset", settings=SETTINGS) -> list:
    """Publish a dataset of empty files."""
    pictures = plan_dataset(name, **settings)
    with publish(root, name, settings) as folder:
        for picture in pictures:
            path = folder / picture.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return pictures


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


def test_is_made_after_publish_is_true(tmp_path):
    pictures = make(tmp_path)
    assert is_made(tmp_path, "fakes_dataset", pictures, SETTINGS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        MANIFEST,
        "fakes_dataset",
    ]


def test_is_made_other_settings_or_changed_files_is_false(tmp_path):
    pictures = make(tmp_path)
    assert not is_made(tmp_path, "synthetic_dataset", pictures, SETTINGS)
    assert not is_made(tmp_path, "fakes_dataset", pictures, SETTINGS | {"seed": 1})
    extra = tmp_path / "fakes_dataset" / "train" / "real" / "mine.jpg"
    extra.touch()
    assert not is_made(tmp_path, "fakes_dataset", pictures, SETTINGS)
    extra.unlink()
    assert is_made(tmp_path, "fakes_dataset", pictures, SETTINGS)
    (tmp_path / "fakes_dataset" / pictures[0].path).unlink()
    assert not is_made(tmp_path, "fakes_dataset", pictures, SETTINGS)


def test_publish_interrupted_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        publish(tmp_path, "fakes_dataset", SETTINGS) as folder,
    ):
        (folder / "half.jpg").touch()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_publish_interrupted_overwrite_keeps_the_old(tmp_path):
    pictures = make(tmp_path)
    with (
        pytest.raises(OSError, match="disk full"),
        publish(tmp_path, "fakes_dataset", SETTINGS),
    ):
        raise OSError("disk full")
    assert is_made(tmp_path, "fakes_dataset", pictures, SETTINGS)


def test_publish_remains_of_a_killed_run_are_cleared(tmp_path):
    for leftover in (".fakes_dataset.partial", ".fakes_dataset.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "half.jpg").touch()
    pictures = make(tmp_path)
    assert is_made(tmp_path, "fakes_dataset", pictures, SETTINGS)
    assert not list(tmp_path.glob(".*"))


def test_publish_second_dataset_keeps_the_record_of_the_first(tmp_path):
    make(tmp_path)
    make(tmp_path, "synthetic_dataset")
    make(tmp_path)  # once more, over the first
    assert sorted(json.loads((tmp_path / MANIFEST).read_text())) == sorted(DATASETS)


def test_refuse_foreign_nothing_there_passes(tmp_path):
    refuse_foreign(tmp_path, "fakes_dataset", overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_refuse_foreign_own_images_are_never_replaced(tmp_path, overwrite):
    (tmp_path / "fakes_dataset").mkdir()
    with pytest.raises(ValueError, match="not made by this script"):
        refuse_foreign(tmp_path, "fakes_dataset", overwrite=overwrite)


def test_refuse_foreign_link_to_elsewhere_is_never_replaced(tmp_path):
    make(tmp_path)
    (tmp_path / "fakes_dataset").rename(tmp_path / "elsewhere")
    (tmp_path / "fakes_dataset").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="left alone"):
        refuse_foreign(tmp_path, "fakes_dataset", overwrite=True)


def test_refuse_foreign_demo_data_needs_overwrite(tmp_path):
    make(tmp_path)
    with pytest.raises(ValueError, match="--overwrite"):
        refuse_foreign(tmp_path, "fakes_dataset", overwrite=False)
    refuse_foreign(tmp_path, "fakes_dataset", overwrite=True)


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_is_made_broken_manifest_names_the_file(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ValueError, match=MANIFEST):
        is_made(tmp_path, "fakes_dataset", [], SETTINGS)
