"""Tests of splits.py and image_checks.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from DEAD_image_cache import CachedImages
from PIL import Image

from faces_dataset import FacesDataset
from files.layout import SPLITS
from loading.image_files import MOST_FOR_AUTO, check_images
from utils import cache_splits, open_splits


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Return a folder with a dataset `faces` of three images a class and split."""
    for split in SPLITS:
        for label in ("real", "fake"):
            folder = tmp_path / "faces" / split / label
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (16, 16)).save(folder / f"{number}.png")
    return tmp_path


def truncate(path: Path) -> None:
    """Cut an image file behind its header."""
    path.write_bytes(path.read_bytes()[:45])


def test_open_splits_sound_images_are_all_there(data_root):
    datasets, skipped = open_splits("faces", data_root=data_root, check="full")
    assert [len(datasets[split]) for split in SPLITS] == [6, 6, 6]
    assert skipped == {}


def test_open_splits_bad_images_are_listed_and_refused(data_root, one_line):
    (data_root / "faces/train/real/0.png").write_bytes(b"")
    (data_root / "faces/test/fake/1.png").write_text("no image")
    with pytest.raises(ValueError, match="2 of the images cannot be read") as error:
        open_splits("faces", data_root=data_root)
    one_line(error)
    assert "train/real/0.png: the file is empty" in str(error.value)
    assert "test/fake/1.png: not an image file" in str(error.value)


def test_open_splits_skip_bad_images_leaves_them_out_and_says_which(data_root):
    (data_root / "faces/train/real/0.png").write_bytes(b"")
    datasets, skipped = open_splits("faces", data_root=data_root, skip_bad_images=True)
    assert skipped == {"train": ["real/0.png"]}
    assert datasets["train"].real_image_names == ["1.png", "2.png"]


def test_open_splits_nothing_left_is_refused(data_root):
    for path in (data_root / "faces/val/fake").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no images in"):
        open_splits("faces", data_root=data_root, skip_bad_images=True)


@pytest.mark.parametrize(
    ("check", "num_found"), [("none", 0), ("header", 0), ("auto", 0), ("full", 1)]
)
def test_check_images_truncated_image_is_found_by_decoding(data_root, check, num_found):
    truncate(data_root / "faces/train/fake/2.png")
    dataset = FacesDataset(data_root / "faces/train")
    found = check_images({"train": dataset}, check)
    assert len(found.get("train", [])) == num_found


def test_check_images_auto_passes_over_large_collections(data_root, monkeypatch):
    monkeypatch.setattr("image_checks.MOST_FOR_AUTO", 5)
    (data_root / "faces/train/real/0.png").write_bytes(b"")
    dataset = FacesDataset(data_root / "faces/train")
    assert check_images({"train": dataset}, "auto") == {}
    assert len(check_images({"train": dataset}, "header")["train"]) == 1
    assert MOST_FOR_AUTO >= 10_000


def test_open_splits_many_bad_images_are_counted_and_the_first_named(data_root):
    for number in range(3, 20):
        (data_root / f"faces/train/real/{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="17 of the images .* and 7 more") as error:
        open_splits("faces", data_root=data_root)
    assert "\n" not in str(error.value)


def test_cache_splits_without_room_gives_the_datasets(data_root):
    datasets, _ = open_splits("faces", data_root=data_root)
    assert cache_splits(datasets, 0.0, shared=False) == datasets


@pytest.mark.parametrize("shared", [True, False])
def test_cache_splits_gives_each_split_its_share(data_root, shared):
    datasets, _ = open_splits("faces", data_root=data_root)
    room_for_nine = 9 * 3 * 256 * 256 / 2**30
    cached = cache_splits(datasets, room_for_nine, shared=shared)
    assert all(isinstance(images, CachedImages) for images in cached.values())
    assert [images.num_kept for images in cached.values()] == [3, 3, 3]
