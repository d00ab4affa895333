"""How every figure looks: colours, lines, numbers in words, titles, legends.

Colours are Okabe and Ito's, told apart by readers with any colour vision; line styles
and markers differ as well, for figures printed in grey.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from files.atomic import write_atomically

DPI = 150
PLOT_DPI = 220  # about 300 in a paper's column of 8.5 cm
REAL_COLOR = "#0072B2"
FAKE_COLOR = "#D55E00"
PALE_COLOR = "#9FB6C6"
GREY = "#666666"
_AXES_INCHES = 3.7  # with its labels about 4.4: letters stay legible in a column
_COLORS = ("#D55E00", "#0072B2", "#000000", "#CC79A7", "#009E73", "#56B4E9", "#B8860B")
_DASHES = (
    "-",
    (0, (5, 1.5)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (2, 1)),
    (0, (10, 2)),
    (0, (3, 1.5, 1, 1.5, 1, 1.5)),
    (0, (8, 1.5, 3, 1.5)),
)


def get_line_style(index: int) -> dict[str, Any]:
    """Return the line style of the detector drawn as number `index`."""
    number = index % len(_COLORS)
    return {"color": _COLORS[number], "ls": _DASHES[number], "lw": 1.8}


def escape_dollars(text: str) -> str:
    """Keep Matplotlib from reading a name with dollar signs as a formula."""
    return text.replace("$", r"\$")


def wrap_title(title: str, width: int) -> str:
    """Break a detector's name into lines, and keep it from becoming a formula."""
    return escape_dollars(textwrap.fill(title, width, break_on_hyphens=False))


def format_percent(rate: float) -> str:
    """Return a rate as in every figure: '5.0 %'."""
    return f"{100 * rate:.1f} %"


def format_with_interval(
    report: dict[str, Any], name: str, *, percent: bool = False
) -> str:
    """Return a metric as 'value [low, high]', or the value where it has no interval."""
    number = format_percent if percent else "{:.3f}".format
    value, interval = number(report[name]), report[f"{name}_interval"]
    if interval is None:
        return value
    return f"{value} [{', '.join(map(number, interval))}]"


def build_title(kind: str, title: str, sizes: str) -> str:
    """Return a title that says what, of which model and data, n and positive class."""
    return f"{wrap_title(f'{kind}: {title}', 52)}\n{sizes}, positive class: fake"


def finish_axes(
    axes: Axes, title: str, *, legend_top: float = -0.16, columns: int = 2
) -> Axes:
    """Add title, grid and a legend below the axes, and return the axes."""
    _add_title_and_grid(axes, title)
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, legend_top)}
    axes.legend(**place, ncols=columns, frameon=False, fontsize=9, columnspacing=1)
    return axes


def finish_comparison(axes: Axes, title: str) -> Axes:
    """Add title, grid and a legend beside the axes, and return the axes."""
    _add_title_and_grid(axes, title)
    place = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.02)}
    axes.legend(**place, frameon=False, fontsize=9, handlelength=3)
    return axes


def _add_title_and_grid(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def save_plot(draw: Callable[[Axes], object], path: str | Path) -> None:
    """Draw on new axes, of one size in all figures, and save them as PNG.

    Args:
        draw: draws on the axes it is given; what stands beside them is kept too.
        path: written whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    figure = build_plot(draw)
    options = {"format": "png", "dpi": PLOT_DPI, "bbox_inches": "tight"}
    write_atomically(path, lambda handle: figure.savefig(handle, **options))


def build_plot(draw: Callable[[Axes], object]) -> Figure:
    """Draw on new axes, of one size in all figures; to be saved with a tight box."""
    # Not pyplot: no global list keeps the figure alive, no display is looked for.
    figure = Figure(figsize=(_AXES_INCHES, _AXES_INCHES))
    draw(figure.add_axes((0, 0, 1, 1)))
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Save a figure as PNG, whole or not at all."""
    write_atomically(path, lambda handle: figure.savefig(handle, format="png", dpi=DPI))
