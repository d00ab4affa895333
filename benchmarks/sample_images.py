"""Make JPEG files that cost as much to read as photographs do."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (256, 256)
PHOTOGRAPH = (4000, 3000)


def make_sample_images(
    folder: Path, num_a_class: int, size: tuple[int, int] = SIZE
) -> None:
    """Write smooth noise into `folder/{real,fake}/NNNNN.jpg`, of a width and height.

    Raises:
        OSError: the folder cannot be written to.
    """
    generator = np.random.default_rng(0)
    for name in ("real", "fake"):
        (folder / name).mkdir(parents=True)
        for index in range(num_a_class):
            coarse = generator.integers(0, 256, size=(24, 24, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize(size, Image.BICUBIC)
            grain = generator.normal(0, 6, size=(*size[::-1], 3))
            pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index:05}.jpg", quality=90)
