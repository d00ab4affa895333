"""How every figure looks: colours, lines, numbers as text, titles, legends.

Colours are Okabe and Ito's, which readers with any colour vision can tell apart. Line
styles and markers differ as well, for figures printed in grey.
"""

import math
import re
import textwrap
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from files.atomic import write_atomically
from files.classes import FAKE, REAL
from files.names import format_percent

DPI = 150
PLOT_DPI = 220  # about 300 in a paper's column of 8.5 cm
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"
REAL_COLOR, FAKE_COLOR = _BLUE, _ORANGE
CLASS_COLORS = {REAL: REAL_COLOR, FAKE: FAKE_COLOR}
SPLIT_COLORS = {"train": _BLUE, "val": _ORANGE, "test": _GREEN}
SPLIT_MARKERS = {"train": "o", "val": "s", "test": "^"}
FRAME_COLOR = "#E69F00"  # around what a reader should look at
PALE_COLOR = "#9FB6C6"
MAP_COLORS = "inferno"  # from dark to bright
SHARE_COLORS = "Blues"  # from none to all
AUC_COLORS = "RdBu"  # white is chance
GREY = "#666666"
_AXES_INCHES = 3.7  # with its labels about 4.4: letters stay legible in a column
MOST_BANDS = 6  # more bands that overlap are mud, and are not filled
_FONT = "DejaVu Sans"  # comes with Matplotlib
_families = {_FONT: None}  # fonts that have what names hold, in the order of search
_SVG = {"svg.fonttype": "path", "svg.hashsalt": "page"}  # equal numbers, equal bytes
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
    """Return the line style of the detector drawn as number `index`; 49 differ."""
    cycle, number = divmod(index, len(_LINE_COLORS))
    dashes = _DASHES[(number + 3 * cycle) % len(_DASHES)]
    return {"color": _LINE_COLORS[number], "ls": dashes, "lw": 1.8}


def make_drawable(text: str) -> str:
    """Return a text as figures can show it: dollar signs do not start a formula.

    A character that no font of this system has, such as a byte that is not UTF-8,
    becomes an escape.
    """
    shown = "".join(
        c if c == "\n" or _find_font(c) else c.encode("unicode_escape").decode()
        for c in text
    )
    return shown.replace("$", r"\$")


@cache
def _find_font(character: str) -> str | None:
    """Return the first family that has a character; `render` then uses it too."""
    if not character.isprintable():
        return None
    fonts = [entry for entry in font_manager.fontManager.ttflist if _is_text(entry)]
    for entry in sorted(fonts, key=lambda entry: entry.name != _FONT):
        if ord(character) in _list_characters(entry.fname):
            _families.setdefault(entry.name)
            return entry.name
    return None


def _is_text(entry: font_manager.FontEntry) -> bool:
    """Say whether a font is upright, and has letters rather than boxes or symbols."""
    is_upright = entry.style == "normal" and entry.weight == 400
    return is_upright and not re.match(r"last ?resort|cm[a-z]+10$", entry.name, re.I)


@cache
def _list_characters(path: str) -> frozenset[int]:
    try:
        font = font_manager.get_font(path)
    except (OSError, RuntimeError):  # not a font that Matplotlib can read
        return frozenset()
    return frozenset(font.get_charmap() if font.scalable else ())


def wrap_title(title: str, width: int) -> str:
    """Break a detector's name into lines, as figures can show it."""
    return make_drawable(textwrap.fill(title, width, break_on_hyphens=False))


def format_number(value: float | None, *, digits: int = 4) -> str:
    """Return a number with so many decimals, '-' for none.

    What is not 0 or 1 does not look like it: it gets the digits that this takes.
    """
    if value is None:
        return "-"
    if 0 < abs(value) < 0.5 * 10**-digits:
        return f"{value:.2g}"
    return _lengthen(value, digits, "f")


def format_threshold(value: float, *, digits: int = 3) -> str:
    """Return a threshold with so many digits, or like `format_number` with more.

    The next number above one of so few digits is 'above' it.
    """
    text = f"{value:.{digits}g}"
    if value == math.nextafter(float(text), math.inf):
        return f"above {text}"
    return _lengthen(value, digits, "g")


def _lengthen(value: float, digits: int, kind: str) -> str:
    """Return a number with at least so many digits, more if it would look like 1."""
    texts = (f"{value:.{number}{kind}}" for number in range(digits, 18))
    return next(t for t in texts if abs(float(t)) != 1 or abs(value) == 1)


def format_p_value(value: float | None) -> str:
    """Return a p-value with three digits, '-' where there is none (None or NaN)."""
    return "-" if value is None or value != value else f"{value:.3g}"


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
    number = format_percent if percent else partial(format_number, digits=digits)
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
    """Save as PNG what is drawn on new axes, which have one size in all figures."""
    figure = build_plot(draw)
    options = {"dpi": PLOT_DPI, "bbox_inches": "tight"}
    write_atomically(path, lambda handle: render(figure, handle, **options))


def build_plot(draw: Callable[[Axes], object]) -> Figure:
    """Draw on new axes, to be saved with a tight box."""
    with style.context("default"):
        # Unlike pyplot, this keeps no figure alive and looks for no display.
        figure = Figure(figsize=(_AXES_INCHES, _AXES_INCHES))
        draw(figure.add_axes((0, 0, 1, 1)))
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Save a figure as PNG, whole or not at all."""
    write_atomically(path, lambda handle: render(figure, handle, dpi=DPI))


def render(
    figure: Figure, handle: IO[bytes], kind: str = "png", **options: Any
) -> None:
    """Write a figure as Matplotlib's own defaults say, with the fonts that it needs."""
    with style.context(["default", {**_SVG, "font.family": [*_families]}]):
        if len(_families) > 1:
            for text in figure.findobj(Text):
                text.set_fontfamily([*_families])
        figure.savefig(handle, format=kind, **options)
