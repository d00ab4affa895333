"""The numbers of an analysis as text for the terminal, at most 100 columns wide."""

import textwrap
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from files.names import make_printable
from scores.analysis import Analysis, Comparison

# By its name in a report, what tables call a number.
ROWS = {
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
    "cllr": "Cllr (bits)",
    "min_cllr": "minimal Cllr (bits)",
    "d_prime": "d'",
}
_WIDTH = 100
_OF_GROUPS = ("auc", "eer", "accuracy")
# Columns of tables that have a row for each detector or subset.
_COMPARED = {"auc": "AUC", "eer": "EER", "accuracy": "accuracy", "cllr": "Cllr"}
_OF_SUBSETS = {"auc": "AUC", "eer": "EER", "fake_accuracy": "accuracy on fake"}
_CELL = 25  # 'value [low, high]' with four digits


def format_report(analysis: Analysis) -> str:
    """Return the report as tables for the terminal, and its notes as sentences."""
    report, scores = analysis.report, analysis.scores
    scale = "a score of" if scores.fake_scores is None else "P(fake) ="
    lines = [
        f"{make_printable(scores.title)}: {analysis.sizes}, positive class fake",
        _wrap(
            f"called fake from {scale} {report['threshold']:.4g} on "
            f"({scores.threshold_source})"
        ),
        "",
        f"{'metric':<26}{'value':>9}   95 % interval",
        *(_format_row(report, name) for name in ROWS),
        _format_calibration_error(report),
        f"{'EER threshold':<26}{format_number(report['eer_threshold']):>9}",
        *_format_likelihood_ratios(analysis),
        *_format_operating_points(report),
        *_format_groups(report),
        *_format_subsets(analysis),
        *_format_notes(report["notes"]),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _format_notes(notes: Sequence[str]) -> list[str]:
    return [""] + [_wrap(f"note: {note}") for note in notes] if notes else []


def _format_calibration_error(report: dict[str, Any]) -> str:
    start = f"{'calibration error (ECE)':<26}{format_number(report['ece']):>9}"
    if report["ece"] is None:
        return f"{start}   -"
    return (
        f"{start}   {report['ece_noise_floor']:.4f} is expected of calibrated scores, "
        f"p = {report['ece_p_value']:.2g}"
    )


def _format_likelihood_ratios(analysis: Analysis) -> list[str]:
    if not analysis.report["cllr_in_words"]:
        return []
    source = analysis.scores.llr_source
    words = analysis.report["cllr_in_words"]
    return ["", _wrap(f"likelihood ratios ({source}): {words}")]


def _format_operating_points(report: dict[str, Any]) -> list[str]:
    """Return both error rates at each threshold, and what an alarm is then worth."""
    points = report["operating_points"]
    names = [point["name"] + (" *" if point["chosen"] else "") for point in points]
    share = f"where {100 * (report['prevalence'] or 0):g} % are fake"
    width = max(map(len, (share, *names))) + 2
    header = f"{'operating point':<{width}}{'called fake from':<18}"
    lines = ["", f"{header}{'false-positive rate':<{_CELL}}false-negative rate"]
    for name, point in zip(names, points, strict=True):
        scale = f"{point['threshold_scale']} {point['threshold']:.4g}"
        start = f"{name:<{width}}{scale:<18}"
        cells = format_cell(point, "fpr"), format_cell(point, "fnr")
        lines.append(f"{start}{cells[0]:<{_CELL}}{cells[1]}")
    lines += [f"* {note}" for note in {p["chosen"] for p in points if p["chosen"]}]
    if report["prevalence"] is None:
        return lines
    header = f"{share:<{width}}{'called fake that are (PPV)':<28}"
    lines += ["", f"{header}called real that are (NPV)"]
    for name, point in zip(names, points, strict=True):
        cells = format_cell(point, "ppv"), format_cell(point, "npv")
        lines.append(f"{name:<{width}}{cells[0]:<28}{cells[1]}")
    return lines


def _format_groups(report: dict[str, Any]) -> list[str]:
    if report["num_groups"] is None:
        return []
    lines = ["", f"intervals by group: {report['num_groups']} groups"]
    grouped = report["group_level"]
    if grouped is None:
        return [*lines, _wrap(f"no group-level scores: {report['group_level_note']}")]
    lines += ["of the groups' mean scores:"]
    return lines + [_format_row(grouped, name) for name in _OF_GROUPS]


def _format_subsets(analysis: Analysis) -> list[str]:
    """Return a line for each subset: how many samples, and how well told apart."""
    subsets = name_subsets(analysis)
    if not subsets:
        return []
    names = [make_printable(name) for name in subsets]
    width = max(len("subset"), *(len(name) for name in names)) + 1
    start = f"{'subset':<{width}}{'real':>7}{'fake':>7}  "
    lines = ["", start + "".join(f"{name:<22}" for name in _OF_SUBSETS.values())]
    for name, subset in zip(names, subsets.values(), strict=True):
        report = subset.report
        cells = [format_cell(report, metric, digits=3) for metric in _OF_SUBSETS]
        start = f"{name:<{width}}{report['num_real']:>7}{report['num_fake']:>7}  "
        lines.append(start + "".join(f"{cell:<22}" for cell in cells))
    return lines


def name_subsets(analysis: Analysis) -> dict[str, Analysis]:
    """Return the analysis of each subset by its own name."""
    start = f"{analysis.scores.detector}, "
    return {part.scores.detector.removeprefix(start): part for part in analysis.subsets}


def format_comparison(
    analyses: Sequence[Analysis], comparisons: Sequence[Comparison]
) -> str:
    """Return several detectors as one table, and the paired tests below it."""
    letters = name_by_letters(len(analyses))
    lines = [
        f"{letter}: {make_printable(analysis.scores.title)}, {analysis.sizes}"
        for letter, analysis in zip(letters, analyses, strict=True)
    ]
    lines += ["", "   " + "".join(f"{name:<24}" for name in _COMPARED.values())]
    for letter, analysis in zip(letters, analyses, strict=True):
        cells = [format_cell(analysis.report, name, digits=3) for name in _COMPARED]
        lines.append(f"{letter:<3}" + "".join(f"{cell:<24}" for cell in cells))
    titles = [analysis.scores.title for analysis in analyses]
    lines += _format_tests(comparisons, dict(zip(titles, letters, strict=True)))
    return "\n".join(line.rstrip() for line in lines)


def _format_tests(
    comparisons: Sequence[Comparison], letter_of: dict[str, str]
) -> list[str]:
    num_tests = sum(comparison.test is not None for comparison in comparisons)
    lines = ["", f"AUCs compared by paired DeLong tests: {num_tests}"]
    lines += [f"{'pair':<7}{'n':>9}  {'AUC differs by':<28}{'p':>9}{'p by Holm':>12}"]
    untested: dict[str, list[str]] = {}
    for comparison in comparisons:
        a, b = comparison.a.scores.title, comparison.b.scores.title
        pair, test = f"{letter_of[a]} - {letter_of[b]}", comparison.test
        if test is None:
            untested.setdefault(comparison.note, []).append(pair)
            continue
        start = f"{pair:<7}{comparison.num_common:>9}  "
        cell = f"{test.difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}]"
        holm = comparison.holm_p_value
        p_values = f"{test.p_value:>9.3g}{'-' if holm is None else f'{holm:.3g}':>12}"
        lines.append(f"{start}{cell:<28}{p_values}")
        lines += [_wrap(f"       {comparison.note}")] if comparison.note else []
    notes = untested.items()
    return lines + [_wrap(f"{', '.join(pairs)}: {note}") for note, pairs in notes]


def name_by_letters(number: int) -> list[str]:
    """Return A, B, ..., Z, A2, B2, ...: short names for detectors."""
    rounds = range(1, number // len(ascii_uppercase) + 2)
    names = [f"{c}{r if r > 1 else ''}" for r in rounds for c in ascii_uppercase]
    return names[:number]


def _format_row(report: dict[str, Any], name: str) -> str:
    interval = "-" if report[name] is None else format_interval(report, name)
    return f"{ROWS[name]:<26}{format_number(report[name]):>9}   {interval}"


def format_cell(report: dict[str, Any], name: str, *, digits: int = 4) -> str:
    """Return 'value [low, high]', 'value' without an interval, '-' without a value."""
    if report[name] is None:
        return "-"
    number = format_number(report[name], digits=digits)
    if report[f"{name}_interval"] is None:
        return number
    return f"{number} {format_interval(report, name, digits=digits)}"


def format_number(value: float | None, *, digits: int = 4) -> str:
    """Return a number with so many decimals, '-' for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def format_interval(report: dict[str, Any], name: str, *, digits: int = 4) -> str:
    """Return '[low, high]', '-' for none."""
    interval = report[f"{name}_interval"]
    if interval is None:
        return "-"
    return f"[{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def _wrap(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ")
