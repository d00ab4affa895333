"""An audit as a figure, as numbers, and as one page that needs no other file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from auditing.duplicates import Pair
from auditing.findings import LEVELS, Finding, format_auc
from auditing.properties import Inspection, shorten
from auditing.shortcuts import SERIOUS_AUC, Shortcut
from loading import read_image
from plots.pages import embed_figure, embed_image, render_page
from plots.style import GREY, escape_dollars

MOST_PAIRS = 24  # that the page shows
THUMBNAIL = 112  # pixels
# split -> colour (Okabe and Ito), marker
_STYLES = {
    "train": ("#0072B2", "o"),
    "val": ("#D55E00", "s"),
    "test": ("#009E73", "^"),
}

_TEMPLATE = Path(__file__).with_name("audit.html")


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
    rows = [
        [
            shortcut.trait.name,
            "file" if shortcut.is_of_file else "content",
            shortcut.split,
            "the same in all" if shortcut.is_constant else format_auc(shortcut),
            shortcut.verdict,
            shortcut.difference,
        ]
        for shortcut in shortcuts
    ]
    alt = "AUC of each property, with its interval: the table below holds the numbers"
    return render_page(
        _TEMPLATE,
        dataset=dataset,
        summary=summarise(findings),
        findings=findings,
        counts=[[split, *_count(of_class)] for split, of_class in counts.items()],
        shortcuts=rows,
        figure=embed_figure(build_figure(dataset, shortcuts), alt, "png"),
        num_pairs=len(pairs),
        pairs=[_build_thumbnails(inspection, pair) for pair in pairs[:MOST_PAIRS]],
    )


def _count(of_class: dict[str, int]) -> tuple[int, int, str]:
    real, fake = of_class["real"], of_class["fake"]
    return real, fake, f"{100 * fake / (real + fake):.1f} %"


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
    names = [shorten(path) for path in paths]
    return {
        "image": embed_image(canvas, f"{names[0]} beside {names[1]}"),
        "kind": pair.kind,
        "similarity": pair.similarity,
        "first": names[0],
        "second": names[1],
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
