"""Find the images that cannot be read before a long run stumbles over them."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from faces_dataset import CLASS_NAMES, FacesDataset
from image_reading import check_image_header, read_image

MOST_FOR_AUTO = 100_000  # opening more headers than this would delay the first batch
CHUNK = 1024
NUM_SHOWN = 10


class BadImage(NamedTuple):
    """An image that cannot be read: `real/NAME` or `fake/NAME`, and why."""

    name: str
    reason: str


def check_images(
    datasets: Mapping[str, FacesDataset], check: str = "auto"
) -> dict[str, list[BadImage]]:
    """Find the unreadable images of each split.

    Args:
        datasets: by split.
        check: header opens every file and reads its header; full decodes all of it;
            none does nothing; auto is header for up to 100,000 images, none above.

    Returns:
        The bad images of each split that has some.
    """
    num_images = sum(map(len, datasets.values()))
    if check == "auto":
        check = "header" if num_images <= MOST_FOR_AUTO else "none"
    if check == "none":
        return {}
    read = check_image_header if check == "header" else read_image
    bad: dict[str, list[BadImage]] = {}
    with tqdm(
        total=num_images,
        desc=f"check images ({check})",
        leave=False,
        disable=not sys.stderr.isatty(),
    ) as bar:
        for split, dataset in datasets.items():
            for found in _find_bad_images(dataset, read):
                bar.update()
                if found:
                    bad.setdefault(split, []).append(found)
    return bad


def describe_bad_images(bad: Mapping[str, Sequence[BadImage]]) -> str:
    """Return one line that counts the bad images and names the first of them."""
    reasons = [
        image.reason.removeprefix("cannot read the image ").split("; replace")[0]
        for images in bad.values()
        for image in images
    ]
    rest = len(reasons) - NUM_SHOWN
    shown = "; ".join(reasons[:NUM_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
    return f"{len(reasons)} of the images cannot be read: {shown}"


def _find_bad_images(
    dataset: FacesDataset, read: Callable[[Path], object]
) -> Iterator[BadImage | None]:
    """Read every image on a few threads; yield, in order, what is wrong with it."""

    def check(index: int) -> BadImage | None:
        path = dataset.get_path(index)
        try:
            read(path)
        except ValueError as error:
            name = f"{CLASS_NAMES[dataset.get_label(index)]}/{path.name}"
            return BadImage(name, str(error))
        return None

    indices = iter(range(len(dataset)))
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2)) as pool:
        while chunk := list(itertools.islice(indices, CHUNK)):
            yield from pool.map(check, chunk)
