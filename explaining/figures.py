"""Maps beside, over and without their images, saved with the numbers beside each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import command_line
from files.atomic import save_json, write_atomically
from files.layout import CLASS_NAMES
from plots.style import FAKE_COLOR, REAL_COLOR, escape_dollars, save_figure

Details = dict[str, Any]  # model, dataset, split, checkpoint, ...: into the JSON file
PAIRS_PER_ROW = 6
_COLORS = (REAL_COLOR, FAKE_COLOR)  # by label
_BRIGHTEST_PERCENTILE = 99  # a few extreme pixels would leave the rest black

# kind of map -> what titles call its mean, and what its colour bar measures
_KINDS = {
    "saliency": (
        "mean saliency of the true class",
        "mean |d score / d pixel|, pixels normalised",
    ),
    "grad_cam": (
        "mean Grad-CAM of the true class",
        "mean of maps that each fill 0 to 1",
    ),
}


@dataclass(frozen=True)
class Pair:
    """An image and its saliency map.

    Attributes:
        path: where the image is.
        image: float32 (H, W, 3) in [0, 1].
        map: float32 (H, W), not negative.
        label: the image's true class.
        fake_score: P(fake).
    """

    path: str
    image: np.ndarray
    map: np.ndarray
    label: int
    fake_score: float


@dataclass(frozen=True)
class GradCam:
    """One image's explanation.

    Attributes:
        image: float32 (H, W, 3) in [0, 1], RGB.
        map: float32 (H, W) in [0, 1].
        overlay: uint8 (H, W, 3), RGB, the map as colours over the image.
        label: the image's true class, which the map is of.
    """

    image: np.ndarray
    map: np.ndarray
    overlay: np.ndarray
    label: int


def save_pairs(start: str | Path, pairs: Sequence[Pair], details: Details) -> None:
    """Save image-map pairs as `START_saliency_maps_and_images_pairs` .png and .json.

    Args:
        start: figures folder and the beginning of the file name.
        pairs: what to draw, in order.
        details: what the JSON file says besides.
    """
    title = f"{_describe(details)}: {len(pairs)} random images"
    samples = [
        {
            "path": pair.path,
            "label": pair.label,
            "fake_score": pair.fake_score,
            "map": _summarise(pair.map),
        }
        for pair in pairs
    ]
    numbers = {**details, "samples": samples}
    figure = build_pairs_figure(pairs, title)
    _save(f"{start}_saliency_maps_and_images_pairs", figure, numbers)


def save_mean_maps(
    start: str | Path,
    mean_maps: np.ndarray,
    counts: Mapping[str, int],
    details: Details,
    *,
    kind: str = "saliency",
) -> None:
    """Save the classes' mean maps as `START_mean_KIND_maps` .png, .json and .npy.

    Args:
        start: as for `save_pairs`.
        mean_maps: float32 (2, H, W), real first.
        counts: how many images of each class, by its name, are behind them.
        details: as for `save_pairs`.
        kind: saliency or grad_cam.
    """
    name, unit = _KINDS[kind]
    title = f"{_describe(details)}: {name}"
    classes = {
        class_name: {"n": counts[class_name], "map": _summarise(mean_map)}
        for class_name, mean_map in zip(CLASS_NAMES, mean_maps, strict=True)
    }
    figure = build_mean_maps_figure(mean_maps, counts, title, unit)
    _save(f"{start}_mean_{kind}_maps", figure, {**details, "classes": classes})
    array_path = Path(f"{start}_mean_{kind}_maps.npy")
    write_atomically(array_path, lambda handle: np.save(handle, mean_maps))
    command_line.say(f"wrote {array_path}")


def save_grad_cam(
    start: str | Path,
    example: GradCam,
    path: str | Path,
    fake_score: float,
    details: Details,
) -> None:
    """Save one image's Grad-CAM as `START_{Real,Fake}_Image_grad_cam` .png and .json.

    Args:
        start: as for `save_pairs`.
        example: what to draw.
        path: where its image is.
        fake_score: P(fake).
        details: as for `save_pairs`.
    """
    title = f"{_describe(details)}: {Path(path).name}, P(fake) = {fake_score:.3f}"
    numbers = {
        **details,
        "path": str(path),
        "label": example.label,
        "fake_score": fake_score,
        "map": _summarise(example.map),
    }
    name = f"{start}_{CLASS_NAMES[example.label].capitalize()}_Image_grad_cam"
    _save(name, build_grad_cam_figure(example, title), numbers)


def build_pairs_figure(pairs: Sequence[Pair], title: str) -> Figure:
    """Draw a grid of pairs, six in a row."""
    num_rows = -(-len(pairs) // PAIRS_PER_ROW)
    figure = Figure(figsize=(18, 1.62 * num_rows + 1), layout="constrained")
    grid = figure.subplots(num_rows, PAIRS_PER_ROW, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, pair in zip(grid.flat, pairs, strict=False):
        plot_pair(axes, pair)
    figure.suptitle(
        f"{escape_dollars(title)}\nleft: image; right: saliency of its true class "
        "(largest |gradient| over channels, each map on its own scale)",
        fontsize=13,
    )
    return figure


def plot_pair(axes: Axes, pair: Pair) -> Axes:
    """Draw an image and, to its right, its map; the brightest 1 % are white."""
    brightest = np.percentile(pair.map, _BRIGHTEST_PERCENTILE) or 1.0
    scaled = np.clip(pair.map / brightest, 0, 1)
    colored = matplotlib.colormaps["inferno"](scaled)[..., :3]  # (H, W, 3)
    axes.imshow(np.concatenate([pair.image, colored], axis=1))
    axes.set_axis_off()
    flat = "" if pair.map.any() else ",  gradient 0"  # a network of dead ReLUs
    axes.set_title(
        f"{CLASS_NAMES[pair.label]},  P(fake) = {pair.fake_score:.2f}{flat}",
        fontsize=10,
        color=_COLORS[pair.label],
    )
    return axes


def build_mean_maps_figure(
    mean_maps: np.ndarray, counts: Mapping[str, int], title: str, unit: str
) -> Figure:
    """Draw the mean maps of real and of fake images, each on its own scale."""
    figure = Figure(figsize=(11.5, 5), layout="constrained")
    for label, axes in enumerate(figure.subplots(1, 2)):
        mean_map, name = mean_maps[label], CLASS_NAMES[label]
        brightest = np.percentile(mean_map, 99.9) or 1.0
        picture = axes.imshow(mean_map, cmap="inferno", vmin=0, vmax=brightest)
        bar = figure.colorbar(picture, ax=axes, fraction=0.046, extend="max")
        bar.set_label(unit)
        axes.set_title(f"{name} images, n = {counts[name]}", color=_COLORS[label])
        axes.set(xlabel="column in pixels", ylabel="row in pixels")
    figure.suptitle(escape_dollars(title))
    return figure


def build_grad_cam_figure(example: GradCam, title: str) -> Figure:
    """Draw an image, its Grad-CAM map, and the map laid over the image."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    name = CLASS_NAMES[example.label]
    left, middle, right = figure.subplots(1, 3)
    left.imshow(example.image)
    left.set_title(f"image (true class: {name})", color=_COLORS[example.label])
    picture = middle.imshow(example.map, cmap="jet", vmin=0, vmax=1)
    what = "what" if example.map.any() else "nothing in this layer"
    middle.set_title(f"Grad-CAM: {what} speaks for '{name}'")
    right.imshow(example.overlay)
    right.set_title("map over image")
    for axes in (left, middle, right):
        axes.set_axis_off()
    bar = figure.colorbar(picture, ax=right, fraction=0.046)
    bar.set_label("relative weight, 1 = this image's strongest")
    figure.suptitle(escape_dollars(title))
    return figure


def _describe(details: Details) -> str:
    """Return the beginning of every title."""
    return f"{details['model']} on {details['dataset']}, {details['split']} split"


def _summarise(values: np.ndarray) -> dict[str, float]:
    """Return a map's range and mean as plain numbers."""
    return {name: float(getattr(values, name)()) for name in ("min", "max", "mean")}


def _save(start: str, figure: Figure, numbers: Details) -> None:
    """Save a figure and its numbers beside it, and say where."""
    save_figure(figure, Path(f"{start}.png"))
    command_line.say(f"wrote {start}.png")
    save_json(numbers, Path(f"{start}.json"))
    command_line.say(f"wrote {start}.json")
