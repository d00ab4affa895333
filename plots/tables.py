"""The numbers of an analysis as text for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metrics.analysis import Analysis, Comparison

_ROWS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "eer": "equal error rate (EER)",
    "tpr_at_fpr_0.01": "TPR at FPR 1 %",
    "tpr_at_fpr_0.001": "TPR at FPR 0.1 %",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "real_accuracy": "accuracy on real",
    "fake_accuracy": "accuracy on fake",
    "precision": "precision",
    "f1": "F1",
    "mcc": "Matthews correlation",
    "log_loss": "log loss (nats)",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "d_prime": "d'",
}

_COMPARED = ("auc", "eer", "accuracy")


def format_report(analysis: Analysis) -> str:
    """Return the report as a table for the terminal: metric, value, 95 % interval."""
    report, scores = analysis.report, analysis.scores
    lines = [
        f"{scores.title}: {analysis.sizes}, positive class fake",
        f"called fake from a score of {report['threshold']:.4g} on "
        f"({scores.threshold_source})",
        f"{'metric':<26}{'value':>9}   95 % interval",
    ]
    lines += [_format_row(report, name) for name in _ROWS]
    lines += [f"{'EER threshold':<26}{_format_number(report['eer_threshold']):>9}"]
    lines += [f"note: {note}" for note in report["notes"]]
    return "\n".join(lines + _format_groups(report))


def _format_groups(report: dict[str, Any]) -> list[str]:
    if report["num_groups"] is None:
        return []
    lines = [f"intervals by group: {report['num_groups']} groups"]
    grouped = report["group_level"]
    if grouped is None:
        return [*lines, f"no group-level scores: {report['group_level_note']}"]
    lines += ["of the groups' mean scores:"]
    return lines + [_format_row(grouped, name) for name in _COMPARED]


def format_comparison(
    analyses: Sequence[Analysis], comparisons: Sequence[Comparison]
) -> str:
    """Return several detectors as one table, and the paired tests below it."""
    width = max(len("detector"), *(len(a.scores.title) for a in analyses)) + 2
    header = f"{'detector':<{width}}{'n':>7}  "
    lines = [header + "".join(f"{_ROWS[name]:<26}" for name in _COMPARED)]
    for analysis in analyses:
        report = analysis.report
        cells = (
            f"{_format_number(report[name])} {_format_interval(report, name)}"
            for name in _COMPARED
        )
        start = f"{analysis.scores.title:<{width}}{report['num_samples']:>7}  "
        lines.append(start + "".join(f"{cell:<26}" for cell in cells))
    for a, b, test in comparisons:
        lines.append(
            f"{a.scores.title} against {b.scores.title}: AUC differs by "
            f"{test.difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}], "
            f"p = {test.p_value:.3g} (paired DeLong)"
        )
    return "\n".join(line.rstrip() for line in lines)


def _format_row(report: dict[str, Any], name: str) -> str:
    number, interval = _format_number(report[name]), _format_interval(report, name)
    return f"{_ROWS[name]:<26}{number:>9}   {interval}"


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _format_interval(report: dict[str, Any], name: str) -> str:
    interval = report[f"{name}_interval"]
    if interval is None:
        return "-"
    return f"[{interval[0]:.4f}, {interval[1]:.4f}]"
