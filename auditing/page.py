"""An audit as a figure, as numbers, and as one page that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Any

import jinja2
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from auditing.duplicates import Pair
from auditing.findings import LEVELS, Finding, format_auc
from auditing.properties import Inspection, shorten
from auditing.shortcuts import SERIOUS_AUC, Shortcut
from loading import read_image
from plots.style import GREY, escape_dollars

MOST_PAIRS = 24  # that the page shows
THUMBNAIL = 112  # pixels
# split -> colour (Okabe and Ito), marker
_STYLES = {
    "train": ("#0072B2", "o"),
    "val": ("#D55E00", "s"),
    "test": ("#009E73", "^"),
}

_TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Audit of {{ dataset }}</title>
<style>
body { font: 16px/1.45 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse } td, th { padding: .2em .8em; text-align: left }
tr { border-bottom: 1px solid #ddd } .number { text-align: right }
.serious { border-left: .4em solid #D55E00 } .look { border-left: .4em solid #E69F00 }
.info { border-left: .4em solid #999 } .finding { padding: .1em .8em; margin: .8em 0 }
img { max-width: 100% } .pair { display: inline-block; margin: .4em; font-size: 12px }
.pair span { display: block; max-width: 19em; overflow-wrap: anywhere }
</style>
<h1>Audit of {{ dataset }}</h1>
<p>{{ summary }}</p>
<h2>Findings</h2>
{% for finding in findings %}<div class="finding {{ finding.level }}">
<p><b>{{ finding.level }}</b>: {{ finding.text }}
{%- if finding.advice %}.<br>What to do: {{ finding.advice }}.{% endif %}</p>
</div>{% else %}<p>Nothing was found.</p>{% endfor %}
<h2>Images</h2>
<table><tr><th>split<th class="number">real<th class="number">fake
<th class="number">fake, %</tr>
{% for split, count in counts.items() %}<tr><td>{{ split }}
<td class="number">{{ count.real }}<td class="number">{{ count.fake }}
<td class="number">{{ "%.1f" % (100 * count.fake / (count.real + count.fake)) }}</tr>
{% endfor %}</table>
<h2>What single properties say of the class</h2>
<p>AUC of a classifier that sees this property alone, on images that it was not trained
on. All intervals together hold with 95 % confidence.</p>
<img alt="AUC of each property, with its interval"
 src="data:image/png;base64,{{ figure }}">
<table><tr><th>property<th>of<th>split<th>AUC<th>verdict<th>typical</tr>
{% for row in shortcuts %}<tr><td>{{ row.trait.name }}
<td>{{ "file" if row.is_of_file else "content" }}<td>{{ row.split }}
<td>{{ "the same in all" if row.is_constant else format_auc(row) }}<td>{{ row.verdict }}
<td>{{ row.difference }}</tr>
{% endfor %}</table>
{% if pairs %}<h2>Images that show the same</h2>
<p>{{ pairs | length }} of {{ num_pairs }} pairs.</p>
{% for pair in pairs %}<div class="pair">
<img alt="" src="data:image/jpeg;base64,{{ pair.image }}">
<span>{{ pair.kind }}, {{ "%.3f" % pair.similarity }}</span>
<span>{{ pair.first }}</span><span>{{ pair.second }}</span></div>
{% endfor %}{% endif %}</html>
"""


def build_page(
    dataset: str,
    inspection: Inspection,
    findings: Sequence[Finding],
    *,
    shortcuts: Sequence[Shortcut],
    counts: dict[str, dict[str, int]],
) -> str:
    """Return an audit as HTML, its pictures within it.

    Args:
        dataset: its name.
        inspection: of its images.
        findings: what was found; the pairs of the serious ones are shown first.
        shortcuts: how well properties tell the classes apart.
        counts: split -> class -> images.
    """
    pairs = [pair for finding in findings for pair in finding.pairs]
    png = io.BytesIO()
    build_figure(dataset, shortcuts).savefig(png, format="png", dpi=110)
    template = jinja2.Environment(autoescape=True).from_string(_TEMPLATE)
    return template.render(
        dataset=dataset,
        summary=summarise(findings),
        findings=findings,
        counts=counts,
        shortcuts=shortcuts,
        format_auc=format_auc,
        figure=base64.b64encode(png.getvalue()).decode(),
        num_pairs=len(pairs),
        pairs=[_build_thumbnails(inspection, pair) for pair in pairs[:MOST_PAIRS]],
    )


def summarise(findings: Iterable[Finding]) -> str:
    """Return how many findings there are of which level, as a sentence."""
    levels = [finding.level for finding in findings]
    numbers = [f"{levels.count(level)} {level}" for level in LEVELS]
    verdict = "not fair as it is" if "serious" in levels else "nothing serious"
    return f"{verdict}: {', '.join(numbers)}"


def _build_thumbnails(inspection: Inspection, pair: Pair) -> dict[str, Any]:
    """Return a pair's images side by side, and what they are."""
    paths = [inspection.paths[index] for index in (pair.first, pair.second)]
    canvas = Image.new("RGB", (2 * THUMBNAIL + 4, THUMBNAIL), "white")
    for number, path in enumerate(paths):
        image = read_image(path)
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        canvas.paste(image, (number * (THUMBNAIL + 4), 0))
    jpeg = io.BytesIO()
    canvas.save(jpeg, "JPEG", quality=80)
    return {
        "image": base64.b64encode(jpeg.getvalue()).decode(),
        "kind": pair.kind,
        "similarity": pair.similarity,
        "first": shorten(paths[0]),
        "second": shorten(paths[1]),
    }


def build_figure(dataset: str, shortcuts: Sequence[Shortcut]) -> Figure:
    """Draw the AUC of each property in each split, with its interval, worst first."""
    names = list(dict.fromkeys(shortcut.trait.name for shortcut in shortcuts))
    size = (8.2, 1.9 + 0.42 * max(len(names), 1))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    title = f"What single properties say of the class: {dataset}\n"
    title += "all intervals together hold with 95 % confidence"
    axes.set_title(escape_dollars(title), fontsize=11)
    plot_shortcuts(axes, shortcuts)
    return figure


def plot_shortcuts(axes: Axes, shortcuts: Sequence[Shortcut]) -> Axes:
    """Draw a row for each property, a marker with its interval for each split.

    Args:
        axes: where to draw.
        shortcuts: in any order.

    Returns:
        The same axes.
    """
    names = list(dict.fromkeys(shortcut.trait.name for shortcut in shortcuts))
    sizes = {shortcut.split: shortcut.num_images for shortcut in shortcuts}
    splits = [split for split in _STYLES if split in sizes]
    for place, split in enumerate(splits):
        color, marker = _STYLES[split]
        own = [s for s in shortcuts if s.split == split and not s.is_constant]
        heights = [
            names.index(s.trait.name) + 0.2 * (place - (len(splits) - 1) / 2)
            for s in own
        ]
        axes.errorbar(
            [s.auc for s in own],
            heights,
            xerr=[[max(s.auc - s.low, 0) for s in own], [s.high - s.auc for s in own]],
            fmt=marker,
            ms=5,
            color=color,
            elinewidth=1.4,
            label=f"{split} (n = {sizes[split]})",
        )
    labels = []
    for name in names:
        rows = [s for s in shortcuts if s.trait.name == name]
        kind = "file" if any(s.is_of_file for s in rows) else "content"
        labels.append(f"{name} ({kind})")
        if all(s.is_constant for s in rows):
            style = {"va": "center", "size": 9, "backgroundcolor": "white"}
            axes.text(0.51, names.index(name), "the same in all", **style)
    axes.axvline(0.5, color=GREY, lw=1, ls="--", label="chance")
    label = f"wholly beyond {SERIOUS_AUC}: file serious, content look"
    axes.axvline(SERIOUS_AUC, color=GREY, lw=1, ls=":", label=label)
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(len(names) - 0.4, -0.6)
    lowest = min([s.low for s in shortcuts], default=0.5)
    axes.set(xlim=(min(0.4, lowest - 0.02), 1.01), xlabel="AUC, cross-validated")
    axes.grid(alpha=0.25, axis="x")
    place = {"loc": "upper center", "bbox_to_anchor": (0.35, -0.1)}
    axes.legend(**place, ncols=3, frameon=False, fontsize=9, columnspacing=1)
    return axes
