"""A split's images, each under several conditions."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from loading.augmentation import UNCHANGED, Augmentation, ChangedImages
from loading.disturbances import LEVELS, Condition, disturb
from loading.image_files import naming, read_image, read_samples


class DisturbedFaces(Dataset):
    """Every image of a split under every condition, an image's conditions in a row.

    Args:
        faces: the split, a `FacesDataset` with a `ResizeToTensor`.
        conditions: what is done to each image.
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
        number, condition = self._find(index)
        to_tensor = self.faces.transform
        with naming(self.faces.get_file(number)) as file:
            if self._changed is None:
                image = read_image(file, at_least=to_tensor.at_least)
            else:
                sample, _ = self._changed[0, number]
                image = Image.fromarray(sample.permute(1, 2, 0).numpy())
            if condition.level:
                stream = list(LEVELS).index(condition.name)
                generator = np.random.default_rng([self.seed, stream, number])
                image = disturb(to_tensor.resize(image), *condition, generator)
            return to_tensor(image), self.faces.get_label(number)

    def get_name(self, index: int) -> str:
        """Return which image a sample is, and what was done to it."""
        number, condition = self._find(index)
        return f"{self.faces.get_name(number)} ({condition})"

    def _find(self, index: int) -> tuple[int, Condition]:
        """Return a sample's image and condition."""
        number, place = divmod(index, len(self.conditions))
        return index if self.once else number, self.conditions[place]
