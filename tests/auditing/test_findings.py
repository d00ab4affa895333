"""Tests of what an audit says."""

import pytest
from drawn_photos import draw_photo, inspect_folder, save_again, write_dataset

from auditing.duplicates import find_duplicates
from auditing.findings import Finding, list_findings, summarise
from auditing.shortcuts import PROPERTIES, Shortcut
from scores.groups import Leak

REAL = "train/real/p0_000.jpg"
LEAK = Leak("train", "test", ("p7",))
FILE_SIZE, COLOUR, SPECTRUM = PROPERTIES[1], PROPERTIES[5], PROPERTIES[-1]


@pytest.fixture
def root(tmp_path):
    """Four, two and two images a class."""
    return write_dataset(tmp_path, {"train": 4, "val": 2, "test": 2})


def audit(root, leaks=(), shortcuts=()) -> list[Finding]:
    inspection = inspect_folder(root)
    found = list_findings(inspection, find_duplicates(inspection), leaks, shortcuts)
    return [f for f in found if "not searched" not in f.text]


def make_shortcut(split: str, low: float, trait=FILE_SIZE) -> Shortcut:
    kind = {"is_of_file": trait.is_of_file, "is_constant": False}
    return Shortcut(
        split, trait, 0.97, low, 0.99, **kind, difference="...", num_images=9
    )


def test_nothing_wrong_is_not_a_finding_but_small_splits_are_named(root):
    assert audit(root) == []
    (small,) = list_findings(inspect_folder(root), [], [], [make_shortcut("val", 0.1)])
    assert small.level == "info"
    assert small.text.startswith("test and train: not searched for shortcuts, because")


@pytest.mark.parametrize(
    ("target", "quality", "level", "text"),
    [
        ("test/real/z.jpg", None, "serious", "two splits show the same"),
        ("test/real/z.jpg", 40, "serious", "two splits show the same"),
        ("test/fake/z.jpg", 40, "serious", "two splits show the same"),
        ("train/real/z.jpg", None, "look", "the same image twice"),
        ("train/real/z.jpg", 40, "look", "the same image twice"),
        ("train/fake/z.jpg", None, "serious", "labelled both real and fake"),
        ("test/fake/z.jpg", None, "serious", "labelled both real and fake"),
        ("train/fake/z.jpg", 40, "info", "a fake resembles a real image"),
    ],
)
def test_a_copy_means_what_its_place_says(root, target, quality, level, text):
    save_again(root / REAL, root / target, quality)

    (finding,) = audit(root)

    assert finding.level == level
    for part in (text, "(1 pair ", REAL, target):
        assert part in finding.text
    assert len(finding.pairs) == 1


def test_only_the_first_pairs_and_files_are_named(root):
    for number in range(4):
        name = f"p{number}_00{number}.jpg"
        save_again(root / f"train/real/{name}", root / f"test/real/z{name}", None)
        (root / f"train/fake/x{number}.jpg").write_bytes(b"nothing")

    unreadable, pairs = audit(root)

    start = "4 files cannot be read (train/fake/x0.jpg: not an image file that Pillow"
    assert unreadable.text.startswith(start)
    assert "4 pairs equal files" in pairs.text
    assert pairs.text.count(" and ") == 3
    assert pairs.text.endswith("; ...)")
    assert unreadable.text.count("; ") == 3
    assert {unreadable.level, pairs.level} == {"serious"}


def test_a_shortcut_is_one_sentence_for_its_splits_with_what_to_do(root):
    rows = (("train", 0.55), ("test", 0.9), ("train", 0.4))
    shortcuts = [make_shortcut(*row) for row in rows]
    shortcuts += [
        make_shortcut("train", 0.91, SPECTRUM),
        make_shortcut("val", 0.7, COLOUR),
    ]

    file, spectrum, colour = audit(root, shortcuts=shortcuts)

    assert str(file) == (
        "serious: file size alone separates the classes with AUC 0.970 [0.550, 0.990] "
        "in train, 0.970 [0.900, 0.990] in test (...): re-encode both classes alike "
        "(--fix DEST)"
    )
    assert (spectrum.level, colour.level) == ("serious", "look")
    assert (
        "and then call real faces fake only because they are small, comp"
        in spectrum.text
    )
    assert "a detector may learn this" not in file.text + colour.text


def test_findings_come_by_level_and_are_summed_up(root):
    save_again(root / REAL, root / "train/fake/z.jpg")
    draw_photo(3).save(root / "train/real/y.png")

    shortcuts = [make_shortcut("train", 0.8, SPECTRUM), make_shortcut("train", 0.55)]
    found = audit(root, [LEAK], shortcuts)

    assert [f.level for f in found] == ["serious", "look", "look", "look", "info"]
    assert "1 group is in both train and test: p7" in found[0].text
    assert ["weakly separates" in f.text for f in found[2:4]] == [False, True]
    assert summarise(found) == "not fair as it is: 1 serious, 3 look, 1 info"
    assert summarise([]).startswith("nothing serious: 0 serious")
