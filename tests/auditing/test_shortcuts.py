"""Tests of what single properties say of the class."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_photos import EDGE, inspect_folder, write_dataset
from PIL import Image, ImageFilter

from auditing.properties import COLUMNS, Inspection
from auditing.shortcuts import (
    PROPERTIES,
    Shortcut,
    cross_validate,
    find_shortcuts,
)
from files.names import FAKE

EXIF = Image.Exif()
EXIF[0x010F] = "a camera's name"


def plant(fault: str, image: Image.Image, path, label: int, number: int) -> None:
    """Save an image, a fake one with a fault."""
    options = {"quality": 90}
    if label == FAKE:
        if fault == "format":
            options = {"format": "PNG"}
        elif fault == "quality":
            options["quality"] = 70
        elif fault == "subsampling":
            options["subsampling"] = 0
        elif fault == "progressive":
            options["progressive"] = True
        elif fault == "EXIF":
            options["exif"] = EXIF
        elif fault == "profile":
            options["icc_profile"] = b"p" * 100
        elif fault == "size":
            image = image.resize((EDGE, EDGE + 2))
        elif fault == "one of two sizes":  # of the middle one there are real images
            side = EDGE + (4 if number % 2 else -4)
            image = image.resize((side, side))
        elif fault == "grey":
            image = image.convert("L")
        elif fault == "brightness":
            image = image.point(lambda value: value + 40)
        elif fault == "colour":
            red, green, blue = image.split()
            image = Image.merge("RGB", (red.point(lambda v: v + 30), green, blue))
        elif fault == "blur":
            image = image.filter(ImageFilter.GaussianBlur(1))
        elif fault == "border":
            image.paste((0, 0, 0), (0, 0, EDGE, 1))
    image.save(path, **options)


FAULTS = {
    "format": "file type",
    "quality": "JPEG compression",
    "subsampling": "JPEG compression",
    "progressive": "JPEG compression",
    "EXIF": "metadata",
    "profile": "metadata",
    "size": "width and height",
    "one of two sizes": "width and height",
    "grey": "file type",
    "brightness": "brightness and contrast",
    "colour": "colour",
    "blur": "sharpness",
    "border": "border pixels",
}


@pytest.mark.parametrize(("fault", "name"), FAULTS.items())
def test_a_planted_fault_is_found(tmp_path, fault, name):
    root = write_dataset(tmp_path, {"train": 30}, lambda *args: plant(fault, *args))

    shortcuts = find_shortcuts(inspect_folder(root))

    (found,) = [s for s in shortcuts if s.trait.name == name]
    assert found.verdict == ("serious" if found.trait.is_of_file else "look")
    assert found.auc > 0.9
    assert found.difference.count("real") == found.difference.count("fake") == 1
    lows = [shortcut.low for shortcut in shortcuts]
    assert lows == sorted(lows, reverse=True)


def test_only_the_planted_file_property_is_blamed(tmp_path):
    root = write_dataset(tmp_path, {"train": 30}, lambda *args: plant("EXIF", *args))

    shortcuts = find_shortcuts(inspect_folder(root))

    serious = {s.trait.name for s in shortcuts if s.verdict == "serious"}
    assert serious <= {"metadata", "file size"}
    constant = {s.trait.name for s in shortcuts if s.is_constant}
    assert constant == {"file type", "width and height", "JPEG compression"}


def test_clean_data_have_no_alarm(tmp_path):
    root = write_dataset(tmp_path, {"train": 40, "val": 12, "test": 20})

    shortcuts = find_shortcuts(inspect_folder(root))

    assert len(shortcuts) == 3 * len(PROPERTIES)
    assert {shortcut.verdict for shortcut in shortcuts} == {"fine"}


def test_file_size_is_content_only_where_all_files_are_encoded_alike(tmp_path):
    def save(image, path, label, number):
        blur = ImageFilter.GaussianBlur(2 if label == FAKE else 0)
        image.filter(blur).save(path, quality=90)

    inspection = inspect_folder(write_dataset(tmp_path, {"train": 30}, save))
    (alike,) = pick(inspection)
    assert (alike.is_of_file, alike.verdict) == (False, "look")

    numbers = inspection.numbers.copy()
    numbers[3, COLUMNS.index("quality")] = 80
    (other,) = pick(replace(inspection, numbers=numbers))
    assert (other.is_of_file, other.verdict) == (True, "serious")

    hidden = np.zeros_like(inspection.tell_encoding)  # as of WebP
    (other,) = pick(replace(inspection, tell_encoding=hidden))
    assert (other.is_of_file, other.verdict) == (True, "serious")


def pick(inspection: Inspection) -> list[Shortcut]:
    return [s for s in find_shortcuts(inspection) if s.trait.name == "file size"]


def test_each_split_is_judged_by_itself_and_small_ones_are_not(tmp_path):
    def save(image, path, label, number):
        fault = "format" if path.parts[-3] == "test" else "none"
        plant(fault, image, path, label, number)

    sizes = {"train": 30, "val": 5, "test": 30}
    shortcuts = find_shortcuts(inspect_folder(write_dataset(tmp_path, sizes, save)))

    assert {s.split for s in shortcuts} == {"train", "test"}
    assert {s.split for s in shortcuts if s.verdict == "serious"} == {"test"}


def make_inspection(values: np.ndarray, labels: np.ndarray) -> Inspection:
    """Return an inspection whose brightness alone varies."""
    numbers = np.zeros((len(labels), len(COLUMNS)))
    numbers[:, COLUMNS.index("brightness")] = values
    texts = np.array(["JPEG RGB"] * len(labels))
    return Inspection(
        *([], np.array(["train"] * len(labels)), labels, numbers, texts),
        *(np.ones(len(labels), bool), [], [], np.zeros((len(labels), 0, 0)), []),
    )


def test_groups_keep_what_names_a_person_from_telling_the_class():
    # 24 people, each of one class and of one brightness that says who it is.
    groups = np.repeat(np.arange(24), 20)
    labels = groups % 2
    brightness = np.random.default_rng(3).permutation(24)[groups] * 10.0
    inspection = make_inspection(brightness, labels)

    (alone,) = [s for s in find_shortcuts(inspection) if not s.is_constant]
    names = [str(group) for group in groups]
    (grouped,) = [s for s in find_shortcuts(inspection, names) if not s.is_constant]

    assert grouped.verdict == "fine"
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize(("num_groups", "is_judged"), [(9, False), (10, True)])
def test_a_split_of_few_groups_is_not_judged(num_groups, is_judged):
    labels = np.arange(200) % 2
    groups = [f"{label} {(n // 2) % num_groups}" for n, label in enumerate(labels)]
    brightness = np.random.default_rng(0).normal(size=200)

    shortcuts = find_shortcuts(make_inspection(brightness, labels), groups)

    assert bool(shortcuts) == is_judged


def test_cross_validate_scores_no_image_by_its_own_label():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(400, 3)), rng.integers(2, size=400)

    for trait in PROPERTIES:
        scores = cross_validate(trait, values, labels)
        fake, real = scores[labels == 1], scores[labels == 0]
        assert abs((fake[:, None] > real).mean() - 0.5) < 0.1


def test_cross_validate_is_the_same_for_the_same_seed():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(60, 2)), np.arange(60) % 2

    first, again, other = (
        cross_validate(PROPERTIES[0], values, labels, seed=seed) for seed in (1, 1, 2)
    )

    assert (first == again).all()
    assert (first != other).any()


def test_more_intervals_are_wider(tmp_path):
    root = write_dataset(tmp_path, {"train": 20, "test": 20})
    inspection = inspect_folder(root)
    train = inspection.splits == "train"
    alone = replace(
        inspection,
        splits=inspection.splits[train],
        labels=inspection.labels[train],
        numbers=inspection.numbers[train],
        formats=inspection.formats[train],
        tell_encoding=inspection.tell_encoding[train],
    )

    few = {s.trait.name: s for s in find_shortcuts(alone)}
    for shortcut in find_shortcuts(inspection):
        if shortcut.split == "train" and not shortcut.is_constant:
            own = few[shortcut.trait.name]
            assert own.auc == shortcut.auc
            assert shortcut.low < own.low
            assert own.high < shortcut.high


@pytest.mark.parametrize(
    ("low", "is_of_file", "verdict"),
    [
        (0.61, True, "serious"),
        (0.61, False, "look"),
        (0.55, True, "look"),
        (0.55, False, "fine"),
        (0.5, True, "fine"),
    ],
)
def test_verdict_follows_the_lower_end(low, is_of_file, verdict):
    rest = {"is_constant": False, "difference": "", "num_images": 9}

    shortcut = Shortcut("train", PROPERTIES[0], 0.7, low, 0.8, is_of_file, **rest)

    assert shortcut.verdict == verdict
