"""Maps beside, over and without their images, saved with the numbers beside each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import command_line
from files.atomic import save_json, write_atomically
from files.names import CLASS_NAMES, FAKE, REAL
from plots.style import (
    FAKE_COLOR,
    GREY,
    REAL_COLOR,
    escape_dollars,
    get_line_style,
    save_figure,
)
from scores import describe_fake_score

Details = dict[str, Any]  # model, dataset, split, checkpoint, ...: into the JSON file
PAIRS_PER_ROW = 6
UNKNOWN = -1  # label of an image whose true class nobody knows
_COLORS = {REAL: REAL_COLOR, FAKE: FAKE_COLOR, UNKNOWN: "black"}
NEARLY_EMPTY = 1e-3  # mean over maximum: one of conv3's cells and nothing else
_BRIGHTEST_PERCENTILE = 99  # a few extreme pixels would leave the rest black


@dataclass(frozen=True)
class Kind:
    """How one kind of map is drawn, and what figures say of it.

    Attributes:
        name: in the names of files.
        draw: from an image (H, W, 3) and its map to a picture (H, W, 3).
        title: of its mean, before the class.
        unit: what the mean's colour bar measures.
        legend: what the picture beside each image shows, before the class.
        scale: how its colours are to be read.
        empty: what a map with nothing or little in it means, before the class.
        has_outline: whether a line runs around the upper half of the map's values.
    """

    name: str
    draw: Callable[[np.ndarray, np.ndarray], np.ndarray]
    title: str
    unit: str
    legend: str
    scale: str
    empty: str
    has_outline: bool = False


@dataclass(frozen=True)
class Pair:
    """An image, its map, and what the detector says of it.

    Attributes:
        path: where the image is.
        image: float32 (H, W, 3) in [0, 1].
        map: float32 (H, W), not negative.
        picture: the map in colours (H, W, 3), as floats in [0, 1] or as bytes.
        label: the image's true class, or `UNKNOWN`.
        verdict: the class that it is called.
        target: the class whose score the map explains.
        fake_score: P(fake).
    """

    path: str
    image: np.ndarray
    map: np.ndarray
    picture: np.ndarray
    label: int
    verdict: int
    target: int
    fake_score: float

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see in the map, or hardly anything."""
        return bool(self.map.mean() <= NEARLY_EMPTY * self.map.max())


@dataclass(frozen=True)
class Section:
    """Pairs under one heading: all of one class, and why they are shown."""

    heading: str
    label: int
    pairs: Sequence[Pair]


def save_sections(
    start: str | Path, sections: Sequence[Section], kind: Kind, details: Details
) -> None:
    """Save pairs of a split, section by section, as `START.png` and `START.json`.

    Args:
        start: the files' names, less their extensions.
        sections: what to draw, in order.
        kind: of the maps.
        details: what the JSON file says besides.
    """
    title = f"{_describe(details)}\n{_describe_threshold(details)}"
    samples = [
        {"why": section.heading, **_summarise_pair(pair)}
        for section in sections
        for pair in section.pairs
    ]
    figure = build_pairs_figure(sections, title, kind, details["class"])
    _save(str(start), figure, {**details, "samples": samples})


def save_picture(start: str | Path, pair: Pair, kind: Kind, details: Details) -> None:
    """Save one picture's explanation as `START.png` and `START.json`.

    Args: as for `save_sections`.
    """
    name = f"{details['model']}: {Path(pair.path).name}"
    title = f"{name}\n{_describe_threshold(details)}"
    section = Section("", pair.label, [pair])
    figure = build_pairs_figure([section], title, kind, CLASS_NAMES[pair.target])
    _save(str(start), figure, {**details, **_summarise_pair(pair)})


def save_mean_maps(
    start: str | Path,
    mean_maps: np.ndarray,
    counts: Mapping[str, int],
    *,
    kind: Kind,
    details: Details,
) -> None:
    """Save the classes' mean maps as `START_mean_KIND_maps` .png, .json and .npy.

    Args:
        start: figures folder and the beginning of the file name.
        mean_maps: float32 (2, H, W), real first.
        counts: how many images of each class, by its name, are behind them.
        kind: of the maps.
        details: as for `save_sections`.
    """
    title = f"{_describe(details)}:\n{kind.title} {_name_target(details['class'])}"
    classes = {
        class_name: {"n": counts[class_name], "map": _summarise(mean_map)}
        for class_name, mean_map in zip(CLASS_NAMES, mean_maps, strict=True)
    }
    figure = build_mean_maps_figure(mean_maps, counts, title, kind.unit)
    name = f"{start}_mean_{kind.name}_maps"
    _save(name, figure, {**details, "classes": classes})
    array_path = Path(f"{name}.npy")
    write_atomically(array_path, lambda handle: np.save(handle, mean_maps))
    command_line.say(f"wrote {array_path}")


def save_checks(
    start: str | Path, checks: Details, *, kind: Kind, details: Details
) -> None:
    """Save what `explaining.checks.check_maps` found as `START_KIND_checks` files.

    Args:
        start: figures folder and the beginning of the file names.
        checks: of the maps.
        kind: of the maps.
        details: as for `save_sections`.
    """
    found = {name: checks[name] for name in CHECKS if checks[name]}
    for name, numbers in found.items():
        verdict = "passed" if numbers["passed"] else "failed"
        command_line.say(f"{name}: {verdict}; {numbers['sentence']}")
    name = kind.title.removeprefix("mean ")
    title = f"{_describe(details)}: {name} {_name_target(details['class'])}"
    title = f"{title}, n = {len(checks['images'])}"
    figure = build_checks_figure(found, title)
    _save(f"{start}_{kind.name}_checks", figure, {**details, **checks})


def build_pairs_figure(
    sections: Sequence[Section], title: str, kind: Kind, target: str
) -> Figure:
    """Draw sections of pairs below each other, each under its heading.

    Args:
        sections: what to draw, in order.
        title: of the figure.
        kind: of the maps.
        target: whose score they explain: true, predicted, real or fake.
    """
    longest = max(len(section.pairs) for section in sections)
    most = 2 if kind.has_outline else PAIRS_PER_ROW  # what is under colours needs room
    num_columns = min(most, longest)
    width = max(7.2, 2.2 * num_columns)
    num_rows = [-(-len(section.pairs) // num_columns) for section in sections]
    heights = [0.2 + n * (width / num_columns / 2 + 0.2) for n in num_rows]
    figure = Figure(figsize=(width, sum(heights) + 0.8), layout="constrained")
    strips = figure.subfigures(len(sections), 1, height_ratios=heights, squeeze=False)
    for strip, section, rows in zip(strips[:, 0], sections, num_rows, strict=True):
        color = _COLORS[section.label]
        strip.suptitle(section.heading, color=color, fontsize=10, x=0.01, ha="left")
        cells = list(strip.subplots(rows, num_columns, squeeze=False).flat)
        for axes in cells:
            axes.set_axis_off()
        for axes, pair in zip(cells, section.pairs, strict=False):
            plot_pair(axes, pair, kind)
    figure.suptitle(escape_dollars(title), fontsize=11)
    legend = f"right: {kind.legend} {_name_target(target)}\n{kind.scale}"
    figure.supxlabel(legend, fontsize=9)
    return figure


def plot_pair(axes: Axes, pair: Pair, kind: Kind) -> Axes:
    """Draw an image and, to its right, its map; frame it where the verdict is wrong."""
    picture = pair.picture / 255 if pair.picture.dtype == np.uint8 else pair.picture
    axes.imshow(np.concatenate([pair.image, picture], axis=1))
    height, width = pair.map.shape
    if kind.has_outline and pair.map.any():
        columns = np.arange(width) + width
        for color, line_width in (("black", 2.2), ("white", 1)):
            axes.contour(
                columns,
                np.arange(height),
                pair.map,
                levels=[pair.map.max() / 2],
                colors=color,
                linewidths=line_width,
            )
    is_wrong = pair.label not in (UNKNOWN, pair.verdict)
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=is_wrong, linewidth=3)
    score = describe_fake_score(pair.fake_score)
    title = f"called {CLASS_NAMES[pair.verdict]}, {score}"
    axes.set_title(
        f"✗ {title}" if is_wrong else title,
        fontsize=9,
        color=_COLORS[pair.label],
        weight="bold" if is_wrong else "normal",
    )
    if pair.is_empty:
        axes.set_xlabel(f"{kind.empty} '{CLASS_NAMES[pair.target]}'", fontsize=9)
    return axes


def color_map(image: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Turn a map (H, W) into colours float (H, W, 3), its brightest 1 % white."""
    brightest = np.percentile(saliency, _BRIGHTEST_PERCENTILE) or 1.0
    scaled = np.clip(saliency / brightest, 0, 1)
    return matplotlib.colormaps["inferno"](scaled)[..., :3]


def build_mean_maps_figure(
    mean_maps: np.ndarray, counts: Mapping[str, int], title: str, unit: str
) -> Figure:
    """Draw the mean maps of real and of fake images on one scale."""
    figure = Figure(figsize=(7.2, 3.7), layout="constrained")
    cells = figure.subplots(1, 2)
    brightest = np.percentile(mean_maps, 99.9) or 1.0
    for label, axes in enumerate(cells):
        name = CLASS_NAMES[label]
        picture = axes.imshow(mean_maps[label], cmap="inferno", vmin=0, vmax=brightest)
        axes.set_title(f"{name} images, n = {counts[name]}", color=_COLORS[label])
        axes.set_axis_off()
    bar = figure.colorbar(picture, ax=cells, fraction=0.046, extend="max")
    bar.set_label(unit, fontsize=9)
    figure.suptitle(escape_dollars(title), fontsize=11)
    return figure


def build_checks_figure(found: Details, title: str) -> Figure:
    """Draw a panel for each check.

    Args:
        found: by its name what a check found, as of `explaining.checks.check_maps`.
        title: of the figure.
    """
    num_rows, num_columns = (2, 2) if len(found) == 4 else (1, len(found))
    size = (4.2 * num_columns, 3.7 * num_rows + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    cells = figure.subplots(num_rows, num_columns).flat
    for axes, (name, numbers) in zip(cells, found.items(), strict=True):
        CHECKS[name](axes, numbers)
        verdict = "passed" if numbers["passed"] else "failed"
        axes.set_title(f"{name}: {verdict}", fontsize=10)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    figure.suptitle(escape_dollars(title), fontsize=11)
    return figure


def plot_randomisation(axes: Axes, numbers: Details) -> Axes:
    """Draw how like the trained detector's maps those of random layers still are."""
    places = range(len(numbers["layers"]) + 1)
    means = [{"mean": 1.0, "interval": [1.0, 1.0]}, *numbers["rank_correlations"]]
    steps = [m["mean"] for m in means], [m["interval"] for m in means]
    _plot_with_band(axes, places, *steps, 0)
    for sign in (-1, 1):
        axes.axhline(sign * numbers["limit"], color=GREY, ls=":")
    axes.set_xticks(places, ["none", *numbers["layers"]], rotation=45, ha="right")
    axes.set_ylim(top=1.05)
    axes.set_xlabel("random layers, from the top down to")
    axes.set_ylabel("rank correlation of the maps")
    return axes


def plot_removal(axes: Axes, numbers: Details, x_label: str) -> Axes:
    """Draw the class's score as cells are taken out, or put in, by each ranking."""
    names = {"map": "the map's", "random": "at random", "centre": "from the centre"}
    for index, (ranking, label) in enumerate(names.items()):
        curve, area = numbers[ranking], numbers[ranking]["area"]
        low, high = area["interval"]
        label = f"{label}: area {area['mean']:.2f} [{low:.2f}, {high:.2f}]"
        steps = curve["curve"], curve["intervals"]
        _plot_with_band(axes, numbers["shares"], *steps, index, label=label)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(x_label)
    axes.set_ylabel("mean P(explained class)")
    axes.legend(fontsize=8, loc="best")
    return axes


def plot_mask(axes: Axes, numbers: Details) -> Axes:
    """Draw the maps' mass in the planted faces and at their borders beside the area."""
    places = ("inside", "border")
    for shift, what, color in ((-0.2, "mass", FAKE_COLOR), (0.2, "area", GREY)):
        means = [numbers[place][what] for place in places]
        heights = [m["mean"] for m in means]
        errors = [[m["interval"][1] - m["mean"] for m in means]] * 2
        label = "the map's mass" if what == "mass" else "the area"
        x = [place + shift for place in range(len(places))]
        axes.bar(x, heights, 0.38, yerr=errors, color=color, capsize=3, label=label)
    axes.set_xticks(range(len(places)), ["in the planted face", "at its border"])
    axes.set_ylabel(f"share, {numbers['num_images']} images")
    axes.legend(fontsize=8)
    return axes


CHECKS = {
    "randomisation": plot_randomisation,
    "deletion": partial(plot_removal, x_label="share of the image taken away"),
    "insertion": partial(plot_removal, x_label="share of the image shown"),
    "mask": plot_mask,
}


def _plot_with_band(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    intervals: Sequence[Sequence[float]],
    index: int,
    **options: Any,
) -> None:
    """Draw a line with its 95 % interval, as number `index`."""
    style = get_line_style(index)
    lows, highs = zip(*intervals, strict=True)
    axes.fill_between(x, lows, highs, color=style["color"], alpha=0.15, lw=0)
    axes.plot(x, y, **style, **options)


def _describe(details: Details) -> str:
    """Return the beginning of every title."""
    return f"{details['model']} on {details['dataset']}, {details['split']} split"


def _describe_threshold(details: Details) -> str:
    """Return which images are called fake."""
    return f"called fake where P(fake) is at least {details['threshold']:.4g}"


def _name_target(target: str) -> str:
    """Return whose score a map explains: true, predicted, real or fake."""
    return f"the {target} class" if target not in CLASS_NAMES else f"'{target}'"


def _summarise_pair(pair: Pair) -> Details:
    """Return what the JSON file says of one image."""
    return {
        "path": pair.path,
        "label": None if pair.label == UNKNOWN else pair.label,
        "verdict": pair.verdict,
        "fake_score": pair.fake_score,
        "explained_class": pair.target,
        "map": _summarise(pair.map),
    }


def _summarise(values: np.ndarray) -> dict[str, float]:
    """Return a map's range and mean as plain numbers."""
    return {name: float(getattr(values, name)()) for name in ("min", "max", "mean")}


def _save(start: str, figure: Figure, numbers: Details) -> None:
    """Save a figure and its numbers beside it, and say where."""
    save_figure(figure, Path(f"{start}.png"))
    command_line.say(f"wrote {start}.png")
    save_json(numbers, Path(f"{start}.json"))
    command_line.say(f"wrote {start}.json")
