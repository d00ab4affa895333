"""The analysis script: from scores, from checkpoints, comparisons."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from script_helpers import make_broken_checkpoint

import numerical_analysis
from faces_dataset import FacesDataset, ResizeToTensor
from hardware import Precision
from loading.preprocessing import PUBLISHED, SYMMETRIC
from metrics.delong import compute_delong_interval
from metrics.measures import compute_metrics
from metrics.score_sets import load_score_set
from plots import style
from utils import load_checkpoint, load_dataset

FIGURES = (
    "roc_curve",
    "det_curve",
    "precision_recall",
    "score_histogram",
    "reliability",
    "confusion_matrix",
)


def write_scores(path, seed=0, num_samples=60):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], num_samples // 2)
    scores = np.clip(0.3 + 0.4 * labels + 0.2 * rng.normal(size=num_samples), 0, 1)
    lines = ["path,label,score,video"] + [
        f"v{i // 3}_{i}.png,{labels[i]},{float(scores[i])!r},v{i // 3}"
        for i in range(num_samples)
    ]
    path.write_text("\n".join(lines) + "\n")
    return scores, labels


def run(command, *paths):
    """Run the script on a command line; {0} is the first path."""
    words = [word.format(*paths) for word in command.split()]
    numerical_analysis.main(words)


def load_json(path):
    return json.loads(path.read_text())


class BrightnessDetector(torch.nn.Module):
    """Calls bright images fake."""

    name = "SimpleNet"
    preprocessing = PUBLISHED
    temperature = 1.0

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, images):
        margin = self.scale * images.mean(dim=(1, 2, 3))
        return torch.stack([-margin, margin], dim=1)


@pytest.fixture(autouse=True)
def small_figures(monkeypatch):
    monkeypatch.setattr(style, "DPI", 20)


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(numerical_analysis, "CURVES", {})
    monkeypatch.setattr(numerical_analysis, "PICTURES", {})


@pytest.fixture
def detectors(monkeypatch):
    """Load a brightness detector from any path; 'odd' ones hold a threshold."""

    def load(path, model_name=None, device="cpu"):
        model = BrightnessDetector().to(device).eval()
        model.details = {"threshold": 0.7} if "odd" in path.stem else {}
        model.threshold = model.details.get("threshold", 0.5)
        model.checkpoint_path = path
        return model

    monkeypatch.setattr(numerical_analysis, "load_checkpoint", load)


@pytest.fixture
def data_root(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("val", "test"):
        for level, name in ((90, "real"), (150, "fake")):
            folder = tmp_path / "data" / "faces" / split / name
            folder.mkdir(parents=True)
            for index in range(6):
                pixels = rng.integers(level - 60, level + 60, (8, 8, 1)).repeat(3, 2)
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / f"{name}{split[0]}{index // 2}_{index}.png")
    return tmp_path / "data"


def test_main_from_scores_writes_everything_and_the_metrics_agree(tmp_path, capsys):
    scores, labels = write_scores(tmp_path / "mine.csv")
    out = tmp_path / "figures"

    run("--from-scores {0}/mine.csv --figures-dir {1}", tmp_path, out)

    report = load_json(out / "mine_metrics.json")
    expected = compute_metrics(scores, labels)
    for name, value in expected.items():
        assert report[name] == value or name == "notes", name
    low, high = compute_delong_interval(scores, labels)[1:3]
    assert report["auc_interval"] == [low, high]
    assert report["auc_of_real_score"] == 1 - expected["auc"]
    np.testing.assert_array_equal(
        load_score_set(out / "mine_scores.csv").fake_scores, scores
    )
    printed = capsys.readouterr().out
    for path in out.iterdir():
        assert str(path) in printed
    assert {p.name for p in out.glob("*.png")} == {f"mine_{f}.png" for f in FIGURES}
    assert f"{expected['auc']:.4f}   [{low:.4f}, {high:.4f}]" in printed


def test_main_groups_by_column_and_by_name_agree(tmp_path, no_figures, capsys):
    path = tmp_path / "mine.csv"
    write_scores(path)
    reports = []
    for flags in (["--group-column", "video"], ["--group_by", "prefix"]):
        command = ["--from-scores", str(path), "--figures-dir", str(tmp_path), *flags]
        numerical_analysis.main([*command, "--resamples", "50"])
        reports.append(load_json(tmp_path / "mine_metrics.json"))

    assert reports[0] == reports[1]
    assert reports[0]["num_groups"] == 20
    assert reports[0]["group_level"]["num_samples"] == 20
    assert "intervals by group: 20 groups" in capsys.readouterr().out
    assert (
        load_score_set(tmp_path / "mine_scores.csv", group_column="group").groups[3]
        == "v1"
    )


def test_main_mixed_groups_say_that_they_have_no_label(tmp_path, no_figures, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("score,label,g\n0.1,0,a\n0.8,1,a\n0.3,0,b\n0.6,1,b\n")
    command = ["--from-scores", str(path), "--figures-dir", str(tmp_path)]

    numerical_analysis.main([*command, "--group-column", "g", "--resamples", "9"])

    report = load_json(tmp_path / "mine_metrics.json")
    assert report["group_level"] is None
    assert "no group-level scores: 2 of 2 groups hold both" in capsys.readouterr().out


def test_main_several_files_are_compared_and_tested(tmp_path, capsys):
    for seed, name in enumerate(("a", "b")):
        write_scores(tmp_path / f"{name}.csv", seed)
    out = tmp_path / "out"

    run(
        "--from-scores {0}/a.csv {0}/b.csv -d faces -m SimpleNet --figures-dir {1} "
        "--resamples 20",
        tmp_path,
        out,
    )

    comparison = load_json(out / "comparison_metrics.json")
    titles = ["SimpleNet (a) on faces", "SimpleNet (b) on faces"]
    assert [d["title"] for d in comparison["detectors"]] == titles
    (test,) = comparison["paired_delong_tests"]
    assert (test["first"], test["second"]) == tuple(titles)
    assert 0 < test["p_value"] <= 1
    assert "(paired DeLong)" in capsys.readouterr().out
    assert (out / "comparison_roc_curve.png").exists()
    assert (out / "faces_SimpleNet_a_metrics.json").exists()


def test_main_equal_rankings_of_other_samples_are_not_paired(tmp_path, no_figures):
    write_scores(tmp_path / "a.csv", num_samples=30)
    write_scores(tmp_path / "b.csv", num_samples=36)
    inputs = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    flags = ["--figures-dir", str(tmp_path), "--resamples", "9"]

    numerical_analysis.main(["--from-scores", *inputs, *flags])

    comparison = load_json(tmp_path / "comparison_metrics.json")
    assert comparison["paired_delong_tests"] == []


def test_main_perfect_against_inverted_saves_null_not_nan(tmp_path, no_figures):
    for name, scores in (("a", (0.1, 0.9)), ("b", (0.9, 0.1))):
        lines = "".join(f"{scores[i % 2]},{i % 2}\n" for i in range(6))
        (tmp_path / f"{name}.csv").write_text("score,label\n" + lines)
    inputs = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    flags = ["--figures-dir", str(tmp_path), "--resamples", "9"]

    numerical_analysis.main(["--from-scores", *inputs, *flags])

    comparison = load_json(tmp_path / "comparison_metrics.json")
    assert comparison["paired_delong_tests"][0]["p_value"] is None


@pytest.mark.parametrize("batch_size", [1, 2, 5, 9])
def test_get_soft_scores_and_true_labels_any_batch_size_is_the_softmax_in_order(
    faces_root, tiny_net, batch_size
):
    model = tiny_net()
    model.preprocessing, model.temperature = SYMMETRIC, 0.5
    dataset = FacesDataset(faces_root / "train", ResizeToTensor())

    scores = numerical_analysis.get_soft_scores_and_true_labels(
        dataset, model, batch_size=batch_size, precision=Precision()
    )

    assert model.training
    images = torch.stack([dataset[index][0] for index in range(9)])
    with torch.no_grad():
        logits = model.eval()(images / 127.5 - 1)
    np.testing.assert_allclose(scores[:2], (logits / 0.5).softmax(dim=1).T, rtol=1e-4)
    np.testing.assert_allclose(scores[0] + scores[1], 1, rtol=1e-15)
    assert scores[2].tolist() == [0] * 5 + [1] * 4


def test_main_checkpoint_scores_the_test_split(tmp_path, data_root, detectors, capsys):
    out = tmp_path / "figures"

    run(
        "-m SimpleNet -cpp some.pt -d faces --data_root {0} --figures-dir {1} "
        "--resamples 20 --precision fp32",
        data_root,
        out,
    )

    report = load_json(out / "faces_SimpleNet_metrics.json")
    assert (report["num_real"], report["num_fake"], report["auc"]) == (6, 6, 1.0)
    assert report["threshold_source"] == "default, the checkpoint holds none"
    columns = load_score_set(out / "faces_SimpleNet_scores.csv")
    dataset = load_dataset("faces", "test", data_root=data_root)
    _, fake_scores, labels = numerical_analysis.get_soft_scores_and_true_labels(
        dataset, BrightnessDetector(), precision=None
    )
    np.testing.assert_allclose(columns.fake_scores, fake_scores, atol=0.02)
    np.testing.assert_array_equal(columns.labels, labels)
    assert columns.paths[0].endswith("test/real/realt0_0.png")
    for name in FIGURES:
        assert (out / f"faces_SimpleNet_{name}.png").stat().st_size > 0


def test_main_stored_threshold_and_several_checkpoints(
    tmp_path, no_figures, data_root, detectors, capsys
):
    run(
        "-cpp even.pt odd.pt -d faces --split val --data-root {0} --figures-dir {1} "
        "--resamples 9 --limit 4 --group-by prefix",
        data_root,
        tmp_path,
    )

    reports = {
        name: json.loads(
            (tmp_path / f"faces_SimpleNet_{name}_metrics.json").read_text()
        )
        for name in ("even", "odd")
    }
    assert reports["odd"]["threshold"] == 0.7
    assert "chosen on validation" in reports["odd"]["threshold_source"]
    assert reports["even"]["threshold"] == 0.5
    assert reports["even"]["num_samples"] == 8
    assert reports["even"]["num_groups"] == 4
    printed = capsys.readouterr().out
    assert "p = 1 (paired DeLong)" in printed
    assert "faces: no group is in more than one split" in printed


def test_main_shared_groups_are_reported_as_a_leak(
    tmp_path, no_figures, data_root, detectors, capsys
):
    run(
        r"-cpp some.pt -d faces --group-by (\d)_ --data-root {0} --figures-dir {1} "
        "--resamples 9 --threshold 0.6",
        data_root,
        tmp_path,
    )

    assert "LEAK, 3 groups are in both val and test: 0, 1, 2" in capsys.readouterr().out
    report = load_json(tmp_path / "faces_SimpleNet_metrics.json")
    assert report["threshold_source"] == "given by --threshold"


def test_main_without_checkpoint_takes_the_one_of_the_training(
    monkeypatch, tmp_path, data_root
):
    asked = []

    def load(path, model_name=None, device="cpu"):
        asked.append((path, model_name))
        raise FileNotFoundError(f"there is no checkpoint {path}")

    monkeypatch.setattr(numerical_analysis, "load_checkpoint", load)

    with pytest.raises(FileNotFoundError):
        run("-d faces --data-root {0} --figures-dir {1}", data_root, tmp_path)

    path = Path("checkpoints/faces_SimpleNet_Adam.pt")
    assert asked == [(path, "SimpleNet")]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--group-by", "x", "--group-column", "y"], "exclude each other"),
        (["--group-column", "y"], "goes with --from-scores"),
        (["--from-scores", "a", "-cpp", "b"], "goes without"),
        (["--from-scores", "a", "--limit", "3"], "goes without"),
        (["--from-scores", "a", "b", "c", "-d", "x", "y"], "one for each file"),
        (["--resamples", "0"], "at least 1"),
    ],
)
def test_parse_args_contradiction_ends_in_one_line(flags, message, capsys):
    with pytest.raises(SystemExit) as caught:
        numerical_analysis.parse_args(flags)

    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in error and error.count("\n") == 1


def test_main_would_replace_its_input_is_refused(tmp_path):
    path = tmp_path / "faces_SimpleNet_scores.csv"
    write_scores(path)
    before = path.read_bytes()

    with pytest.raises(ValueError, match="choose another --figures-dir"):
        run(
            "--from-scores {0} -d faces -m SimpleNet --figures-dir {1} --resamples 9",
            path,
            tmp_path,
        )

    assert path.read_bytes() == before


def test_main_files_of_one_name_are_refused(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_scores(tmp_path / folder / "a.csv")
    inputs = [str(tmp_path / folder / "a.csv") for folder in ("x", "y")]

    with pytest.raises(ValueError, match="2 inputs would be saved as"):
        numerical_analysis.main(
            ["--from-scores", *inputs, "--figures-dir", str(tmp_path)]
        )


def test_get_soft_scores_score_that_is_not_finite_names_the_image(
    faces_root, tmp_path, one_line
):
    model = load_checkpoint(make_broken_checkpoint(tmp_path / "broken.pt"))
    dataset = load_dataset("faces", "test", data_root=faces_root.parent)

    with pytest.raises(ValueError, match=r"5 of 5 images no .*real/00\.png") as error:
        numerical_analysis.get_soft_scores_and_true_labels(dataset, model)

    one_line(error)
