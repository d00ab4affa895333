"""The table of metrics: whoever shows numbers shows what is in it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from metrics.all_metrics import METRICS, Metric
from plots import tables
from plots.robustness import list_metrics
from plots.save_analysis import save_all
from scores.analysis import analyse, compare_detectors
from scores.score_sets import ScoreSet

NUMBERS_PAGE = Path(__file__).parents[2] / "docs" / "numbers.md"
YOUDEN = Metric(
    "youden_j",
    "Youden's J",
    "how much more often a fake is called fake than a real image is",
    lambda of: 1 - of.fpr - of.fnr,
    scale="atanh",
    of_decisions=True,
    columns=("comparison", "subsets", "groups", "robustness", "paper"),
)


@pytest.fixture
def analyses(monkeypatch):
    """Two detectors on samples in groups and subsets, measured with one more metric."""
    monkeypatch.setitem(METRICS, "youden_j", YOUDEN)
    labels = np.repeat([0, 1], [60, 40])
    noise = np.random.default_rng(0).normal(size=(2, 100))
    columns = {"groups": [f"v{i // 2}" for i in range(100)]}
    columns["subsets"] = [""] * 60 + ["swap"] * 20 + ["blend"] * 20
    return [
        analyse(
            ScoreSet("faces", name, scores, labels, expit(scores), **columns),
            num_resamples=20,
        )
        for name, scores in zip("ab", noise + 2 * labels - 1, strict=True)
    ]


@pytest.mark.slow
def test_a_new_metric_is_one_row_and_stands_everywhere(analyses, tmp_path, no_figures):
    paths, text = save_all(analyses, compare_detectors(analyses), tmp_path, {})

    written = {path.name: path for path in paths}
    numbers = json.loads(written["faces_a_metrics.json"].read_text())
    rates = numbers["real_accuracy"], numbers["fake_accuracy"]
    assert numbers["youden_j"] == pytest.approx(sum(rates) - 1)
    low, high = numbers["youden_j_interval"]
    assert low < numbers["youden_j"] < high
    assert numbers["intervals"]["youden_j"] == "stratified bootstrap, atanh scale"
    assert numbers["subsets"]["swap"]["youden_j_interval"]
    # In the terminal: a line of each of two detectors, the groups' beside it, columns
    # in the tables of each one's subsets and of the comparison.
    assert text.count("\nYouden's J ") == 2
    assert text.count("Youden's J") == 5
    ends = [f"{end:.4f}" for end in numbers["group_level"]["youden_j_interval"]]
    assert f"   [{', '.join(ends)}]" in text
    cell = f"{numbers['youden_j']:.3f} [{low:.3f}, {high:.3f}]"
    assert cell in text
    for end, expected in (
        ("csv", f",{numbers['youden_j']!r},{low!r},{high!r}"),
        ("md", cell.replace("[", r"\[")),
        ("tex", rf"\scriptsize [{low:.3f}, {high:.3f}]"),
    ):
        table = written[f"comparison_metrics.{end}"].read_text()
        assert ("youden_j_high" if end == "csv" else "Youden's J") in table
        assert expected in table
    assert [metric.name for metric in list_metrics()][-1] == "eer"
    assert YOUDEN in list_metrics()


@pytest.mark.parametrize(
    ("formula", "higher_is_better", "ends"),
    [
        (lambda of: 1 - of.fpr, True, (0.8033, 1)),
        (lambda of: of.fpr, False, (0, 0.1967)),
    ],
)
def test_a_new_metric_of_decisions_has_bounds_for_a_perfect_detector(
    formula, higher_is_better, ends, monkeypatch
):
    options = {"higher_is_better": higher_is_better, "of_decisions": True}
    monkeypatch.setitem(METRICS, "new", Metric("new", "new", "", formula, **options))
    scores = np.repeat([0.1, 0.9], 20)
    score_set = ScoreSet("d", "m", scores, np.repeat([0, 1], 20), scores)
    numbers = analyse(score_set, num_resamples=5).numbers
    # 1 - 0.0125 ** (1 / 20) = 0.1967: all reals below a threshold with such an FPR.
    assert numbers["new_interval"] == pytest.approx(ends, abs=1e-4)


def test_definitions_in_the_docs_are_those_of_the_table():
    rows = [("number", "better", "definition", "95 % interval"), ("---",) * 4]
    better = {True: "high", False: "low", None: ""}
    rows += [
        (m.words, better[m.higher_is_better], m.definition, m.method or "none")
        for m in METRICS.values()
    ]
    lines, text = [f"| {' | '.join(row)} |" for row in rows], NUMBERS_PAGE.read_text()
    missing = [line for line in lines if line not in text.splitlines()]
    assert not missing, "add to docs/numbers.md: " + "\n".join(missing)
    assert "\n".join(["\n", *lines, "\n"]) in text, "docs/numbers.md has a row too many"


def test_every_metric_names_tables_that_there_are():
    known = {"comparison", "subsets", "groups", "robustness", "paper"}
    assert {table for m in METRICS.values() for table in m.columns} == known
    assert all(
        (metric.formula is None) != (metric.value is None)
        for metric in METRICS.values()
    )
    assert tables.format_ends({"ece": None}, METRICS["ece"]) == "-"
