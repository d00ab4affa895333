"""What explanations look like: maps beside, over and without their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from explain import GradCam
from faces_dataset import CLASS_NAMES, FAKE, REAL

PAIRS_PER_ROW = 6
_COLORS = {REAL: "#0072B2", FAKE: "#D55E00"}  # Okabe and Ito
_BRIGHTEST_PERCENTILE = 99  # a few extreme pixels would leave the rest black


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
        f"{_escape(title)}\nleft: image; right: saliency of its true class "
        "(largest |gradient| over channels, each map on its own scale)",
        fontsize=13,
    )
    return figure


def plot_mean_map(
    axes: Axes, mean_map: np.ndarray, label: int, *, num: int, unit: str
) -> Axes:
    """Draw the mean map (H, W) of `num` images of a class, with its colour bar."""
    brightest = np.percentile(mean_map, 99.9)
    picture = axes.imshow(mean_map, cmap="inferno", vmin=0, vmax=brightest or 1.0)
    bar = axes.figure.colorbar(picture, ax=axes, fraction=0.046, extend="max")
    bar.set_label(unit)
    axes.set_title(
        f"{CLASS_NAMES[label]} images, n = {num}",
        color=_COLORS[label],
    )
    axes.set(xlabel="column in pixels", ylabel="row in pixels")
    return axes


def build_mean_maps_figure(
    mean_maps: Sequence[np.ndarray], nums: Sequence[int], title: str, unit: str
) -> Figure:
    """Draw the mean maps of real and of fake images, each on its own scale."""
    figure = Figure(figsize=(11.5, 5), layout="constrained")
    for label, axes in enumerate(figure.subplots(1, 2)):
        plot_mean_map(axes, mean_maps[label], label, num=nums[label], unit=unit)
    figure.suptitle(_escape(title))
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
    figure.suptitle(_escape(title))
    return figure


def _escape(text: str) -> str:
    """Keep Matplotlib from reading a name with dollar signs as a formula."""
    return text.replace("$", r"\$")
