"""What a model expects of its images: stored in checkpoints, applied to batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

MAX_IMAGE_SIZE = 4096  # checkpoints come from strangers: bounds what they may ask for


@dataclass(frozen=True)
class Preprocessing:
    """What a model expects of its images: square size, channel means and deviations.

    Args:
        size: height and width in pixels.
        mean: per RGB channel, for values in [0, 1].
        std: per RGB channel, for values in [0, 1], positive.
    """

    size: int
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
        factors = torch.tensor([scale, shift], device=images.device)
        factors = factors.view(2, 1, 3, 1, 1)
        floats = images.to(torch.float32)  # first pass; the second one is in place
        return torch.addcmul(factors[1], floats, factors[0], out=floats)

    def to_dict(self) -> dict[str, object]:
        """Return plain Python values for a checkpoint: size, mean, std."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, value: object) -> Preprocessing:
        """Rebuild the preprocessing from a checkpoint's plain values.

        Args:
            value: as `to_dict` wrote it; untrusted; keys of later versions are ignored.

        Raises:
            ValueError: naming the entry that is missing or out of range.
        """
        if not isinstance(value, Mapping):
            raise ValueError(
                f"preprocessing must be a dict, got {type(value).__name__}"
            )
        missing = [name for name in ("size", "mean", "std") if name not in value]
        if missing:
            raise ValueError(f"preprocessing lacks {', '.join(missing)}")
        size = value["size"]
        in_range = type(size) is int and 1 <= size <= MAX_IMAGE_SIZE
        if not in_range:
            raise ValueError(
                f"preprocessing size must be an integer from 1 to {MAX_IMAGE_SIZE}, "
                f"got {_shown(size)}"
            )
        mean, std = (_three_numbers(value[name], name) for name in ("mean", "std"))
        if min(std) < 1e-6:
            raise ValueError(f"preprocessing std must be positive, got {list(std)}")
        return cls(size, mean, std)


# Scales bytes to [-1, 1], as Xception's ImageNet weights were trained.
SYMMETRIC = Preprocessing(256, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

# CIFAR-10's statistics, which the original exercise used for both models: SimpleNet's
# published recipe, and what old checkpoints (they store none) were trained with.
PUBLISHED = Preprocessing(
    256, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)
)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    """A stranger's value on one line, cut short."""
    return " ".join(repr(value)[:60].split())


def _three_numbers(value: object, name: str) -> tuple[float, float, float]:
    """Check one number a channel; bool is an int to Python, but not to us."""
    plain = isinstance(value, list | tuple) and len(value) == 3
    if not plain or not all(type(item) in (int, float) for item in value):
        raise ValueError(f"preprocessing {name} must be 3 numbers, got {_shown(value)}")
    if not all(abs(item) <= 1000 for item in value):  # refuses NaN and infinity too
        raise ValueError(f"preprocessing {name} out of range: {_shown(value)}")
    first, second, third = map(float, value)
    return first, second, third
