"""Make fakes from real faces: blend a face with a slightly changed copy of itself.

Such a fake has what every planted face leaves behind, a border between two sources, and
nothing that is particular to one forger.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from loading.disturbances import compress, rescale

BLENDING_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # as in the paper's code
# Where a face is in its picture, in shares of the picture's width and height: middle
# and half axes of its oval. Most datasets of faces are cropped about so.
FACE_CENTRE, FACE_AXES = (0.5, 0.58), (0.27, 0.33)
EYES, MOUTH = 0.5 + 0.474j, 0.5 + 0.737j  # their middles there, x + i y
GRID = 6  # cells of the bending, in each direction
BENDS = (0.0, 0.004, 0.01)  # how far a bending goes, in shares of the picture's size


def self_blend(
    image: Image.Image,
    generator: np.random.Generator,
    landmarks: Sequence[tuple[float, float]] | None = None,
) -> Image.Image:
    """Blend a real face with a slightly changed copy of itself.

    Args:
        image: RGB, of at least 6 x 6 pixels; a face in its middle, or at `landmarks`.
        generator: all draws are from it.
        landmarks: x and y of both eyes, the nose and both corners of the mouth, in
            pixels; None: where aligned faces have them.

    Returns:
        RGB, of the same size: a fake.

    Source: Shiohara and Yamasaki, Detecting Deepfakes with Self-Blended Images, CVPR
        2022, section 3. Deviation: the mask is not the hull of 81 landmarks but a
        random part of an oval, where aligned faces are or five landmarks say that this
        face is; and its outline is deformed, not its raster.
    """
    looks = [image, change_look(image, generator)]
    if generator.random() < 0.5:
        looks.reverse()
    target, source = looks
    outline = draw_outline(generator)
    if landmarks is not None:
        outline = fit_outline(outline, np.array(landmarks) / image.size)
    mask = raster_outline(outline, image.size, generator)
    source = deform(source, generator)
    return Image.composite(source, target, mask)


def change_look(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Change an image's colours and its sharpness a little."""
    levels = np.arange(256) + generator.uniform(-20, 20, size=(3, 1))
    contrast, brightness = generator.uniform(-0.1, 0.1, size=2)
    levels = (levels * (1 + contrast) + 128 * brightness).clip(0, 255)
    image = image.point(np.rint(levels).astype(int).ravel().tolist())
    image = ImageEnhance.Color(image).enhance(generator.uniform(0.8, 1.2))
    return generator.choice(_FINISHES)(image, generator)


# What else is done to a copy: sharpen, blur, resample or encode it.
_FINISHES: tuple[Callable[..., Image.Image], ...] = (
    lambda image, rng: ImageEnhance.Sharpness(image).enhance(rng.uniform(1.3, 3)),
    lambda image, rng: image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5))),
    lambda image, rng: rescale(image, rng.uniform(1.2, 4), rng.integers(0, 4, size=2)),
    lambda image, rng: compress(image, "JPEG", int(rng.integers(15, 70))),
)


def deform(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Move, scale and bend an image by a few per cent."""
    width, height = image.size
    ticks = np.linspace(0, 1, GRID + 1)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1)  # (row, column, x and y)
    grid = 0.5 + (grid - 0.5) * generator.uniform(0.95, 1.05)
    grid = grid + generator.uniform(-1, 1, size=2) * (0.03, 0.015)
    grid = grid + generator.normal(size=grid.shape) * generator.choice(BENDS)
    grid = grid * image.size
    xs, ys = ((ticks * side).round().astype(int).tolist() for side in (width, height))
    mesh = []
    for row in range(GRID):
        for column in range(GRID):
            box = (xs[column], ys[row], xs[column + 1], ys[row + 1])
            corners = [(0, 0), (1, 0), (1, 1), (0, 1)]  # as Pillow wants them
            quad = [grid[row + i, column + j] for i, j in corners]
            mesh.append((box, np.concatenate(quad).tolist()))
    method, how = Image.Transform.MESH, Image.Resampling.BICUBIC
    return image.transform(image.size, method, mesh, how)


def draw_outline(generator: np.random.Generator) -> np.ndarray:
    """Draw the outline of the planted part: a deformed hull of random points of a face.

    Returns:
        float64 (n, 2), x and y in shares of the picture's width and height.
    """
    num_points = int(generator.integers(6, 24))
    angles = np.sort(generator.uniform(0, 2 * math.pi, size=num_points))
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    axes = np.array(FACE_AXES) * generator.uniform(0.6, 1.15, size=2)
    centre = np.array(FACE_CENTRE) + generator.uniform(-0.06, 0.06, size=2)
    part = generator.random()
    if part < 0.25:  # an eye, the nose, the mouth
        centre += generator.uniform(-0.6, 0.6, size=2) * FACE_AXES
        axes *= 0.4
    elif part < 0.5:  # the upper or the lower half
        axes[1] *= 0.55
        centre[1] += axes[1] * generator.choice([-0.7, 0.7])
    radii = generator.uniform(0.85, 1.1, size=(num_points, 1))
    return centre + directions * axes * radii


def fit_outline(outline: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Move, turn and scale an outline from an aligned face to where this one is.

    Args:
        outline: float64 (n, 2), as `draw_outline` returns it.
        landmarks: (5, 2): both eyes, the nose, both corners of the mouth, in shares of
            the width and height of a square picture.

    Returns:
        float64 (n, 2).
    """
    points = landmarks @ (1, 1j)  # x + i y
    eyes, mouth = points[:2].mean(), points[3:].mean()
    fitted = eyes + (outline @ (1, 1j) - EYES) * (mouth - eyes) / (MOUTH - EYES)
    return np.stack([fitted.real, fitted.imag], axis=1)


def raster_outline(
    outline: np.ndarray, size: tuple[int, int], generator: np.random.Generator
) -> Image.Image:
    """Turn an outline into a soft mask of a random strength: L, 255 where planted."""
    mask = Image.new("L", size)
    points = [tuple(point) for point in (outline * size).tolist()]
    ImageDraw.Draw(mask).polygon(points, fill=255)
    softness = max(size) * generator.uniform(0.004, 0.05)
    mask = mask.filter(ImageFilter.GaussianBlur(softness))
    ratio = generator.choice(BLENDING_RATIOS)
    return mask.point(lambda value: round(value * ratio))
