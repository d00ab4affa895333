"""The demo datasets: files that a seed decides, and honest classes."""

import hashlib
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

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--images-per-class", "1", "--size", "64", "--workers", "1"]


def hash_files(folder: Path) -> dict[str, str]:
    """Hash every image below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*.jpg"))
    }


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    """Run the script as a user does."""
    command = [sys.executable, str(ROOT / "make_demo_datasets.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Make both datasets of forty training images a class at 64 pixels."""
    root = tmp_path_factory.mktemp("demo")
    arguments = ["--images-per-class", "40", "--size", "64", "--workers", "1"]
    make_demo_datasets.main(["--data-root", str(root), *arguments])
    return root


def test_main_default_layout_is_written(small):
    for name in DATASETS:
        folders = sorted(
            path.relative_to(small / name).as_posix()
            for path in (small / name).glob("*/*")
        )
        assert [f for f in folders if not f.startswith("masks/")] == [
            f"{s}/{c}" for s in ("test", "train", "val") for c in ("fake", "real")
        ]
    assert not list(small.glob(".*"))


def test_main_every_planted_face_has_a_mask_and_nothing_else_has(small):
    for name, split in ((n, s) for n in DATASETS for s in ("train", "val", "test")):
        fakes = sorted((small / name / split / "fake").iterdir())
        masks = sorted((small / name).glob(f"masks/{split}/*"))
        planted = fakes if name == "fakes_dataset" else []
        assert masks == [name_mask(path) for path in planted]
    example = next((small / "fakes_dataset" / "masks" / "test").iterdir())
    with Image.open(example) as mask:
        share = (np.asarray(mask) > 127).mean()
        assert (mask.mode, mask.size) == ("L", (64, 64))
    assert 0.02 < share < 0.5


def test_main_two_workers_write_the_same_bytes(small, tmp_path):
    plan = plan_dataset("fakes_dataset", images_per_class=40, seed=0, size=64)
    some = plan[::2]
    assert len(some) >= make_demo_datasets.FEWEST_FOR_A_POOL
    make_demo_datasets.save_pictures(some, tmp_path, workers=2)
    expected = hash_files(small / "fakes_dataset")
    assert hash_files(tmp_path) == {p.path: expected[p.path] for p in some}


def test_main_other_seed_writes_other_bytes(small, tmp_path):
    make_demo_datasets.main(["--data-root", str(tmp_path), "--seed", "1", *SMALL])
    name = "synthetic_dataset/train/real/00000.jpg"
    assert (tmp_path / name).read_bytes() != (small / name).read_bytes()


@pytest.mark.parametrize("name", DATASETS)
def test_main_file_size_tells_nothing_of_the_class(small, name):
    files = sorted((small / name).rglob("*.jpg"))
    is_fake = [path.parent.name == "fake" for path in files]
    auc = roc_auc_score(is_fake, [path.stat().st_size for path in files])
    assert 0.4 <= auc <= 0.6


@pytest.mark.parametrize("name", DATASETS)
def test_main_format_size_and_compression_are_alike(small, name):
    qualities = {}
    for label in ("real", "fake"):
        found = qualities.setdefault(label, [])
        for path in sorted((small / name / "train" / label).glob("*")):
            with Image.open(path) as picture:
                assert picture.format == "JPEG"
                assert (picture.mode, picture.size) == ("RGB", (64, 64))
                found.append((picture.quantization, picture.layer))
    assert qualities["real"] == qualities["fake"]


def test_main_synthetic_fakes_peak_at_the_upsampling_frequencies(small):
    def mean_log_spectrum(label: str) -> np.ndarray:
        spectra = []
        for path in sorted((small / "synthetic_dataset").glob(f"*/{label}/*.jpg")):
            grey = np.asarray(Image.open(path).convert("L"), np.float32)
            spectra.append(np.log1p(np.abs(np.fft.fft2(grey))))
        return np.mean(spectra, axis=0)

    excess = mean_log_spectrum("fake") - mean_log_spectrum("real")
    lattice = np.zeros((64, 64), bool)
    lattice[::16, ::16] = True
    lattice[0, 0] = False
    elsewhere = excess[~lattice]
    error = elsewhere.std() / np.sqrt(lattice.sum())  # of the mean of 15 values
    assert excess[lattice].mean() > elsewhere.mean() + 4 * error


def test_main_second_time_is_already_there(small, capsys):
    before = hash_files(small)
    arguments = ["--images-per-class", "40", "--size", "64"]
    make_demo_datasets.main(["--data-root", str(small), *arguments])
    output = capsys.readouterr().out
    assert output.count("already there") == 2
    assert f"train_main.py -d fakes_dataset -m SimpleNet --data-root {small}" in output
    assert hash_files(small) == before


def test_main_one_dataset_missing_makes_only_that(tmp_path, capsys):
    arguments = ["--data-root", str(tmp_path), *SMALL]
    make_demo_datasets.main(arguments)
    (tmp_path / "fakes_dataset").rename(tmp_path / "kept")
    capsys.readouterr()
    make_demo_datasets.main(arguments)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.endswith("made")
    assert "already there" in second
    assert hash_files(tmp_path / "fakes_dataset") == hash_files(tmp_path / "kept")


def test_main_dataset_that_is_there_is_kept_unless_overwritten(tmp_path):
    make_demo_datasets.main(["--data-root", str(tmp_path), *SMALL])
    other = ["--data-root", str(tmp_path), *SMALL, "--seed", "5"]
    before = hash_files(tmp_path)
    make_demo_datasets.main(other)
    assert hash_files(tmp_path) == before
    make_demo_datasets.main([*other, "--overwrite"])
    assert hash_files(tmp_path) != before


def test_main_overwrite_leaves_somebodys_own_images_alone(tmp_path):
    image = tmp_path / "synthetic_dataset" / "train" / "real" / "00001.jpg"
    image.parent.mkdir(parents=True)
    image.touch()
    with pytest.raises(ValueError, match="left alone"):
        make_demo_datasets.main(["--data-root", str(tmp_path), *SMALL, "--overwrite"])
    assert list(hash_files(tmp_path)) == ["synthetic_dataset/train/real/00001.jpg"]


def test_main_failure_while_drawing_leaves_no_dataset(tmp_path, monkeypatch):
    def fail(picture):
        raise OSError("no space left")

    monkeypatch.setattr(make_demo_datasets, "draw_picture", fail)
    with pytest.raises(OSError, match="no space left"):
        make_demo_datasets.main(["--data-root", str(tmp_path), *SMALL])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--images-per-class", "0"],
        ["--images-per-class", "-3"],
        ["--images-per-class", "many"],
        ["--size", "10"],
        ["--seed", "-1"],
        ["--workers", "0"],
    ],
)
def test_parse_args_bad_number_is_one_line_and_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        make_demo_datasets.parse_args(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert arguments[0] in error


def test_script_file_in_place_of_the_folder_is_one_line_and_status_2(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = run_script("--data-root", str(blocked / "data"), *SMALL)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert str(blocked) in result.stderr


def test_script_small_run_prints_paths_and_next_command(tmp_path):
    result = run_script("--data-root", str(tmp_path), *SMALL)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{tmp_path / 'fakes_dataset'}: 6 images, made"
    next_command = "next: python plot_samples_of_faces_dataset.py --data-root"
    assert lines[-2].endswith("SimpleNet needs about --images-per-class 300")
    assert lines[-1] == f"{next_command} {tmp_path}"


def test_main_enough_images_are_to_train_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(make_demo_datasets, "FEWEST_TO_LEARN_FROM", 1)
    make_demo_datasets.main(["--data-root", str(tmp_path), *SMALL])
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("next: python train_main.py -d fakes_dataset -m SimpleNet")


def test_script_needs_no_torch():
    code = "import sys, make_demo_datasets; sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
