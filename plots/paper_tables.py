"""A comparison as tables to paste: CSV, Markdown, LaTeX.

A number stands with its 95 % interval: in columns of their own in CSV, with all digits,
and as 'value [low, high]' elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from command_line import make_printable
from metrics.analysis import Analysis, Comparison
from plots.tables import format_cell

_COLUMNS = {
    "auc": "AUC",
    "eer": "EER",
    "tpr_at_fpr_0.01": "TPR at FPR 1 %",
    "accuracy": "accuracy",
    "cllr": "Cllr",
    "min_cllr": "min. Cllr",
}
_TESTS = ("first", "second", "n", "AUC difference", "p", "p by Holm", "note")
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"}
_LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_LATEX |= {"^": r"\textasciicircum{}"}


def build_csv(analyses: Sequence[Analysis]) -> tuple[list[str], list[list[Any]]]:
    """Return the header and a row for each detector; empty cells for no number."""
    header = ["detector", "num_real", "num_fake"]
    for name in _COLUMNS:
        header += [name, f"{name}_low", f"{name}_high"]
    rows = []
    for analysis in analyses:
        report = analysis.report
        row = [analysis.scores.title, report["num_real"], report["num_fake"]]
        for name in _COLUMNS:
            interval = report[name] is not None and report[f"{name}_interval"]
            row += ["" if report[name] is None else report[name]]
            row += interval or ["", ""]
        rows.append(row)
    return header, rows


def format_markdown(
    analyses: Sequence[Analysis], comparisons: Sequence[Comparison]
) -> str:
    """Return the detectors, and the paired tests, as two tables of Markdown."""
    tables = []
    for rows in (_build_detectors(analyses), _build_tests(comparisons)):
        # Names become no markup: neither cells nor tags.
        escaped = [[_escape_markdown(cell) for cell in row] for row in rows]
        lines = [f"| {' | '.join(row)} |" for row in escaped]
        rule = f"|{' --- |' * len(rows[0])}"
        tables.append("\n".join([lines[0], rule, *lines[1:]]))
    return "\n\n".join(tables) + "\n"


def format_latex(
    analyses: Sequence[Analysis], comparisons: Sequence[Comparison]
) -> str:
    """Return the detectors, and the tests, as two tabulars that need no package."""
    tables = []
    for rows in (_build_detectors(analyses), _build_tests(comparisons)):
        lines = [" & ".join(map(_escape_latex, row)) + r" \\" for row in rows]
        start = rf"\begin{{tabular}}{{{'l' * len(rows[0])}}}"
        body = [r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"]
        tables.append("\n".join([start, *body, r"\end{tabular}"]))
    return "% values with 95 % intervals\n" + "\n\n".join(tables) + "\n"


def _build_detectors(analyses: Sequence[Analysis]) -> list[list[str]]:
    """Return a header and a row for each detector."""
    rows = [["detector", "real", "fake", *_COLUMNS.values()]]
    for analysis in analyses:
        report = analysis.report
        sizes = [f"{report['num_real']}", f"{report['num_fake']}"]
        cells = [format_cell(report, name, digits=3) for name in _COLUMNS]
        rows.append([make_printable(analysis.scores.title), *sizes, *cells])
    return rows


def _build_tests(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """Return a header and a row for each pair: the paired DeLong test, or why none."""
    rows = [list(_TESTS)]
    for comparison in comparisons:
        test, holm = comparison.test, comparison.holm_p_value
        numbers = ["-", "-", "-"]
        if test is not None:
            interval = f"[{test.low:+.3f}, {test.high:+.3f}]"
            numbers = [f"{test.difference:+.3f} {interval}", f"{test.p_value:.3g}"]
            numbers += ["-" if holm is None else f"{holm:.3g}"]
        titles = [make_printable(c.scores.title) for c in (comparison.a, comparison.b)]
        rows.append([*titles, f"{comparison.num_common}", *numbers, comparison.note])
    return rows


def _escape_markdown(text: str) -> str:
    for character in r"\|*_`<[":
        text = text.replace(character, f"\\{character}")
    return text


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
