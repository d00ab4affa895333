"""What explanations leave behind: figures, and the numbers beside each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from explain import GradCam
from faces_dataset import CLASS_NAMES
from files import save_figure, save_json, write_atomically
from map_figures import (
    Pair,
    build_grad_cam_figure,
    build_mean_maps_figure,
    build_pairs_figure,
)

Details = dict[str, Any]  # model, dataset, split, checkpoint, ...: into the JSON file
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


def save_pairs(start: Path, pairs: Sequence[Pair], details: Details) -> None:
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
    start: Path,
    mean_maps: Sequence[np.ndarray],
    nums: Sequence[int],
    details: Details,
    *,
    kind: str = "saliency",
) -> None:
    """Save the classes' mean maps as `START_mean_KIND_maps` .png, .json and .npy.

    Args:
        start: as for `save_pairs`.
        mean_maps: float32 (H, W), of the real and of the fake images.
        nums: how many images of each class are behind them.
        details: as for `save_pairs`.
        kind: saliency or grad_cam.
    """
    name, unit = _KINDS[kind]
    title = f"{_describe(details)}: {name}"
    classes = {
        class_name: {"n": num, "map": _summarise(mean_map)}
        for class_name, num, mean_map in zip(CLASS_NAMES, nums, mean_maps, strict=True)
    }
    figure = build_mean_maps_figure(mean_maps, nums, title, unit)
    _save(f"{start}_mean_{kind}_maps", figure, {**details, "classes": classes})
    array_path = Path(f"{start}_mean_{kind}_maps.npy")
    write_atomically(array_path, lambda handle: np.save(handle, np.stack(mean_maps)))
    print(f"wrote {array_path}")


def save_grad_cam(
    start: Path, example: GradCam, path: Path, fake_score: float, details: Details
) -> None:
    """Save one image's Grad-CAM as `START_{Real,Fake}_Image_grad_cam` .png and .json.

    Args:
        start: as for `save_pairs`.
        example: what to draw.
        path: where its image is.
        fake_score: P(fake).
        details: as for `save_pairs`.
    """
    title = f"{_describe(details)}: {path.name}, P(fake) = {fake_score:.3f}"
    numbers = {
        **details,
        "path": str(path),
        "label": example.label,
        "fake_score": fake_score,
        "map": _summarise(example.map),
    }
    name = f"{start}_{CLASS_NAMES[example.label].capitalize()}_Image_grad_cam"
    _save(name, build_grad_cam_figure(example, title), numbers)


def _describe(details: Details) -> str:
    """Return the beginning of every title."""
    return f"{details['model']} on {details['dataset']}, {details['split']} split"


def _summarise(values: np.ndarray) -> dict[str, float]:
    """Return a map's range and mean as plain numbers."""
    return {name: float(getattr(values, name)()) for name in ("min", "max", "mean")}


def _save(start: str, figure: Figure, numbers: Details) -> None:
    """Save a figure and its numbers beside it, and say where."""
    save_figure(figure, Path(f"{start}.png"))
    print(f"wrote {start}.png")
    save_json(numbers, Path(f"{start}.json"))
    print(f"wrote {start}.json")
