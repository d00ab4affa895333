"""Brushes and palettes for the drawn demo faces: noise, soft shapes, backgrounds."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Palettes: a trait from 0 to 1 runs along these colours.
SKINS = np.array(
    [
        [0.97, 0.83, 0.74],
        [0.90, 0.71, 0.58],
        [0.76, 0.55, 0.40],
        [0.52, 0.35, 0.25],
        [0.33, 0.22, 0.17],
    ]
)

HAIRS = np.array(
    [
        [0.07, 0.06, 0.06],
        [0.20, 0.13, 0.09],
        [0.36, 0.22, 0.13],
        [0.55, 0.27, 0.12],
        [0.72, 0.55, 0.34],
        [0.66, 0.64, 0.62],
    ]
)

IRISES = np.array([[0.20, 0.12, 0.07], [0.35, 0.25, 0.12], [0.30, 0.42, 0.50]])
SIDES = (-1, 1)  # of a face: left and right in the picture


def smooth_noise(rng: np.random.Generator, size: int, grain: float) -> np.ndarray:
    """Draw a field of smooth noise that changes over `grain` pixels, at least 1.

    Returns: float32 (size, size), mean about 0, standard deviation below 1.
    """
    coarse = max(4, round(size / grain))
    values = rng.standard_normal((coarse, coarse), dtype=np.float32)
    if coarse == size:
        return values
    return np.asarray(Image.fromarray(values).resize((size, size), Image.BICUBIC))


def cover(distance: np.ndarray, softness: float) -> np.ndarray:
    """Turn a signed distance (negative inside) into a soft coverage, 0 to 1."""
    return np.clip(0.5 - distance / softness, 0.0, 1.0)


def bump(
    across: np.ndarray, along: np.ndarray, width: float, height: float
) -> np.ndarray:
    """Compute a Gaussian bell with the two half-axes, 1 at its centre."""
    return np.exp(-((across / width) ** 2) - (along / height) ** 2)


def paint(image: np.ndarray, colour: np.ndarray | float, coverage: np.ndarray) -> None:
    """Paint a colour over an image, in place.

    Args:
        image: float32 (H, W, 3).
        colour: one number, (3,) or (H, W, 3).
        coverage: (H, W) from 0 (leave) to 1 (replace); below 0.002 nothing changes.
    """
    touched = coverage > 0.002
    if not touched.any():
        return
    # Most parts are small: painting only their bounding box halves the drawing time.
    rows, columns = np.flatnonzero(touched.any(1)), np.flatnonzero(touched.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    colour = np.asarray(colour, np.float32)
    layer = colour[box] if colour.ndim == 3 else colour
    image[box] += coverage[box][..., None] * (layer - image[box])


def blend(colours: np.ndarray, position: float) -> np.ndarray:
    """Pick a colour on the line through `colours` (K, 3); position is from 0 to 1."""
    steps = np.linspace(0.0, 1.0, len(colours))
    mixed = [np.interp(position, steps, channel) for channel in colours.T]
    return np.array(mixed, np.float32)


def draw_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw an out-of-focus room: a gradient, a few shapes, mottled texture.

    Returns: float32 (size, size, 3) from about 0 to 1.
    """
    ends = rng.uniform(0.1, 0.9) + rng.uniform(-0.13, 0.13, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.linspace(-0.5, 0.5, size)
    slope = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None] + 0.5
    room = ends[0] + slope[..., None] * (ends[1] - ends[0])
    scene = Image.fromarray((np.clip(room, 0, 1) * 255).astype(np.uint8))
    for _ in range(rng.integers(0, 9)):
        _draw_shape(rng, ImageDraw.Draw(scene), size)
    blur = size * float(rng.choice([0.004, 0.012, 0.03]))
    scene = scene.filter(ImageFilter.GaussianBlur(blur))
    mottle = smooth_noise(rng, size, size / rng.uniform(6, 60))
    weave = smooth_noise(rng, size, rng.uniform(1.0, 4.0))
    texture = rng.uniform(0, 0.05) * mottle + rng.uniform(0, 0.025) * weave
    return np.asarray(scene, np.float32) / 255 + texture[..., None]


def _draw_shape(rng: np.random.Generator, pen: ImageDraw.ImageDraw, size: int) -> None:
    """Add one disc, frame, panel or strip in a random colour."""
    x, y = rng.uniform(-0.2, 1.0, 2) * size
    width, height = rng.uniform(0.06, 0.6, 2) * size
    box = [x, y, x + width, y + height]
    shade = rng.uniform(30, 225) + rng.uniform(-45, 45, 3)
    colour = tuple(int(value) for value in shade.clip(0, 255))
    kind = rng.integers(4)
    if kind == 0:
        pen.ellipse([x, y, x + width, y + width], fill=colour)
    elif kind == 1:
        pen.rectangle(box, outline=colour, width=max(1, size // 40))
    elif kind == 2:
        pen.rectangle(box, fill=colour)
    else:
        pen.line(box, fill=colour, width=max(1, int(height / 6)))
