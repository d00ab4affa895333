"""Harmless versions of a picture, none of which may get the opposite verdict.

One that is inconclusive beside a real or a fake picture speaks against nothing.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from files.classes import NEITHER
from loading.disturbances import compress, rescale
from loading.image_files import map_in_threads

SHIFT = 1 / 32  # of the side
MOST_FLIPPED = 0.03  # of the validation verdicts, by all versions of a test together


def _shift(image: Image.Image) -> Image.Image:
    """Move the picture to the right and down, its edge mirrored."""
    by = max(1, round(SHIFT * image.width))
    pixels = np.pad(np.asarray(image), ((by, 0), (by, 0), (0, 0)), "reflect")
    return Image.fromarray(pixels[: image.height, : image.width])


VERSIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 90": lambda image: compress(image, "JPEG", 90),
    "JPEG 70": lambda image: compress(image, "JPEG", 70),
    "3/4 of the size": lambda image: rescale(image, 4 / 3),
    "half the size": lambda image: rescale(image, 2),
    "shifted": _shift,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def make_versions(samples: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return V of the `VERSIONS` of samples, uint8 (n, S, S, 3), as (n, V, S, S, 3)."""

    def make(sample: np.ndarray) -> np.ndarray:
        image = Image.fromarray(sample)
        return np.stack([np.asarray(VERSIONS[name](image)) for name in names])

    return np.stack(map_in_threads(make, list(samples)))


def choose_versions(flips: np.ndarray, most: float = MOST_FLIPPED) -> list[int]:
    """Choose the versions that a detector tolerates, the gentlest first.

    One that turns many verdicts tells how weak the detector is, not which picture its
    verdict is weak on.

    Args:
        flips: bool (N, V): whether each version turns an image's verdict into
            the opposite.
        most: share of the images on which any of those chosen may do so.

    Returns:
        The numbers of the versions.
    """
    chosen, flipped = [], np.zeros(len(flips), dtype=bool)
    for number in np.argsort(flips.mean(axis=0), kind="stable").tolist():
        together = flipped | flips[:, number]
        if together.mean() <= most:
            chosen.append(number)
            flipped = together
    return sorted(chosen)


def is_flipped(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Say where one decision of `BaseDetector.decide` is real and the other fake."""
    return (before != NEITHER) & (after != NEITHER) & (before != after)
