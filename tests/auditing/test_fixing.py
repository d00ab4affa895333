"""Tests of the copy without what an audit can mend."""

import csv
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from drawn_photos import draw_photo, inspect_folder, write_dataset
from PIL import Image

from auditing import fixing
from auditing.duplicates import find_duplicates
from auditing.findings import list_findings
from auditing.fixing import Fate, check_destination, plan_fix, save_fix
from auditing.shortcuts import find_shortcuts
from scores.groups import find_leaks

REAL = "train/real/p0_000.jpg"


@pytest.fixture
def root(tmp_path):
    """Four, two and two images of each class."""
    return write_dataset(tmp_path / "faces", {"train": 4, "val": 2, "test": 2})


def plan(root: Path, get_group=None) -> dict[str, Fate]:
    """Plan the fix of a folder; by the files' places in it."""
    inspection = inspect_folder(root)
    groups = get_group and [get_group(path.name) for path in inspection.paths]
    fates = plan_fix(inspection, find_duplicates(inspection), groups)
    return {str(fate.path.relative_to(root)): fate for fate in fates}


def get_changed(fates: dict[str, Fate]) -> dict[str, str | None]:
    return {path: f.split for path, f in fates.items() if f.action != "kept"}


def test_nothing_wrong_keeps_all(root):
    fates = plan(root)

    assert len(fates) == 16
    assert get_changed(fates) == {}
    assert all(fate.new_path == path for path, fate in fates.items())


@pytest.mark.parametrize("quality", [None, 40])
def test_of_copies_that_of_the_test_split_stays(root, quality):
    for target in ("val/real/y.jpg", "test/real/z.jpg", "train/real/x.jpg"):
        if quality is None:
            shutil.copy(root / REAL, root / target)
        else:
            with Image.open(root / REAL) as image:
                image.save(root / target, quality=quality)

    changed = get_changed(plan(root))

    assert changed == dict.fromkeys((REAL, "train/real/x.jpg", "val/real/y.jpg"))


def test_equal_pixels_with_both_labels_all_go(root):
    shutil.copy(root / REAL, root / "train/fake/z.jpg")
    shutil.copy(root / REAL, root / "test/real/z.jpg")

    fates = plan(root)

    gone = (REAL, "train/fake/z.jpg", "test/real/z.jpg")
    assert get_changed(fates) == dict.fromkeys(gone)
    assert {fates[path].reason for path in gone} == {"equal pixels, both labels"}


def test_a_fake_near_to_a_real_image_stays_in_the_same_split_alone(root):
    with Image.open(root / REAL) as image:
        image.save(root / "train/fake/z.jpg", quality=40)
    assert get_changed(plan(root)) == {}

    (root / "train/fake/z.jpg").rename(root / "test/fake/z.jpg")
    assert get_changed(plan(root)) == {REAL: None}


def test_a_near_copy_of_a_dropped_copy_goes_too(root):
    # x equals the first; that of validation stays; y was compared with the first alone.
    shutil.copy(root / REAL, root / "val/real/x.jpg")
    with Image.open(root / REAL) as image:
        image.save(root / "train/real/y.jpg", quality=40)

    assert get_changed(plan(root)) == dict.fromkeys((REAL, "train/real/y.jpg"))


def test_unreadable_files_go(root):
    (root / REAL).write_bytes(b"nothing")

    fates = plan(root)

    assert get_changed(fates) == {REAL: None}
    assert "not an image" in fates[REAL].reason


def test_groups_move_as_wholes_and_splits_keep_their_sizes(tmp_path):
    # The usual mistake: 20 people with 6 images each, split by image.
    root = write_dataset(tmp_path / "faces", {"train": 30, "val": 10, "test": 20})

    def get_group(name: str) -> str:
        return f"person {int(name[1:].split('_')[0]) % 20}"

    fates = plan(root, get_group)

    by_split = {}
    for fate in fates.values():
        by_split.setdefault(fate.split, []).append(get_group(fate.path.name))
    assert find_leaks(by_split) == []
    assert sum(fate.action == "moved" for fate in fates.values()) > 20
    sizes = {split: len(groups) for split, groups in by_split.items()}
    for split, size in {"train": 60, "val": 20, "test": 40}.items():
        assert abs(sizes[split] - size) <= 6


def test_only_a_group_of_several_splits_moves(root):
    together = {"p4_000.jpg", "p5_001.jpg", "p10_000.jpg"}  # two of train, one of val

    fates = plan(root, lambda name: "q" if name in together else name)

    assert get_changed(fates) == {"val/fake/p10_000.jpg": "train"}
    moved = fates["val/fake/p10_000.jpg"]
    assert (moved.action, moved.new_path) == ("moved", "train/fake/p10_000.jpg")
    assert moved.reason == "its group 'q' was in several splits"


def test_moved_files_take_no_name_that_is_taken(root):
    shutil.copy(root / "val/real/p8_000.jpg", root / "train/real/same.jpg")
    draw_photo(77).save(root / "test/real/same.png")
    draw_photo(78).save(root / "test/real/same.webp")
    draw_photo(79).save(root / "train/real/same.webp")

    fates = plan(root, lambda name: "same" if "same" in name else name)

    paths = [fate.new_path for fate in fates.values() if fate.split]
    assert len(set(paths)) == len(paths)
    assert all(path.endswith(".jpg") for path in paths)


def test_a_class_left_without_images_is_refused(root, one_line):
    for path in (root / "val" / "real").iterdir():
        path.write_bytes(b"nothing")
    draw_photo(0).save(root / "val/real/z.png")  # in train too
    with Image.open(root / REAL) as image:
        image.save(root / "test/real/z.png")
        image.save(root / "val/real/z.png")

    with pytest.raises(ValueError, match="no real image in the split val") as error:
        plan(root)

    one_line(error)


def test_save_fix_encodes_all_alike_and_says_what_became_of_each(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6

    def save(image, path, label, number):
        if label:
            image.resize((100, 90)).convert("RGBA").save(path)
        else:
            image.save(path, quality=60, exif=exif, comment=b"words", dpi=(99, 99))

    root = write_dataset(
        tmp_path / "faces", {"train": 20, "test": 20}, save, suffixes=(".jpg", ".png")
    )
    shutil.copy(root / REAL, root / "test/real/z.jpg")
    (root / "train/fake/broken.png").write_bytes(b"nothing")
    before = inspect_folder(root)
    shortcuts = find_shortcuts(before)
    assert "serious" in {shortcut.verdict for shortcut in shortcuts}

    destination = tmp_path / "fixed"
    save_fix(plan_fix(before, find_duplicates(before)), destination)

    after = inspect_folder(destination)
    findings = list_findings(after, find_duplicates(after), [], find_shortcuts(after))
    assert {f.level for f in findings} <= {"look", "info"}
    constant = {s.trait.name for s in find_shortcuts(after) if s.is_constant}
    assert constant == {"file type", "width and height", "JPEG compression", "metadata"}
    assert set(after.formats.tolist()) == {"JPEG RGB"}
    rows = list(csv.DictReader((destination / "manifest.csv").read_text().splitlines()))
    assert Counter(row["action"] for row in rows) == {"kept": 80, "left out": 2}
    by_path = {row["path"]: row for row in rows}
    assert by_path[REAL]["reason"] == "equal to test/real/z.jpg"
    assert by_path["train/fake/broken.png"]["new_path"] == ""
    names = {str(path.relative_to(destination)) for path in after.paths}
    assert names == {row["new_path"] for row in rows if row["new_path"]}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_save_fix_that_fails_leaves_nothing(root, tmp_path, monkeypatch):
    inspection = inspect_folder(root)
    fates = plan_fix(inspection, [])
    inspection.paths[5].write_bytes(b"nothing")

    with pytest.raises(ValueError, match="cannot read the image"):
        save_fix(fates, tmp_path / "fixed")

    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_save_fix_takes_an_empty_folder(root, tmp_path):
    (tmp_path / "fixed").mkdir()

    save_fix(plan_fix(inspect_folder(root), []), tmp_path / "fixed")

    assert (tmp_path / "fixed" / "train" / "real" / "p0_000.jpg").exists()


def test_check_destination_refuses_what_is_there(root, tmp_path, one_line):
    (tmp_path / "empty").mkdir()
    check_destination(tmp_path / "empty", root)
    check_destination(tmp_path / "new" / "folder", root)
    (tmp_path / "link").symlink_to("nowhere")

    for name in ("faces", "link", "faces/train/real/p0_000.jpg"):
        with pytest.raises(ValueError, match="not empty") as error:
            check_destination(tmp_path / name, root)
        one_line(error)
    with pytest.raises(ValueError, match="within the dataset"):
        check_destination(root / "train" / "fixed", root)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("empty", "faces", "link")
    ]


def test_fate_says_what_was_done():
    fate = Fate(Path("a"), "train")

    assert fate.action == "kept"
    assert replace(fate, reason="why").action == "moved"
    assert replace(fate, split=None).action == "left out"
    assert fixing.QUALITY == 90
