"""Tests of the script that draws samples of the datasets."""

import json
import shutil
from pathlib import Path

import pytest

import plot_samples_of_faces_dataset as script
from loading.sources.datasets import Source


@pytest.fixture
def data_root(own_faces_root: Path) -> Path:
    """Two datasets: `faces`, and `others`, which has only a test split."""
    root = own_faces_root.parent
    shutil.copytree(own_faces_root / "test", root / "others" / "test")
    (root / "no_dataset").mkdir()
    return root


def test_choose_rows_takes_both_classes_of_every_dataset(data_root):
    rows = script.choose_rows(Source(data_root), seed=0)

    assert [(r.dataset, r.split, r.class_name, r.num_images) for r in rows] == [
        ("faces", "train", "real", 5),
        ("faces", "train", "fake", 4),
        ("others", "test", "real", 2),
        ("others", "test", "fake", 3),
    ]
    for row in rows:
        folder = Path(row.split, row.class_name)
        names = sorted(p.name for p in (data_root / row.dataset / folder).iterdir())
        assert row.names == [str(folder / name) for name in names]
        assert {image.size for image in row.images} == {(script.EDGE, script.EDGE)}


def test_choose_rows_follows_the_seed_and_the_limit_but_no_other_dataset(
    data_root, monkeypatch
):
    monkeypatch.setattr(script, "NUM_SAMPLES", 3)
    source, limited = Source(data_root), Source(data_root, limit=2)
    first, again, other, few = (
        [row.names for row in script.choose_rows(*given)]
        for given in ((source, 0), (source, 0), (source, 1), (limited, 0))
    )
    assert first == again != other
    used = {Path(name).name for names in few for name in names}
    assert used == {"00.png", "01.png"}
    shutil.rmtree(data_root / "faces")
    assert [row.names for row in script.choose_rows(source, seed=0)] == first[2:]


def test_main_draws_the_named_datasets_alone(data_root, tmp_path):
    flags = ["--data-root", str(data_root), "--figures-dir", str(tmp_path / "figures")]
    script.main([*flags, "-d", "others", "faces+faces"])
    numbers = json.loads((tmp_path / "figures" / "datasets_samples.json").read_text())
    shown = [(row["dataset"], row["split"]) for row in numbers["rows"]]
    assert shown == [("others", "test")] * 2 + [("faces+faces", "train")] * 2
    with pytest.raises(FileNotFoundError, match="found: faces, others"):
        script.main([*flags, "-d", "others", "none"])


@pytest.mark.slow
def test_main_writes_the_figure_and_which_images_it_shows(data_root, tmp_path, capsys):
    figures = tmp_path / "figures"
    where = ["--data-root", str(data_root), "--figures-dir", str(figures)]

    script.main([*where, "--augmented"])

    paths = [figures / "datasets_samples.png", figures / "datasets_samples.json"]
    assert capsys.readouterr().out.splitlines() == [f"wrote {path}" for path in paths]
    assert paths[0].stat().st_size > 10_000
    numbers = json.loads(paths[1].read_text())
    assert numbers["seed"] == 0
    shown = [(row["class"], len(row["paths"])) for row in numbers["rows"][:4]]
    ways = ("--self-blend", "--augment robust")
    changed = [(f"real, changed by {way}", 5) for way in ways]
    assert shown == [("real", 5), *changed, ("fake", 4)]


def test_add_changed_rows_follow_the_real_images(faces_root):
    rows = script.choose_rows(Source(faces_root.parent), 0)
    real, blend, degraded, fake = script.add_changed_rows(rows, 0)
    assert [row.label for row in (real, blend, degraded, fake)] == [0, 1, 0, 1]
    assert real.names == blend.names == degraded.names
    for images in zip(real.images, blend.images, strict=True):
        assert len({image.tobytes() for image in images}) == 2
    assert rows == [real, fake]


def test_main_without_datasets_or_a_readable_image_writes_nothing(data_root, tmp_path):
    path = data_root / "others" / "test" / "fake" / "00.png"
    path.write_bytes(b"no image")
    for root, message in (
        (data_root, f"{path}.*; to leave it out, name the others: -d faces$"),
        (tmp_path / "x", "there is no dataset"),
    ):
        flags = ["--data-root", str(root), "--figures-dir", str(tmp_path / "figures")]
        with pytest.raises((ValueError, OSError), match=message):
            script.main(flags)
    assert not (tmp_path / "figures").exists()
