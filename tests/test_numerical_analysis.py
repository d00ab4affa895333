"""The analysis script: from scores, from checkpoints, comparisons."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import expit

import numerical_analysis
from judging.detector import Detector
from loading import PUBLISHED
from metrics.delong import compute_delong_interval
from metrics.meaning import format_ratio
from plots.analysis_plots import PLOTS
from records.checkpoint import CheckpointRecord
from scores.score_files import ScoreFormat, load_score_set
from scores.score_sets import LOGIT_DIFFERENCE
from utils import load_dataset

LLR_LINE = {"llr_slope": 0.5, "llr_intercept": 0.25, "llr_lower": -0.25, "llr_upper": 1}


def write_scores(name, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], 30)
    scores = np.clip(0.3 + 0.4 * labels + 0.2 * rng.normal(size=60), 0, 1)
    rows = zip(labels, scores.tolist(), strict=True)
    lines = [
        f"v{i // 3}_{i}.png,{label},{score!r},v{i // 3}"
        for i, (label, score) in enumerate(rows)
    ]
    Path(name).write_text("\n".join(["path,label,score,video", *lines]))
    return scores, labels


def run(command):
    """Run the script with few resamples."""
    numerical_analysis.main([*command.split(), "--resamples", "100"])


def load_json(name, folder="figures"):
    return json.loads(Path(folder, name).read_text())


@pytest.fixture(autouse=True)
def working_folder(monkeypatch, tmp_path):
    """All files of a test are here."""
    monkeypatch.chdir(tmp_path)


class Brightness(torch.nn.Module):
    """Calls bright images fake."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, images):
        margin = self.scale * images.mean(dim=(1, 2, 3))
        return torch.stack([-margin, margin], dim=1)


@pytest.fixture
def detectors(monkeypatch):
    """Load a brightness detector from any file; 'odd' ones hold what was chosen."""

    def load(path, model_name=None, device="cpu"):
        entries = {"threshold": 0.7, **LLR_LINE} if "odd" in path.stem else {}
        record = CheckpointRecord(model_name="SimpleNet", **entries)
        return Detector(Brightness().to(device).eval(), PUBLISHED, record, path)

    monkeypatch.setattr(numerical_analysis, "load_checkpoint", load)


@pytest.fixture
def faces(working_folder):
    """The dataset `faces`, where datasets are looked for."""
    rng = np.random.default_rng(0)
    for split in ("val", "test"):
        for level, name in ((90, "real"), (150, "fake")):
            folder = Path("datasets", "faces", split, name)
            folder.mkdir(parents=True)
            for index in range(6):
                pixels = rng.integers(level - 60, level + 60, (8, 8, 1)).repeat(3, 2)
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / f"{name}{split[0]}{index // 2}_{index}.png")


def write_checkpoint(name):
    """Write a file that stands for a checkpoint, and return its SHA-256."""
    Path(name).write_bytes(b"weights")
    return hashlib.sha256(b"weights").hexdigest()


@pytest.mark.slow
def test_main_from_scores_writes_everything_and_the_metrics_agree(capsys):
    scores, labels = write_scores("mine.csv")

    run("--from-scores mine.csv --figures-dir own")

    out, report = Path("own"), load_json("mine_metrics.json", "own")
    auc, low, high = compute_delong_interval(scores, labels)[:3]
    assert report["auc"] == auc
    assert report["auc_interval"] == [low, high]
    assert report["auc_of_real_score"] == 1 - auc
    assert report["accuracy"] == np.mean((scores >= 0.5) == labels)
    np.testing.assert_array_equal(
        load_score_set(out / "mine_scores.csv").fake_scores, scores
    )
    printed = capsys.readouterr().out
    for path in out.iterdir():
        assert str(path) in printed
    assert {p.name for p in out.glob("*.png")} == {
        f"mine_{name}.png" for name in PLOTS.keys() - {"tippett", "cross_entropy"}
    }
    assert f"{auc:.4f}   [{low:.4f}, {high:.4f}]" in printed
    provenance = report["provenance"]
    digest = hashlib.sha256(Path("mine.csv").read_bytes()).hexdigest()
    assert provenance["inputs"] == [{"path": "mine.csv", "sha256": digest}]
    assert provenance["command"].endswith("--figures-dir own --resamples 100")
    assert provenance["versions"]["numpy"] == np.__version__
    assert provenance["date"].endswith("+00:00")


def test_main_calibrate_on_chooses_all_there_is_to_choose(no_figures, capsys):
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    for name in ("test", "val"):
        distances = 5 - 2 * labels + rng.normal(size=400)
        words = np.where(labels, "spoof", "bonafide")
        lines = [f"{name}{i};{words[i]};{distances[i]}" for i in range(400)]
        Path(f"{name}.csv").write_text("\n".join(["id;key;dist", *lines]))

    run(
        "--from-scores test.csv --calibrate-on val.csv --lower-is-fake --max-fpr 0.05 "
        "--score-column dist --label-column key --path-column id --prevalence 0.01"
    )

    report = load_json("test_metrics.json")
    assert report["threshold_source"] == "FPR 0.05 on val (400 samples)"
    assert report["real_accuracy"] == pytest.approx(0.95, abs=0.04)
    # Normal scores two deviations apart: AUC 0.92, Cllr 0.57 as far as calibrated.
    assert report["auc"] == pytest.approx(0.92, abs=0.03)
    assert report["cllr"] == pytest.approx(0.54, abs=0.1)
    assert report["provenance"]["calibrated_on"][0]["path"] == "val.csv"
    saved = load_score_set("figures/test_scores.csv")
    assert saved.paths[:2] == ["test0", "test1"]
    assert np.corrcoef(saved.scores, labels)[0, 1] > 0.6
    bounds = report["llr_lower"], report["llr_upper"]
    assert bounds == saved.llr_bounds == (saved.llrs.min(), saved.llrs.max())
    assert -np.log(201) < bounds[0] < -np.log(5) < np.log(5) < bounds[1] < np.log(201)
    printed = capsys.readouterr().out
    assert "called fake that are (PPV)" in printed
    assert "likelihood ratios (calibrated on val (400 samples))" in printed
    assert f"their bounds are {' ... '.join(map(format_ratio, bounds))}" in printed


def test_main_calibrate_on_shared_names_is_a_leak_and_on_the_same_scores_refused(
    no_figures, capsys
):
    for name, seed in (("test", 0), ("copy", 0), ("val", 1)):
        write_scores(f"{name}.csv", seed)

    run("--from-scores test.csv --calibrate-on val.csv --group-column video")

    assert "LEAK: 60 samples of" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"copy.csv holds the scores to be analysed"):
        run("--from-scores test.csv --calibrate-on copy.csv")


@pytest.mark.slow
def test_main_subsets_are_measured_by_themselves(no_figures, capsys):
    rows = "".join(f"real/{i}.png,0.{i},0\n" for i in range(1, 7))
    rows += "".join(f"{m}/{i}.png,0.{i + 1},1\n" for m in "ab" for i in range(3, 8))
    Path("mine.csv").write_text("path,score,label\n" + rows)

    run("--from-scores mine.csv --subset-by ^([ab])/")

    subsets = load_json("mine_metrics.json")["subsets"]
    sizes = {n: (r["num_real"], r["num_fake"]) for n, r in subsets.items()}
    assert sizes == {"a": (6, 5), "b": (6, 5)}
    assert "subset    real   fake  AUC" in capsys.readouterr().out


@pytest.mark.slow
def test_main_groups_by_column_and_by_name_agree(no_figures, capsys):
    write_scores("mine.csv")
    measured = []
    for flags in ("--group-column video", "--group_by prefix"):
        run(f"--from-scores mine.csv --group-score max {flags}")
        measured.append(load_json("mine_metrics.json"))

    by_column, by_name = ({**r, "provenance": None} for r in measured)
    assert by_column == by_name
    assert by_column["num_groups"] == 20
    assert by_column["group_level"]["num_samples"] == 20
    words = "highest of its samples' P(fake)"
    assert by_column["group_level"]["group_score_in_words"] == words
    assert "intervals by group: 20 groups" in capsys.readouterr().out
    score_format = ScoreFormat(group_column="group")
    saved = load_score_set("figures/mine_scores.csv", score_format)
    assert saved.groups[3] == "v1"


@pytest.mark.slow
def test_main_several_files_are_compared_and_tested(capsys):
    write_scores("a.csv")
    write_scores("b.csv", seed=1)

    run("--from-scores a.csv b.csv -d faces -m SimpleNet")

    comparison = load_json("comparison_metrics.json")
    titles = ["SimpleNet (a) on faces", "SimpleNet (b) on faces"]
    assert [d["title"] for d in comparison["detectors"]] == titles
    (test,) = comparison["paired_delong_tests"]
    assert (test["first"], test["second"]) == tuple(titles)
    assert 0 < test["p_value"] <= 1
    assert "AUCs compared by paired DeLong tests: 1" in capsys.readouterr().out
    assert Path("figures/comparison_roc_curve.png").exists()
    assert Path("figures/faces_SimpleNet_a_metrics.json").exists()


@pytest.mark.slow
def test_main_checkpoint_scores_the_test_split(faces, detectors):
    digest = write_checkpoint("some.pt")
    Path("datasets").rename("data")

    run("-m SimpleNet -cpp some.pt -d faces --data_root data --precision fp32")

    out, report = Path("figures"), load_json("faces_SimpleNet_metrics.json")
    assert (report["num_real"], report["num_fake"], report["auc"]) == (6, 6, 1.0)
    assert report["threshold_source"] == "default, the checkpoint holds none"
    columns = load_score_set(out / "faces_SimpleNet_scores.csv")
    dataset = load_dataset("faces", "test", data_root="data")
    _, fake_scores, labels = numerical_analysis.get_soft_scores_and_true_labels(
        dataset, Detector(Brightness(), PUBLISHED)
    )
    np.testing.assert_allclose(columns.fake_scores, fake_scores, atol=0.02)
    np.testing.assert_array_equal(columns.labels, labels)
    assert columns.score_name == LOGIT_DIFFERENCE
    np.testing.assert_allclose(columns.fake_scores, expit(columns.scores))
    # No calibration in the checkpoint: the logit difference over temperature 1.
    np.testing.assert_array_equal(columns.llrs, columns.scores)
    assert "the checkpoint holds no calibration" in report["llr_source"]
    assert report["provenance"]["inputs"][0]["sha256"] == digest
    assert columns.paths[0].endswith("test/real/realt0_0.png")
    for name in PLOTS:
        assert name in numerical_analysis.EPILOG
        assert (out / f"faces_SimpleNet_{name}.png").stat().st_size > 0


@pytest.mark.slow
def test_main_stored_threshold_and_several_checkpoints(
    no_figures, faces, detectors, capsys
):
    names = ("even", "odd")
    for name in names:
        write_checkpoint(f"{name}.pt")

    run("-cpp even.pt odd.pt -d faces --split val --limit 4 --group-by prefix")

    even, odd = (
        load_json(f"faces_val_SimpleNet_{name}_metrics.json") for name in names
    )
    assert odd["threshold"] == 0.7
    assert "chosen on validation" in odd["threshold_source"]
    assert odd["llr_source"] == "chosen on validation, in the checkpoint"
    assert (odd["llr_lower"], odd["llr_upper"], even["llr_upper"]) == (-0.25, 1, None)
    scores = load_score_set("figures/faces_val_SimpleNet_odd_scores.csv")
    expected = np.clip(0.5 * scores.scores + 0.25, -0.25, 1)
    np.testing.assert_allclose(scores.llrs, expected)
    assert even["threshold"] == 0.5
    assert even["num_samples"] == 8
    assert even["num_groups"] == 4
    printed = capsys.readouterr().out
    assert "AUCs compared by paired DeLong tests: 1" in printed
    assert "faces: no group is in more than one split" in printed


@pytest.mark.slow
def test_main_files_beside_a_checkpoint_are_compared_on_its_dataset(
    no_figures, faces, detectors
):
    write_checkpoint("some.pt")
    rows = [f"x/{k}t{n // 2}_{n}.mp4,{k},{n}" for k in ("real", "fake") for n in (1, 2)]
    Path("p.csv").write_text("\n".join(["path,label,score", *rows]))
    Path("q.csv").write_text("\n".join(["file,y,logit", *rows[::-1], ""]))

    run(
        "-cpp some.pt --from-scores p.csv q.csv:label=y,score=logit -d faces "
        "--match stem --limit 3 --group-by prefix"
    )

    comparison = load_json("comparison_metrics.json")
    titles = ["SimpleNet on faces", "p on faces", "q on faces"]
    assert [d["title"] for d in comparison["detectors"]] == titles
    assert [d["num_samples"] for d in comparison["detectors"]] == [6, 4, 4]
    for test in comparison["paired_delong_tests"]:
        sizes = {name: test[name] for name in ("num_common", "num_real", "num_fake")}
        assert sizes == {"num_common": 4, "num_real": 2, "num_fake": 2}
    assert comparison["paired_delong_tests"][0]["tested_on"] == "faces, test split"
    names = {path.name for path in Path("figures").glob("*_metrics.json")}
    assert names == {
        "comparison_metrics.json",
        *(f"faces_{model}_metrics.json" for model in ("SimpleNet", "p", "q")),
    }
    saved = load_score_set("figures/faces_q_scores.csv")
    assert saved.paths[0] == "x/faket1_2.mp4"


def test_main_folders_are_taken_off_before_names_are_paired(no_figures):
    for name, folder in (("a", "one/x"), ("b", "two/y")):
        rows = [f"{folder}/v{n}.png,{n % 2},{n}" for n in range(6)]
        Path(f"{name}.csv").write_text("\n".join(["path,label,score", *rows]))

    run("--from-scores a.csv b.csv --strip-path one/x two")

    (test,) = load_json("comparison_metrics.json")["paired_delong_tests"]
    assert test["num_common"] == 6


def test_main_shared_groups_are_reported_as_a_leak(
    no_figures, faces, detectors, capsys
):
    write_checkpoint("some.pt")

    run(r"-cpp some.pt -d faces --group-by (\d)_ --threshold 0.6")

    assert "LEAK, 3 groups are in both val and test: 0, 1, 2" in capsys.readouterr().out
    report = load_json("faces_SimpleNet_metrics.json")
    assert report["threshold_source"] == "given by --threshold"


def test_main_without_checkpoint_takes_the_one_of_the_training(monkeypatch):
    asked = []

    def load(path, model_name=None, device="cpu"):
        asked.append((path, model_name))
        raise FileNotFoundError(f"there is no checkpoint {path}")

    monkeypatch.setattr(numerical_analysis, "load_checkpoint", load)

    with pytest.raises(FileNotFoundError):
        run("-d faces")

    path = Path("checkpoints/faces_SimpleNet_Adam.pt")
    assert asked == [(path, None)]


def test_main_threshold_is_a_probability_unless_scores_only_rank(no_figures):
    write_scores("likely.csv")
    Path("mine.csv").write_text("score,label\n-3,0\n7,1\n-1,0\n2,1\n")

    for threshold in ("1.5", "-0.1"):
        with pytest.raises(ValueError, match=f"--threshold {threshold} is one of P"):
            run(f"--from-scores likely.csv --threshold={threshold}")
    run("--from-scores mine.csv --threshold=-2")

    report = load_json("mine_metrics.json")
    assert (report["real_accuracy"], report["fake_accuracy"]) == (0.5, 1.0)
    assert report["log_loss"] is None


@pytest.mark.slow
def test_main_runs_from_scores_are_one_result_or_sets_by_number(capsys):
    files = [f"s{number}.csv" for number in range(4)]
    for number, name in enumerate(files):
        write_scores(name, seed=number)
    for words, name, sizes in (
        ("--runs", "scores_runs", [4]),
        ("--runs 2 2 -d faces --group-score max", "comparison_runs", [2, 2]),
    ):
        run(f"--from-scores {' '.join(files)} --group-column video {words}")
        content = load_json(f"{name}_metrics.json")
        assert [found["num_runs"] for found in content["sets"]] == sizes
        assert [found["num_groups"] for found in content["sets"]] == [20] * len(sizes)
        assert len(content["tests"]) == len(sizes) - 1
        by_group = [found["group_level"]["num_samples"] for found in content["sets"]]
        assert by_group == [20] * len(sizes)
    printed = capsys.readouterr().out
    assert "\nby group (mean of its samples' P(fake)), 10 real and 10 fake" in printed
    assert "\nB by group (highest of its samples' P(fake)), 10 real and" in printed
    for path in Path("figures").iterdir():
        assert f"wrote {path}" in printed


@pytest.mark.slow
def test_main_runs_of_checkpoints_are_told_apart_by_their_flags(
    faces, detectors, monkeypatch
):
    load = numerical_analysis.load_checkpoint

    def load_named(path, *given):
        detector = load(path, *given)
        recipe, _, seed = path.stem.partition("_seed")
        flags = {"name": f"{recipe}_seed{seed}", "seed": int(seed), "recipe": recipe}
        return replace(detector, record=replace(detector.record, flags=flags))

    monkeypatch.setattr(numerical_analysis, "load_checkpoint", load_named)
    names = [f"{name}_seed{number}.pt" for name in ("odd", "b") for number in (0, 1)]
    for name in names:
        Path(name).write_text(name)
    run(f"-cpp {' '.join(names)} -d faces --runs --group-by ^(.+)_")
    content = load_json("comparison_runs_metrics.json")
    titles = [found["title"] for found in content["sets"]]
    assert titles == ["SimpleNet_odd on faces, 2 runs", "SimpleNet_b on faces, 2 runs"]
    assert content["sets"][0]["num_groups"] == 6
    assert content["tests"][0]["num_common"] == 12
