"""The terminal's tables: what a reader of numbers gets to see."""

from types import SimpleNamespace

import numpy as np
import pytest

from metrics.all_metrics import METRICS
from plots.style import format_with_interval
from plots.tables import format_comparison, format_numbers, name_by_letters
from scores.analysis import Comparison


def make_stub(title):
    """An analysis of which only the title and the AUC are known."""
    numbers = dict.fromkeys(METRICS) | {"auc": 0.9, "auc_interval": [0.8, 0.95]}
    scores = SimpleNamespace(title=title)
    sizes = "6 real and 4 fake"
    return SimpleNamespace(scores=scores, numbers=numbers, sizes=sizes, groups=None)


def find_line(text, start):
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line


def test_format_numbers_shows_each_metric_with_its_interval(make_analysis):
    analysis = make_analysis()

    text = format_numbers(analysis)

    numbers = analysis.numbers
    low, high = numbers["auc_interval"]
    lines = text.splitlines()
    assert lines[0] == (
        "SimpleNet on faces: 60 real and 40 fake images, positive class fake"
    )
    assert lines[1] == "called fake at or above P(fake) = 0.5 (default)"
    row = f"{numbers['auc']:.4f}   [{low:.4f}, {high:.4f}]"
    assert find_line(text, "AUC").endswith(row)
    floor, p_value = numbers["ece_noise_floor"], numbers["ece_p_value"]
    assert find_line(text, "calibration error (ECE)").endswith(
        f"{numbers['ece']:.4f}   by chance {floor:.4f}, p = {p_value:.2g}"
    )
    assert "TPR at FPR 0.1 %" in text
    assert "\nnote: " in text
    assert max(map(len, lines)) <= 100


def test_format_numbers_operating_points_have_both_rates(make_analysis):
    analysis = make_analysis(prevalence=0.01)

    text = format_numbers(analysis)

    first = analysis.numbers["operating_points"][0]
    rates, shares = [
        line for line in text.splitlines() if line.startswith(first["name"])
    ]
    for name, line in (
        ("fpr", rates),
        ("fnr", rates),
        ("ppv", shares),
        ("npv", shares),
    ):
        assert format_with_interval(first, name, digits=4) in line
    assert "where 1 % are fake" in text
    assert "PPV" not in format_numbers(make_analysis())


@pytest.mark.slow
def test_format_numbers_likelihood_ratios_have_their_sentence(make_analysis):
    analysis = make_analysis(llr_source="chosen on validation")

    text = format_numbers(analysis)

    sentence = analysis.numbers["cllr_in_words"]
    words = " ".join(text.split())
    assert f"likelihood ratios (chosen on validation): {sentence} their bounds" in words
    assert "are not known" in words
    bounded = format_numbers(make_analysis(llr_bounds=(-np.log(30), np.log(25))))
    assert "\ntheir bounds are 1 to 30 ... 25 to 1: the samples" in bounded
    assert find_line(text, "Cllr").split()[2] == f"{analysis.numbers['cllr']:.4f}"


def test_format_numbers_scores_that_are_no_probabilities_have_no_ece(make_analysis):
    text = format_numbers(make_analysis(fake_scores=None, llrs=None))

    assert "called fake at or above a score of 0.5 (default)" in text
    assert find_line(text, "calibration error (ECE)").split()[3:] == ["-", "-"]
    assert find_line(text, "Cllr").split()[2:] == ["-", "-"]


@pytest.mark.slow
def test_format_numbers_subsets_are_a_table(make_analysis):
    subsets = [""] * 60 + ["blend\x1b[31m"] * 25 + ["swap"] * 15

    analysis = make_analysis(subsets=subsets)
    text = format_numbers(analysis)

    swap = analysis.subsets[1]
    names = ("auc", "eer", "fake_accuracy")
    cells = [format_with_interval(swap.numbers, name) for name in names]
    assert find_line(text, "swap").split()[1:3] == ["60", "15"]
    assert all(cell in find_line(text, "swap") for cell in cells)
    assert find_line(text, r"blend\x1b[31m").split()[1:3] == ["60", "25"]
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.slow
def test_format_numbers_groups_are_counted_and_averaged(make_analysis):
    groups = [f"v{i // 2}" for i in range(100)]

    analysis = make_analysis(groups=groups)
    text = format_numbers(analysis)

    assert "intervals by group: 50 groups\nby group: 30 real and 20 fake" in text
    words = " ".join(text.split())
    assert "is the mean of its images' logit differences, and the threshold is" in words
    for name, is_shown in (("auc", True), ("fake_accuracy", True), ("mcc", False)):
        value = f"{analysis.groups.numbers[name]:.4f}"
        assert (value in find_line(text, METRICS[name].words)[60:]) == is_shown
    assert max(map(len, text.splitlines())) <= 100
    mixed = format_numbers(make_analysis(groups=["one"] * 100))
    assert "no group-level scores: 1 of 1 groups hold both" in " ".join(mixed.split())

    table = format_comparison([analysis, analysis], [])
    legend, rows, _ = table.split("\n\n")
    line = "A groups: by group (mean of its images' logit differences), 30 real and 20"
    assert legend.splitlines()[1] == f"{line} fake groups"
    auc = f"{analysis.groups.numbers['auc']:.3f}"
    assert rows.splitlines()[2].split()[:3] == ["A", "groups", auc]
    assert max(map(len, table.splitlines())) <= 100


def test_format_comparison_is_a_table_and_a_line_for_each_test():
    a, b, c = (make_stub(title) for title in ("m (a) on x", "m (b) on x", "m on y"))
    c.numbers |= {"auc": -0.9, "auc_interval": [-0.95, -0.8]}
    test = SimpleNamespace(difference=0.02, low=-0.01, high=0.05, p_value=0.0361)
    comparisons = [
        Comparison(a, b, test, 10, 0.0722, "tested on 10", 6, 4),
        *(
            Comparison(of, c, None, note="not tested: no sample is in both")
            for of in (a, b)
        ),
    ]

    lines = format_comparison([a, b, c], comparisons).splitlines()

    assert lines[0] == "A: m (a) on x, 6 real and 4 fake"
    assert lines[4].split() == ["AUC", "EER", "accuracy", "Cllr"]
    assert lines[5].split() == ["A", "0.900", "[0.800,", "0.950]", "-", "-", "-"]
    assert lines[7].startswith("C  -0.900 [-0.950, -0.800]  -")
    assert lines[9] == "AUCs compared by paired DeLong tests: 1"
    assert lines[11].split() == [
        *("A", "-", "B", "6", "4", "+0.0200", "[-0.0100,", "+0.0500]"),
        *("0.0361", "0.0722"),
    ]
    assert lines[12:] == [
        "       tested on 10",
        "A - C, B - C: not tested: no sample is in both",
    ]
    assert max(map(len, lines)) <= 100


def test_name_by_letters_goes_on_after_z():
    names = name_by_letters(28)

    assert names[:2] + names[25:] == ["A", "B", "Z", "A2", "B2"]
