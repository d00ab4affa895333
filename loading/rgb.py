"""From any mode and colour space of a picture to RGB bytes in sRGB."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

MOST_PROFILE_BYTES = 4_000_000  # a larger profile is ignored; a printer's has 2 MB
GREY_BITS = (8, 10, 12, 14, 16, 32)  # of cameras and scanners


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, and the picture's colour profile to sRGB.

    Transparency is laid over white. 16-bit and floating-point greys are scaled to 8
    bits as `_scale_deep_grey` says. A profile that is damaged, is of another mode, or
    means sRGB to within a level changes nothing.
    """
    profile = image.info.get("icc_profile") or b""
    if image.mode.startswith("I") or image.mode == "F":
        image = _scale_deep_grey(image)
    if image.has_transparency_data:
        was_grey = image.mode in ("L", "LA", "La")
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)  # one copy less to hold
        image = image.convert("L" if was_grey else "RGB")
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    if profile and len(profile) <= MOST_PROFILE_BYTES:
        transform = _build_transform(profile, image.mode)
        if transform is not None:
            return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


@functools.lru_cache(maxsize=16)
def _build_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what brings a profile's colours to sRGB; None if they are, or damaged."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(own, srgb, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    samples = {
        "L": levels[None],
        "RGB": np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3),
    }
    if mode in samples:
        swatches = Image.fromarray(samples[mode])
        before = np.asarray(swatches.convert("RGB"), dtype=int)
        if abs(before - np.asarray(transform.apply(swatches))).max() <= 1:
            return None
    return transform


def _scale_deep_grey(image: Image.Image) -> Image.Image:
    """Bring deep greys to 8 bits.

    Floats in [0, 1] have white at 1, others at 255. Of integers white is the largest
    value of the fewest bits, among those that cameras use, that hold the brightest
    pixel: files of 16 bits often hold 10, 12 or 14, and say so nowhere. (The sBIT of a
    PNG says what the samples had before they were scaled to 16.) What is darker than a
    half of its range is brightened by this, at most as if it were exposed again.
    """
    grey = np.asarray(image).astype(np.float32)
    np.nan_to_num(grey, copy=False)
    np.maximum(grey, 0, out=grey)
    brightest = grey.max(initial=0)
    if image.mode == "F":
        white = 1 if brightest <= 1 else 255
    else:
        white = next(w for b in GREY_BITS if (w := 2**b - 1) >= brightest or b == 32)
    grey *= 255
    grey /= white
    np.minimum(np.rint(grey, out=grey), 255, out=grey)
    return Image.fromarray(grey.astype(np.uint8))
