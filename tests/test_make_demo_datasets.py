"""The demo datasets: files that a seed decides, and honest classes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import make_demo_datasets
from drawn_faces.plan import DATASETS, plan_dataset
from files.names import name_mask

ROOT = Path(make_demo_datasets.__file__).parent
SMALL = ["--images-per-class", "1", "--size", "64", "--workers", "1"]


def read_files(folder: Path) -> dict[str, bytes]:
    paths = sorted(folder.rglob("*.jpg"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def make(root: Path, *arguments: str) -> None:
    """Make both datasets of one training image a class, or as the arguments say."""
    make_demo_datasets.main(["--data-root", str(root), *SMALL, *arguments])


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Both datasets with forty training images a class at 64 pixels."""
    root = tmp_path_factory.mktemp("demo")
    make(root, "--images-per-class", "40")
    return root


@pytest.mark.slow
def test_main_writes_splits_classes_and_a_mask_for_every_planted_face(small):
    assert sorted(path.name for path in small.iterdir()) == sorted(DATASETS)
    for name in DATASETS:
        for split in ("train", "val", "test"):
            folder = small / name / split
            assert sorted(path.name for path in folder.iterdir()) == ["fake", "real"]
            planted = sorted((folder / "fake").iterdir()) * (name == "fakes_dataset")
            masks = sorted((small / name).glob(f"masks/{split}/*"))
            assert masks == [name_mask(path) for path in planted]
    with Image.open(next((small / "fakes_dataset/masks/test").iterdir())) as mask:
        assert (mask.mode, mask.size) == ("L", (64, 64))
        assert 0.02 < (np.asarray(mask) > 127).mean() < 0.5


@pytest.mark.slow
def test_save_pictures_two_workers_write_the_same_bytes_and_another_seed_others(
    small, tmp_path
):
    expected = read_files(small / "fakes_dataset")
    plan = plan_dataset("fakes_dataset", images_per_class=40, seed=0, size=64)[::2]
    assert len(plan) >= make_demo_datasets.FEWEST_FOR_A_POOL
    make_demo_datasets.save_pictures(plan, tmp_path / "two", workers=2)
    assert read_files(tmp_path / "two") == {p.path: expected[p.path] for p in plan}
    plan = plan_dataset("fakes_dataset", images_per_class=1, seed=1, size=64)
    make_demo_datasets.save_pictures(plan, tmp_path / "other")
    assert set(read_files(tmp_path / "other").values()).isdisjoint(expected.values())


@pytest.mark.parametrize("name", DATASETS)
def test_main_format_and_file_size_tell_nothing_of_the_class(small, name):
    files = sorted((small / name).rglob("*.jpg"))
    is_fake = [path.parent.name == "fake" for path in files]
    assert 0.4 <= roc_auc_score(is_fake, [path.stat().st_size for path in files]) <= 0.6
    qualities = {"real": [], "fake": []}
    for path in sorted((small / name / "train").glob("*/*")):
        with Image.open(path) as picture:
            form = (picture.format, picture.mode, picture.size)
            assert form == ("JPEG", "RGB", (64, 64))
            found = (picture.quantization, picture.layer)
        qualities[path.parent.name].append(found)
    assert qualities["real"] == qualities["fake"]


def test_main_synthetic_fakes_peak_at_the_upsampling_frequencies(small):
    def mean_log_spectrum(label: str) -> np.ndarray:
        paths = sorted((small / "synthetic_dataset").glob(f"*/{label}/*.jpg"))
        greys = [np.asarray(Image.open(p).convert("L"), np.float32) for p in paths]
        return np.log1p(np.abs(np.fft.fft2(np.stack(greys)))).mean(axis=0)

    excess = mean_log_spectrum("fake") - mean_log_spectrum("real")
    lattice = np.zeros((64, 64), bool)
    lattice[::16, ::16] = True
    lattice[0, 0] = False
    elsewhere = excess[~lattice]
    error = elsewhere.std() / np.sqrt(lattice.sum())  # of the mean of 15 values
    assert excess[lattice].mean() > elsewhere.mean() + 4 * error


def test_main_keeps_what_is_there_unless_told_to_overwrite(tmp_path, capsys):
    make(tmp_path)
    before = read_files(tmp_path)
    (tmp_path / "fakes_dataset").rename(tmp_path / "kept")
    capsys.readouterr()
    make(tmp_path, "--seed", "5")  # one is missing: only that is made
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.endswith("6 images, made")
    assert "already there; --overwrite would replace it" in second
    after = read_files(tmp_path)
    kept = [name for name in before if name.startswith("synthetic_dataset")]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    make(tmp_path, "--seed", "5", "--overwrite")
    assert all(read_files(tmp_path)[name] != before[name] for name in kept)


def test_main_overwrite_leaves_somebodys_own_images_alone(tmp_path):
    image = tmp_path / "synthetic_dataset" / "train" / "real" / "00001.jpg"
    image.parent.mkdir(parents=True)
    image.touch()
    with pytest.raises(ValueError, match="left alone"):
        make(tmp_path, "--overwrite")
    assert list(read_files(tmp_path)) == ["synthetic_dataset/train/real/00001.jpg"]


@pytest.mark.parametrize(
    ("fewest", "expected"),
    [
        (1, "next: python train_main.py -d fakes_dataset -m SimpleNet --data-root "),
        (300, "next: python plot_samples_of_faces_dataset.py --data-root "),
    ],
)
def test_main_says_what_is_next(fewest, expected, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(make_demo_datasets, "FEWEST_TO_LEARN_FROM", fewest)
    make(tmp_path)
    *_, before, last = capsys.readouterr().out.splitlines()
    assert last == f"{expected}{tmp_path}"
    assert before.endswith("needs about --images-per-class 300") == (fewest == 300)


@pytest.mark.slow
def test_script_needs_no_torch():
    code = "import sys, make_demo_datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
