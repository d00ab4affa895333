"""The numbers of an analysis as text for the terminal, at most 100 columns wide."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from files.names import make_printable
from metrics.table import METRICS, Metric, list_columns
from plots.style import (
    format_number,
    format_threshold,
    format_with_interval,
    get_interval,
)
from scores.analysis import Analysis, Comparison

_WIDTH = 100
_CELL = 25  # 'value [low, high]' with four digits


def format_numbers(analysis: Analysis) -> str:
    """Return the numbers as tables for the terminal, and their notes as sentences."""
    numbers, scores = analysis.numbers, analysis.scores
    scale = "a score of" if scores.fake_scores is None else "P(fake) ="
    threshold = format_threshold(numbers["threshold"], digits=4)
    lines = [
        f"{make_printable(scores.title)}: {analysis.sizes}, positive class fake",
        _wrap(
            f"called fake at or above {scale} {threshold} ({scores.threshold_source})"
        ),
        "",
        f"{'metric':<26}{'value':>9}   95 % interval",
        *_format_rows(numbers, METRICS.values()),
        *_format_likelihood_ratios(analysis),
        *_format_operating_points(numbers),
        *_format_groups(numbers),
        *_format_subsets(analysis),
        *format_notes(numbers["notes"]),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _format_rows(numbers: Mapping[str, Any], metrics: Iterable[Metric]) -> list[str]:
    return [
        f"{m.words:<26}{format_number(numbers[m.name]):>9}   {format_ends(numbers, m)}"
        for m in metrics
    ]


def format_ends(numbers: Mapping[str, Any], metric: Metric) -> str:
    """Return '[low, high]', of the ECE what chance gives, '-' for neither."""
    interval = get_interval(numbers, metric.name)
    if numbers[metric.name] is not None and metric.name == "ece":
        floor, p_value = numbers["ece_noise_floor"], numbers["ece_p_value"]
        return f"by chance {floor:.4f}, p = {p_value:.2g}"
    if numbers[metric.name] is None or interval is None:
        return "-"
    return f"[{', '.join(map(format_number, interval))}]"


def format_notes(notes: Sequence[str]) -> list[str]:
    return [""] + [_wrap(f"note: {note}") for note in notes] if notes else []


def _format_likelihood_ratios(analysis: Analysis) -> list[str]:
    words = analysis.numbers["cllr_in_words"]
    if not words:
        return []
    source, bounds = analysis.scores.llr_source, analysis.numbers["llr_bounds_in_words"]
    return ["", *map(_wrap, (f"likelihood ratios ({source}): {words}", bounds))]


def _format_operating_points(numbers: dict[str, Any]) -> list[str]:
    """Return both error rates at each threshold, and what an alarm is then worth."""
    points = numbers["operating_points"]
    names = [point["name"] + (" *" if point["chosen"] else "") for point in points]
    share = f"where {100 * (numbers['prevalence'] or 0):g} % are fake"
    width = max(map(len, (share, *names))) + 2
    header = f"{'operating point':<{width}}{'fake at or above':<18}"
    lines = ["", f"{header}{'false-positive rate':<{_CELL}}false-negative rate"]
    for name, point in zip(names, points, strict=True):
        threshold = format_threshold(point["threshold"], digits=4)
        scale = f"{point['threshold_scale']} {threshold}"
        fpr, fnr = (format_with_interval(point, n, digits=4) for n in ("fpr", "fnr"))
        lines.append(f"{name:<{width}}{scale:<18}{fpr:<{_CELL}}{fnr}")
    lines += [f"* {note}" for note in {p["chosen"] for p in points if p["chosen"]}]
    if numbers["prevalence"] is None:
        return lines
    header = f"{share:<{width}}{'called fake that are (PPV)':<28}"
    lines += ["", f"{header}called real that are (NPV)"]
    for name, point in zip(names, points, strict=True):
        ppv, npv = (format_with_interval(point, n, digits=4) for n in ("ppv", "npv"))
        lines.append(f"{name:<{width}}{ppv:<28}{npv}")
    return lines


def _format_groups(numbers: dict[str, Any]) -> list[str]:
    if numbers["num_groups"] is None:
        return []
    lines = ["", f"intervals by group: {numbers['num_groups']} groups"]
    grouped = numbers["group_level"]
    if grouped is None:
        return [*lines, _wrap(f"no group-level scores: {numbers['group_level_note']}")]
    lines += ["of the groups' mean scores:"]
    return lines + _format_rows(grouped, list_columns("groups"))


def _format_subsets(analysis: Analysis) -> list[str]:
    """Return a line for each subset: how many samples, and how well told apart."""
    subsets = name_subsets(analysis)
    if not subsets:
        return []
    names = [make_printable(name) for name in subsets]
    width = max(len("subset"), *(len(name) for name in names)) + 1
    metrics = list_columns("subsets")
    start = f"{'subset':<{width}}{'real':>7}{'fake':>7}  "
    lines = ["", start + "".join(f"{metric.short:<22}" for metric in metrics)]
    for name, subset in zip(names, subsets.values(), strict=True):
        numbers = subset.numbers
        cells = [format_with_interval(numbers, metric.name) for metric in metrics]
        start = f"{name:<{width}}{numbers['num_real']:>7}{numbers['num_fake']:>7}  "
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
    metrics = list_columns("comparison")
    lines += ["", "   " + "".join(f"{metric.short:<24}" for metric in metrics)]
    for letter, analysis in zip(letters, analyses, strict=True):
        cells = [format_with_interval(analysis.numbers, m.name) for m in metrics]
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


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def name_by_letters(number: int) -> list[str]:
    """Return A, B, ..., Z, A2, B2, ...: short names for detectors."""
    rounds = range(1, number // len(ascii_uppercase) + 2)
    names = [f"{c}{r if r > 1 else ''}" for r in rounds for c in ascii_uppercase]
    return names[:number]


def _wrap(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ")
