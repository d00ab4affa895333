"""From foreign layouts to tables that the suite opens."""

import csv
import json
import re
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from conftest import make_image
from foreign_layouts import make_celeb, make_ff, make_frame_list, make_shards, touch

import make_table
import numerical_analysis
import train_main
from loading.layouts.rows import Row
from loading.sources.datasets import Source
from utils import open_splits

FF_COUNTS = {"train": (12, 24), "val": (4, 8), "test": (8, 16)}

SHARES = ("--shares", "0.6", "0.2", "0.2")


def run(*arguments: object) -> None:
    make_table.main([str(word) for word in arguments])


def open_written(root: Path, *arguments: object) -> dict:
    """Write a table, and open its splits."""
    run(*arguments, "--to", root / "tables" / "own.csv")
    return open_splits("own", Source(root / "tables"))


def count(splits: dict) -> dict[str, tuple[int, int]]:
    return {
        split: (len(of.real_image_names), len(of.fake_image_names))
        for split, of in splits.items()
    }


def list_groups(splits: dict) -> list[set[str]]:
    """Return the groups of each split, none of which is in two."""
    groups = [set(of.get_column("group")) for of in splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    return groups


def test_main_takes_faceforensics_with_its_splits(tmp_path, capsys):
    folder = make_ff(tmp_path)
    names = [tmp_path / f"{split}.json" for split in ("train", "val", "test")]
    touch(folder, ["original_sequences/actors/c23/frames/01__walk/000.png"])
    flags = ["--levels", "subset", "group", "--splits", *names]

    splits = open_written(tmp_path, folder, *flags)

    assert count(splits) == FF_COUNTS
    assert list(map(len, list_groups(splits))) == [3, 1, 2]
    train = splits["train"]
    subsets = dict.fromkeys(("Deepfakes", "Face2Face", "youtube"), 12)
    assert Counter(train.get_column("subset")) == subsets
    masks = [train.get_mask(i) for i in range(len(train))]
    assert sum(mask is not None for mask in masks) == 6
    assert Path(train.get_file(0).name).is_file()
    lines = capsys.readouterr().out.splitlines()
    assert "group: 6, such as 000_001, 002_003, 004_005" in lines
    assert "passed over 1 images of videos that --splits does not name" in lines
    assert lines[-2] == f"wrote {tmp_path}/tables/own.csv"


def test_main_takes_lists_of_deepfakebench(tmp_path, capsys):
    path = make_frame_list(tmp_path)
    videos = tmp_path / "FaceForensics++/original_sequences/youtube/c23/frames"
    (videos / "000/001.png").unlink()
    splits = open_written(tmp_path, path, "--compression", "c23")
    assert count(splits) == FF_COUNTS | {"train": (11, 24)}
    assert list(map(len, list_groups(splits))) == [3, 1, 2]
    subsets = dict.fromkeys(("", "FF-DF", "FF-F2F"), 8)
    assert Counter(splits["test"].get_column("subset")) == subsets
    assert "1 frames are not there, such as" in capsys.readouterr().out


def test_main_frame_lists_settle_videos_of_several_splits(tmp_path, capsys):
    content = {}
    for kind in ("UADFV_Real", "UADFV_Fake"):
        videos = {
            f"{kind}{n}": [f"{kind}/{n}/{i}.png" for i in range(2)] for n in range(5)
        }
        touch(tmp_path, [frame for frames in videos.values() for frame in frames])
        listed = {v: {"label": kind, "frames": frames} for v, frames in videos.items()}
        held = dict(list(listed.items())[3:])  # also in train, as Celeb-DF's are
        content[kind] = {"train": listed, "val": held, "test": held}
    (tmp_path / "own.json").write_text(json.dumps({"own": content}))

    shares = ("--shares", "0.7", "0.3", "0")
    splits = open_written(tmp_path, tmp_path / "own.json", *shares)

    assert count(splits) == {"train": (4, 4), "val": (2, 2), "test": (4, 4)}
    assert "4 videos are listed in several splits" in capsys.readouterr().out


def test_main_takes_celeb_df_with_its_test_list(tmp_path):
    folder = make_celeb(tmp_path)
    listed = tmp_path / "List_of_testing_videos.txt"
    splits = open_written(tmp_path, folder, "--test-list", listed)
    assert count(splits) == {"train": (16, 16), "val": (8, 8), "test": (16, 8)}
    groups = list_groups(splits)
    assert [name for name in groups[2] if name[:2] != "id"]  # YouTube's
    tests = {Path(splits["test"].get_name(i)).parent.name for i in range(24)}
    assert {name for name in tests if "_" in name} == {
        *("id0_0000", "id0_0001", "id1_0000", "id1_0001"),
        *("id0_id1_0000", "id0_id1_0001", "id1_id0_0000", "id1_id0_0001"),
    }


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("cls", ["--real-labels", "0", "--group-by", "prefix"]),
        ("json", []),
        ("folder", ["--group-by", "^(v[0-9]+)_"]),
    ],
)
def test_main_takes_tar_files_whose_pictures_are_read_in_place(tmp_path, kind, flags):
    splits = open_written(tmp_path, make_shards(tmp_path, kind), *flags)
    assert count(splits) == dict.fromkeys(("train", "val", "test"), (6, 6))
    assert list(map(len, list_groups(splits))) == [6, 6, 6]
    for of in splits.values():
        numbers = [of.get_file(i).read()[-1] for i in range(len(of))]
        assert [number % 2 for number in numbers] == of.get_labels().tolist()


def test_main_takes_a_table_with_other_columns(tmp_path, capsys):
    rows = [
        rf"p\{n}.png,{('real', 'swap', 'gan')[n % 3]},v{n // 6},{n % 3},{-n}"
        for n in range(36)
    ]
    touch(tmp_path, [f"p/{n}.png" for n in range(36)])
    lines = ["file,class,video,seen,yaw", *rows, "p/none.png,gan,v1,1,0", ""]
    (tmp_path / "faces.csv").write_text("\n".join(lines))
    columns = ["path=file", "label=class", "group=video", "weight=seen"]
    flags = ["--real-labels", "real", "--columns", *columns, *SHARES]
    splits = open_written(tmp_path, tmp_path / "faces.csv", *flags)
    assert sum(sum(numbers) for numbers in count(splits).values()) == 36
    assert sum(map(len, list_groups(splits))) == 6
    subsets = Counter(x for of in splits.values() for x in of.get_column("subset"))
    assert subsets == {"": 12, "swap": 12, "gan": 12}
    for of in splits.values():
        weights, angles = (list(map(int, of.get_column(x))) for x in ("weight", "yaw"))
        assert weights == [-angle % 3 for angle in angles]
    shown = capsys.readouterr().out
    assert "1 images of" in shown
    assert "other columns: yaw" in shown


def test_main_deals_families_out_and_shows_without_writing(tmp_path, capsys):
    folder = make_celeb(tmp_path)
    run(folder, "--levels", "group", "--families", "--shares", "0.5", "0.25", "0.25")
    shown = capsys.readouterr().out.splitlines()
    numbers = [" ".join(line.split()) for line in shown[1:4]]
    assert numbers == ["train 20 16", "val 10 8", "test 10 8"]
    assert shown[4].startswith("group: 12, such as 00000, ")
    assert not [line for line in shown if "LEAK" in line]
    assert shown[-1] == "nothing written: --to datasets/NAME.csv writes it"
    run(folder)
    shown = capsys.readouterr().out
    assert "all            40       32\nsplit: nothing says which; train_main" in shown
    assert "stands by itself: --group-by or --levels says which" in shown
    assert "nothing written: --levels is to say what these folders of Celeb-" in shown
    assert not (tmp_path / "tables").exists()


def test_main_takes_val_from_train_and_replaces_only_with_force(tmp_path, capsys):
    kinds = product(("training", "testing"), ("real", "fake_gan", "fake_swap"))
    names = [f"{'_'.join(kind)}/{n}.png" for kind in kinds for n in range(10)]
    folder = touch(tmp_path / "d", names)
    with pytest.raises(ValueError, match="no row is of the split val"):
        open_written(tmp_path, folder)
    said = capsys.readouterr().out
    assert "split: no val; --shares 0.8 0.2 0" in said
    assert "train_main.py needs what is missing: val real, val fake\n" in said
    assert "next: " not in said
    lacks = make_table.list_lacks([Row("a.png", 0, "val"), Row("b.png", 1, "train")])
    assert lacks == ["train real", "val fake", "test real", "test fake"]
    shares = ["--shares", "0.8", "0.2", "0"]
    before = (tmp_path / "tables/own.csv").read_bytes()
    with pytest.raises(ValueError, match="already there: --force replaces it"):
        open_written(tmp_path, folder, *shares)
    assert (tmp_path / "tables/own.csv").read_bytes() == before
    splits = open_written(tmp_path, folder, *shares, "--force")
    assert count(splits) == {"train": (8, 16), "val": (2, 4), "test": (10, 20)}
    assert set(splits["test"].get_column("subset")) == {"", "fake_gan", "fake_swap"}
    assert "next: python train_main.py -d own " in capsys.readouterr().out


def test_main_joins_datasets_whose_own_names_mean_a_class(tmp_path):
    names = ("fakes_dataset", "synthetic_dataset")
    folders = product(names, ("train", "val", "test"), ("real", "fake"), "01")
    touch(tmp_path, [f"{'/'.join(parts)}.png" for parts in folders])
    sources = [tmp_path / name for name in names]
    splits = open_written(tmp_path, *sources, "--levels", "subset")
    assert count(splits) == dict.fromkeys(splits, (4, 4))
    for of in splits.values():
        assert Counter(of.get_column("subset")) == dict.fromkeys(names, 4)


def test_main_writes_before_it_prints_to_a_closed_pipe(tmp_path, monkeypatch):
    def close(*_: str) -> None:
        raise BrokenPipeError

    folder = touch(tmp_path / "d", ["real/1.png", "real/2.png", "fake/1.png"])
    monkeypatch.setattr("command_line.say", close)
    with pytest.raises(BrokenPipeError):
        run(folder, "--to", tmp_path / "own.csv")
    assert (tmp_path / "own.csv").read_text().count("d/real/") == 2


@pytest.mark.slow
def test_main_leads_to_a_training_and_numbers_by_subset_and_group(
    tmp_path, monkeypatch, small_simple_net, capsys
):
    monkeypatch.chdir(tmp_path)
    for number in range(36):
        kind, fake = ("0_real", "1_gan", "1_swap")[number % 3], number % 3 > 0
        path = Path(f"own/{kind}/v{number // 3:02}/{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        make_image(number, fake=fake).save(path)
    flags = ["--real-labels", "0_real", "--levels", "group", *SHARES]
    run("own", *flags, "--subset-by", "(gan|swap)", "--to", "datasets/own_t.csv")
    train_main.main(["-d", "own_t", "-m", "SimpleNet", "-e", "1"])
    numerical_analysis.main(["-d", "own_t", "-m", "SimpleNet", "--resamples", "100"])
    shown = capsys.readouterr().out
    assert "own_t: no group is in more than one split" in shown
    with Path("figures/own_t_SimpleNet_scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["subset"] for row in rows} == {"", "gan", "swap"}
    assert len({row["group"] for row in rows}) >= 2
    assert Path("figures/own_t_SimpleNet_subsets_det_curve.png").is_file()


CASES = {  # files, flags and what is said
    "a/real/1.png a/fake/2.png|a a/fake": "is there 2 times",
    "a/x.txt b/y.tar.gz|a b": "no images below",
    "a/real/1.png a/b/real/2.png|a": "all 2 images are real",
    "a/x/1.png a/y/2.png|a": "whether its images are real or fake: x, y; --real-l",
    "a/fake/x/1.png a/fake/real/2.png a/b/3.png|a": "fake/real is real and fake, by",
    "a/real/1.png a/fake/2.png|a --real-labels rael": "called 'rael', as --real-labels",
    "a/x/1.png a/y/x/2.png|a --real-labels x": "lie 0 and 1 folders below the source",
    "a/train/test/real/1.png a/fake/1.png|a": "is of two splits, train and test",
    "a/train/real/1.png a/fake/1.png|a": "1 images are of no split, such as",
    "a/real/1.png a/fake/v/1.png|a --levels group": "does not fit real: its folders",
    "a/real/v/1.png a/fake/w/1.png|a --to t.csv": "nothing written: --levels is to say",
    "a/real/1.png a/fake/1.png|a --to a.txt": "a.txt is not called NAME.csv",
    "a/real/1.png a/fake/1.png|a --to a.csv": "is a folder, which -d a would open",
    "a/real/1.png a/fake/1.png|a --compression c23": "nothing for folders of images",
    "a/real/1.png a/fake/1.png|a --group-by [0": "is not a regular expression",
    "a/real/1.png a/fake/1.png|a --test-list a/fake/1.png": "names no video that is th",
    "a/real/1.png a/fake/1.png b.csv|a b.csv": "is of folders of images and",
    "a/real/1.png|b": "there is no file or folder",
    "a.txt|a.txt": "is not a folder, a .tar, a .json or a table",
    "a.json|a.json": "a.json is not JSON",
    "a.tgz|a.tgz": "is not an uncompressed tar file",
    "a.csv|a.csv": "a.csv is empty",
}


@pytest.mark.parametrize("case", CASES)
def test_main_says_in_a_line_what_is_wrong_and_writes_nothing(
    case, tmp_path, monkeypatch, refused
):
    monkeypatch.chdir(tmp_path)
    files, arguments = case.split("|")
    there = touch(tmp_path, files.split())
    before = sorted(there.rglob("*"))
    with refused(re.escape(CASES[case]), (ValueError, OSError)):
        run(*arguments.split())
    assert sorted(there.rglob("*")) == before
