"""Disturb a picture as it may be on its way to a detector, in five growing levels.

All are pure functions of the image, the level and the generator. Lengths are in pixels
of the given image; `robustness_analysis.py` gives it as the detector sees it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

# The strength of levels 1 to 5, and what the numbers are.
LEVELS: dict[str, tuple[float, ...]] = {
    "jpeg": (90, 70, 50, 30, 10),
    "webp": (90, 70, 50, 30, 10),
    "blur": (0.5, 1, 1.5, 2.5, 4),
    "downscale": (0.75, 0.5, 0.35, 0.25, 0.125),
    "noise": (2, 5, 10, 20, 40),
    "brightness": (0.1, 0.2, 0.3, 0.45, 0.6),
    "contrast": (0.1, 0.2, 0.3, 0.45, 0.6),
    "saturation": (0.2, 0.4, 0.6, 0.8, 1),
    "crop": (0.95, 0.9, 0.8, 0.7, 0.6),
    "chat": (0.9, 0.75, 0.6, 0.5, 0.4),
    "screenshot": (0.95, 0.85, 0.7, 0.6, 0.5),
}
UNITS = {
    "jpeg": "quality",
    "webp": "quality",
    "blur": "standard deviation, pixels",
    "downscale": "share of the side",
    "noise": "standard deviation, of 255",
    "brightness": "change of the factor",
    "contrast": "change of the factor",
    "saturation": "change of the factor",
    "crop": "share of the side kept",
    "chat": "share of the side, then JPEG",
    "screenshot": "scale on the screen",
}
CHAT_QUALITY = 70


def disturb(
    image: Image.Image, name: str, level: int, generator: np.random.Generator
) -> Image.Image:
    """Change a picture as cameras, networks and programs do.

    Args:
        image: RGB.
        name: one of `LEVELS`: `jpeg` and `webp` compress; `blur` is Gaussian;
            `downscale` makes it smaller and as large again; `noise` is Gaussian, in
            each channel by itself; `brightness`, `contrast` and `saturation` grow or
            shrink, as is drawn; `crop` cuts out a part at a place that is drawn;
            `chat` makes it smaller and compresses it to JPEG with coarse colours
            (4:2:0), as chat programs do; `screenshot` takes it off a screen that shows
            it smaller, between pixels.
        level: 1 to 5; 0 leaves it as it is.
        generator: of what is drawn; the draws for a picture are equal at every level.

    Returns:
        An RGB image; a smaller one after `crop`, `chat` and `screenshot`.

    Raises:
        ValueError: there is no such disturbance or level.
    """
    if name not in LEVELS:
        raise ValueError(f"no disturbance is called {name!r}: {', '.join(LEVELS)}")
    if level not in range(len(LEVELS[name]) + 1):
        raise ValueError(f"a level is a whole number from 0 to 5, got {level!r}")
    if level == 0:
        return image
    return _CHANGES[name](image, LEVELS[name][level - 1], generator)


def rescale(
    image: Image.Image, factor: float, filters: Sequence[int] = (3, 3)
) -> Image.Image:
    """Scale an image down by a factor, and up again, with Pillow's filters."""
    small = tuple(max(round(side / factor), 1) for side in image.size)
    down, up = (Image.Resampling(int(number)) for number in filters)
    return image.resize(small, down).resize(image.size, up)


def add_noise(
    image: Image.Image, deviation: float, generator: np.random.Generator
) -> Image.Image:
    """Add Gaussian noise of a deviation in grey levels to every channel."""
    pixels = np.asarray(image, dtype=np.float32)
    noise = generator.standard_normal(pixels.shape, dtype=np.float32)
    pixels = (pixels + deviation * noise).clip(0, 255)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def compress(image: Image.Image, kind: str, quality: int) -> Image.Image:
    """Encode an image as JPEG (4:2:0) or WEBP at a quality, 1 to 100; decode it."""
    file = BytesIO()
    image.save(file, kind, quality=quality)
    return Image.open(file).convert("RGB")


def _shrink(image: Image.Image, share: float) -> Image.Image:
    """Return the image with its sides made shorter, antialiased."""
    size = tuple(max(1, round(share * side)) for side in image.size)
    return image.resize(size, Image.Resampling.BICUBIC)


def _enhance(
    image: Image.Image, change: float, generator: np.random.Generator, enhancer: type
) -> Image.Image:
    """Change an image by a factor, to either side of 1."""
    sign = 1 if generator.random() < 0.5 else -1
    return enhancer(image).enhance(1 + sign * change)


def _crop(
    image: Image.Image, share: float, generator: np.random.Generator
) -> Image.Image:
    size = np.maximum(np.rint(share * np.array(image.size)).astype(int), 1)
    left, top = np.rint(generator.random(2) * (image.size - size)).astype(int).tolist()
    width, height = size.tolist()
    return image.crop((left, top, left + width, top + height))


def _photograph_screen(
    image: Image.Image, scale: float, generator: np.random.Generator
) -> Image.Image:
    """Resample between pixels, without antialiasing, as a screen's hardware does."""
    size = tuple(max(1, round(scale * side)) for side in image.size)
    left, top = generator.random(2).tolist()
    matrix = (1 / scale, 0, left, 0, 1 / scale, top)
    method, how = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    # Beyond the edge it reads the edge again, as a screen shows it.
    wide = Image.fromarray(np.pad(np.asarray(image), ((0, 2), (0, 2), (0, 0)), "edge"))
    return wide.transform(size, method, matrix, how)


# Called with the image, the level's strength and the generator.
_CHANGES: dict[str, Callable[..., Image.Image]] = {
    "jpeg": lambda image, quality, _: compress(image, "JPEG", quality),
    "webp": lambda image, quality, _: compress(image, "WEBP", quality),
    "blur": lambda image, radius, _: image.filter(ImageFilter.GaussianBlur(radius)),
    "downscale": lambda image, share, _: rescale(image, 1 / share),
    "noise": add_noise,
    "brightness": partial(_enhance, enhancer=ImageEnhance.Brightness),
    "contrast": partial(_enhance, enhancer=ImageEnhance.Contrast),
    "saturation": partial(_enhance, enhancer=ImageEnhance.Color),
    "crop": _crop,
    "chat": lambda image, share, _: compress(
        _shrink(image, share), "JPEG", CHAT_QUALITY
    ),
    "screenshot": _photograph_screen,
}
