"""What disturbances leave of detectors, a panel for each disturbance."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metrics.table import Metric, list_columns
from plots.style import (
    GREY,
    MOST_BANDS,
    get_interval,
    get_line_style,
    make_drawable,
    wrap_title,
)

_NUM_COLUMNS = 4


def build_robustness_figure(
    detectors: Sequence[Mapping[str, Any]],
    panels: Mapping[str, tuple[str, Sequence[float]]],
    title: str,
) -> Figure:
    """Draw the numbers of one detector, or the AUCs of several.

    Args:
        detectors: each with its `title`, `auc_kept` in words, and `conditions`: by
            disturbance the numbers of level 0 and of each level after it.
        panels: by disturbance its unit and the strength of each level.
        title: of the figure.
    """
    num_rows = -(-(len(panels) + 1) // _NUM_COLUMNS)
    figure = Figure(figsize=(11, 2.7 * num_rows + 0.5), layout="constrained")
    cells = list(figure.subplots(num_rows, _NUM_COLUMNS, sharey=True).flat)
    for axes, (name, (unit, strengths)) in zip(cells, panels.items(), strict=False):
        lines = list_lines([d["conditions"][name] for d in detectors])
        plot_disturbance(axes, lines, strengths)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(unit, fontsize=9)
    for axes in cells[len(panels) :]:
        axes.set_axis_off()
    labels = [f"{d['title']}: {d['auc_kept_in_words']}" for d in detectors]
    if len(detectors) == 1:
        labels = [metric.short for metric in list_metrics()]
        labels[0] += f" ({detectors[0]['auc_kept_in_words']})"
    cells[len(panels)].legend(
        cells[0].lines[: len(labels)],
        [wrap_title(label, 34) for label in labels],
        loc="center",
        fontsize=9,
        frameon=False,
        handlelength=3,
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
    axes.set_xticks(levels, ["none", *(f"{s:g}" for s in strengths)], fontsize=8)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return axes


def format_robustness(
    detector: Mapping[str, Any], panels: Mapping[str, tuple[str, Sequence[float]]]
) -> list[str]:
    """Return a detector's table as lines, a row for each disturbance."""
    num_levels = max(len(strengths) for _, strengths in panels.values())
    lines = [detector["title"]]
    for metric in list_metrics():
        header = "".join(f"{level:>8}" for level in ("none", *range(1, num_levels + 1)))
        lines.append(f"{metric.short:<26}{header}")
        for disturbance in panels:
            row = detector["conditions"][disturbance]
            cells = "".join(f"{level[metric.name]:>8.3f}" for level in row)
            lines.append(f"  {disturbance:<24}{cells}")
    return [*lines, detector["sentence"]]
