"""Curves and tables of several runs of one recipe."""

import csv
import json

import numpy as np
import pytest
from matplotlib.axes import Axes

from plots.runs import CURVES, format_runs, save_runs
from scores.runs import analyse_runs
from scores.score_sets import ScoreSet

LABELS = np.repeat([0, 1], [120, 80])


def make_runs(label, quality, size):
    """Runs of a recipe; of quality None they are perfect."""
    rows = np.random.default_rng(0).normal(size=(size, 200))
    rows = LABELS * 9.0 + 0.1 * rows if quality is None else rows + quality * LABELS
    shared = {"paths": [f"{n}.png" for n in range(200)], "threshold": 0.5}
    shared["groups"] = [f"g{n // 4}" for n in range(200)]
    return [
        ScoreSet(
            *("faces", "Net"),
            *(row, LABELS, None),
            detector=f"{label}_seed{number}",
            provenance={"inputs": [{"path": f"{label}{number}", "sha256": "x"}]},
            **shared,
        )
        for number, row in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def analysed():
    """A recipe of three runs, a poorer one of two with an awkward name, a perfect."""
    parts = [("good", 2.0, 3), ("po_o|r$", 0.5, 2), ("perfect", None, 2)]
    return analyse_runs([make_runs(*part) for part in parts], num_resamples=20)


@pytest.mark.parametrize("what", CURVES)
@pytest.mark.parametrize("number", range(3))
def test_curves_show_each_run_thin_and_the_mean_thick(what, number, analysed, axes):
    runs = analysed[0][number]
    drawn = CURVES[what](axes, runs)
    assert isinstance(drawn, Axes)
    lines = [line for line in axes.lines if line.get_color() not in ("#666666",)]
    assert [line.get_linewidth() for line in lines] == [0.8] * len(runs.runs) + [2.4]
    heights = np.array([line.get_ydata().max() for line in lines])
    assert np.isfinite(heights).all()
    text = [entry.get_text() for entry in axes.get_legend().get_texts()]
    short = "AUC" if what == "roc_curve" else "EER"
    assert any(f"mean {short} " in entry for entry in text)
    assert f"{len(runs.runs)} runs" in axes.get_title().replace("\n", " ")


@pytest.mark.slow
def test_save_runs_writes_all_numbers_and_tables_that_say_the_same(analysed, tmp_path):
    sets, tests = analysed
    call = {"command": "python x.py"}
    paths, text = save_runs(sets, tests, tmp_path, call)
    assert sorted(paths) == sorted(tmp_path.iterdir())
    names = {path.name for path in paths}
    assert "faces_Net_good_runs_roc_curve.png" in names
    content = json.loads((tmp_path / "comparison_runs_metrics.json").read_text())
    assert content["provenance"] == call
    assert [s["num_runs"] for s in content["sets"]] == [3, 2, 2]
    assert content["sets"][1]["runs"][0]["inputs"][0]["path"] == "po_o|r$0"
    auc = content["sets"][0]["auc"]
    assert content["tests"][0]["metrics"]["auc"]["difference"] == pytest.approx(
        auc - content["sets"][1]["auc"]
    )
    with (tmp_path / "comparison_runs_metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["mean"]) == auc
    assert [float(rows[0][n]) for n in ("low", "high")] == content["sets"][0][
        "auc_interval"
    ]
    assert {(row["unit"], row["num_real"]) for row in rows} == {
        ("images", "120"),
        ("groups", "30"),
    }
    assert content["sets"][2]["group_level"]["num_fake"] == 20
    markdown = (tmp_path / "comparison_runs_metrics.md").read_text()
    latex = (tmp_path / "comparison_runs_metrics.tex").read_text()
    assert r"B: Net (po\_o\|r$) on faces, 2 runs" in markdown
    assert "| B by group | AUC |" in markdown
    assert r"B: Net (po\_o\textbar{}r\$) on faces, 2 runs" in latex
    assert text == format_runs(sets, tests)
    for shown in (text, markdown, latex):
        assert f"{auc:.3f}" in shown
        assert f"{tests[0].tests['auc'].difference:+.3f}" in shown
    assert max(map(len, text.splitlines())) <= 100


def test_save_runs_of_one_recipe_are_called_after_it(tmp_path):
    found = analyse_runs([make_runs("a", 1.0, 2)], num_resamples=20)
    paths, text = save_runs(*found, tmp_path, {})
    names = {path.name.removeprefix("faces_Net_runs_") for path in paths}
    ends = {f"metrics.{end}" for end in ("json", "csv", "md", "tex")}
    assert names == {*ends, "roc_curve.png", "det_curve.png"}
    assert "differences" not in text


def test_save_runs_does_not_write_over_what_it_read(tmp_path, refused):
    sets, _ = analyse_runs([make_runs("a", 1.0, 2)], num_resamples=20)
    (path := tmp_path / "faces_Net_runs_metrics.csv").write_text("scores")
    sets[0].runs[1].provenance["inputs"][0]["path"] = str(path)
    with refused("faces_Net_runs_metrics"):
        save_runs(sets, [], tmp_path, {})
    assert [*tmp_path.iterdir()] == [path]
