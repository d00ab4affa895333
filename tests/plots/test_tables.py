"""The terminal's tables: what a reader of numbers gets to see."""

from metrics.analysis import compare_detectors
from plots.tables import format_comparison, format_report

NAMES_EER = ["equal", "error", "rate", "(EER)"]


def test_format_report_shows_each_metric_with_its_interval(make_analysis):
    analysis = make_analysis()

    lines = format_report(analysis).splitlines()

    report = analysis.report
    low, high = report["auc_interval"]
    assert lines[0] == (
        "SimpleNet on faces: 60 real and 40 fake images, positive class fake"
    )
    assert lines[1] == "called fake from a score of 0.5 on (default)"
    assert lines[3].split() == [
        "AUC",
        f"{report['auc']:.4f}",
        f"[{low:.4f},",
        f"{high:.4f}]",
    ]
    assert "TPR at FPR 1 %                    -   -" in lines
    assert lines[-1].startswith("note: tpr_at_fpr_0.001: 60 real samples are too few")


def test_format_comparison_is_a_table_and_a_line_for_each_test(make_analysis):
    analyses = [make_analysis("good", detector="a"), make_analysis("good")]

    lines = format_comparison(analyses, compare_detectors(analyses)).splitlines()

    auc = analyses[0].report["auc"]
    assert lines[0].split() == ["detector", "n", "AUC", *NAMES_EER, "accuracy"]
    assert lines[1].startswith(f"SimpleNet (a) on faces      100  {auc:.4f} [")
    assert lines[3] == (
        "SimpleNet (a) on faces against SimpleNet on faces: AUC differs by "
        "+0.0000 [+0.0000, +0.0000], p = 1 (paired DeLong)"
    )
