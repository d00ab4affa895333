"""The numbers of an analysis as text for the terminal, at most 100 columns wide."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from files.names import make_printable
from metrics.all_metrics import METRICS, Metric, list_columns
from plots.style import (
    format_number,
    format_p_value,
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
        *_format_metrics(analysis),
        *_format_likelihood_ratios(analysis),
        *_format_operating_points(numbers),
        *_format_groups(analysis),
        *_format_subsets(analysis),
        *format_notes(numbers["notes"]),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _format_metrics(analysis: Analysis) -> list[str]:
    """Return a line for each metric, with that of the groups at its right."""
    titles, groups = "    value   95 % interval", analysis.groups
    rows = [("metric", titles, " by group   95 % interval" if groups else "")]
    for metric in METRICS.values():
        is_grouped = groups is not None and "groups" in metric.columns
        by_group = _format_metric(groups.numbers, metric) if is_grouped else ""
        rows.append((metric.words, _format_metric(analysis.numbers, metric), by_group))
    return [f"{words:<26}{cell:<40}{by_group}" for words, cell, by_group in rows]


def _format_metric(numbers: Mapping[str, Any], metric: Metric) -> str:
    return f"{format_number(numbers[metric.name]):>9}   {format_ends(numbers, metric)}"


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
    scales = [
        f"{point['threshold_scale']} {format_threshold(point['threshold'], digits=4)}"
        for point in points
    ]
    second = max(map(len, ("fake at or above", *scales))) + 2
    header = f"{'operating point':<{width}}{'fake at or above':<{second}}"
    lines = ["", f"{header}{'false-positive rate':<{_CELL}}false-negative rate"]
    for name, scale, point in zip(names, scales, points, strict=True):
        fpr, fnr = (format_with_interval(point, n, digits=4) for n in ("fpr", "fnr"))
        lines.append(f"{name:<{width}}{scale:<{second}}{fpr:<{_CELL}}{fnr}")
    lines += [f"* {note}" for note in {p["chosen"] for p in points if p["chosen"]}]
    if numbers["prevalence"] is None:
        return lines
    header = f"{share:<{width}}{'called fake that are (PPV)':<28}"
    lines += ["", f"{header}called real that are (NPV)"]
    for name, point in zip(names, points, strict=True):
        ppv, npv = (format_with_interval(point, n, digits=4) for n in ("ppv", "npv"))
        lines.append(f"{name:<{width}}{ppv:<28}{npv}")
    return lines


def _format_groups(analysis: Analysis) -> list[str]:
    numbers = analysis.numbers
    if numbers["num_groups"] is None:
        return []
    lines = ["", f"intervals by group: {numbers['num_groups']} groups"]
    return [*lines, _wrap(describe_groups(analysis))]


def describe_groups(analysis: Analysis) -> str:
    """Say how groups are judged, or why they are not."""
    if analysis.groups is None:
        return f"no group-level scores: {analysis.numbers['group_level_note']}"
    return (
        f"by group: {analysis.groups.sizes}; the score of each is the "
        f"{analysis.groups.numbers['group_score_in_words']}, and the threshold is that "
        f"of the {analysis.scores.unit}, which was not chosen for groups"
    )


def list_levels(analyses: Sequence[Analysis]) -> Iterator[tuple[str, str, Analysis]]:
    """Yield a letter, a title and an analysis for each row of a comparison.

    A detector is followed by its groups, as 'A groups'.
    """
    letters = name_by_letters(len(analyses))
    for letter, analysis in zip(letters, analyses, strict=True):
        title = make_printable(analysis.scores.title)
        yield letter, title, analysis
        if analysis.groups is not None:
            words = analysis.groups.numbers["group_score_in_words"]
            yield f"{letter} groups", f"by group ({words})", analysis.groups


def _format_subsets(analysis: Analysis) -> list[str]:
    """Return a line for each subset: how many samples, and how well told apart."""
    subsets = name_subsets(analysis)
    if not subsets:
        return []
    names = [make_printable(name) for name in subsets]
    metrics = list_columns("subsets")
    rows = [["subset", f"{'real':>6}{'fake':>7}", *(m.short for m in metrics)]]
    for name, subset in zip(names, subsets.values(), strict=True):
        numbers = subset.numbers
        sizes = f"{numbers['num_real']:>6}{numbers['num_fake']:>7}"
        cells = [format_with_interval(numbers, metric.name) for metric in metrics]
        rows.append([name, sizes, *cells])
    return ["", *align_columns(rows)]


def name_subsets(analysis: Analysis) -> dict[str, Analysis]:
    """Return the analysis of each subset by its own name."""
    start = f"{analysis.scores.own_name}, "
    return {part.scores.detector.removeprefix(start): part for part in analysis.subsets}


def format_comparison(
    analyses: Sequence[Analysis], comparisons: Sequence[Comparison]
) -> str:
    """Return several detectors as one table, and the paired tests below it."""
    levels = list(list_levels(analyses))
    lines = [_wrap(f"{letter}: {title}, {of.sizes}") for letter, title, of in levels]
    metrics = list_columns("comparison")
    rows = [["", *(metric.short for metric in metrics)]]
    for letter, _, level in levels:
        cells = [format_with_interval(level.numbers, m.name) for m in metrics]
        rows.append([letter, *cells])
    lines += ["", *align_columns(rows)]
    letters = name_by_letters(len(analyses))
    titles = [analysis.scores.title for analysis in analyses]
    lines += _format_tests(comparisons, dict(zip(titles, letters, strict=True)))
    return "\n".join(line.rstrip() for line in lines)


def _format_tests(
    comparisons: Sequence[Comparison], letter_of: dict[str, str]
) -> list[str]:
    num_tests = sum(comparison.test is not None for comparison in comparisons)
    lines = ["", f"AUCs compared by paired DeLong tests: {num_tests}"]
    sizes = f"{'pair':<7}{'real':>7}{'fake':>7}"
    lines += [f"{sizes}  {'AUC differs by':<28}{'p':>9}{'p by Holm':>12}"]
    untested: dict[str, list[str]] = {}
    for comparison in comparisons:
        a, b = comparison.a.scores.title, comparison.b.scores.title
        pair, test = f"{letter_of[a]} - {letter_of[b]}", comparison.test
        if test is None:
            untested.setdefault(comparison.note, []).append(pair)
            continue
        start = f"{pair:<7}{comparison.num_real:>7}{comparison.num_fake:>7}  "
        cell = f"{test.difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}]"
        holm = format_p_value(comparison.holm_p_value)
        p_values = f"{test.p_value:>9.3g}{holm:>12}"
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
