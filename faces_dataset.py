"""A map-style dataset of real and fake face images in `ROOT/{real,fake}/` folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from files.layout import CLASS_NAMES, FAKE, REAL
from loading import CompactNames, list_images, read_image, read_samples


class FacesDataset(Dataset):
    """Real and fake face images: real ones first by index, each class sorted by name.

    Only the file names are held, compactly, so that a million images cost some tens
    of megabytes and worker processes share them.

    Args:
        root_path: folder of one split, which holds the folders `real` and `fake`.
        transform: called with an upright RGB `PIL.Image`; what it returns is the
            sample. Without it the sample is the image itself.
        limit: use only the first `limit` images of each class.
        exclude: names to leave out, as `real/NAME` or `fake/NAME`.

    Attributes:
        real_image_names: sorted file names in `real/`.
        fake_image_names: sorted file names in `fake/`.
        num_skipped_files: hidden files and files that are no images by their name.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a class has no image.
    """

    def __init__(
        self,
        root_path: str | os.PathLike[str],
        transform: Callable[[Image.Image], Any] | None = None,
        *,
        limit: int | None = None,
        exclude: Collection[str] = (),
    ) -> None:
        self.root_path = Path(root_path)
        self.transform = transform
        self.num_skipped_files = 0
        self.real_image_names = self._list_class(REAL, limit, exclude)
        self.fake_image_names = self._list_class(FAKE, limit, exclude)

    def __len__(self) -> int:
        return len(self.real_image_names) + len(self.fake_image_names)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return the sample at `index` and its label (0 real, 1 fake).

        Raises:
            IndexError: `index` is out of range.
            ValueError: the file cannot be read as an image; the message names it.
        """
        image = read_image(self.get_path(index))
        label = self.get_label(index)
        return (self.transform(image) if self.transform else image), label

    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    @property
    def reads_in_threads(self) -> bool:
        """Whether threads may read images: `ResizeToTensor` keeps no state."""
        return isinstance(self.transform, ResizeToTensor)

    def get_path(self, index: int) -> Path:
        """Return the path of the image at `index`."""
        label = self.get_label(index)
        if label == REAL:
            return self.root_path / CLASS_NAMES[REAL] / self.real_image_names[index]
        position = index - len(self.real_image_names)
        return self.root_path / CLASS_NAMES[FAKE] / self.fake_image_names[position]

    def get_label(self, index: int) -> int:
        """Return the label of the image at `index`, without reading it."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is not in 0 ... {len(self) - 1}")
        return REAL if index < len(self.real_image_names) else FAKE

    def get_labels(self) -> np.ndarray:
        """Return all labels: int64 (N,)."""
        counts = [len(self.real_image_names), len(self.fake_image_names)]
        return np.repeat([REAL, FAKE], counts)

    def _list_class(
        self, label: int, limit: int | None, exclude: Collection[str]
    ) -> CompactNames:
        """List one class's images and count what is skipped."""
        folder = self.root_path / CLASS_NAMES[label]
        names, num_skipped = list_images(folder)
        if exclude:
            names = [n for n in names if f"{CLASS_NAMES[label]}/{n}" not in exclude]
        if not names:
            raise ValueError(
                f"no images in {folder}; put at least one image file "
                "(.jpg, .png, ... as Pillow reads) there"
            )
        self.num_skipped_files += num_skipped
        return CompactNames(names[:limit])


class ResizeToTensor:
    """Turn a PIL image into uint8 (3, size, size), resized with antialiasing.

    The memory holds the pixels row by row, their channels side by side, as Pillow
    decodes them and as the channels-last format wants them: no byte is moved twice.

    Args:
        size: height and width in pixels; the aspect ratio is not kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> torch.Tensor:
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image))  # (size, size, 3)
        return pixels.permute(2, 0, 1)


def compute_fingerprint(datasets: Mapping[str, FacesDataset]) -> str:
    """Return a hash of all file names: other data give another one."""
    digest = hashlib.sha256()
    for split, dataset in datasets.items():
        for names in (dataset.real_image_names, dataset.fake_image_names):
            digest.update(f"{split} {len(names)} ".encode())
            digest.update(names.tobytes())
    return digest.hexdigest()


def count_classes(dataset: FacesDataset) -> dict[str, int]:
    """Return the number of images of each class."""
    labels = dataset.get_labels()
    counts = np.bincount(labels, minlength=len(CLASS_NAMES)).tolist()
    return dict(zip(CLASS_NAMES, counts, strict=True))


def describe_split(split: str, dataset: FacesDataset) -> str:
    """Return a split's size and class proportion as a line."""
    counts = count_classes(dataset)
    num_real, num_fake = counts[CLASS_NAMES[REAL]], counts[CLASS_NAMES[FAKE]]
    line = (
        f"{split}: {len(dataset)} images, {100 * num_fake / len(dataset):.1f} % fake, "
        f"1 fake to {num_real / num_fake:.1f} real"
    )
    skipped = dataset.num_skipped_files
    return f"{line} ({skipped} files that are no images skipped)" if skipped else line
