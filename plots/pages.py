"""HTML pages in one file each: the frame that they share, and pictures within them.

A page's template lies beside the code that fills it and extends `frame.html`. A page
loads nothing and runs no script; it holds all that it shows.
"""

import base64
import gc
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from files.classes import CLASS_NAMES
from files.names import format_percent
from plots.style import FRAME_COLOR, build_plot, render

FRAME = Path(__file__).with_name("frame.html")
# A larger drawing becomes pixels, because curves of a million samples fill a page.
MOST_SVG_BYTES = 200_000
_PIXELS_DPI = 130
_TIE = "\N{NO-BREAK SPACE}"
_INTERVAL = re.compile(rf"\[[-+.\de]+{_TIE}?%?, [-+.\de]+{_TIE}?%?\]")
_QUALITY = 85  # of JPEGs


class EmbeddedImage(NamedTuple):
    """A picture within a page.

    Attributes:
        source: a `data:` address that holds it.
        alt: what it shows, for readers who cannot see it.
        width, height: in CSS pixels.
    """

    source: str
    alt: str
    width: int
    height: int


def render_page(template: Path, **values: Any) -> str:
    """Fill a template's names with values, which are escaped."""
    folders = [template.parent, FRAME.parent]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tie"] = tie
    environment.globals["frame_color"] = FRAME_COLOR
    return environment.get_template(template.name).render(**values)


def tie(text: str) -> str:
    """Keep a number and its %, and an interval, on one line each."""
    text = text.replace(" %", f"{_TIE}%")
    return _INTERVAL.sub(lambda match: match[0].replace(" ", _TIE), text)


def embed_plot(draw: Callable[[Axes], object], alt: str) -> EmbeddedImage:
    """Draw on axes like `plots.style.save_plot`, as a drawing that can be enlarged."""
    picture = _save(build_plot(draw), alt, "svg", bbox_inches="tight")
    if len(picture.source) > MOST_SVG_BYTES:
        picture = _save(build_plot(draw), alt, "png", bbox_inches="tight")
        gc.collect()  # a figure refers to itself, and keeps all points of its curves
    return picture


def embed_figure(figure: Figure, alt: str, kind: str = "jpeg") -> EmbeddedImage:
    """Turn a figure into pixels: a JPEG if it shows maps, a PNG if lines."""
    options = {"pil_kwargs": {"quality": _QUALITY}} if kind == "jpeg" else {}
    return _save(figure, alt, kind, **options)


def embed_image(image: Image.Image, alt: str) -> EmbeddedImage:
    """Turn an image into a JPEG, shown at its size."""
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=_QUALITY)
    return EmbeddedImage(_to_address(jpeg, "jpeg"), alt, *image.size)


def _save(figure: Figure, alt: str, kind: str, **options: Any) -> EmbeddedImage:
    content = io.BytesIO()
    if kind == "svg":
        options["metadata"] = {"Date": None}
    render(figure, content, kind, dpi=_PIXELS_DPI, **options)
    width, height = _measure_svg(content) if kind == "svg" else _measure_pixels(content)
    return EmbeddedImage(_to_address(content, kind), alt, width, height)


def _measure_svg(content: io.BytesIO) -> tuple[int, int]:
    """Return an SVG's size in CSS pixels, of which an inch has 96 and a point 4/3."""
    start = content.getvalue()[:2000].decode()
    width, height = (
        float(start.split(f' {name}="')[1].split("pt")[0])
        for name in ("width", "height")
    )
    return round(width * 4 / 3), round(height * 4 / 3)


def _measure_pixels(content: io.BytesIO) -> tuple[int, int]:
    with Image.open(content) as image:
        width, height = image.size
    return round(width * 96 / _PIXELS_DPI), round(height * 96 / _PIXELS_DPI)


def _to_address(content: io.BytesIO, kind: str) -> str:
    kind = {"svg": "svg+xml"}.get(kind, kind)
    encoded = base64.b64encode(content.getvalue()).decode()
    return f"data:image/{kind};base64,{encoded}"


def list_counts(counts: Mapping[str, Mapping[str, int]]) -> list[list[Any]]:
    """Return a row for each split: real, fake, and the share of fakes."""
    rows = []
    for split, of_class in counts.items():
        real, fake = (of_class[name] for name in CLASS_NAMES)
        share = format_percent(fake / (real + fake)) if real + fake else "-"
        rows.append([split, real, fake, share])
    return rows
