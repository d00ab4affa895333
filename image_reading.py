"""Read image files of any format and mode as upright RGB, or say why not."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

BAND_HEIGHT = 256  # rows of a deep image that are converted at a time

T = TypeVar("T")

# What Pillow only warns of either raises a clear error here or does not matter.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_image(path: Path) -> Image.Image:
    """Read an image file of any format and mode as an upright RGB image.

    The first frame of an animation is taken, the camera's orientation applied, 16-bit
    and floating-point greys scaled to 8 bits, and transparency laid over white.

    Raises:
        ValueError: the file cannot be read, is truncated, or has more pixels than
            Pillow holds for safe (`PIL.Image.MAX_IMAGE_PIXELS`).
    """
    return _read(path, lambda image: _to_rgb(ImageOps.exif_transpose(image)))


def check_image_header(path: Path) -> None:
    """Raise ValueError, as `read_image` does, if a file does not begin as an image."""
    _read(path, lambda image: image.size)


def _read(path: Path, use: Callable[[Image.Image], T]) -> T:
    """Open an image and use it; turn whatever goes wrong into one clear ValueError."""
    try:
        if not path.is_file():  # a pipe would make the reader wait for ever
            raise OSError("it is no file")
        with Image.open(path, formats=_get_formats()) as image:
            width, height = image.size
            if width * height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"{width} x {height} pixels")
            return use(image)
    # Pillow's decoders raise nearly any of the built-in errors on a corrupt file.
    except Exception as error:
        reason = _describe_reading_error(path, error)
        raise ValueError(
            f"cannot read the image {path}: {reason}; replace or remove it"
        ) from error


@functools.cache
def _get_formats() -> tuple[str, ...]:
    """Return the formats that Pillow itself reads: EPS it hands to Ghostscript."""
    Image.init()
    return tuple(name for name in Image.OPEN if name != "EPS")


def get_extensions() -> frozenset[str]:
    """Return the file name extensions of the formats that are read: `.jpg`, ..."""
    formats = frozenset(_get_formats())
    extensions = Image.registered_extensions()
    return frozenset(e for e, name in extensions.items() if name in formats)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _scale_deep_grey(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _scale_deep_grey(image: Image.Image) -> Image.Image:
    """Bring 16-bit integers, or floats in [0, 1] (else in [0, 255]), to 8 bits.

    A band of rows at a time: the whole as float64 would take gigabytes.
    """
    brightest = max((float(g.max()) for g in _read_bands(image)), default=0.0)
    factor, divisor = 1, 1
    if image.mode == "F":
        factor = 255 if brightest <= 1 else 1
    elif image.mode != "I" or brightest > 255:  # "I" may hold 8, 16 or 32 bits
        factor, divisor = 255, 65535 if brightest <= 65535 else 2**32 - 1
    scaled = Image.new("L", image.size)
    for number, grey in enumerate(_read_bands(image)):
        pixels = np.clip(np.rint(grey * factor / divisor), 0, 255).astype(np.uint8)
        scaled.paste(Image.fromarray(pixels), (0, number * BAND_HEIGHT))
    return scaled


def _read_bands(image: Image.Image) -> Iterator[np.ndarray]:
    """Yield the rows of a grey image, some at a time, as finite float64 (n, W)."""
    for top in range(0, image.height, BAND_HEIGHT):
        bottom = min(top + BAND_HEIGHT, image.height)
        band = image.crop((0, top, image.width, bottom))
        yield np.nan_to_num(np.asarray(band).astype(np.float64))


def _describe_reading_error(path: Path, error: Exception) -> str:
    """Say in a few words why an image could not be read."""
    if not path.exists():
        return "a broken link" if path.is_symlink() else "there is no such file"
    if path.is_dir():
        return "it is a folder"
    if isinstance(
        error, (Image.DecompressionBombError, Image.DecompressionBombWarning)
    ):
        return f"it has too many pixels to be opened safely ({error})"
    if isinstance(error, PermissionError):
        return "permission denied"
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image file that Pillow knows"
    return " ".join(str(error).split()) or type(error).__name__
