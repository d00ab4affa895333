"""How every figure looks: colours, lines, numbers as text, titles, legends.

Colours are Okabe and Ito's, which readers with any colour vision can tell apart. Line
styles and markers differ as well, for figures printed in grey.
"""

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from files.atomic import write_atomically
from files.names import FAKE, REAL

DPI = 150
PLOT_DPI = 220  # about 300 in a paper's column of 8.5 cm
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"
REAL_COLOR, FAKE_COLOR = _BLUE, _ORANGE
CLASS_COLORS = {REAL: REAL_COLOR, FAKE: FAKE_COLOR}
SPLIT_COLORS = {"train": _BLUE, "val": _ORANGE, "test": _GREEN}
SPLIT_MARKERS = {"train": "o", "val": "s", "test": "^"}
FRAME_COLOR = "#E69F00"  # around what a reader should look at
PALE_COLOR = "#9FB6C6"
GREY = "#666666"
_AXES_INCHES = 3.7  # with its labels about 4.4: letters stay legible in a column
_LINE_COLORS = (_ORANGE, _BLUE, "#000000", "#CC79A7", _GREEN, "#56B4E9", "#B8860B")
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
    number = index % len(_LINE_COLORS)
    return {"color": _LINE_COLORS[number], "ls": _DASHES[number], "lw": 1.8}


def escape_dollars(text: str) -> str:
    """Keep Matplotlib from reading a name with dollar signs as a formula."""
    return text.replace("$", r"\$")


def wrap_title(title: str, width: int) -> str:
    """Break a detector's name into lines, and keep it from becoming a formula."""
    return escape_dollars(textwrap.fill(title, width, break_on_hyphens=False))


def format_percent(rate: float) -> str:
    """Return a rate as in every figure: '5.0 %'."""
    return f"{100 * rate:.1f} %"


def format_number(value: float | None, *, digits: int = 4) -> str:
    """Return a number with so many decimals, '-' for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def get_interval(numbers: Mapping[str, Any], name: str) -> list[float] | None:
    """Return the interval beside a number, of an analysis or of an operating point."""
    return numbers.get(f"{name}_interval")


def format_with_interval(
    numbers: Mapping[str, Any], name: str, *, digits: int = 3, percent: bool = False
) -> str:
    """Return 'value [low, high]', 'value' without an interval, '-' without a value."""
    value, interval = numbers[name], get_interval(numbers, name)
    if value is None:
        return "-"
    number = format_percent if percent else f"{{:.{digits}f}}".format
    ends = "" if interval is None else f" [{', '.join(map(number, interval))}]"
    return f"{number(value)}{ends}"


def build_title(kind: str, title: str, sizes: str) -> str:
    """Return a title: what it is, of which model and data, n, the positive class."""
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
    """Save as PNG what is drawn on new axes, which have one size in all figures.

    Raises:
        OSError: the file cannot be written.
    """
    figure = build_plot(draw)
    options = {"format": "png", "dpi": PLOT_DPI, "bbox_inches": "tight"}
    write_atomically(path, lambda handle: figure.savefig(handle, **options))


def build_plot(draw: Callable[[Axes], object]) -> Figure:
    """Draw on new axes, to be saved with a tight box."""
    # Unlike pyplot, this keeps no figure alive and looks for no display.
    figure = Figure(figsize=(_AXES_INCHES, _AXES_INCHES))
    draw(figure.add_axes((0, 0, 1, 1)))
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Save a figure as PNG, whole or not at all."""
    write_atomically(path, lambda handle: figure.savefig(handle, format="png", dpi=DPI))
