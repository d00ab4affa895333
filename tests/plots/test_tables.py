"""The terminal's tables: what a reader of numbers gets to see."""

from types import SimpleNamespace

from plots.tables import (
    format_cell,
    format_comparison,
    format_report,
    name_by_letters,
)
from scores.analysis import Comparison, compare_detectors


def make_stub(title):
    """An analysis of which only its title and three of its numbers are asked for."""
    report = dict.fromkeys(("eer", "accuracy", "cllr"))
    report |= {"auc": 0.9, "auc_interval": [0.8, 0.95]}
    scores = SimpleNamespace(title=title)
    return SimpleNamespace(scores=scores, report=report, sizes="6 real and 4 fake")


def find_line(text, start):
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line


def test_format_report_shows_each_metric_with_its_interval(make_analysis):
    analysis = make_analysis()

    text = format_report(analysis)

    report = analysis.report
    low, high = report["auc_interval"]
    lines = text.splitlines()
    assert lines[0] == (
        "SimpleNet on faces: 60 real and 40 fake images, positive class fake"
    )
    assert lines[1] == "called fake from P(fake) = 0.5 on (default)"
    assert find_line(text, "AUC").split() == [
        "AUC",
        f"{report['auc']:.4f}",
        f"[{low:.4f},",
        f"{high:.4f}]",
    ]
    floor, p_value = report["ece_noise_floor"], report["ece_p_value"]
    assert find_line(text, "calibration error (ECE)").endswith(
        f"{report['ece']:.4f}   {floor:.4f} is expected of calibrated scores, "
        f"p = {p_value:.3g}"
    )
    assert "TPR at FPR 0.1 %" in text
    assert "\nnote: " in text
    assert max(map(len, lines)) <= 100


def test_format_report_operating_points_have_both_rates(make_analysis):
    analysis = make_analysis(prevalence=0.01)

    text = format_report(analysis)

    first = analysis.report["operating_points"][0]
    rates, shares = [
        line for line in text.splitlines() if line.startswith(first["name"])
    ]
    assert format_cell(first, "fpr") in rates and format_cell(first, "fnr") in rates
    assert format_cell(first, "ppv") in shares and format_cell(first, "npv") in shares
    assert "where 1 % are fake" in text
    assert "PPV" not in format_report(make_analysis())


def test_format_report_likelihood_ratios_have_their_sentence(make_analysis):
    analysis = make_analysis(llr_source="chosen on validation")

    text = format_report(analysis)

    sentence = analysis.report["cllr_in_words"]
    words = " ".join(text.split())
    assert f"likelihood ratios (chosen on validation): {sentence}" in words
    assert find_line(text, "Cllr").split()[2] == f"{analysis.report['cllr']:.4f}"


def test_format_report_scores_that_are_no_probabilities_have_no_ece(make_analysis):
    text = format_report(make_analysis(fake_scores=None, llrs=None))

    assert "called fake from a score of 0.5 on (default)" in text
    assert find_line(text, "calibration error (ECE)").split()[3:] == ["-", "-"]
    assert find_line(text, "Cllr").split()[2:] == ["-", "-"]


def test_format_report_subsets_are_a_table(make_analysis):
    subsets = [""] * 60 + ["blend\x1b[31m"] * 25 + ["swap"] * 15

    analysis = make_analysis(subsets=subsets)
    text = format_report(analysis)

    swap = analysis.subsets[1]
    cells = [format_cell(swap.report, n, digits=3) for n in ("auc", "eer")]
    assert find_line(text, "swap").startswith("swap")
    assert find_line(text, "swap").split()[1:3] == ["60", "15"]
    assert all(cell in find_line(text, "swap") for cell in cells)
    assert find_line(text, r"blend\x1b[31m").split()[1:3] == ["60", "25"]
    assert max(map(len, text.splitlines())) <= 100


def test_format_report_groups_are_counted_and_averaged(make_analysis):
    groups = [f"v{i // 2}" for i in range(100)]

    text = format_report(make_analysis(groups=groups))

    assert "intervals by group: 50 groups\nof the groups' mean scores:\nAUC" in text


def test_format_comparison_is_a_table_and_a_line_for_each_test():
    a, b, c = (make_stub(title) for title in ("m (a) on x", "m (b) on x", "m on y"))
    test = SimpleNamespace(difference=0.02, low=-0.01, high=0.05, p_value=0.0361)
    comparisons = [
        Comparison(a, b, test, 10, 0.0722),
        *(
            Comparison(of, c, None, note="not tested: no sample is in both")
            for of in (a, b)
        ),
    ]

    lines = format_comparison([a, b, c], comparisons).splitlines()

    assert lines[0] == "A: m (a) on x, 6 real and 4 fake"
    assert lines[4].split() == ["AUC", "EER", "accuracy", "Cllr"]
    assert lines[5].split() == ["A", "0.900", "[0.800,", "0.950]", "-", "-", "-"]
    assert lines[9] == "AUCs compared by paired DeLong tests: 1"
    assert lines[11].split() == [
        *("A", "-", "B", "10", "+0.0200", "[-0.0100,", "+0.0500]"),
        *("0.0361", "0.0722"),
    ]
    assert lines[12:] == ["A - C, B - C: not tested: no sample is in both"]
    assert max(map(len, lines)) <= 100


def test_format_comparison_of_analyses_names_the_detectors(make_analysis):
    analyses = [make_analysis("good", detector="a"), make_analysis("good")]

    text = format_comparison(analyses, compare_detectors(analyses))

    assert "A: SimpleNet (a) on faces, 60 real and 40 fake images" in text
    cells = find_line(text, "A - B").split()[3:]
    assert cells == ["100", "+0.0000", "[+0.0000,", "+0.0000]", "1", "1"]


def test_name_by_letters_goes_on_after_z():
    names = name_by_letters(28)

    assert names[:2] + names[25:] == ["A", "B", "Z", "A2", "B2"]
