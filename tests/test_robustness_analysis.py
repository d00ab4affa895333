"""The script that disturbs images: its conditions, its numbers, its files."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from script_helpers import make_broken_checkpoint, make_checkpoint, run_script

import robustness_analysis
from hardware import Compute, Precision
from loading.disturbances import LEVELS
from metrics import compute_metrics
from metrics.summary import compute_summary
from models import get_network
from numerical_analysis import get_soft_scores_and_true_labels
from robustness_analysis import (
    CONDITIONS,
    DisturbedFaces,
    measure_detector,
    name_detectors,
)
from utils import load_checkpoint, load_dataset

pytestmark = pytest.mark.usefixtures("small_simple_net")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "net.pt")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compute_summary.__kwdefaults__, "num_resamples", 20)


def open_faces(root: Path):
    size = get_network("SimpleNet").preprocessing
    return load_dataset(root.name, "test", data_root=root.parent, preprocessing=size)


def make_flags(root: Path, figures: Path, *checkpoints: Path) -> list[str]:
    flags = ["-d", root.name, "--data-root", str(root.parent), "--limit", "2"]
    flags += ["--figures-dir", str(figures), "--precision", "fp32"]
    return [*flags, "-cpp", *map(str, checkpoints)]


def test_conditions_are_nothing_and_five_levels_of_each_disturbance():
    assert CONDITIONS[0] == ("none", 0)
    assert len(CONDITIONS) == len(set(CONDITIONS)) == 1 + 5 * len(LEVELS)


def test_disturbed_faces_begin_with_the_image_as_every_script_sees_it(faces_root):
    faces = open_faces(faces_root)

    images = DisturbedFaces(faces, seed=0)

    assert len(images) == len(faces) * len(CONDITIONS)
    for number in range(len(faces)):
        image, label = images[number * len(CONDITIONS)]
        assert torch.equal(image, faces[number][0])
        assert label == faces[number][1]


def test_disturbed_faces_depend_on_seed_and_image_alone(faces_root):
    faces = open_faces(faces_root)
    place = CONDITIONS.index(("noise", 3))

    image = DisturbedFaces(faces, seed=0)[place][0]

    assert torch.equal(image, DisturbedFaces(faces, seed=0)[place][0])
    assert not torch.equal(image, DisturbedFaces(faces, seed=1)[place][0])
    other = DisturbedFaces(faces, seed=0)
    (noise, others) = (
        other[n * len(CONDITIONS) + place][0].float() - faces[n][0] for n in (0, 1)
    )
    assert abs(np.corrcoef(noise.flatten(), others.flatten())[0, 1]) < 0.3


def test_measure_detector_begins_with_the_numbers_of_the_dataset(
    faces_root, checkpoint
):
    faces, detector = open_faces(faces_root), load_checkpoint(checkpoint)
    compute = Compute(Precision(), batch_size=7)

    scored = detector.score(DisturbedFaces(faces, 0), compute)
    numbers = measure_detector(detector, scored, title="net", seed=0)

    _, expected, labels = get_soft_scores_and_true_labels(faces, detector, compute)
    clean = compute_metrics(expected, labels, detector.threshold)
    for name, levels in numbers["conditions"].items():
        assert len(levels) == 1 + len(LEVELS[name])
        assert levels[0]["auc"] == clean["auc"]
        assert levels[0]["accuracy"] == clean["accuracy"]
    assert len(np.unique(scored.differences)) > len(CONDITIONS)


@pytest.mark.slow
def test_main_writes_figure_csv_and_json_of_one_and_of_several_told_apart(
    faces_root, checkpoint, tmp_path, capsys
):
    """Then the same weights twice, in other batches than alone: the same numbers."""
    robustness_analysis.main(make_flags(faces_root, tmp_path, checkpoint))

    start = tmp_path / "faces_SimpleNet_robustness"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"checkpoint: {checkpoint}"
    assert lines[-3:] == [f"wrote {start}.{end}" for end in ("png", "csv", "json")]
    numbers = json.loads(start.with_suffix(".json").read_text())
    (detector,) = numbers["detectors"]
    assert numbers["images"] == {"real": 2, "fake": 2}
    assert numbers["levels"].keys() == detector["conditions"].keys()
    assert detector["sentence"] in lines
    assert numbers["provenance"]["inputs"][0]["path"] == str(checkpoint)
    with start.with_suffix(".csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 6 * len(LEVELS)
    assert (rows[1]["disturbance"], rows[1]["strength"]) == ("jpeg", "90")
    blur = [row for row in rows if row["disturbance"] == "blur"]
    aucs = [level["auc"] for level in detector["conditions"]["blur"]]
    assert [float(row["auc"]) for row in blur] == aucs
    assert start.with_suffix(".png").stat().st_size > 10_000

    other = Path(shutil.copy(checkpoint, tmp_path / "other.pt"))
    both = make_flags(faces_root, tmp_path / "both", checkpoint, other)
    robustness_analysis.main([*both, "-b", "5"])
    together = json.loads((tmp_path / "both" / "faces_robustness.json").read_text())
    titles = [of["title"] for of in together["detectors"]]
    assert titles == ["SimpleNet (net)", "SimpleNet (other)"]
    for of in together["detectors"]:
        assert of["conditions"] == detector["conditions"]


def test_name_detectors_of_one_file_given_twice_raises(checkpoint):
    detector = load_checkpoint(checkpoint)
    with pytest.raises(ValueError, match="given twice"):
        name_detectors([detector, detector])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-cpp", "missing.pt"], "there is no checkpoint missing.pt"),
        (["-d", "elsewhere"], "there is no dataset 'elsewhere'"),
        (["--figures-dir", "/dev/null/x"], "cannot write to the folder /dev/null/x"),
    ],
)
def test_main_with_bad_input_says_so_and_writes_nothing(
    flags, message, faces_root, checkpoint, tmp_path
):
    figures = tmp_path / "figures"
    with pytest.raises((ValueError, OSError), match=message):
        robustness_analysis.main([*make_flags(faces_root, figures, checkpoint), *flags])
    assert not figures.exists()


def test_main_score_that_is_not_finite_names_image_and_condition(
    faces_root, tmp_path, one_line
):
    checkpoint = make_broken_checkpoint(tmp_path / "broken.pt")

    with pytest.raises(ValueError, match=r"real/00\.png \(none, level 0\)") as error:
        robustness_analysis.main(make_flags(faces_root, tmp_path / "f", checkpoint))

    one_line(error)
    assert not (tmp_path / "f").exists()


@pytest.mark.slow
def test_script_without_checkpoint_is_one_line_and_status_2(faces_root, tmp_path):
    flags = make_flags(faces_root, tmp_path / "figures", tmp_path / "none.pt")

    result = run_script("robustness_analysis.py", *flags)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "figures").exists()
