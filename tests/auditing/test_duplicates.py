"""Tests of finding images that are there twice."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from drawn_photos import draw_photo, inspect_folder, save_again, write_dataset
from PIL import Image, ImageOps

from auditing import duplicates
from auditing.duplicates import find_duplicates
from loading.disturbances import add_noise

FIRST = "train/real/p0_000.jpg"


@pytest.fixture
def root(tmp_path):
    """Twelve images of different content, and three of one colour each."""
    root = write_dataset(tmp_path, {"train": 4, "test": 2})
    for number, colour in enumerate(("grey", "red", "navy")):
        Image.new("RGB", (64, 64), colour).save(root / f"train/real/flat{number}.png")
    return root


def find(root) -> list[tuple[str, str, str]]:
    inspection = inspect_folder(root)
    names = [Path(file.name).name for file in inspection.files]
    return [(names[a], names[b], kind) for a, b, kind, _ in find_duplicates(inspection)]


def test_different_images_are_not_duplicates(root):
    assert find(root) == []


def test_equal_images_are_paired_with_the_first_alone(root):
    with Image.open(root / FIRST) as image:
        image.save(root / "train/real/w.png")
    for name in ("x", "y", "z"):
        save_again(root / FIRST, root / f"train/real/{name}.jpg", quality=None)

    kinds = {"w.png": "pixels", "x.jpg": "bytes", "y.jpg": "bytes", "z.jpg": "bytes"}
    assert find(root) == [("p0_000.jpg", *copy) for copy in kinds.items()]


# A copy as it is met -> how it is made.
CHANGES = {
    "encoded": lambda image: image,
    "scaled": lambda image: image.resize((120, 120), Image.Resampling.BICUBIC),
    "brighter": lambda image: image.point(lambda value: min(255, int(1.15 * value))),
    "cropped": lambda image: image.crop((1, 1, 255, 255)),
    "noisy": lambda image: add_noise(image, 8, np.random.default_rng(0)),
    "mirrored": ImageOps.mirror,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found(root, name):
    image = draw_photo(99, edge=256)
    image.save(root / "train/real/y.png")
    CHANGES[name](image).save(root / "train/real/z.jpg", quality=50)

    kind = "mirrored" if name == "mirrored" else "near"
    assert find(root) == [("y.png", "z.jpg", kind)]


def test_all_of_three_near_images_are_paired_whatever_the_blocks(root, monkeypatch):
    image = draw_photo(99, edge=256)
    for number, quality in enumerate((50, 70, 90)):
        image.save(root / f"train/real/z{number}.jpg", quality=quality)
    pairs = itertools.combinations(["z0.jpg", "z1.jpg", "z2.jpg"], 2)
    expected = [(*pair, "near") for pair in pairs]
    assert sorted(find(root)) == expected

    monkeypatch.setattr(duplicates, "BLOCK", 2)

    assert sorted(find(root)) == expected
