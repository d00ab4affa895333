"""Tests of the copy without what an audit can mend."""

import csv
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from drawn_photos import draw_photo, inspect_folder, save_again, write_dataset
from PIL import Image

from auditing.duplicates import find_duplicates
from auditing.findings import list_findings
from auditing.fixing import Fate, plan_fix, save_fix
from auditing.shortcuts import find_shortcuts
from scores.groups import find_leaks

REAL, TRAIN = "train/real/p0_000.jpg", "train/real/x.jpg"
VAL, TEST, FAKE = "val/real/y.jpg", "test/real/z.jpg", "train/fake/z.jpg"


@pytest.fixture
def root(tmp_path):
    """Four, two and two images of each class."""
    return write_dataset(tmp_path / "faces", {"train": 4, "val": 2, "test": 2})


def plan(root: Path, get_group=None) -> dict[str, Fate]:
    """Plan the fix of a folder; by the files' places in it."""
    inspection = inspect_folder(root)
    names = [Path(file.name).name for file in inspection.files]
    groups = get_group and list(map(get_group, names))
    fates = plan_fix(inspection, find_duplicates(inspection), groups)
    return {str(Path(fate.file.name).relative_to(root)): fate for fate in fates}


# Copies of `REAL` (None: to the byte, else of a quality) -> what goes, and why.
@pytest.mark.parametrize(
    ("copies", "gone", "reason"),
    [
        ({}, (), ""),
        ({VAL: None, TEST: None, TRAIN: None}, (REAL, TRAIN, VAL), f"equal to {TEST}"),
        ({VAL: 40, TEST: 60, TRAIN: 70}, (REAL, TRAIN, VAL), f"the same as {TEST}"),
        ({FAKE: None, TEST: None}, (REAL, FAKE, TEST), "equal pixels, both labels"),
        ({TRAIN: 40}, (TRAIN,), f"the same as {REAL}"),
        ({FAKE: 40}, (), ""),  # a fake beside the photo that it was made from stays
        ({FAKE.replace("train", "test"): 40}, (REAL,), "as test/fake/z.jpg"),
        (
            {VAL: None, TRAIN: 40},
            (REAL, TRAIN),
            VAL,
        ),  # REAL alone was compared, and goes
    ],
)
def test_of_images_that_show_the_same_one_stays(root, copies, gone, reason):
    for target, quality in copies.items():
        save_again(root / REAL, root / target, quality)
    (root / "val/fake/broken.jpg").write_bytes(b"nothing")

    fates = plan(root)

    broken = fates.pop("val/fake/broken.jpg")
    assert (broken.action, broken.new_path) == ("left out", "")
    assert "not an image" in broken.reason
    assert len(fates) == 16 + len(copies)
    for path, fate in fates.items():
        assert fate.new_path == ("" if path in gone else path)
        assert fate.action == ("left out" if path in gone else "kept")
        assert fate.reason.endswith(reason if path in gone else "")


@pytest.mark.slow
def test_groups_move_as_wholes_and_splits_keep_their_sizes(tmp_path):
    # The usual mistake: 20 people with 6 images each, split by image.
    root = write_dataset(tmp_path / "faces", {"train": 30, "val": 10, "test": 20})

    def get_group(name: str) -> str:
        return f"person {int(name[1:].split('_')[0]) % 20}"

    fates = plan(root, get_group)

    by_split = {}
    for path, fate in fates.items():
        by_split.setdefault(fate.split, []).append(get_group(Path(path).name))
    assert find_leaks(by_split) == []
    assert sum(fate.action == "moved" for fate in fates.values()) > 20
    sizes = {split: len(groups) for split, groups in by_split.items()}
    for split, size in {"train": 60, "val": 20, "test": 40}.items():
        assert abs(sizes[split] - size) <= 6


def test_only_a_group_of_several_splits_moves_and_takes_no_name_that_is_taken(root):
    together = {"p4_000.jpg", "p5_001.jpg", "p10_000.jpg"}  # two of train, one of val
    draw_photo(77).save(root / "train/fake/p10_000.png")
    draw_photo(78).save(root / "train/fake/p10_000.webp")

    fates = plan(root, lambda name: "q" if name in together else name)

    changed = [path for path, fate in fates.items() if fate.action != "kept"]
    assert changed == ["val/fake/p10_000.jpg"]
    moved = fates["val/fake/p10_000.jpg"]
    assert moved.action == "moved"
    assert moved.reason == "its group 'q' was in several splits"
    paths = {fate.new_path for path, fate in fates.items() if "p10_000" in path}
    ends = ("", "_2", "_3")
    assert paths == {f"train/fake/p10_000{end}.jpg" for end in ends}


def test_a_class_left_without_images_is_refused(root, refused):
    for path in (root / "val" / "real").iterdir():
        path.write_bytes(b"nothing")
    for split in ("val", "test"):  # in train, too
        save_again(root / REAL, root / f"{split}/real/z.png", None)

    with refused("no real image in the split val"):
        plan(root)


@pytest.mark.slow
def test_save_fix_encodes_all_alike_and_says_what_became_of_each(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6

    def save(image, path, label, number):
        if label:
            image.resize((100, 90)).convert("RGBA").save(path)
        else:
            image.save(path, quality=60, exif=exif, comment=b"words", dpi=(99, 99))

    sizes, suffixes = {"train": 20, "test": 20}, (".jpg", ".png")
    root = write_dataset(tmp_path / "faces", sizes, save, suffixes=suffixes)
    save_again(root / REAL, root / "test/real/z.jpg", None)
    (root / "train/fake/broken.png").write_bytes(b"nothing")
    before = inspect_folder(root)
    assert "serious" in {shortcut.verdict for shortcut in find_shortcuts(before)}

    destination = tmp_path / "fixed"
    destination.mkdir()  # an empty folder is taken
    save_fix(plan_fix(before, find_duplicates(before)), destination)

    after = inspect_folder(destination)
    shortcuts = find_shortcuts(after)
    findings = list_findings(after, find_duplicates(after), [], shortcuts)
    assert {f.level for f in findings} <= {"look", "info"}
    constant = {s.trait.name for s in shortcuts if s.is_constant}
    assert constant == {"file type", "width and height", "JPEG compression", "metadata"}
    assert set(after.formats.tolist()) == {"JPEG RGB"}
    sizes = after.get_columns(["width", "height", "quality", "subsampling"])
    assert sizes[0].tolist() == [256, 256, 90, 2]
    rows = list(csv.DictReader((destination / "manifest.csv").read_text().splitlines()))
    assert Counter(row["action"] for row in rows) == {"kept": 80, "left out": 2}
    by_path = {row["path"]: row for row in rows}
    assert by_path[REAL]["reason"] == "equal to test/real/z.jpg"
    assert by_path["train/fake/broken.png"]["new_path"] == ""
    names = {str(Path(f.name).relative_to(destination)) for f in after.files}
    assert names == {row["new_path"] for row in rows if row["new_path"]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "fixed"]


def test_save_fix_that_fails_leaves_nothing(root, tmp_path):
    inspection = inspect_folder(root)
    fates = plan_fix(inspection, [])
    Path(inspection.files[5].name).write_bytes(b"nothing")

    with pytest.raises(ValueError, match="cannot read the image"):
        save_fix(fates, tmp_path / "fixed")

    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_copies_keep_apart_names_that_some_systems_hold_for_the_same(root):
    names = ["Aé.png", "aé.jpg", "ae\u0301.jpg"]
    for number, name in enumerate(names):
        draw_photo(900 + number).save(root / "train" / "real" / name)
    fates = plan(root)
    copies = [fates[f"train/real/{name}"].new_path for name in sorted(names)]
    folded = {unicodedata.normalize("NFC", copy).casefold() for copy in copies}
    assert folded == {f"train/real/aé{end}.jpg" for end in ("", "_2", "_3")}
