"""How every figure of an analysis looks: colours, titles, legends.

Colours are Okabe and Ito's, told apart by readers with any colour vision; line styles
and markers differ as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from metrics import Analysis

REAL_COLOR = "#0072B2"

FAKE_COLOR = "#D55E00"

COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

LINE_STYLES = ("-", "--", "-.", ":")

GREY = "#666666"


def get_style(index: int) -> dict[str, Any]:
    """Return the line style of the detector drawn as number `index`."""
    line_style = LINE_STYLES[index % len(LINE_STYLES)]
    return {"color": COLORS[index % len(COLORS)], "ls": line_style, "lw": 2}


def name_detector(analysis: Analysis, num_detectors: int) -> str:
    """Return what a legend calls a detector: its title, or alone just its score."""
    if num_detectors == 1:
        return "P(fake):"
    title = escape_dollars(analysis.scores.title)
    return f"{title}, n = {analysis.report['num_samples']}:\n   "


def escape_dollars(text: str) -> str:
    """Keep Matplotlib from reading a name with dollar signs as a formula."""
    return text.replace("$", r"\$")


def format_with_interval(
    report: dict[str, Any], name: str, *, percent: bool = False
) -> str:
    """Return a metric as 'value [low, high]', or the value where it has no interval."""
    number = "{:.1%}" if percent else "{:.3f}"
    interval = report[f"{name}_interval"]
    value = number.format(report[name])
    if interval is None:
        return value
    return f"{value} [{', '.join(map(number.format, interval))}]"


def build_title(kind: str, analyses: Sequence[Analysis]) -> str:
    """Return a title that says what, of which model and data, n and positive class."""
    report, scores = analyses[0].report, analyses[0].scores
    if len(analyses) > 1:
        return f"{kind} of {len(analyses)} detectors\npositive class: fake"
    counts = f"{report['num_real']} real and {report['num_fake']} fake {scores.unit}"
    return f"{kind}: {escape_dollars(scores.title)}\n{counts}, positive class: fake"


def finish_axes(axes: Axes, kind: str, analyses: Sequence[Analysis]) -> Axes:
    """Add title, grid and a legend below the axes, and return the axes."""
    axes.set_title(build_title(kind, analyses), fontsize=11)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    columns = 1 if len(analyses) > 1 else 2
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14 if kind != "DET" else -0.22),
        ncols=columns,
        frameon=False,
    )
    return axes
