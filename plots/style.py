"""How every figure looks: colours, titles, legends.

Colours are Okabe and Ito's, told apart by readers with any colour vision; line styles
and markers differ as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from files.atomic import write_atomically

DPI = 150
REAL_COLOR = "#0072B2"
FAKE_COLOR = "#D55E00"
GREY = "#666666"


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


def build_title(kind: str, title: str, sizes: str) -> str:
    """Return a title that says what, of which model and data, n and positive class."""
    return f"{kind}: {escape_dollars(title)}\n{sizes}, positive class: fake"


def finish_axes(
    axes: Axes, title: str, *, columns: int = 2, legend_top: float = -0.14
) -> Axes:
    """Add title, grid and a legend below the axes, and return the axes."""
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, legend_top),
        ncols=columns,
        frameon=False,
    )
    return axes


def save_figure(figure: Figure, path: str | Path) -> None:
    """Save a figure as PNG, whole or not at all."""
    write_atomically(path, lambda handle: figure.savefig(handle, format="png", dpi=DPI))
