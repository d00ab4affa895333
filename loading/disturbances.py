"""Disturb a picture as it may be on its way to a detector, in five growing levels.

All are pure functions of the image, the level and the generator. Lengths are in pixels
of the given image; it is given as the detector sees it. Which of them a photograph may
have been through is said here, for training, calibration and analysis.
"""

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from loading.face_finding import can_find_faces, crop_face, find_faces

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
    "face": (160, 128, 96, 64, 48),
    "framing": (1.05, 1.1, 1.2, 1.35, 1.5),
    "found": (192, 160, 128, 96, 64),
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
    "face": "side, pixels",
    "framing": "side of the crop",
    "found": "side in the photograph, pixels",
}
SIDES = ("face", "found")  # whose levels are sides of what is left, in pixels
_SHARES = ("crop", "chat", "screenshot")  # whose levels are shares of it
CHAT_QUALITY = 70
BACKDROP = (640, 480)  # pixels of the photograph in which a face is found


class Condition(NamedTuple):
    """What was done to a picture: a disturbance and its level; 0 leaves it alone."""

    name: str = "none"
    level: int = 0

    def __str__(self) -> str:
        """Spell it as `parse_condition` reads it, such as jpeg=70."""
        if not self.level:
            return "none"
        return f"{self.name}={self.strength:g}"

    @property
    def strength(self) -> float:
        """Of the level, in the disturbance's unit; 0 of none."""
        return LEVELS[self.name][self.level - 1] if self.level else 0

    def find_side(self, side: int) -> float:
        """Return the side of what is left of images with this side, pixels."""
        if self.name in SIDES:
            return self.strength
        return self.strength * side if self.name in _SHARES else side

    def describe(self) -> str:
        """Say what was done, as what a picture was."""
        return _WORDS[self.name].format(self.strength) if self.level else "as they are"


_WORDS = {
    "jpeg": "compressed as JPEG of quality {:g}",
    "webp": "compressed as WebP of quality {:g}",
    "blur": "blurred by {:g} pixels",
    "downscale": "scaled to {:g} of the side and back",
    "noise": "with noise of {:g} grey levels",
    "brightness": "brighter or darker by {:g}",
    "contrast": "of a contrast changed by {:g}",
    "saturation": "of colours changed by {:g}",
    "crop": "cropped to {:g} of the side",
    "chat": "sent by a chat program at {:g} of the side",
    "screenshot": "taken off a screen at {:g} of the side",
    "face": "with a crop of only {:g} pixels",
    "framing": "with {:g} times the surroundings",
    "found": "found in a photograph at {:g} pixels",
}
AS_IT_IS = Condition()


def parse_condition(text: str) -> Condition:
    """Return the condition that a text such as jpeg=70 spells.

    Raises:
        ValueError: there is no such disturbance, or no level of that strength.
    """
    if text == "none":
        return AS_IT_IS
    name = text.partition("=")[0]
    spelt = [str(Condition(name, n + 1)) for n in range(len(LEVELS.get(name, ())))]
    if text in spelt:
        return Condition(name, 1 + spelt.index(text))
    choices = ", ".join(spelt) or f"none, {', '.join(f'{n}=...' for n in LEVELS)}"
    raise ValueError(f"there is no condition {text!r:.40}; choose from {choices}")


# What a face in a photograph may have been through.
_SPELT = """none face=160 face=128 face=96 face=64 face=48 jpeg=70 jpeg=50 webp=70
    chat=0.75 chat=0.6 screenshot=0.85 screenshot=0.7 framing=1.1 framing=1.2
    crop=0.9 crop=0.8 brightness=0.3 contrast=0.3"""
PHOTOGRAPHS = tuple(map(parse_condition, _SPELT.split()))


def parse_conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """Return the conditions that texts name, with pictures as they are, which is first.

    Args:
        texts: as for `parse_condition`; a disturbance for all its levels, or
            photographs for all of `PHOTOGRAPHS`.

    Raises:
        ValueError: as `parse_condition`; or a face would have to be found, and the
            package for that is not installed.
    """
    named = [AS_IT_IS]
    for text in texts:
        if text == "photographs":
            named += PHOTOGRAPHS
        elif text in LEVELS:
            named += [Condition(text, 1 + n) for n in range(len(LEVELS[text]))]
        else:
            named.append(parse_condition(text))
    if any(name == "found" for name, _ in named) and not can_find_faces():
        raise ValueError(
            "the disturbance found looks for faces with a package that is not "
            "installed: pip install -r requirements-faces.txt"
        )
    return tuple(dict.fromkeys(named))


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
            it smaller, between pixels; `face` is a smaller face, which nothing made
            large again; `framing` has more around the face, mirrored, and shifts it;
            `found` pastes it into a photograph, saves that as JPEG, finds the face and
            cuts it out.
        level: 1 to 5; 0 leaves it as it is.
        generator: of what is drawn; the draws for a picture are equal at every level.

    Returns:
        An RGB image; of another size after `crop`, `chat`, `screenshot`, `face`,
        `framing` and `found`.

    Raises:
        ValueError: there is no such disturbance or level; or `found` needs a package
            that is not installed.
    """
    if name not in ("none", *LEVELS):
        raise ValueError(f"no disturbance is called {name!r}: {', '.join(LEVELS)}")
    if level == 0:
        return image
    if level not in range(len(LEVELS.get(name, ())) + 1):
        raise ValueError(f"a level is a whole number from 0 to 5, got {level!r}")
    return _CHANGES[name](image, LEVELS[name][level - 1], generator)


def draw_photograph(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Do to a picture what a photograph may have been through, as is drawn.

    A quarter stays as it is; of the others each gets one change, whose strength lies
    between those of `PHOTOGRAPHS` and beyond, and half of them a second compression.
    """
    if generator.random() < 0.25:
        return image
    name = _DRAWN[int(generator.integers(len(_DRAWN)))]
    weak, strong = _DRAWN_STRENGTHS[name]
    strength = weak * (strong / weak) ** generator.random()
    image = _CHANGES[name](image, round(strength) if weak > 2 else strength, generator)
    if generator.random() < 0.5:
        image = compress(image, "JPEG", int(generator.integers(60, 96)))
    return image


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
    start = np.rint(generator.random(2) * (image.size - size)).astype(int)
    return image.crop((*start.tolist(), *(start + size).tolist()))


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


def _frame(
    image: Image.Image, share: float, generator: np.random.Generator
) -> Image.Image:
    """Return the image with its edges mirrored around it, at a place that is drawn."""
    added = [round((share - 1) * side) for side in image.size]
    left, top = np.rint(generator.random(2) * added).astype(int).tolist()
    width, height = added
    around = ((top, height - top), (left, width - left), (0, 0))
    return Image.fromarray(np.pad(np.asarray(image), around, "reflect"))


def _find_in_photograph(
    image: Image.Image, side: int, generator: np.random.Generator
) -> Image.Image:
    """Paste an image into a photograph, and cut out the face that is found there.

    Where none is found the place is that of the image.
    """
    photograph = make_backdrop(generator)
    share = side / max(image.size)
    small = image if share >= 1 else _shrink(image, share)
    room = np.maximum(np.subtract(BACKDROP, small.size), 0)
    left, top = np.rint(generator.random(2) * room).astype(int).tolist()
    photograph.paste(small, (left, top))
    photograph = compress(photograph, "JPEG", 90)
    x, y = left + small.width / 2, top + small.height / 2
    for face in find_faces(photograph):
        if face.box[0] < x < face.box[2] and face.box[1] < y < face.box[3]:
            return crop_face(photograph, face)
    return photograph.crop((left, top, left + small.width, top + small.height))


def make_backdrop(generator: np.random.Generator) -> Image.Image:
    """Draw surroundings out of focus: noise whose power falls with the frequency."""
    width, height = BACKDROP
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequencies[0, 0] = 1
    noise = generator.standard_normal((3, height, width))
    waves = np.fft.irfft2(np.fft.rfft2(noise) / frequencies**1.5, s=(height, width))
    waves[1:] = 0.8 * waves[:1] + 0.2 * waves[1:]  # colours of real surfaces are dull
    waves /= waves.std()
    pixels = np.clip(128 + 45 * waves, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels.transpose(1, 2, 0))


# What `draw_photograph` draws from, and between which strengths.
_DRAWN_STRENGTHS = {
    "face": (208, 64),
    "jpeg": (95, 35),
    "webp": (95, 40),
    "chat": (0.95, 0.4),
    "screenshot": (0.98, 0.5),
    "framing": (1.02, 1.3),
    "crop": (0.98, 0.8),
}
_DRAWN = ("face", "face", *list(_DRAWN_STRENGTHS)[1:])  # size matters most

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
    "face": lambda image, side, _: _shrink(image, min(1, side / max(image.size))),
    "framing": _frame,
    "found": _find_in_photograph,
}
