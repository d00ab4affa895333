"""Tests of the script that audits a dataset."""

import json
import shutil
from pathlib import Path

import pytest
from drawn_photos import save_alike, write_dataset
from PIL import Image
from script_helpers import run_script

import audit_dataset as script
from command_line import parser
from files.names import FAKE


@pytest.fixture
def root(tmp_path):
    """A clean dataset."""
    return write_dataset(tmp_path / "data" / "faces", {"train": 20, "test": 12})


def run(root: Path, *flags: str) -> int:
    arguments = ["-d", root.name, "--data-root", str(root.parent)]
    figures = root.parents[1] / "figures"
    return script.main([*arguments, "--figures-dir", str(figures), *flags])


def load(root: Path) -> dict:
    return json.loads((root.parents[1] / f"figures/{root.name}_audit.json").read_text())


def test_main_on_clean_data_returns_0_and_writes_three_files(root, capsys):
    assert run(root) == 0

    lines = capsys.readouterr().out.splitlines()
    figures = root.parents[1] / "figures"
    paths = [figures / f"faces_audit{e}" for e in (".png", ".json", ".html")]
    assert lines[-3:] == [f"wrote {path}" for path in paths]
    assert lines[-4] == "faces: nothing serious: 0 serious, 0 look, 0 info"
    assert lines[0] == "train: 40 images, 20 real and 20 fake (50.0 % fake)"
    with Image.open(paths[0]) as image:
        assert min(image.size) > 600
    numbers = load(root)
    assert numbers["counts"]["test"] == {"real": 12, "fake": 12}
    assert numbers["findings"] == numbers["pairs"] == numbers["unreadable"] == []
    assert len(numbers["shortcuts"]) == 20
    assert "audit_dataset.py" in numbers["command"]
    assert "scikit-learn" in numbers["versions"]


def test_main_finds_each_planted_fault(root, capsys):
    shutil.copy(root / "train/real/p0_000.jpg", root / "test/real/copy.jpg")
    (root / "train/fake/p20_000.jpg").write_bytes(b"nothing")
    for path in (root / "train" / "fake").iterdir():
        if path.stat().st_size > 100:
            with Image.open(path) as image:
                image.load()
            image.save(path, quality=60)

    assert run(root, "--group-by", r"^(p\d+|copy)") == 1

    found = {(f["level"], f["text"].split(" (")[0]) for f in load(root)["findings"]}
    assert ("serious", "1 file cannot be read") in found
    assert ("serious", "the same is shown in two splits") in found
    assert any("JPEG compression alone separates" in text for _, text in found)
    (pair,) = load(root)["pairs"]
    assert pair == {
        "first": "train/real/p0_000.jpg",
        "second": "test/real/copy.jpg",
        "kind": "bytes",
        "similarity": 1.0,
        "meaning": "leak",
    }
    output = capsys.readouterr().out
    assert "serious: 1 file cannot be read (train/fake/p20_000.jpg: not an" in output
    assert "the same in all images of a split: file type, width and height" in output


def test_main_finds_groups_of_two_splits(root, capsys):
    (root / "train/real/p0_000.jpg").rename(root / "train/real/p60_000.jpg")

    assert run(root, "--group-by", "prefix") == 1

    assert "1 groups are in both train and test: p60" in capsys.readouterr().out


def test_main_with_fix_writes_a_copy_that_passes(root, tmp_path, capsys):
    for path in (root / "train" / "fake").iterdir():
        with Image.open(path) as image:
            image.load()
        image.save(path, quality=60)
    shutil.copy(root / "train/real/p0_000.jpg", root / "test/real/copy.jpg")
    destination = root.parent / "fixed"

    assert run(root, "--fix", str(destination)) == 1
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(f"wrote {destination} (64 kept, 0 moved, 1 left out: ")
    assert f"{destination}/manifest.csv" in line

    assert run(destination) == 0
    kinds = {(s["kind"], s["verdict"]) for s in load(destination)["shortcuts"]}
    assert ("file", "look") not in kinds
    assert ("file", "serious") not in kinds


def test_main_follows_limit_and_seed(root):
    assert run(root, "--limit", "11", "--seed", "1") == 0
    first = load(root)
    run(root, "--limit", "11", "--seed", "2")
    other = load(root)

    assert first["counts"]["train"] == {"real": 11, "fake": 11}
    assert [s["auc"] for s in first["shortcuts"]] != [
        s["auc"] for s in other["shortcuts"]
    ]


def test_main_takes_the_splits_that_are_there(tmp_path):
    root = write_dataset(tmp_path / "data" / "faces", {"test": 2})

    assert run(root) == 0

    assert list(load(root)["counts"]) == ["test"]


def test_main_writes_the_pages_of_hostile_names(tmp_path, capsys):
    def save(image, path, label, number):
        name = "<img onerror=a>\x1b[31m.jpg" if label == FAKE and not number else ""
        save_alike(image, path.with_name(name or path.name), label, number)

    root = write_dataset(tmp_path / "data" / "faces", {"train": 3, "test": 2}, save)
    shutil.copy(
        root / "train/fake/<img onerror=a>\x1b[31m.jpg", root / "train/fake/b.jpg"
    )

    assert run(root) == 0

    assert "\x1b" not in capsys.readouterr().out
    page = (tmp_path / "figures" / "faces_audit.html").read_text()
    assert "<img onerror" not in page


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-d", "none"], "there is no dataset 'none'"),
        (["--group-by", "("], "is no regular expression"),
        (["--group-by", "never"], "finds no group in the name"),
        (["--fix", "{root}"], "it is there and not empty"),
        (["--fix", "{root}/new"], "lies within the dataset"),
        (["--figures-dir", "/dev/null/x"], "cannot write to the folder"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    root, monkeypatch, flags, message, one_line
):
    monkeypatch.setattr(script, "inspect", lambda *_: pytest.fail("it began"))
    flags = [flag.format(root=root) for flag in flags]

    with pytest.raises((ValueError, OSError), match=message) as error:
        run(root, *flags)

    one_line(error)
    assert not (root.parents[1] / "figures").exists()


def test_a_class_that_would_be_left_empty_is_refused_after_the_report(tmp_path):
    root = write_dataset(tmp_path / "data" / "faces", {"train": 2, "test": 2})
    for number, path in enumerate(sorted((root / "test" / "real").iterdir())):
        path.write_bytes(b"nothing" * number)

    with pytest.raises(ValueError, match="no real image in the split test"):
        run(root, "--fix", str(tmp_path / "fixed"))

    assert not (tmp_path / "fixed").exists()
    assert load(root)["unreadable"][0]["reason"].endswith("the file is empty")


def test_script_with_bad_input_exits_with_one_line_and_status_2(tmp_path):
    result = run_script("audit_dataset.py", "-d", "none", "--data-root", tmp_path)

    assert result.returncode == parser.USER_ERROR_STATUS
    assert result.stderr.count("\n") == 1
    assert "there is no dataset 'none'" in result.stderr
