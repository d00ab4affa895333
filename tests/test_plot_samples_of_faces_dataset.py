"""Tests of the script that draws samples of the datasets."""

import json
import shutil
from pathlib import Path

import pytest
from script_helpers import run_script

import plot_samples_of_faces_dataset as script


@pytest.fixture
def data_root(own_faces_root: Path) -> Path:
    """Two datasets: `faces`, and `others`, which has only a test split."""
    root = own_faces_root.parent
    shutil.copytree(own_faces_root / "test", root / "others" / "test")
    (root / "no_dataset").mkdir()
    return root


def test_choose_rows_takes_both_classes_of_every_dataset(data_root):
    rows = script.choose_rows(data_root, seed=0)

    assert [(r.dataset, r.split, r.class_name, r.num_images) for r in rows] == [
        ("faces", "train", "real", 5),
        ("faces", "train", "fake", 4),
        ("others", "test", "real", 2),
        ("others", "test", "fake", 3),
    ]
    for row in rows:
        folder = data_root / row.dataset / row.split / row.class_name
        assert sorted(row.paths) == sorted(map(str, folder.iterdir()))
        assert {image.size for image in row.images} == {(script.EDGE, script.EDGE)}


def test_choose_rows_follows_the_seed_and_the_limit(data_root):
    first = [row.paths for row in script.choose_rows(data_root, seed=0)]

    assert first == [row.paths for row in script.choose_rows(data_root, seed=0)]
    assert first != [row.paths for row in script.choose_rows(data_root, seed=1)]
    limited = script.choose_rows(data_root, seed=0, limit=2)
    assert [row.num_images for row in limited] == [2, 2, 2, 2]
    assert {Path(path).name for row in limited for path in row.paths} == {
        "00.png",
        "01.png",
    }


def test_main_writes_the_figure_and_which_images_it_shows(data_root, tmp_path, capsys):
    figures = tmp_path / "figures"

    script.main(["--data-root", str(data_root), "--figures-dir", str(figures)])

    paths = [figures / "datasets_samples.png", figures / "datasets_samples.json"]
    assert capsys.readouterr().out.splitlines() == [f"wrote {path}" for path in paths]
    assert paths[0].stat().st_size > 10_000
    numbers = json.loads(paths[1].read_text())
    assert numbers["seed"] == 0
    assert [len(row["paths"]) for row in numbers["rows"]] == [5, 4, 2, 3]


def test_main_with_an_unreadable_image_names_it_and_writes_nothing(data_root, tmp_path):
    path = data_root / "others" / "test" / "fake" / "00.png"
    path.write_bytes(b"no image")

    with pytest.raises(ValueError, match=str(path)):
        script.main(
            ["--data-root", str(data_root), "--figures-dir", str(tmp_path / "f")]
        )

    assert not (tmp_path / "f").exists()


def test_main_with_an_unwritable_folder_says_so(data_root):
    with pytest.raises(OSError, match="cannot write to the folder"):
        script.main(["--data-root", str(data_root), "--figures-dir", "/dev/null/x"])


def test_script_without_datasets_exits_with_one_line_and_status_2(tmp_path):
    result = run_script(
        "plot_samples_of_faces_dataset.py",
        "--data-root",
        tmp_path / "none",
        "--figures-dir",
        tmp_path / "figures",
    )

    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"there is no dataset under {tmp_path}/none" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_add_changed_rows_follow_the_real_images(faces_root):
    rows = script.choose_rows(faces_root.parent, 0)
    changed = script.add_changed_rows(rows, 0)
    assert [row.class_name for row in changed] == [
        *("real", "real, changed by --self-blend", "real, changed by --augment robust"),
        "fake",
    ]
    assert changed[0].paths == changed[1].paths == changed[2].paths
    pairs = zip(changed[0].images, changed[1].images, strict=True)
    assert all(real.tobytes() != blend.tobytes() for real, blend in pairs)
    assert [row.class_name for row in rows] == ["real", "fake"]
