"""Tests of finding images that are there twice."""

import itertools
import shutil

import numpy as np
import pytest
from drawn_photos import draw_photo, inspect_folder, write_dataset
from PIL import Image, ImageOps

from auditing import duplicates
from auditing.duplicates import find_duplicates


@pytest.fixture
def root(tmp_path):
    """Twelve images of different content."""
    return write_dataset(tmp_path, {"train": 4, "test": 2})


def find(root) -> list[tuple[str, str, str]]:
    inspection = inspect_folder(root)
    return [
        (inspection.paths[p.first].name, inspection.paths[p.second].name, p.kind)
        for p in find_duplicates(inspection)
    ]


def test_different_images_are_no_duplicates(root):
    assert find(root) == []


def test_a_copied_file_is_equal_to_the_byte(root):
    shutil.copy(root / "train/real/p0_000.jpg", root / "train/real/z.jpg")

    assert find(root) == [("p0_000.jpg", "z.jpg", "bytes")]


def test_other_bytes_of_the_same_pixels_are_equal_in_pixels(root):
    with Image.open(root / "train/real/p0_000.jpg") as image:
        image.save(root / "train/real/z.png")

    assert find(root) == [("p0_000.jpg", "z.png", "pixels")]


def change(name: str, image: Image.Image) -> Image.Image:
    """Return an image as copies of it are met."""
    width, height = image.size
    if name == "scaled":
        return image.resize((width // 2, height // 2), Image.Resampling.BICUBIC)
    if name == "brighter":
        return image.point(lambda value: min(255, int(1.15 * value)))
    if name == "cropped":  # by 1 %
        return image.crop((1, 1, width - 1, height - 1))
    if name == "noisy":
        noise = np.random.default_rng(0).normal(0, 8, (height, width, 3))
        pixels = np.asarray(image) + noise
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return ImageOps.mirror(image) if name == "mirrored" else image


@pytest.mark.parametrize(
    "name", ["encoded", "scaled", "brighter", "cropped", "noisy", "mirrored"]
)
def test_a_changed_copy_is_found(root, name):
    image = draw_photo(99, edge=256)
    image.save(root / "train/real/y.png")
    change(name, image).save(root / "train/real/z.jpg", quality=50)

    kind = "mirrored" if name == "mirrored" else "near"
    assert find(root) == [("y.png", "z.jpg", kind)]


def test_images_of_one_colour_are_like_none(root):
    for number, colour in enumerate(("grey", "red", "navy")):
        Image.new("RGB", (64, 64), colour).save(root / f"train/real/z{number}.png")

    assert find(root) == []


def test_equal_images_are_paired_with_the_first_alone(root):
    for name in ("x", "y", "z"):
        shutil.copy(root / "train/real/p0_000.jpg", root / f"train/real/{name}.jpg")

    assert find(root) == [("p0_000.jpg", f"{n}.jpg", "bytes") for n in "xyz"]


def test_pairs_do_not_depend_on_the_size_of_the_blocks(root, monkeypatch):
    for number, name in enumerate(("test/real/a", "train/fake/b", "train/real/c")):
        draw_photo(number).save(root / f"{name}.png")
    expected = find(root)

    monkeypatch.setattr(duplicates, "BLOCK", 2)

    assert len(expected) == 3
    assert sorted(find(root)) == sorted(expected)


def test_all_of_three_near_images_are_paired(root):
    image = draw_photo(99, edge=256)
    for number, quality in enumerate((50, 70, 90)):
        image.save(root / f"train/real/z{number}.jpg", quality=quality)

    pairs = itertools.combinations(["z0.jpg", "z1.jpg", "z2.jpg"], 2)
    assert sorted(find(root)) == [(*pair, "near") for pair in pairs]
