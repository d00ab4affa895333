"""Tests of how well single properties tell the classes apart."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from drawn_photos import EDGE, inspect_folder, write_dataset
from PIL import Image, ImageFilter

import auditing.shortcuts
from auditing.duplicates import Pair
from auditing.properties import COLUMNS, COLUMNS_OF, Inspection
from auditing.shortcuts import (
    PROPERTIES,
    Shortcut,
    cross_validate,
    find_shortcuts,
    list_folds,
)
from files.classes import FAKE

EXIF = Image.Exif()
EXIF[0x010F] = "a camera's name"
# Fault -> the property that tells it, and how a fake that has it is saved.
FAULTS = {
    "format": ("file type", {"format": "PNG"}),
    "quality": ("JPEG compression", {"quality": 70}),
    "progressive": ("JPEG compression", {"progressive": True}),
    "EXIF": ("metadata", {"exif": EXIF}),
    "one of two sizes": ("width and height", {}),
    "grey": ("file type", {}),
    "brightness": ("brightness and contrast", {}),
    "colour": ("colour", {}),
    "blur": ("sharpness", {}),
    "border": ("border pixels", {}),
}


def change(fault: str, image: Image.Image, number: int) -> Image.Image:
    """Give an image a fault of its pixels."""
    if fault == "one of two sizes":  # there are real images of the middle one
        side = EDGE + (4 if number % 2 else -4)
        return image.resize((side, side))
    if fault == "grey":
        return image.convert("L")
    if fault == "brightness":
        return image.point(lambda value: value + 40)
    if fault == "colour":
        red, green, blue = image.split()
        return Image.merge("RGB", (red.point(lambda v: v + 30), green, blue))
    if fault == "border":
        image.paste((0, 0, 0), (0, 0, EDGE, 1))
    return image.filter(ImageFilter.GaussianBlur(1)) if fault == "blur" else image


def plant(fault: str, image: Image.Image, path, label: int, number: int) -> None:
    """Save an image, a fake one with a fault."""
    options = {"quality": 90}
    if label == FAKE and fault:
        image = change(fault, image, number)
        options |= FAULTS[fault][1]
    image.save(path, **options)


def watch(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Let these properties alone be judged."""
    some = [trait for trait in PROPERTIES if trait.name in names]
    patch.setattr(auditing.shortcuts, "PROPERTIES", some)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(tmp_path, fault, monkeypatch):
    root = write_dataset(tmp_path, {"train": 30}, lambda *args: plant(fault, *args))
    if fault != "EXIF":  # for which all are judged
        watch(monkeypatch, FAULTS[fault][0], "border pixels", "file type")

    shortcuts = find_shortcuts(inspect_folder(root))

    (found,) = [s for s in shortcuts if s.trait.name == FAULTS[fault][0]]
    assert found.verdict == ("serious" if found.trait.is_of_file else "look")
    assert found.auc > 0.9
    assert found.difference.count("real") == found.difference.count("fake") == 1
    lows = [shortcut.low for shortcut in shortcuts]
    assert lows == sorted(lows, reverse=True)
    if fault == "EXIF":  # only the planted property is blamed
        serious = {s.trait.name for s in shortcuts if s.verdict == "serious"}
        assert serious <= {"metadata", "file size"}
        constant = {s.trait.name for s in shortcuts if s.is_constant}
        assert constant == {"file type", "width and height", "JPEG compression"}


@pytest.mark.slow
def test_clean_data_have_no_alarm_and_more_intervals_are_wider(tmp_path):
    sizes = {"train": 40, "test": 20}
    inspection = inspect_folder(write_dataset(tmp_path, sizes))

    shortcuts = find_shortcuts(inspection)

    assert len(shortcuts) == 2 * len(PROPERTIES)
    assert {shortcut.verdict for shortcut in shortcuts} == {"fine"}
    chosen = inspection.splits == "train"
    names = ("splits", "labels", "numbers", "formats", "tell_encoding")
    alone = {name: getattr(inspection, name)[chosen] for name in names}
    few = {s.trait: s for s in find_shortcuts(replace(inspection, **alone))}
    for shortcut in shortcuts:
        if shortcut.split == "train" and not shortcut.is_constant:
            own = few[shortcut.trait]
            assert own.auc == shortcut.auc
            assert shortcut.low < own.low < own.high < shortcut.high


@pytest.mark.slow
def test_file_size_is_content_only_where_all_files_are_encoded_alike(
    tmp_path, monkeypatch
):
    def save(image, path, label, number):
        plant(
            "format" if path.parts[-3] == "test" else "blur", image, path, label, number
        )

    watch(monkeypatch, "file size", "file type", "JPEG compression")
    sizes = {"train": 30, "val": 5, "test": 30}  # val is too small to be judged
    inspection = inspect_folder(write_dataset(tmp_path, sizes, save))
    numbers = inspection.numbers.copy()
    numbers[inspection.splits == "train", COLUMNS.index("quality")] += np.arange(60) % 2
    hidden = np.zeros_like(inspection.tell_encoding)  # as with WebP
    for changes, kind in (
        ({}, "content"),
        ({"numbers": numbers}, "file"),
        ({"tell_encoding": hidden}, "file"),
    ):
        shortcuts = find_shortcuts(replace(inspection, **changes))
        sizes = {s.split: s.kind for s in shortcuts if s.trait.name == "file size"}
        assert sizes == {"train": kind, "test": "file"}
        serious = {
            s.split for s in shortcuts if s.trait.name == "file type" and s.low > 0.8
        }
        assert serious == {"test"}


def make_inspection(
    columns: Mapping[str, np.ndarray], labels: np.ndarray
) -> Inspection:
    """Return an inspection of which these numbers alone vary."""
    numbers = np.zeros((len(labels), len(COLUMNS)))
    for name, values in columns.items():
        numbers[:, COLUMNS.index(name)] = values
    texts = np.array(["JPEG RGB"] * len(labels))
    return Inspection(
        *([], np.array(["train"] * len(labels)), labels, numbers, texts),
        *(np.ones(len(labels), bool), [], [], np.zeros((len(labels), 0, 0)), []),
    )


def judge(inspection: Inspection, *args: object, **options: object) -> Shortcut:
    """Return the one shortcut that varies."""
    found = find_shortcuts(inspection, *args, **options)
    (shortcut,) = [s for s in found if not s.is_constant]
    return shortcut


def test_groups_keep_what_names_a_person_from_telling_the_class():
    # 24 people, each of one class and of one brightness that says who it is.
    groups = np.repeat(np.arange(24), 20)
    brightness = np.random.default_rng(3).permutation(24)[groups] * 10.0
    inspection = make_inspection({"brightness": brightness}, groups % 2)

    alone, grouped = judge(inspection), judge(inspection, list(map(str, groups)))

    assert grouped.verdict == "fine"
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_pairs_of_both_classes_do_not_push_a_property_below_chance():
    # A photo and a fake made from it have the same colours.
    values = np.tile(np.random.default_rng(0).normal(size=(100, 4)), (2, 1))
    columns = dict(zip(COLUMNS_OF["colour"], values.T, strict=True))
    inspection = make_inspection(columns, np.repeat([0, 1], 100))
    pairs = [Pair(n, 100 + n, "near", 0.9) for n in range(100)]

    assert judge(inspection).high < 0.5
    assert judge(inspection, pairs=pairs).auc == 0.5


@pytest.mark.parametrize(("num_groups", "is_judged"), [(9, False), (10, True)])
def test_a_split_with_few_groups_is_not_judged(num_groups, is_judged):
    labels = np.arange(200) % 2
    groups = [f"{label} {(n // 2) % num_groups}" for n, label in enumerate(labels)]
    brightness = np.random.default_rng(0).normal(size=200)

    inspection = make_inspection({"brightness": brightness}, labels)

    assert bool(find_shortcuts(inspection, groups)) == is_judged


def test_cross_validate_is_blind_to_an_images_own_label_and_follows_the_seed():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(400, 3)), rng.integers(2, size=400)

    for trait in (PROPERTIES[0], PROPERTIES[-1]):
        first, again, other = (
            cross_validate(trait, values, labels, list_folds(labels, seed=seed))
            for seed in (1, 1, 2)
        )
        fake, real = first[labels == 1], first[labels == 0]
        assert abs((fake[:, None] > real).mean() - 0.5) < 0.1
        assert (first == again).all()
        assert (first != other).any()


def test_verdict_follows_the_lower_end():
    rest = {"is_constant": False, "difference": "", "num_images": 9}
    for is_of_file, lows in ((True, (0.5, 0.6, 0.61)), (False, (0.6, 0.9, 0.91))):
        found = [
            Shortcut("train", PROPERTIES[0], 0.7, low, 0.95, is_of_file, **rest)
            for low in lows
        ]
        assert [s.verdict for s in found] == ["fine", "look", "serious"]
