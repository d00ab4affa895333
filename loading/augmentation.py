"""How images are changed; `ChangedImages` and `BatchLoader` do it.

What is drawn depends on (seed, epoch, index) alone: the same image comes out whoever
reads it.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset

from files.classes import REAL
from loading.disturbances import add_noise, compress, draw_photograph, rescale
from loading.face_finding import find_landmarks
from loading.image_files import read_samples
from loading.self_blending import self_blend

PADDING = 4  # pixels on each side, as published
ENHANCERS = (  # and by how much at most
    (ImageEnhance.Brightness, 0.2),
    (ImageEnhance.Contrast, 0.2),
    (ImageEnhance.Color, 0.3),
)


@dataclass(frozen=True)
class Augmentation:
    """What is done to images.

    Args:
        style: published crops and mirrors; robust compresses, scales, blurs and
            colours besides; photographs, too, does to each image what a photograph may
            have been through; none does nothing.
        self_blend: share of the fakes, from 0 to 1, in whose place a real image
            stands that was blended with itself.
        cutmix: share of the batches, from 0 to 1, in which each image has a part of
            another.
        face_landmarks: self-blending looks for each face (`face_finding.py`), and does
            not take it to be in the picture's middle.
    """

    style: str = "published"
    self_blend: float = 0.0
    cutmix: float = 0.0
    face_landmarks: bool = False

    @property
    def changes_images(self) -> bool:
        """Whether images are changed one by one, as they are read."""
        return self.style in ("robust", "photographs") or self.self_blend > 0


AS_PUBLISHED, UNCHANGED = Augmentation(), Augmentation("none")


class ChangedImages(Dataset):
    """A dataset whose images are changed anew in every epoch.

    It is map-style, with `get_labels`; its samples are uint8 (3, H, W).
    """

    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    def __init__(self, dataset: Dataset, seed: int, augmentation: Augmentation) -> None:
        self.dataset = dataset
        self.reads_in_threads = getattr(dataset, "reads_in_threads", False)
        self._seed = seed
        self._augmentation = augmentation
        self._real_indices = np.flatnonzero(dataset.get_labels() == REAL)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, int]:
        """Return the sample at `place`, an epoch and an index: image and label."""
        epoch, index = place
        # A stream of its own beside those of `BatchLoader`, which draw for all images.
        generator = np.random.default_rng([self._seed, epoch, 2, index])
        label = self.dataset.get_label(index)
        share = self._augmentation.self_blend
        is_blended = label != REAL and generator.random() < share
        if is_blended:
            index = generator.choice(self._real_indices)
        image = Image.fromarray(self.dataset[index][0].permute(1, 2, 0).numpy())
        if is_blended:
            to_find = self._augmentation.face_landmarks
            landmarks = find_landmarks(image) if to_find else None
            image = self_blend(image, generator, landmarks)
        if self._augmentation.style == "robust":
            image = degrade(image, generator)
        if self._augmentation.style == "photographs":
            photograph = draw_photograph(image, generator)
            image = photograph.resize(image.size, Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1), label


def degrade(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Change an RGB image as cameras, networks and programs do, each by chance."""
    if generator.random() < 0.3:
        factor = generator.uniform(1, 2.5)
        image = rescale(image, factor, generator.integers(2, 4, size=2))
    if generator.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.2, 1.2)))
    if generator.random() < 0.5:
        for enhance, most in ENHANCERS:
            image = enhance(image).enhance(generator.uniform(1 - most, 1 + most))
    if generator.random() < 0.2:
        image = add_noise(image, generator.uniform(1, 8), generator)
    if generator.random() < 0.5:
        kind = "WEBP" if generator.random() < 0.2 else "JPEG"
        image = compress(image, kind, int(generator.integers(40, 96)))
    return image


def draw_crops(num_images: int, generator: np.random.Generator) -> np.ndarray:
    """Draw how each image is cropped and mirrored.

    Returns:
        int64 (N, 3), a row an image: the crop's top and left edge within the padded
        image, and whether it is mirrored (0 or 1).
    """
    high = [2 * PADDING + 1, 2 * PADDING + 1, 2]
    return generator.integers(0, high, size=(num_images, 3))


def crop_and_mirror(images: Tensor, draws: np.ndarray) -> Tensor:
    """Cut each image from its zero-padded self and mirror some, as published.

    Args:
        images: (N, C, H, W).
        draws: int64 (N, 3), of `draw_crops`: a row an image.

    Returns:
        images of the same shape and dtype, in channels-last memory format.
    """
    height, width = images.shape[2:]
    padded = F.pad(images, [PADDING] * 4)
    result = torch.empty_like(images, memory_format=torch.channels_last)
    pairs = zip(result, padded, draws.tolist(), strict=True)
    for image, source, (top, left, mirrored) in pairs:
        crop = source[:, top : top + height, left : left + width]
        image.copy_(crop.flip(-1) if mirrored else crop)
    return result


def mix_parts(
    images: Tensor, labels: Tensor, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Give each image a square part of its neighbour in the batch, and of its label.

    Args:
        images: (N, C, H, W); they are changed.
        labels: int64 (N,), 0 or 1.
        generator: draws the square, the same for all images.

    Returns:
        The images, and the classes' shares in each: float32 (N, 2).

    Source: Yun et al., CutMix, ICCV 2019, section 3.1, with a uniform share (alpha 1).
        Deviation: the square lies within the image, so that its share is as drawn.
    """
    height, width = images.shape[2:]
    side = math.sqrt(generator.random())
    rows, columns = round(side * height), round(side * width)
    top = int(generator.integers(0, height - rows + 1))
    left = int(generator.integers(0, width - columns + 1))
    part = (..., slice(top, top + rows), slice(left, left + columns))
    images[part] = images.roll(1, dims=0)[part]
    shares = F.one_hot(labels, 2).float()
    share = rows * columns / (height * width)
    return images, shares.lerp(shares.roll(1, dims=0), share)
