"""What a network expects of its images: stored in checkpoints, applied to batches."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from files.bounds import Bounds

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE_SIZE = 256  # height and width of what both published networks take, in pixels
# A crop's side in heights of the face's box. It is the median of CenterFace's boxes in
# crops aligned as FFHQ's are, as those of the public samples.
CROP_MARGIN = 1.35
MARGINS = Bounds(0.1, 10)
_SIZES = Bounds(8, 4096, int)


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its images.

    Args:
        mean: per RGB channel, for values in [0, 1].
        std: per RGB channel, for values in [0, 1], positive.
        size: height and width, pixels.
        full_decoding: large JPEGs are decoded whole before they are resized, not scaled
            down by their decoder to twice the size. The pixels then differ by 0.2 of
            255 levels in the mean, at most by 3, and a photograph of 12 megapixels
            takes three times as long (docs/speed.md).
        crop_margin: side of a crop in heights of the face's box.

    Raises:
        ValueError: naming what is missing or out of range.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int = IMAGE_SIZE
    full_decoding: bool = False
    crop_margin: float = CROP_MARGIN

    def __post_init__(self) -> None:
        for name, allowed in (("size", _SIZES), ("crop_margin", MARGINS)):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(
                    f"preprocessing {name} must be {allowed}, got {value!r:.60}"
                )
        for name, lowest in (("mean", -1000), ("std", 1e-6)):
            items, allowed = getattr(self, name), Bounds(lowest, 1000)
            is_three = isinstance(items, list | tuple) and len(items) == 3
            if not (is_three and all(item in allowed for item in items)):
                raise ValueError(
                    f"preprocessing {name} must be 3 numbers from {lowest} to 1000"
                )
            object.__setattr__(self, name, tuple(map(float, items)))
        object.__setattr__(self, "crop_margin", float(self.crop_margin))

    def normalise(self, images: "Tensor") -> "Tensor":
        """Turn a batch of bytes into what the model expects.

        Args:
            images: uint8 (N, 3, H, W), RGB, on any device, in any memory format.

        Returns:
            float32 (N, 3, H, W), (images / 255 - mean) / std, same memory format.

        Raises:
            ValueError: when the images are not uint8 (N, 3, H, W).
        """
        import torch  # an exported detector does this itself

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

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values for a checkpoint."""
        values = asdict(self)
        return {**values, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_untrusted(cls, value: Mapping[str, Any]) -> "Preprocessing":
        """Rebuild the preprocessing from a checkpoint's plain values.

        Args:
            value: as `to_dict` wrote it; other keys are ignored. Of the keys only
                `mean` and `std` must be there.

        Raises:
            ValueError: naming the entry that is missing or out of range.
        """
        return cls(
            mean=value.get("mean"),
            std=value.get("std"),
            size=value.get("size", cls.size),
            full_decoding=value.get("full_decoding", cls.full_decoding) is True,
            crop_margin=value.get("crop_margin", cls.crop_margin),
        )


class Resize:
    """Turn a PIL image into bytes of the size that a network takes, antialiased.

    The aspect ratio is not kept.

    Args:
        preprocessing: says how large, and how a JPEG is decoded; default 256 pixels.

    Attributes:
        size: S.
        at_least: how many pixels a side of the decoded image must have, if the file
            has them; None: all that there are.
    """

    def __init__(self, preprocessing: Preprocessing | None = None) -> None:
        wanted = preprocessing or PUBLISHED
        self.size = wanted.size
        self.at_least = None if wanted.full_decoding else 2 * wanted.size

    def resize(self, image: Image.Image) -> Image.Image:
        """Return the image as the network sees it, RGB of S x S pixels."""
        size = (self.size, self.size)
        if image.size == size:
            return image
        return image.resize(size, Image.Resampling.BICUBIC)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return uint8 (S, S, 3), RGB."""
        return np.array(self.resize(image))


# Scales bytes to [-1, 1], as Xception's ImageNet weights were trained.
SYMMETRIC = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

# Most networks with ImageNet's weights, torchvision's for one, were trained so.
IMAGENET = Preprocessing(
    mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=224
)

# CIFAR-10's statistics, which the original exercise used for both networks: SimpleNet's
# published recipe, and what old checkpoints (they store none) were trained with.
PUBLISHED = Preprocessing(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))


def find_preprocessing(network: "nn.Module") -> Preprocessing | None:
    """Return what a network says that it expects; None where it does not say."""
    return getattr(network, "preprocessing", None)
