"""Keep decoded images in memory that worker processes share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from threads import read_samples

SHARED_MEMORY = Path("/dev/shm")  # where Linux keeps it; containers make it small
_NOT_READ = -1  # in place of a label


class CachedImages(Dataset):
    """Wrap a dataset so that each image is decoded once, up to a bound on memory.

    The first images by index are kept, as many as fit, each from its first access by
    any process on; the others are read anew each time. In shuffled epochs any choice
    is as good as this one. Memory is taken as it is filled.

    Args:
        dataset: map-style; samples are uint8 (3, H, W), all of one shape, and an int
            label of at least 0. Its other attributes are the wrapper's too.
        max_bytes: bound on the memory for images.
        shared: worker processes fill and read it too; the bound of shared memory
            applies then.

    Attributes:
        dataset: the wrapped one.
        num_kept: how many images fit.

    Raises:
        ValueError: the samples are not uint8 (3, H, W).
    """

    def __init__(
        self, dataset: Dataset, max_bytes: int, *, shared: bool = True
    ) -> None:
        self.dataset = dataset
        image = _check(dataset[0][0])
        room = min(max_bytes, _get_free_shared_memory()) if shared else max_bytes
        self.num_kept = min(len(dataset), room // image.nbytes)
        _, height, width = image.shape
        self._pixels = torch.empty(self.num_kept, height, width, 3, dtype=torch.uint8)
        self._labels = torch.full((self.num_kept,), _NOT_READ)
        if shared:
            self._pixels.share_memory_()
            self._labels.share_memory_()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return the sample at `index`: uint8 (3, H, W), rows of pixels, and label."""
        if not 0 <= index < self.num_kept:
            return self.dataset[index]
        label = int(self._labels[index])
        if label == _NOT_READ:
            image, label = self.dataset[index]
            np.copyto(self._pixels.numpy()[index], image.permute(1, 2, 0).numpy())
            self._labels[index] = label  # last: who sees it finds the pixels
        # NumPy copies in this thread; torch would start others, in each of a pool's.
        pixels = torch.from_numpy(self._pixels.numpy()[index].copy())
        return pixels.permute(2, 0, 1), label

    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    def __getattr__(self, name: str) -> Any:
        """Look up what is not here in the wrapped dataset."""
        if name == "dataset" or name.startswith("_"):  # while it is being unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)


def _check(image: Any) -> Tensor:
    """Return the image if it is one that can be kept."""
    if isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3:
        return image
    kind = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else image
    raise ValueError(f"only uint8 (3, H, W) samples can be cached, got {kind!s:.60}")


def _get_free_shared_memory() -> int:
    """Return how many bytes may be shared; writing beyond them kills the process."""
    if not SHARED_MEMORY.is_dir():
        return 2**62
    return int(0.9 * shutil.disk_usage(SHARED_MEMORY).free)
