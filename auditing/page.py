"""An audit as a figure, as numbers, and as one page that needs no other file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from auditing.audit import Audit
from auditing.duplicates import Pair
from auditing.findings import name_pair, summarise
from auditing.properties import Inspection
from auditing.shortcuts import CONTENT_LIMITS, FILE_LIMITS, Shortcut
from files.atomic import save_json, save_text
from files.names import spell_dataset
from loading import read_image
from plots.pages import embed_figure, embed_image, list_counts, render_page
from plots.style import GREY, SPLIT_COLORS, SPLIT_MARKERS, make_drawable, save_figure

MOST_PAIRS = 24  # that the page shows
THUMBNAIL = 112  # pixels
_TEMPLATE = Path(__file__).with_name("audit.html")


def save_audit(audit: Audit, folder: Path, call: dict[str, Any]) -> list[Path]:
    """Save figure, numbers and page; return their paths.

    `call` says what ran, as `describe_call` returns it.
    """
    start = f"{spell_dataset(audit.dataset)}_audit"
    png, json, html = (folder / f"{start}.{end}" for end in ("png", "json", "html"))
    page = build_page(audit)
    save_figure(build_figure(audit.dataset, audit.shortcuts), png)
    save_json({**call, **audit.to_dict()}, json)
    save_text(page, html)
    return [png, json, html]


def build_page(audit: Audit) -> str:
    """Return an audit as HTML, with its pictures; serious pairs come first."""
    pairs = [pair for finding in audit.findings for pair in finding.pairs]
    alt = "AUC of each property, with its interval: the table below holds the numbers"
    figure = build_figure(audit.dataset, audit.shortcuts)
    return render_page(
        _TEMPLATE,
        dataset=audit.dataset,
        summary=summarise(audit.findings),
        findings=audit.findings,
        counts=list_counts(audit.counts),
        shortcuts=[[*s.to_cells(), s.difference] for s in audit.shortcuts],
        figure=embed_figure(figure, alt, "png"),
        num_pairs=len(pairs),
        pairs=[_build_thumbnails(audit.inspection, p) for p in pairs[:MOST_PAIRS]],
    )


def _build_thumbnails(inspection: Inspection, pair: Pair) -> dict[str, Any]:
    """Return a pair's images side by side, and what they are."""
    canvas = Image.new("RGB", (2 * THUMBNAIL + 4, THUMBNAIL), "white")
    for number, index in enumerate((pair.first, pair.second)):
        image = read_image(inspection.files[index])
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        canvas.paste(image, (number * (THUMBNAIL + 4), 0))
    names = list(name_pair(inspection, pair).values())
    picture = embed_image(canvas, " beside ".join(names))
    return {"image": picture, "pair": pair, "names": names}


def build_figure(dataset: str, shortcuts: Sequence[Shortcut]) -> Figure:
    """Draw the AUC of each property in each split, with its interval, worst first."""
    names = {shortcut.trait.name for shortcut in shortcuts}
    size = (8.2, 2.1 + 0.42 * max(len(names), 1))
    figure = Figure(figsize=size, layout="constrained")
    title = f"How well single properties tell the classes apart: {dataset}\n"
    title += "all intervals together hold with 95 % confidence"
    axes = figure.subplots()
    axes.set_title(make_drawable(title), fontsize=11)
    plot_shortcuts(axes, shortcuts)
    return figure


def plot_shortcuts(axes: Axes, shortcuts: Sequence[Shortcut]) -> Axes:
    """Draw a row for each property, a marker with its interval for each split."""
    rows: dict[str, list[Shortcut]] = {}
    for shortcut in shortcuts:
        rows.setdefault(shortcut.trait.name, []).append(shortcut)
    places = {name: place for place, name in enumerate(rows)}
    sizes = {shortcut.split: shortcut.num_images for shortcut in shortcuts}
    splits = [split for split in SPLIT_MARKERS if split in sizes]
    for number, split in enumerate(splits):
        shift = 0.2 * (number - (len(splits) - 1) / 2)
        own = [s for s in shortcuts if s.split == split and not s.is_constant]
        axes.errorbar(
            [s.auc for s in own],
            [places[s.trait.name] + shift for s in own],
            xerr=[[max(s.auc - s.low, 0) for s in own], [s.high - s.auc for s in own]],
            fmt=SPLIT_MARKERS[split],
            ms=5,
            color=SPLIT_COLORS[split],
            elinewidth=1.4,
            label=f"{split} (n = {sizes[split]})",
        )
    labels = []
    for name, of_name in rows.items():
        kind = "file" if any(s.is_of_file for s in of_name) else "content"
        labels.append(f"{name} ({kind})")
        if all(s.is_constant for s in of_name):
            style = {"va": "center", "size": 9, "backgroundcolor": "white"}
            axes.text(0.51, places[name], "the same in all", **style)
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _draw_limits(axes, min([s.low for s in shortcuts], default=0.5))
    return axes


def _draw_limits(axes: Axes, lowest: float) -> None:
    """Draw the AUCs beyond which an interval means something, and the legend."""
    look, serious = CONTENT_LIMITS
    lines = (
        (0.5, "--", "chance"),
        (FILE_LIMITS[1], ":", f"interval above {look}: file serious, content look"),
        (serious, "-.", f"interval above {serious}: content serious"),
    )
    for place, dashes, label in lines:
        axes.axvline(place, color=GREY, lw=1, ls=dashes, label=label)
    axes.set(xlim=(min(0.4, lowest - 0.02), 1.01), xlabel="AUC, cross-validated")
    axes.grid(alpha=0.25, axis="x")
    place = {"loc": "upper center", "bbox_to_anchor": (0.35, -0.1)}
    axes.legend(**place, ncols=2, frameon=False, fontsize=9, columnspacing=1)
