"""What names of folders say, which rows are dealt out, and how a table is written."""

import csv
import json
import tarfile

import pytest
from foreign_layouts import add_member, make_shards, touch

from files.classes import FAKE, REAL, find_label
from loading.layouts import (
    Hints,
    Row,
    check_rows,
    deal_rest,
    read_layout,
    save_rows,
    shards,
)
from loading.layouts.folders import tell_folders
from loading.layouts.official_splits import split_by_pairs, split_by_test_list
from loading.layouts.rows import Found
from loading.sources.archives import ArchiveError, list_members
from loading.sources.datasets import Source
from utils import open_splits


@pytest.mark.parametrize(
    ("name", "label"),
    [
        *((name, REAL) for name in ("0_real", "Real", "training_real", "YouTube-real")),
        *((name, REAL) for name in ("original_sequences", "1_real", "CelebDFv1_real")),
        *((name, FAKE) for name in ("1_fake", "manipulated_sequences", "0_fake", "AI")),
        *((name, FAKE) for name in ("Celeb-synthesis", "test_FAKE", "DFDC_Fake")),
        *((name, None) for name in ("real_vs_fake", "0", "1", "true", "unreal", "071")),
    ],
)
def test_find_label_reads_words_and_no_numbers(name, label):
    assert find_label(name) == label


def tell(*paths: str, **said) -> list[tuple]:
    """Return label, split, group, subset and rest of each path."""
    told = tell_folders([tuple(path.split("/")) for path in paths], Hints(**said))
    return [(t.label, t.split, t.group, t.subset, "/".join(t.unclear)) for t in told]


def test_tell_folders_what_all_share_says_nothing():
    assert tell("deepfake_data/real/c23/000", "deepfake_data/fake/c23/001") == [
        (REAL, "", "", "", "000"),
        (FAKE, "", "", "", "001"),
    ]


def test_tell_folders_kinds_are_subsets_whatever_their_split():
    paths = ["train_real", "train_fake_gan", "test_fake_gan", "test_fake_sd"]
    told = [told[:4] for told in tell(*paths)]
    assert told == [
        (REAL, "train", "", ""),
        (FAKE, "train", "", "fake_gan"),
        (FAKE, "test", "", "fake_gan"),
        (FAKE, "test", "", "fake_sd"),
    ]


def test_tell_folders_part_of_a_name_is_a_split_only_where_all_names_say_so():
    told = tell("real/test_drive", "fake/walk")
    assert [split for _, split, *_ in told] == ["", ""]
    told = tell("val/real/test_drive", "Training/fake/walk")
    assert [split for _, split, *_ in told] == ["val", "train"]


def test_tell_folders_levels_name_what_lies_between():
    levels = ["subset", "group", "group"]
    paths = ["fake/frames/swap/ann/1", "fake/frames/gan/bob/1", "real/frames/ann/2"]
    told = [told[2:4] for told in tell(*paths, levels=levels)]
    assert told == [("ann/1", "swap"), ("bob/1", "gan"), ("ann/2", "")]


def test_read_layout_finds_masks_where_fakes_lie_likewise(tmp_path):
    names = [
        f"{s}/{k}/{n}.jpg"
        for s in ("val", "test")
        for k in ("real", "fake")
        for n in range(2)
    ]
    masks = ("val/0", "test/1", "test/7", "test/fake/0", "val/real/1")
    touch(tmp_path, [*names, *(f"masks/{name}.png" for name in masks)])
    (tmp_path / "test" / "fake" / "loop").symlink_to(tmp_path)
    found = read_layout([tmp_path], Hints())
    masks = {row.path: row.mask for row in found.rows if row.mask}
    assert masks == {
        f"{tmp_path}/val/fake/0.jpg": f"{tmp_path}/masks/val/0.png",
        f"{tmp_path}/test/fake/0.jpg": f"{tmp_path}/masks/test/fake/0.png",
        f"{tmp_path}/test/fake/1.jpg": f"{tmp_path}/masks/test/1.png",
    }
    assert len(found.rows) == 8
    assert found.notes == ["passed over 2 masks that lie as no fake does"]


@pytest.mark.parametrize("real_labels", [(), ["real"]])
def test_read_layout_few_images_above_the_classes_are_passed_over(
    real_labels, tmp_path
):
    names = [f"a/d/{s}/{k}" for s in ("val", "test") for k in ("real", "fake")]
    touch(tmp_path, [f"{name}/{n}.png" for name in names for n in range(2)])
    touch(tmp_path / "a", ["cover.jpg", "d/val/logo.png"])
    found = read_layout([tmp_path / "a"], Hints(real_labels))
    assert [row.label for row in found.rows] == [FAKE, FAKE, REAL, REAL] * 2
    assert {row.split for row in found.rows} == {"val", "test"}
    above = f"{tmp_path}/a/cover.jpg, {tmp_path}/a/d/val/logo.png"
    assert found.notes == [f"passed over images above the folders of classes: {above}"]
    touch(tmp_path / "a" / "d", [f"{n}.jpg" for n in range(9)])
    with pytest.raises(ValueError, match=r"11 images lie above .*cover\.jpg: move"):
        read_layout([tmp_path / "a"], Hints(real_labels))


@pytest.mark.parametrize("name", ["./b.png", "x/../b.png", "link/b.png"])
def test_check_rows_one_file_spelt_in_two_ways_is_refused(name, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    rows = [Row(f"{tmp_path}/{n}", i) for i, n in enumerate(("a.png", "b.png"))]
    check_rows(rows)
    with pytest.raises(ValueError, match=r"/b\.png is there 2 times"):
        check_rows([*rows, Row(f"{tmp_path}/{name}", FAKE)])


ROWS = [
    Row(f"{n}.png", n % 2, split, f"g{n // 4}")
    for n, split in enumerate(["test"] * 8 + [""] * 32)
]


def test_deal_rest_fills_the_splits_that_are_not_there_with_whole_groups():
    rows = deal_rest(ROWS, (0.6, 0.2, 0.2))
    splits = [row.split for row in rows]
    assert splits[:8] == ["test"] * 8
    assert [splits.count(name) for name in ("train", "val")] == [24, 8]
    assert len({(row.split, row.group) for row in rows}) == 10


@pytest.mark.parametrize(
    ("rows", "shares", "message"),
    [
        (ROWS, None, "32 images are of no split, such as 8.png, and others of test"),
        (ROWS, (0, 0, 1), "--shares leaves nothing for train and val"),
        (ROWS[:8], (0.6, 0.2, 0.2), "all images are of a split already"),
    ],
)
def test_deal_rest_refuses(rows, shares, message):
    with pytest.raises(ValueError, match=message):
        deal_rest(rows, shares)


def test_save_rows_odd_names_and_links_come_back(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tables").symlink_to(tmp_path / "elsewhere")
    names = ["=a.png", "-b.png", "ä, 'c'.png", "d.png"]
    touch(tmp_path / "elsewhere", names)
    rows = [Row(f"{tmp_path}/tables/{x}", n % 2) for n, x in enumerate(names)]
    save_rows(rows, tmp_path / "tables" / "own.csv")
    with (tmp_path / "elsewhere" / "own.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "label"]
    whole = Source(tmp_path / "tables", shares=(1, 0, 0))
    dataset = open_splits("own", whole, splits=["train"])["train"]
    for index in range(len(names)):
        assert dataset.get_file(index).is_regular


BROKEN = {  # what a file holds, and what is said
    "a.json": {
        '{"a": 1}': "lists no frames, as",
        '{"a": {"label": "real", "frames": [1]}}': "are not names",
        '{"v": {"label": 0, "frames": ["x"]}, "w": {"label": 1, "frames": ["y"]}}': (
            "say which mean real with --real-labels"
        ),
    },
    "a.csv": {
        "path,label\nx.png,reel\n": "label 'reel' is not real or fake",
        "path,label,split\nx.png,real,later\n": "split 'later' of x.png is not",
        "path,label\nx.png,real\n": "none of the 1 images is there",
    },
}


@pytest.mark.parametrize(
    ("name", "content"), [(name, text) for name in BROKEN for text in BROKEN[name]]
)
def test_read_layout_names_what_is_wrong_in_a_file(name, content, tmp_path, refused):
    (tmp_path / name).write_text(content)
    place = f"{tmp_path}|labels are 0, 1"
    with refused(place, (ValueError, OSError)) as error:
        read_layout([tmp_path / name], Hints())
    assert BROKEN[name][content] in str(error.value)


def test_read_layout_archives_say_what_is_broken(tmp_path, refused):
    shards = make_shards(tmp_path, "json")
    path = shards / "val-0002.tar"
    content = path.read_bytes()
    path.write_bytes(content.replace(b'{"label"', b'["label"'))
    with pytest.raises(ValueError, match=r"v20_0\.json does not hold json"):
        read_layout([shards], Hints())
    lost = content.replace(json.dumps("label").encode(), b'"lebal"')
    path.write_bytes(lost)
    with pytest.raises(ValueError, match=r"v20_0\.jpg has no label"):
        read_layout([shards], Hints())
    found = read_layout([shards / "train-0000.tar", shards / "test-0004.tar"], Hints())
    assert [row.split for row in found.rows] == ["train"] * 6 + ["test"] * 6


def test_read_layout_archives_see_that_one_was_changed(tmp_path, monkeypatch, refused):
    archive = make_shards(tmp_path, "json") / "val-0002.tar"
    moved = [m._replace(offset=m.offset + 512) for m in list_members(archive)]
    monkeypatch.setattr(shards, "list_members", lambda path: moved)
    with refused("not the one that the table describes", ArchiveError):
        read_layout([archive], Hints())


def test_read_layout_archives_take_words_splits_and_the_last_of_a_name(tmp_path):
    with tarfile.open(tmp_path / "test.tar", "w") as tar:
        for number in range(4):
            for content in ("old", "newer"):
                add_member(tar, f"./d/{number}.jpg", content.encode())
            add_member(tar, f"./d/{number}.cls", (b"Real", b"gan\n")[number % 2])
            known = json.dumps({"split": ("validation", None)[number // 2]})
            add_member(tar, f"./d/{number}.json", known.encode())
    found = read_layout([tmp_path / "test.tar"], Hints())
    assert [row.label for row in found.rows] == [REAL, FAKE] * 2
    assert [row.split for row in found.rows] == ["val", "val", "test", "test"]
    assert {row.bytes for row in found.rows} == {5}
    assert found.group_flags == "--group-by"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("other.json", "[]", "is not called train.json, val.json or test.json"),
        ("train.json", '{"a": 1}', "is not a list of pairs"),
        ("val.json", '[["8", "9"]]', "no pair of"),
    ],
)
def test_split_by_pairs_says_what_it_cannot_take(name, content, says, tmp_path):
    (tmp_path / name).write_text(content)
    found = Found([Row("f/001/1.png", 0), Row("f/002/1.png", 1)])
    with pytest.raises(ValueError, match=says):
        split_by_pairs(found, [tmp_path / name])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("1 a/001.mp4\nwords\n", "line 2: 'words' is not as"),
        ("0 f/001.mp4\n\n1 f/002.mp4\n", "is real, but not in"),
    ],
)
def test_split_by_test_list_says_what_it_cannot_take(content, says, tmp_path):
    (tmp_path / "list.txt").write_text(content)
    found = Found([Row("f/001/1.png", 0), Row("f/002/1.png", 1)])
    with pytest.raises(ValueError, match=says):
        split_by_test_list(found, tmp_path / "list.txt")
    told = Found([Row("f/001/1.png", 0, "train")])
    with pytest.raises(ValueError, match="is of the split train already: --test-list"):
        split_by_test_list(told, tmp_path / "list.txt")
