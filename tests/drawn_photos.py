"""Small pictures without a subject, all different, and datasets of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from auditing.properties import Inspection, inspect
from files.classes import CLASS_NAMES
from loading import ImageFile

EDGE = 64
Save = Callable[[Image.Image, Path, int, int], Any]  # label, number in its class


def draw_photo(seed: int, edge: int = EDGE) -> Image.Image:
    """Draw soft random spots with a little noise."""
    rng = np.random.default_rng(seed)
    spots = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    pixels = np.asarray(spots.resize((edge, edge), Image.Resampling.BICUBIC), float)
    pixels = 40 + 0.7 * pixels + rng.normal(0, 3, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def save_alike(image: Image.Image, path: Path, label: int, number: int) -> None:
    """Save any image in the same way."""
    image.save(path, quality=90)


def save_again(source: Path, target: Path, quality: int | None = 40) -> Path:
    """Save a copy of an image elsewhere: its bytes, or encoded anew."""
    if quality is None:
        target.write_bytes(source.read_bytes())
    else:
        with Image.open(source) as image:
            image.convert("RGB").save(target, quality=quality)
    return target


def write_dataset(
    root: Path,
    sizes: Mapping[str, int],
    save: Save = save_alike,
    *,
    suffixes: tuple[str, str] = (".jpg", ".jpg"),
) -> Path:
    """Write as many images of each class into each split, and return `root`."""
    seed = 0
    for split, size in sizes.items():
        for label, name in enumerate(CLASS_NAMES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(size):
                path = folder / f"p{seed}_{number:03}{suffixes[label]}"
                save(draw_photo(seed), path, label, number)
                seed += 1
    return root


def inspect_folder(root: Path) -> Inspection:
    """Inspect all files below ROOT/SPLIT/CLASS, in the order of their paths."""
    paths = sorted(path for path in root.glob("*/*/*") if path.is_file())
    labels = [CLASS_NAMES.index(path.parts[-2]) for path in paths]
    splits = [path.parts[-3] for path in paths]
    return inspect(list(map(ImageFile, paths)), splits, labels)
