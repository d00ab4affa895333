"""A split's images, each under several conditions."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from loading.augmentation import UNCHANGED, Augmentation, ChangedImages
from loading.disturbances import LEVELS, SIDES, Condition, disturb
from loading.image_files import ImageFile, naming, read_image_and_size, read_samples


class DisturbedFaces(Dataset):
    """Every image of a split under every condition, an image's conditions in a row.

    Args:
        faces: the split, a `FacesDataset` with a `ResizeToTensor`.
        seed: of what is drawn, with an image's number; the same at every level.
        augmentation: what is done to each image before, as in a first epoch.
        once: each image is there once, under one condition after another.

    A sample is uint8 (3, S, S) with its label. An image is brought to the network's
    size before it is disturbed, so that a level is as strong whatever the files' size.
    """

    reads_in_threads = True
    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    def __init__(
        self,
        faces: Dataset,
        conditions: Sequence[Condition],
        seed: int,
        augmentation: Augmentation = UNCHANGED,
        *,
        once: bool = False,
    ) -> None:
        self.faces = faces
        self._changed = None
        if augmentation.changes_images:
            self._changed = ChangedImages(faces, seed, augmentation)
        self.conditions = tuple(conditions)
        self.seed = seed
        self.once = once

    def __len__(self) -> int:
        return len(self.faces) * (1 if self.once else len(self.conditions))

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.read(index)[0], self.get_label(index)

    def read(self, index: int) -> tuple[Tensor, tuple[int, int]]:
        """Return a sample, uint8 (3, S, S), and width and height of such a picture.

        The size is that which the file has, times what its condition leaves of it: a
        crop of half the side of a file with 1,000 pixels has 500.
        """
        number, condition = self._find(index)
        to_tensor = self.faces.transform
        with naming(self.faces.get_file(number)) as file:
            image, size = self._read_before(number, file)
            if condition.level:
                stream = list(LEVELS).index(condition.name)
                generator = np.random.default_rng([self.seed, stream, number])
                image = disturb(to_tensor.resize(image), *condition, generator)
                size = find_size(size, to_tensor.size, image.size, condition=condition)
            return to_tensor(image), size

    def _read_before(
        self, number: int, file: ImageFile
    ) -> tuple[Image.Image, tuple[int, int]]:
        """Return an image before it is disturbed, and its size in the file."""
        if self._changed is None:
            return read_image_and_size(file, at_least=self.faces.transform.at_least)
        sample, _ = self._changed[0, number]
        image = Image.fromarray(sample.permute(1, 2, 0).numpy())
        return image, image.size

    def get_label(self, index: int) -> int:
        """Return the class of a sample."""
        return self.faces.get_label(self._find(index)[0])

    def get_name(self, index: int) -> str:
        """Return which image a sample is, and what was done to it."""
        number, condition = self._find(index)
        return f"{self.faces.get_name(number)} ({condition})"

    def _find(self, index: int) -> tuple[int, Condition]:
        """Return a sample's image and condition."""
        number, place = divmod(index, len(self.conditions))
        return index if self.once else number, self.conditions[place]


def find_size(
    size: tuple[int, int], before: int, after: tuple[int, int], *, condition: Condition
) -> tuple[int, int]:
    """Return the size that a picture has after a condition, if it is not resized first.

    Args:
        size: width and height in its file.
        before: side that it was brought to, before it was disturbed.
        after: its width and height then.
    """
    factors = [side / before for side in after]
    if condition.name in SIDES:  # nothing becomes larger than it was
        factors = [min(1, max(after) / max(size))] * 2
    return tuple(max(1, round(f * side)) for f, side in zip(factors, size, strict=True))
