"""What disturbances leave of detectors, a panel for each disturbance."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from loading.disturbances import UNITS
from metrics.all_metrics import Metric, list_columns
from metrics.verdicts import RATES
from plots.style import (
    FAKE_COLOR,
    GREY,
    MOST_BANDS,
    REAL_COLOR,
    get_interval,
    get_line_style,
    make_drawable,
    wrap_title,
)

_NUM_COLUMNS = 4
Panels = Mapping[str, tuple[str, Sequence[float]]]
# False alarms concern real images, misses fakes; dashed lines what users are told.
_ERROR_STYLES: dict[str, dict[str, Any]] = {
    "false_alarms": {"color": REAL_COLOR, "lw": 1.8},
    "misses": {"color": FAKE_COLOR, "lw": 1.8},
    "inconclusive": {"color": GREY, "lw": 1.2},
    "told_false_alarms": {"color": REAL_COLOR, "ls": (0, (2, 1)), "marker": "."},
    "told_misses": {"color": FAKE_COLOR, "ls": (0, (2, 1)), "marker": "."},
}
_BANDED = ("false_alarms", "misses")


def build_robustness_figure(
    detectors: Sequence[Mapping[str, Any]], panels: Panels, title: str
) -> Figure:
    """Draw the numbers of one detector, or the AUCs of several.

    Args:
        detectors: each with its `title`, `auc_kept_in_words`, and `conditions`: by
            disturbance the numbers of level 0 and of each level after it.
        panels: by disturbance its unit and the strength of each level.
        title: of the figure.
    """

    def plot(axes: Axes, name: str, strengths: Sequence[float]) -> None:
        lines = list_lines([d["conditions"][name] for d in detectors])
        plot_disturbance(axes, lines, strengths)

    labels = [f"{d['title']}: {d['auc_kept_in_words']}" for d in detectors]
    if len(detectors) == 1:
        labels = [metric.short for metric in list_metrics()]
        labels[0] += f" ({detectors[0]['auc_kept_in_words']})"
    return _build_figure(plot, panels, title, labels)


def build_errors_figure(
    detector: Mapping[str, Any], panels: Panels, title: str
) -> Figure:
    """Draw how often a detector errs, and how often it says nothing.

    The detector has its `conditions`, as for `build_robustness_figure`, and
    `promised_false_alarms`. The panels are as there.
    """

    def plot(axes: Axes, name: str, strengths: Sequence[float]) -> None:
        plot_errors(axes, detector["conditions"][name], strengths)
        promised = detector["promised_false_alarms"]
        if promised is not None:
            axes.axhline(promised, color="black", ls=":", lw=1)

    labels = list(RATES.values())
    if detector["promised_false_alarms"] is not None:
        labels.append("false alarms promised at most")
    return _build_figure(plot, panels, title, labels)


def _build_figure(
    plot: Callable[[Axes, str, Sequence[float]], None],
    panels: Panels,
    title: str,
    labels: Sequence[str],
) -> Figure:
    """Return a figure with a panel for each disturbance, and one for the legend."""
    num_rows = -(-(len(panels) + 1) // _NUM_COLUMNS)
    figure = Figure(figsize=(11, 2.7 * num_rows + 0.5), layout="constrained")
    grid = figure.subplots(num_rows, _NUM_COLUMNS, sharey=True, squeeze=False)
    cells = list(grid.flat)
    for axes, (name, (unit, strengths)) in zip(cells, panels.items(), strict=False):
        plot(axes, name, strengths)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(unit, fontsize=9)
    for axes in cells[len(panels) :]:
        axes.set_axis_off()
    cells[len(panels)].legend(
        cells[0].lines[: len(labels)],
        [wrap_title(label, 34) for label in labels],
        loc="center",
        fontsize=9,
        frameon=False,
        handlelength=3,
        title="bands: 95 % intervals" if cells[0].collections else None,
    )
    figure.suptitle(make_drawable(title), fontsize=11)
    return figure


def list_metrics() -> list[Metric]:
    """Return what is shown of a detector, what should be high before the rest."""
    return sorted(list_columns("robustness"), key=lambda m: not m.higher_is_better)


def list_lines(
    conditions: Sequence[Sequence[Mapping[str, Any]]],
) -> list[list[tuple[float, Sequence[float]]]]:
    """Return each line's values and intervals: all of one detector, AUCs of several."""
    names = [m.name for m in list_metrics()] if len(conditions) == 1 else ["auc"]
    return [
        [(level[n], get_interval(level, n) or (level[n],) * 2) for level in levels]
        for levels in conditions
        for n in names
    ]


def plot_disturbance(
    axes: Axes,
    lines: Sequence[Sequence[tuple[float, Sequence[float]]]],
    strengths: Sequence[float],
) -> Axes:
    """Draw lines with their intervals over the levels, level 0 first."""
    levels = range(len(strengths) + 1)
    for index, line in enumerate(lines):
        style = get_line_style(index)
        values, intervals = zip(*line, strict=True)
        lows, highs = zip(*intervals, strict=True)
        if len(lines) <= MOST_BANDS:
            look = {"color": style["color"], "alpha": 0.15, "lw": 0}
            axes.fill_between(levels, lows, highs, **look)
        axes.plot(levels, values, **style)
    axes.axhline(0.5, color=GREY, ls=":", lw=1)
    return _set_levels(axes, strengths)


def plot_errors(
    axes: Axes, levels: Sequence[Mapping[str, Any]], strengths: Sequence[float]
) -> Axes:
    """Draw each of `RATES` over the levels, level 0 first.

    Rates at the stored bounds have their intervals as bands; those among verdicts end
    where there are none.
    """
    places = range(len(levels))
    for name, style in _ERROR_STYLES.items():
        values = [math.nan if of[name] is None else of[name] for of in levels]
        axes.plot(places, values, **style)
        if name in _BANDED:
            ends = [get_interval(of, name) for of in levels]
            look = {"color": style["color"], "alpha": 0.15, "lw": 0}
            axes.fill_between(places, *zip(*ends, strict=True), **look)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return _set_levels(axes, strengths)


def _set_levels(axes: Axes, strengths: Sequence[float]) -> Axes:
    """Give a panel its scales: levels by their strengths, and shares."""
    levels = range(len(strengths) + 1)
    axes.set_xticks(levels, ["none", *(f"{s:g}" for s in strengths)], fontsize=8)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return axes


def format_robustness(detector: Mapping[str, Any]) -> list[str]:
    """Return a detector's table as lines, a row for each disturbance.

    Levels stand in the columns of their numbers, also where some are not measured; how
    strong each is stands above the measures.
    """
    by_name = detector["conditions"].items()
    rows = {name: {of["level"]: of for of in levels} for name, levels in by_name}
    columns = sorted(set().union(*rows.values()))
    header = _align_levels(f"{level or 'none'}" for level in columns)

    def format_rows(show: Callable[[Mapping[str, Any]], str]) -> list[str]:
        cells = [[show(r[n]) if n in r else "" for n in columns] for r in rows.values()]
        return [
            f"  {name:<24}{_align_levels(row)}"
            for name, row in zip(rows, cells, strict=True)
        ]

    strengths = format_rows(lambda of: of["condition"].partition("=")[2])
    lines = [detector["title"], f"{'level':<26}{header}"]
    lines += [f"{s}  {UNITS[name]}" for s, name in zip(strengths, rows, strict=True)]
    for metric in list_metrics():
        lines.append(f"{metric.short:<26}{header}")
        lines += format_rows(lambda of, name=metric.name: f"{of[name]:.3f}")
    return [*map(str.rstrip, lines), detector["sentence"]]


def _align_levels(cells: Iterable[str]) -> str:
    return "".join(f"{cell:>8}" for cell in cells)


def format_errors(detector: Mapping[str, Any]) -> list[str]:
    """Return lines: a row for each condition, errors and images without a verdict."""
    promised = detector["promised_false_alarms"]
    heads = ("false alarms", "misses", "inconclusive", "false alarms", "misses")
    last = "" if promised is None else "  promise"
    lines = [
        f"{'percent [95 % interval]':<66}{'among verdicts':>36}",
        f"  {'':<16}{_align(heads)}{last}",
    ]
    rows = [of for levels in detector["conditions"].values() for of in levels]
    for of in {row["condition"]: row for row in rows}.values():
        cells = _align([_format_share(of, name) for name in RATES])
        word = describe_promise(of, promised)
        lines.append(f"  {of['condition']:<16}{cells}  {word}".rstrip())
    if promised is not None:
        what = "of the real images that get a verdict are called fake"
        lines.append(f"promise: at most {100 * promised:.3g} % {what}")
    return lines


def _align(cells: Sequence[str]) -> str:
    """Return the cells of a row of errors below each other."""
    widths = (15, 15, 15, 20, 20)
    return "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))


def _format_share(numbers: Mapping[str, Any], name: str) -> str:
    """Return a share in percent, of verdicts as counted, with its interval; '-'."""
    if numbers[name] is None:
        return "-"
    low, high = (100 * end for end in get_interval(numbers, name))
    share = f"{100 * numbers[name]:.0f}"
    if name.startswith("told"):
        share = " of ".join(map(str, numbers[f"{name}_counts"]))
    return f"{share} [{low:.0f}, {high:.0f}]"


def describe_promise(numbers: Mapping[str, Any], promised: float | None) -> str:
    """Say whether a condition keeps the promise, and whether that is sure if not."""
    if numbers["keeps_promise"] is None:
        return ""
    if numbers["keeps_promise"]:
        return "kept"
    low, _ = get_interval(numbers, "told_false_alarms")
    return "surely broken" if low > promised else "broken"


def name_rate_columns() -> list[str]:
    """Return names for each of `RATES`: its value, its ends, and what was counted."""
    ends = ("", "_low", "_high", "_num", "_of")
    return [f"{name}{end}" for name in RATES for end in ends] + ["keeps_promise"]


def list_rate_cells(numbers: Mapping[str, Any]) -> list[Any]:
    """Return the cells below `name_rate_columns`, empty ones for no number."""
    cells: list[Any] = []
    for name in RATES:
        interval = get_interval(numbers, name) or (None, None)
        cells += [numbers[name], *interval, *numbers[f"{name}_counts"]]
    cells.append(numbers["keeps_promise"])
    return ["" if cell is None else cell for cell in cells]
