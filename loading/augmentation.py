"""How training images are changed: cropped from their padded selves, and mirrored.

What is drawn depends on the generator alone: the same (seed, epoch, index) gives the
same image whoever reads it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4  # pixels on each side, as published


def draw_augmentation(num_images: int, generator: np.random.Generator) -> np.ndarray:
    """Draw how each image is changed.

    Returns:
        int64 (N, 3), a row an image: the crop's top and left edge within the padded
        image, and whether it is mirrored (0 or 1).
    """
    high = [2 * PADDING + 1, 2 * PADDING + 1, 2]
    return generator.integers(0, high, size=(num_images, 3))


def augment(images: Tensor, draws: np.ndarray) -> Tensor:
    """Cut each image from its zero-padded self and mirror some, as published.

    Args:
        images: (N, C, H, W).
        draws: int64 (N, 3), of `draw_augmentation`: a row an image.

    Returns:
        images of the same shape and dtype, in channels-last memory format.
    """
    height, width = images.shape[2:]
    padded = F.pad(images, [PADDING] * 4)
    result = torch.empty_like(images, memory_format=torch.channels_last)
    for image, source, (top, left, mirrored) in zip(
        result, padded, draws.tolist(), strict=True
    ):
        crop = source[:, top : top + height, left : left + width]
        image.copy_(crop.flip(-1) if mirrored else crop)
    return result
