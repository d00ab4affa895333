"""Tests of the script that audits a dataset."""

import json
from pathlib import Path

import pytest
from drawn_photos import save_again, save_alike, write_dataset
from PIL import Image

import audit_dataset as script
from files.classes import FAKE

ENDINGS = (".png", ".json", ".html")


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "data" / "faces", {"train": 20, "test": 12})


def run(root: Path, *flags: str) -> int:
    arguments = ["-d", root.name, "--data-root", str(root.parent)]
    figures = root.parents[1] / "figures"
    return script.main([*arguments, "--figures-dir", str(figures), *flags])


def load(root: Path) -> dict:
    return json.loads((root.parents[1] / f"figures/{root.name}_audit.json").read_text())


@pytest.mark.slow
def test_main_on_clean_data_returns_0_and_writes_three_files(root, capsys):
    assert run(root, "--limit", "11", "--seed", "1") == 0

    lines = capsys.readouterr().out.splitlines()
    figures = root.parents[1] / "figures"
    paths = [figures / f"faces_audit{ending}" for ending in ENDINGS]
    assert lines[-3:] == [f"wrote {path}" for path in paths]
    assert lines[-4] == "faces: nothing serious: 0 serious, 0 look, 0 info"
    assert lines[0] == "train: 22 images, 11 real and 11 fake (50.0 % fake)"
    with Image.open(paths[0]) as image:
        assert min(image.size) > 200
    numbers = load(root)
    counts = {"real": 11, "fake": 11}
    assert numbers["counts"] == {"train": counts, "test": counts}
    assert numbers["findings"] == numbers["pairs"] == numbers["unreadable"] == []
    assert len(numbers["shortcuts"]) == 20
    assert "audit_dataset.py" in numbers["command"]
    assert "scikit-learn" in numbers["versions"]

    run(root, "--limit", "11", "--seed", "2")
    for one, other in zip(numbers["shortcuts"], load(root)["shortcuts"], strict=True):
        assert one["is_constant"] or one["auc"] != other["auc"]


@pytest.mark.slow
def test_main_finds_each_planted_fault_and_fix_mends_them(root, capsys):
    save_again(root / "train/real/p0_000.jpg", root / "test/real/copy_1.jpg", None)
    (root / "train/real/p1_001.jpg").rename(root / "train/real/p60_000.jpg")
    (root / "train/fake/p20_000.jpg").write_bytes(b"nothing")
    for path in sorted((root / "train" / "fake").iterdir())[1:]:
        save_again(path, path, 60)
    destination = root.parent / "fixed"

    assert run(root, "--group-by", "prefix", "--fix", str(destination)) == 1

    found = {(f["level"], f["text"].split(" (")[0]) for f in load(root)["findings"]}
    assert ("serious", "1 file cannot be read") in found
    assert ("serious", "two splits show the same image") in found
    assert ("serious", "1 group is in both train and test: p60") in found
    assert any("JPEG compression alone separates" in text for _, text in found)
    (pair,) = load(root)["pairs"]
    assert pair == {
        "first": "train/real/p0_000.jpg",
        "second": "test/real/copy_1.jpg",
        "kind": "bytes",
        "similarity": 1.0,
        "meaning": "leak",
    }
    output = capsys.readouterr().out
    assert "serious: 1 file cannot be read (train/fake/p20_000.jpg: not an" in output
    assert "the same in all images of a split: file type, width and height" in output
    last = f"wrote {destination} (62 kept, 1 moved, 2 left out: {destination}/manifest"
    assert output.splitlines()[-1].startswith(last)

    assert run(destination, "--group-by", "prefix") == 0
    kinds = {(s["kind"], s["verdict"]) for s in load(destination)["shortcuts"]}
    assert not kinds & {("file", "look"), ("file", "serious")}


@pytest.mark.slow
def test_main_takes_the_splits_that_are_there_and_hostile_names(tmp_path, capsys):
    def save(image, path, label, number):
        name = "<img onerror=a>\x1b[31m.jpg" if label == FAKE and not number else ""
        save_alike(image, path.with_name(name or path.name), label, number)

    root = write_dataset(tmp_path / "data" / "faces", {"test": 3}, save)
    hostile = root / "test/fake/<img onerror=a>\x1b[31m.jpg"
    save_again(hostile, root / "test/fake/b.jpg", None)

    assert run(root) == 0

    assert list(load(root)["counts"]) == ["test"]
    assert "\x1b" not in capsys.readouterr().out
    page = (tmp_path / "figures" / "faces_audit.html").read_text()
    assert "<img onerror" not in page


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-d", "none"], "there is no dataset 'none'"),
        (["--group-by", "("], "group pattern '\\('"),
        (["--group-by", "never"], "finds no group in the name"),
        (["--fix", "{root}"], "it is there and not empty"),
        (["--fix", "{root}/new"], "lies within the dataset"),
        (["--figures-dir", "/dev/null/x"], "cannot write to the folder"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    root, monkeypatch, flags, message, refused
):
    monkeypatch.setattr("auditing.audit.inspect", lambda *_: pytest.fail("it began"))
    flags = [flag.format(root=root) for flag in flags]

    with refused(message, (ValueError, OSError)):
        run(root, *flags)

    assert not (root.parents[1] / "figures").exists()
