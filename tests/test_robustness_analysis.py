"""The script that disturbs images: its conditions, its numbers, its files."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from script_helpers import make_broken_checkpoint, make_checkpoint

import robustness_analysis
from hardware import Compute, Precision
from judging.conditions import JudgedConditions, judge_conditions
from loading import disturbances
from loading.disturbances import LEVELS, PHOTOGRAPHS, Condition
from metrics import compute_metrics
from metrics.summary import bootstrap_metrics, compute_columns
from models import get_network
from numerical_analysis import get_soft_scores_and_true_labels
from robustness_analysis import (
    DEFAULT,
    DisturbedFaces,
    list_conditions,
    list_rows,
    measure_detector,
)
from utils import load_checkpoint, load_dataset

pytestmark = pytest.mark.usefixtures("small_simple_net")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "net.pt")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bootstrap_metrics.__kwdefaults__, "num_resamples", 20)


def open_faces(root: Path):
    size = get_network("SimpleNet").preprocessing
    return load_dataset(root.name, "test", data_root=root.parent, preprocessing=size)


def make_flags(root: Path, figures: Path, *checkpoints: Path) -> list[str]:
    flags = ["-d", root.name, "--data-root", str(root.parent), "--limit", "2"]
    flags += ["--figures-dir", str(figures), "--precision", "fp32"]
    return [*flags, "-cpp", *map(str, checkpoints)]


def test_list_conditions_by_default_all_levels_of_all_but_found():
    conditions = list_conditions(DEFAULT)
    every = [Condition(n, k + 1) for n in LEVELS for k in range(5) if n != "found"]
    assert conditions == [Condition(), *every]


def test_list_conditions_are_in_order_whatever_is_named_first():
    face = [Condition("face", level) for level in range(1, 6)]
    named = list_conditions(["face=48", "jpeg=70", "face", "jpeg=90"])
    assert named == [Condition(), *[Condition("jpeg", n) for n in (1, 2)], *face]
    photographs = list_conditions(["photographs"])
    assert (photographs[0], set(photographs)) == (Condition(), set(PHOTOGRAPHS))
    assert robustness_analysis.list_strengths(named) == {
        "jpeg": [90, 70],
        "face": [160, 128, 96, 64, 48],
    }


def test_measure_detector_begins_with_the_numbers_of_the_dataset(
    faces_root, checkpoint, monkeypatch
):
    def summarise(samples, table, *, seed):  # which must be given
        return compute_columns(samples, table) | {"auc_interval": [0, seed]}

    monkeypatch.setattr(robustness_analysis, "compute_columns", summarise)
    faces, detector = open_faces(faces_root), load_checkpoint(checkpoint)
    compute = Compute(Precision(), batch_size=7)
    conditions = list_conditions(["blur", "jpeg=70", "jpeg=10"])

    judged = judge_conditions(detector, DisturbedFaces(faces, conditions, 0), compute)
    numbers = measure_detector(detector, judged, conditions, title="net", seed=3)

    _, expected, labels = get_soft_scores_and_true_labels(faces, detector, compute)
    clean = compute_metrics(expected, labels, detector.threshold)
    assert judged.fake_scores[0].tolist() == expected.tolist()
    jpegs = numbers["conditions"]["jpeg"]
    assert [level["condition"] for level in jpegs] == ["none", "jpeg=70", "jpeg=10"]
    assert [level["level"] for level in jpegs] == [0, 2, 5]
    rows = [row[2:4] for row in list_rows([numbers]) if row[1] == "jpeg"]
    assert rows == [[0, ""], [2, 70], [5, 10]]
    assert jpegs[0]["auc_interval"] == [0, 3]
    for levels in numbers["conditions"].values():
        assert levels[0]["auc"] == clean["auc"]
        assert levels[0]["accuracy"] == clean["accuracy"]
        for level in levels:  # without a guard and with one bound, all get a verdict
            assert level["inconclusive"] == 0
            assert level["told_misses_counts"] == level["misses_counts"]
            errors = level["misses_counts"][0] + level["false_alarms_counts"][0]
            assert errors == round((1 - level["accuracy"]) * len(faces))
    assert (numbers["promised_false_alarms"], jpegs[0]["keeps_promise"]) == (None, None)


def test_measure_detector_promises_twice_what_the_checkpoint_says(
    faces_root, checkpoint
):
    """Scores so near to each other that all are called fake, or all real."""
    faces, detector = open_faces(faces_root), load_checkpoint(checkpoint)
    conditions = list_conditions(["jpeg=70"])
    images = DisturbedFaces(faces, conditions, 0)
    cases = (1e-6, 0.3, False), (1.0, 0.3, True), (1e-6, 0.5, None)
    for threshold, most, keeps in cases:  # twice 50 % would be no promise
        entries = {"threshold": threshold, "most_false_alarms": most}
        record = replace(detector.record, **entries)
        judged = judge_conditions(replace(detector, record=record), images, Compute())

        numbers = measure_detector(
            *(replace(detector, record=record), judged, conditions), title="net", seed=0
        )

        assert numbers["promised_false_alarms"] == (0.6 if most == 0.3 else None)
        levels = numbers["conditions"]["jpeg"]
        assert [level["keeps_promise"] for level in levels] == [keeps] * 2
        assert [level["told_false_alarms"] for level in levels] == [threshold < 1] * 2


def test_measure_detector_auc_kept_is_the_mean_over_the_levels(checkpoint):
    """Of 40 images ranked well: once as well again, once turned around in part."""
    labels = np.repeat([0, 1], 20)
    clean = 4.0 * labels + np.tile(np.arange(20), 2) / 4
    differences = np.stack([clean, clean, np.tile(np.arange(20.0), 2)])
    scores = 1 / (1 + np.exp(-differences))
    judged = JudgedConditions(labels, differences, scores, (scores > 0.5).astype(int))
    conditions = list_conditions(["jpeg=70", "face=96"])

    numbers = measure_detector(
        *(load_checkpoint(checkpoint), judged, conditions), title="net", seed=0
    )

    aucs = {n: [of["auc"] for of in all] for n, all in numbers["conditions"].items()}
    assert aucs["jpeg"][0] == aucs["jpeg"][1] == aucs["face"][0] > 0.9
    assert aucs["face"][1] == 0.5
    assert numbers["auc_kept"] == pytest.approx(0.5)
    words = numbers["sentence"]
    assert words.startswith("net keeps 50 % [")
    assert words.endswith("over 2 levels; least under face=96: AUC 0.500")


@pytest.mark.parametrize("lower", [False, True])
def test_measure_detector_errors_are_at_both_stored_bounds(
    lower, faces_root, checkpoint
):
    """What lies between them is neither a false alarm nor a miss."""
    faces, detector = open_faces(faces_root), load_checkpoint(checkpoint)
    bounds = {"threshold": 1.0, "real_below": 0.0 if lower else None}
    detector = replace(detector, record=replace(detector.record, **bounds))
    conditions = list_conditions(["jpeg=70"])

    judged = judge_conditions(detector, DisturbedFaces(faces, conditions, 0), Compute())
    numbers = measure_detector(detector, judged, conditions, title="net", seed=0)

    assert numbers["real_below"] == (0 if lower else 1)
    for level in numbers["conditions"]["jpeg"]:
        assert level["misses_counts"] == [0 if lower else 3, 3]
        assert level["inconclusive"] == lower


@pytest.mark.slow
def test_main_writes_figure_csv_and_json_of_one_and_of_several_told_apart(
    faces_root, checkpoint, tmp_path, capsys
):
    """Then the same weights twice, in other batches than alone: the same numbers."""
    few = ["--conditions", "jpeg", "blur", "face"]
    robustness_analysis.main([*make_flags(faces_root, tmp_path, checkpoint), *few])

    start = tmp_path / "faces_SimpleNet_robustness"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"checkpoint: {checkpoint}"
    errors = tmp_path / "faces_SimpleNet_errors.png"
    written = [*(start.with_suffix(f".{e}") for e in ("png", "csv", "json")), errors]
    assert lines[-4:] == [f"wrote {path}" for path in written]
    numbers = json.loads(start.with_suffix(".json").read_text())
    (detector,) = numbers["detectors"]
    assert numbers["images"] == {"real": 2, "fake": 2}
    assert numbers["levels"].keys() == detector["conditions"].keys()
    assert detector["sentence"] in lines
    assert numbers["provenance"]["inputs"][0]["path"] == str(checkpoint)
    with start.with_suffix(".csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 6 * 3
    assert [(row["level"], row["strength"]) for row in rows[:2]] == [
        ("0", ""),
        ("1", "90"),
    ]
    blur = [row for row in rows if row["disturbance"] == "blur"]
    aucs = [level["auc"] for level in detector["conditions"]["blur"]]
    assert [float(row["auc"]) for row in blur] == aucs
    misses = [level["misses_interval"][1] for level in detector["conditions"]["blur"]]
    assert [float(row["misses_high"]) for row in blur] == misses
    assert all(path.stat().st_size > 10_000 for path in (written[0], errors))

    other = Path(shutil.copy(checkpoint, tmp_path / "other.pt"))
    both = make_flags(faces_root, tmp_path / "both", checkpoint, other)
    robustness_analysis.main([*both, "-b", "5", *few])
    together = json.loads((tmp_path / "both" / "faces_robustness.json").read_text())
    titles = [of["title"] for of in together["detectors"]]
    assert titles == ["SimpleNet (net)", "SimpleNet (other)"]
    for of in together["detectors"]:
        assert of["conditions"] == detector["conditions"]
    names = sorted(path.name for path in (tmp_path / "both").iterdir())
    assert names == [
        *(f"faces_SimpleNet--{name}-_errors.png" for name in ("net", "other")),
        *(f"faces_robustness.{end}" for end in ("csv", "json", "png")),
    ]


@pytest.mark.parametrize("stability", [False, True])
def test_main_passes_on_conditions_stability_and_seed(
    stability, faces_root, checkpoint, tmp_path, monkeypatch
):
    given = []

    def note(detector, images, compute, *, stability):
        given.append((images.conditions, images.seed, stability))
        raise ValueError("enough")

    monkeypatch.setattr(robustness_analysis, "judge_conditions", note)
    flags = make_flags(faces_root, tmp_path, checkpoint)
    flags += ["--seed", "7"] + ["--stability"] * stability
    for more in ([], ["--conditions", "face=96"]):
        with pytest.raises(ValueError, match="enough"):
            robustness_analysis.main([*flags, *more])
    every, few = list_conditions(DEFAULT), [Condition(), Condition("face", 3)]
    assert given == [(tuple(named), 7, stability) for named in (every, few)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-cpp", "missing.pt"], "there is no checkpoint missing.pt"),
        (["-d", "elsewhere"], "there is no dataset 'elsewhere'"),
        (["--figures-dir", "/dev/null/x"], "cannot write to the folder /dev/null/x"),
        (["--conditions", "none"], "--conditions names nothing that is done"),
        (["--conditions", "fog"], "there is no condition 'fog'"),
        (["--conditions", "found=96"], "pip install -r requirements-faces.txt"),
    ],
)
def test_main_with_bad_input_says_so_and_writes_nothing(
    flags, message, faces_root, checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(disturbances, "can_find_faces", lambda: False)
    figures = tmp_path / "figures"
    with pytest.raises((ValueError, OSError), match=message):
        robustness_analysis.main([*make_flags(faces_root, figures, checkpoint), *flags])
    assert not figures.exists()


def test_main_score_that_is_not_finite_names_image_and_condition(
    faces_root, tmp_path, refused
):
    checkpoint = make_broken_checkpoint(tmp_path / "broken.pt")

    with refused(r"real/00\.png \(none\)"):
        robustness_analysis.main(make_flags(faces_root, tmp_path / "f", checkpoint))

    assert not (tmp_path / "f").exists()
