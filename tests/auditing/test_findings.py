"""Tests of what an audit says."""

import shutil

import pytest
from drawn_photos import draw_photo, inspect_folder, write_dataset
from PIL import Image

from auditing.duplicates import find_duplicates
from auditing.findings import Finding, list_findings
from auditing.shortcuts import PROPERTIES, Shortcut
from scores.groups import Leak


@pytest.fixture
def root(tmp_path):
    """Four images a class and split."""
    return write_dataset(tmp_path, {"train": 4, "val": 2, "test": 2})


def audit(root, leaks=(), shortcuts=()) -> list[Finding]:
    inspection = inspect_folder(root)
    found = list_findings(inspection, find_duplicates(inspection), leaks, shortcuts)
    return [f for f in found if "not looked for" not in f.text]


def test_nothing_wrong_is_no_finding(root):
    assert audit(root) == []


def put(root, source: str, target: str, how: str = "copy") -> None:
    """Put a copy of an image elsewhere."""
    if how == "copy":
        shutil.copy(root / source, root / target)
    else:
        with Image.open(root / source) as image:
            image.save(root / target, quality=40)


REAL = "train/real/p0_000.jpg"


@pytest.mark.parametrize(
    ("target", "how", "level", "text"),
    [
        ("test/real/z.jpg", "copy", "serious", "in two splits"),
        ("test/real/z.jpg", "encode", "serious", "in two splits"),
        ("test/fake/z.jpg", "encode", "serious", "in two splits"),
        ("train/real/z.jpg", "copy", "look", "twice within a class"),
        ("train/real/z.jpg", "encode", "look", "twice within a class"),
        ("train/fake/z.jpg", "copy", "serious", "labelled both real and fake"),
        ("test/fake/z.jpg", "copy", "serious", "labelled both real and fake"),
        ("train/fake/z.jpg", "encode", "info", "a fake is near to a real image"),
    ],
)
def test_a_copy_means_what_its_place_says(root, target, how, level, text):
    put(root, REAL, target, how)

    (finding,) = audit(root)

    assert finding.level == level
    assert text in finding.text
    assert "(1 pair " in finding.text
    assert REAL in finding.text
    assert target in finding.text
    assert len(finding.pairs) == 1


def test_only_the_first_pairs_are_named(root):
    for number in range(4):
        put(root, f"train/real/p{number}_00{number}.jpg", f"test/real/z{number}.jpg")

    (finding,) = audit(root)

    assert "4 pairs equal files" in finding.text
    assert finding.text.count(" and ") == 3
    assert finding.text.endswith("; ...)")


def test_unreadable_files_are_serious_and_named(root):
    (root / REAL).write_bytes(b"nothing")

    (finding,) = audit(root)

    assert finding.level == "serious"
    assert "1 file cannot be read (train/real/p0_000.jpg: not an image" in finding.text


def test_group_leaks_are_serious(root):
    (finding,) = audit(root, [Leak("train", "test", ("p7",))])

    assert finding.level == "serious"
    assert "1 groups are in both train and test: p7" in finding.text


def make_shortcut(split: str, low: float, number: int = 1) -> Shortcut:
    rest = {"is_constant": False, "difference": "bytes: ...", "num_images": 99}
    return Shortcut(split, PROPERTIES[number], 0.97, low, 0.99, number < 5, **rest)


def test_a_shortcut_is_one_sentence_for_its_splits_with_what_to_do(root):
    found = audit(root, (), [make_shortcut("train", 0.95), make_shortcut("test", 0.9)])

    assert list(map(str, found)) == [
        "serious: file size alone separates the classes with AUC 0.970 [0.950, 0.990] "
        "in train, 0.970 [0.900, 0.990] in test (bytes: ...): re-encode both classes "
        "alike (--fix DEST)"
    ]


def test_findings_come_by_level(root):
    put(root, REAL, "train/fake/z.jpg", "encode")
    draw_photo(3).save(root / "train/real/y.png")

    shortcuts = [make_shortcut("train", 0.9, 7), make_shortcut("train", 0.55)]
    found = audit(root, [Leak("train", "test", ("p7",))], shortcuts)

    assert [f.level for f in found] == ["serious", "look", "look", "look", "info"]
    assert "weakly separates" in found[3].text


def test_splits_too_small_for_shortcuts_are_said(root):
    (finding,) = list_findings(inspect_folder(root), [], [], [])

    assert finding.level == "info"
    assert "test and train and val: fewer than 10" in finding.text
