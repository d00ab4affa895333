"""What a model expects of its images: stored in checkpoints, applied to batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

IMAGE_SIZE = 256  # height and width of what every model takes, in pixels


@dataclass(frozen=True)
class Preprocessing:
    """What a model expects of its images: the channels' means and deviations.

    Args:
        mean: per RGB channel, for values in [0, 1].
        std: per RGB channel, for values in [0, 1], positive.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalise(self, images: Tensor) -> Tensor:
        """Turn a batch of bytes into what the model expects.

        Args:
            images: uint8 (N, 3, H, W), RGB, on any device, in any memory format.

        Returns:
            float32 (N, 3, H, W), (images / 255 - mean) / std, same memory format.

        Raises:
            ValueError: when the images are not uint8 (N, 3, H, W).
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"images must be uint8 (N, 3, H, W), got {images.dtype} "
                f"{tuple(images.shape)}"
            )
        scale = [1 / (255 * std) for std in self.std]
        shift = [-mean / std for mean, std in zip(self.mean, self.std, strict=True)]
        is_cuda = images.device.type == "cuda"  # which need not be waited for
        factors = torch.tensor([scale, shift]).to(images.device, non_blocking=is_cuda)
        factors = factors.view(2, 1, 3, 1, 1)
        floats = images.to(torch.float32)  # first pass; the second one is in place
        if not images.is_contiguous(memory_format=torch.channels_last):
            return torch.addcmul(factors[1], floats, factors[0], out=floats)
        # Whole rows of pixels at once: with three channels innermost it takes 5 times
        # as long on a CPU.
        batch, _, height, width = images.shape
        rows = floats.permute(0, 2, 3, 1).view(batch, height, 3 * width)
        factors = factors.view(2, 3).repeat(1, width)
        torch.addcmul(factors[1], rows, factors[0], out=rows)
        return floats

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain Python values for a checkpoint: mean, std."""
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, value: object) -> Preprocessing:
        """Rebuild the preprocessing from a checkpoint's plain values.

        Args:
            value: as `to_dict` wrote it; untrusted; other keys are ignored.

        Raises:
            ValueError: naming the entry that is missing or out of range.
        """
        if not isinstance(value, Mapping):
            raise ValueError(
                f"preprocessing must be a dict, got {type(value).__name__}"
            )
        return cls(
            mean=_take_three(value, "mean", lowest=-1000),
            std=_take_three(value, "std", lowest=1e-6),
        )


# Scales bytes to [-1, 1], as Xception's ImageNet weights were trained.
SYMMETRIC = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

# CIFAR-10's statistics, which the original exercise used for both models: SimpleNet's
# published recipe, and what old checkpoints (they store none) were trained with.
PUBLISHED = Preprocessing(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))


def _take_three(
    value: Mapping[str, object], name: str, *, lowest: float
) -> tuple[float, float, float]:
    """Return one number a channel; NaN is not in the range, and a bool no number."""
    items = value.get(name)
    if (
        not isinstance(items, list | tuple)
        or len(items) != 3
        or not all(type(i) in (int, float) and lowest <= i <= 1000 for i in items)
    ):
        raise ValueError(
            f"preprocessing {name} must be 3 numbers from {lowest} to 1000"
        )
    return tuple(map(float, items))
