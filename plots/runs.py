"""Several runs of one recipe: their curves, their tables, and all files of them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from files.atomic import check_output, save_csv, save_json, save_text
from files.names import make_printable
from metrics.all_metrics import METRICS, Metric, list_columns
from metrics.error_rates import RocCurve
from metrics.runs import RunsTest
from plots.curves import (
    FALSE_NEGATIVES,
    FALSE_POSITIVES,
    TRUE_POSITIVES,
    fill_in_slopes,
    set_deviate_axis,
    to_deviates,
)
from plots.paper_tables import escape_latex, format_markdown_tables, format_tabular
from plots.style import (
    GREY,
    build_title,
    finish_axes,
    format_number,
    format_p_value,
    format_with_interval,
    get_line_style,
    save_plot,
)
from plots.tables import align_columns, format_notes, name_by_letters
from scores.runs import RunsComparison, RunSet

COLUMNS = ("runs", "metric", "mean", "95 % interval", "SD", "least", "most")
_TESTS = ("first", "second", "metric", "n", "difference", "p", "p by Holm", "note")


def plot_roc_of_runs(axes: Axes, runs: RunSet) -> Axes:
    """Draw each run's ROC curve thin, and their vertical mean thick."""
    _draw(axes, runs, lambda rates: rates, lambda tpr: tpr, "auc")
    axes.plot([0, 1], [0, 1], color=GREY, ls=":", label="chance", zorder=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel=FALSE_POSITIVES, ylabel=TRUE_POSITIVES)
    return finish_axes(axes, build_title("ROC", runs.title, runs.sizes))


def plot_det_of_runs(axes: Axes, runs: RunSet) -> Axes:
    """Draw each run's DET curve thin, and that of the mean ROC curve thick.

    As `plot_det` has it, a rate of 0 is drawn at half an error of its class.
    """
    edges = [0.5 / max(2, runs.numbers[n]) for n in ("num_real", "num_fake")]
    to_x = partial(to_deviates, edge=edges[0])
    _draw(axes, runs, to_x, lambda tpr: to_deviates(1 - tpr, edges[1]), "eer")
    ends = to_deviates(np.array([0.0, 1.0]), max(edges))
    axes.plot(ends, ends, color=GREY, lw=0.8, label="FPR = FNR", zorder=1)
    axes.plot(ends, -ends, color=GREY, ls=":", label="chance", zorder=1)
    for axis, edge in zip((axes.xaxis, axes.yaxis), edges, strict=True):
        set_deviate_axis(axis, edge, 1 - edge)
    axes.set(xlabel=FALSE_POSITIVES, ylabel=FALSE_NEGATIVES, box_aspect=1)
    title = build_title("DET", runs.title, runs.sizes)
    return finish_axes(axes, title, legend_top=-0.22)


CURVES = {"roc_curve": plot_roc_of_runs, "det_curve": plot_det_of_runs}


def _draw(axes: Axes, runs: RunSet, to_x: Any, to_y: Any, metric: str) -> None:
    """Draw the runs' curves and their mean, rates being placed by two functions."""

    def draw(roc: RocCurve, **look: Any) -> None:
        fpr, tpr = fill_in_slopes(*roc[:2])
        axes.plot(to_x(fpr), to_y(tpr), **look)

    style = get_line_style(0)
    for number, roc in enumerate(runs.rocs):
        name = {} if number else {"label": f"{len(runs.rocs)} runs"}
        draw(roc, color=style["color"], lw=0.8, alpha=0.6, **name)
    value = format_with_interval(runs.numbers, metric, percent=metric == "eer")
    label = f"mean of TPRs at each FPR;\nmean {METRICS[metric].short} {value}"
    draw(runs.mean_roc, color=style["color"], lw=2.4, label=label)


def format_runs(sets: Sequence[RunSet], comparisons: Sequence[RunsComparison]) -> str:
    """Return the numbers of sets of runs, and the tests, for the terminal."""
    parts, metrics = [], list_columns("paper")
    for name, runs in _list_levels(sets):
        rows = [COLUMNS[1:], *(_list_cells(runs.numbers, m) for m in metrics)]
        words = runs.numbers.get("group_score_in_words")
        title = f"{name} ({words}), {runs.sizes}" if words else f"{name}, {runs.sizes}"
        parts.append(
            "\n".join(
                [title, *align_columns(rows), *format_notes(runs.numbers["notes"])]
            )
        )
    if comparisons:
        rows = build_tests(sets, comparisons)
        parts.append("\n".join(["differences of the means", *align_columns(rows)]))
    return "\n\n".join(parts)


def _list_cells(numbers: Mapping[str, Any], metric: Metric) -> list[str]:
    """Return a metric's words, mean, interval, deviation, least and most value."""
    mean, interval = numbers[metric.name], numbers[f"{metric.name}_interval"]
    if mean is None:
        return [metric.short, *["-"] * 5]
    spread = [numbers[f"{metric.name}_deviation"], *numbers[f"{metric.name}_range"]]
    number = partial(format_number, digits=3)
    ends = f"[{', '.join(map(number, interval))}]" if interval else "-"
    return [metric.short, number(mean), ends, *map(number, spread)]


def build_rows(sets: Sequence[RunSet]) -> list[list[str]]:
    """Return a header and a row for each set, level and metric, as text."""
    return [
        list(COLUMNS),
        *(
            [title, *_list_cells(runs.numbers, metric)]
            for title, runs in _list_levels(sets)
            for metric in list_columns("paper")
        ),
    ]


def _list_levels(sets: Sequence[RunSet]) -> Iterator[tuple[str, RunSet]]:
    """Yield each set, then its groups, with titles; letters are what tests call it."""
    is_one = len(sets) == 1
    for letter, runs in zip(name_by_letters(len(sets)), sets, strict=True):
        title = make_printable(runs.title)
        yield title if is_one else f"{letter}: {title}", runs
        if runs.groups is not None:
            yield "by group" if is_one else f"{letter} by group", runs.groups


def build_tests(
    sets: Sequence[RunSet], comparisons: Sequence[RunsComparison]
) -> list[list[str]]:
    """Return a header and a row for each pair and metric, by the sets' letters."""
    titles = [runs.title for runs in sets]
    letter_of = dict(zip(titles, name_by_letters(len(sets)), strict=True))
    rows = [list(_TESTS)]
    for pair in comparisons:
        start = [letter_of[pair.a.title], letter_of[pair.b.title]]
        size = str(pair.num_common)
        if not pair.tests:
            rows.append([*start, "-", size, "-", "-", "-", pair.note])
        for metric in list_columns("paper"):
            if metric.name in pair.tests:
                test = pair.tests[metric.name]
                ends = f"[{test.low:+.3f}, {test.high:+.3f}]"
                holm = pair.holm_p_value if metric.name == "auc" else None
                cells = [f"{test.difference:+.3f} {ends}"]
                cells += map(format_p_value, (test.p_value, holm))
                rows.append([*start, metric.short, size, *cells, pair.note])
    return rows


def format_markdown(
    sets: Sequence[RunSet], comparisons: Sequence[RunsComparison]
) -> str:
    """Return sets of runs and tests as tables of Markdown."""
    tests = [build_tests(sets, comparisons)] if comparisons else []
    return format_markdown_tables(build_rows(sets), *tests)


def format_latex(sets: Sequence[RunSet], comparisons: Sequence[RunsComparison]) -> str:
    """Return sets of runs and tests as tabulars that need no package."""
    tables = [format_tabular("@{}llcccrr@{}", _escape(build_rows(sets)))]
    if comparisons:
        rows = [row[:-1] for row in build_tests(sets, comparisons)]
        tables.append(format_tabular("@{}lllrccc@{}", _escape(rows)))
    return r"{\footnotesize" + "\n" + "\n\n\\medskip\n".join(tables) + "\\par}\n"


def _escape(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[escape_latex(cell) for cell in row] for row in rows]


def build_csv(sets: Sequence[RunSet]) -> tuple[list[str], list[list[Any]]]:
    """Return the header and a row for each set, level and metric, with all digits."""
    header = ["runs", "num_runs", "num_real", "num_fake", "metric", "mean"]
    header += ["low", "high", "deviation", "least", "most", "unit"]
    rows = []
    levels = [(of.title, level) for of in sets for level in (of, of.groups) if level]
    for title, runs in levels:
        numbers, unit = runs.numbers, runs.runs[0].unit
        sizes = [numbers[n] for n in ("num_runs", "num_real", "num_fake")]
        for metric in list_columns("paper"):
            name = metric.name
            if numbers[name] is not None:
                ends = numbers[f"{name}_interval"] or ["", ""]
                spread = [numbers[f"{name}_deviation"], *numbers[f"{name}_range"]]
                values = [numbers[name], *ends, *spread]
                rows.append([title, *sizes, name, *values, unit])
    return header, rows


def save_runs(
    sets: Sequence[RunSet],
    comparisons: Sequence[RunsComparison],
    folder: Path,
    call: Mapping[str, Any],
) -> tuple[list[Path], str]:
    """Save the numbers, tables and curves of sets of runs, as of `analyse_runs`.

    `call` says what ran, as `files.provenance.describe_call` returns it.

    Returns:
        What was written: {NAME}_metrics.{json,csv,md,tex}, of several sets called
        comparison_runs, and {NAME}_{roc,det}_curve.png of each set; and the tables to
        print.

    Raises:
        ValueError: the table would replace a file that the scores came from.
    """
    start = sets[0].name if len(sets) == 1 else "comparison_runs"
    paths = [folder / f"{start}_metrics.{end}" for end in ("json", "csv", "md", "tex")]
    read = [f["path"] for s in sets for r in s.runs for f in r.provenance["inputs"]]
    check_output(paths[1], [Path(path) for path in read])
    save_json({**_collect(sets, comparisons), "provenance": dict(call)}, paths[0])
    header, rows = build_csv(sets)
    save_csv(rows, paths[1], header=header)
    save_text(format_markdown(sets, comparisons), paths[2])
    save_text(format_latex(sets, comparisons), paths[3])
    for runs in sets:
        for what, draw in CURVES.items():
            paths.append(folder / f"{runs.name}_{what}.png")
            save_plot(partial(draw, runs=runs), paths[-1])
    return paths, format_runs(sets, comparisons)


def _collect(
    sets: Sequence[RunSet], comparisons: Sequence[RunsComparison]
) -> dict[str, Any]:
    """Return all numbers, and which files they are from."""
    return {
        "sets": [
            {
                "title": runs.title,
                "dataset": runs.runs[0].dataset,
                **runs.numbers,
                "group_level": runs.groups and runs.groups.numbers,
                "runs": [dict(run.provenance) for run in runs.runs],
            }
            for runs in sets
        ],
        "tests": [
            {
                "first": pair.a.title,
                "second": pair.b.title,
                "num_common": pair.num_common,
                "metrics": {n: _to_dict(test) for n, test in pair.tests.items()},
                "holm_p_value": pair.holm_p_value,
                "note": pair.note or None,
            }
            for pair in comparisons
        ],
    }


def _to_dict(test: RunsTest) -> dict[str, float | None]:
    """Return a test's numbers; None where nothing varies."""
    return {n: v if np.isfinite(v) else None for n, v in test._asdict().items()}
