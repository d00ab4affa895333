"""Drawn portraits: different people, photographed in different light and poses.

A face is drawn in its own frame, `features.Grid`. Its relief gives the shading: a sum
of bells that does not attempt anatomy.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from drawn_faces.canvas import cover, draw_background, paint
from drawn_faces.features import (
    Grid,
    Traits,
    build_relief,
    colour_hair,
    cover_back_hair,
    cover_ears,
    cover_fringe,
    draw_body,
    draw_features,
    draw_skin,
    draw_strands,
    shade,
)

# Lowest and highest value of every trait; lengths are in half face heights.
PERSON_RANGES = {
    "head_width": (0.64, 0.78),
    "jaw": (1.45, 2.7),
    "eye_x": (0.27, 0.34),
    "eye_y": (-0.16, -0.06),
    "eye_width": (0.115, 0.15),
    "eye_open": (0.045, 0.075),
    "eye_slant": (-0.18, 0.18),
    "brow_gap": (0.13, 0.20),
    "brow_thick": (0.014, 0.042),
    "brow_arch": (0.01, 0.07),
    "nose_width": (0.11, 0.18),
    "nose_y": (0.24, 0.36),
    "nose_relief": (0.12, 0.26),
    "mouth_y": (0.53, 0.62),
    "mouth_width": (0.20, 0.30),
    "lip_upper": (0.025, 0.055),
    "lip_lower": (0.04, 0.085),
    "lip_red": (0.1, 0.6),
    "skin": (0.0, 1.0),
    "ruddy": (0.0, 0.5),
    "freckles": (-0.3, 0.25),
    "lines": (0.0, 1.0),
    "beard": (-1.2, 0.8),
    "iris": (0.0, 1.0),
    "glasses": (0.0, 1.0),
    "hair": (0.0, 1.0),
    "hair_top": (0.04, 0.26),
    "hair_side": (0.02, 0.16),
    "hair_length": (-0.6, 1.4),
    "hair_wave": (0.0, 0.25),
    "hair_part": (-0.5, 0.5),
    "hairline": (-0.78, -0.38),
    "temple": (0.15, 0.75),
    "ear": (0.16, 0.22),
}

SHOT_RANGES = {
    "scale": (0.39, 0.45),
    "shift_x": (-0.04, 0.04),
    "shift_y": (-0.03, 0.05),
    "tilt": (-0.14, 0.14),
    "yaw": (-0.3, 0.3),
    "smile": (-0.02, 0.07),
    "mouth_open": (-0.05, 0.05),
    "gaze": (-0.3, 0.3),
    "light_angle": (0.0, 2 * np.pi),
    "light_side": (0.15, 0.75),
    "ambient": (0.35, 0.65),
    "warmth": (-0.06, 0.06),
    "gloss": (0.02, 0.2),
    "cloth": (0.0, 1.0),
}


@dataclass(frozen=True)
class Portrait:
    """A drawn portrait.

    image: float32 (S, S, 3), about 0 to 1; inner_mask: float32 (S, S), 1 from the
    brows to the chin; landmarks: float64 (5, 2), x and y in pixels of the two
    eyes, the tip of the nose and the two corners of the mouth.
    """

    image: np.ndarray
    inner_mask: np.ndarray
    landmarks: np.ndarray


def sample_person(rng: np.random.Generator) -> Traits:
    """Draw the traits that stay with a person in every picture (PERSON_RANGES)."""
    person = _sample(rng, PERSON_RANGES)
    person.hair *= 1 - 0.6 * person.skin  # fair hair is rare with dark skin
    return person


def sample_shot(rng: np.random.Generator, *, pose_of: Traits | None = None) -> Traits:
    """Draw the traits of one picture: pose, expression and light (SHOT_RANGES).

    Of `pose_of`, another shot, scale, tilt and yaw are reused.
    """
    shot = _sample(rng, SHOT_RANGES)
    if pose_of is not None:
        shot.scale, shot.tilt, shot.yaw = pose_of.scale, pose_of.tilt, pose_of.yaw
    shot.light_right = math.cos(shot.light_angle)
    shot.light_down = math.sin(shot.light_angle)
    return shot


def _sample(rng: np.random.Generator, ranges: dict[str, tuple[float, float]]) -> Traits:
    return Traits(**{name: rng.uniform(*ends) for name, ends in ranges.items()})


def draw_face(
    person: Traits, shot: Traits, rng: np.random.Generator, *, size: int
) -> Portrait:
    """Draw one portrait, `size` pixels high and wide.

    `rng` decides the background and every texture.
    """
    grid = _build_grid(person, shot, size)
    strands = draw_strands(person, grid, rng)
    fringe = cover_fringe(person, grid, strands)
    image = draw_background(rng, size)
    hair = colour_hair(person, shot, grid, strands)
    paint(image, hair * 0.7, cover_back_hair(person, grid, strands))
    draw_body(image, person, shot, grid)
    skin = draw_skin(person, grid, rng)
    draw_features(skin, person, shot, grid)
    shadow = ndimage.gaussian_filter(fringe, size * 0.02, truncate=2.5)
    skin *= (1 - 0.35 * shadow)[..., None]
    skin = shade(skin, build_relief(person, grid), shot, grid)
    head = cover(grid.head * 0.35, grid.pixel)
    paint(image, skin, np.maximum(head, cover_ears(person, grid)))
    paint(image, hair, fringe)
    image *= 1 + shot.warmth * np.array([1.0, 0.0, -1.0], np.float32)
    return Portrait(
        image, _cover_inner(person, grid), _place_landmarks(person, shot, size)
    )


def _build_grid(person: Traits, shot: Traits, size: int) -> Grid:
    """Compute the face coordinates of every pixel; `turned` follows the yaw."""
    scale = shot.scale * size
    ys, xs = np.mgrid[:size, :size].astype(np.float32)
    right = (xs + 0.5) / scale - (0.5 + shot.shift_x) / shot.scale
    down = (ys + 0.5) / scale - (0.5 + shot.shift_y) / shot.scale
    cosine, sine = math.cos(shot.tilt), math.sin(shot.tilt)
    u, v = cosine * right + sine * down, cosine * down - sine * right
    width = person.head_width
    depth = np.sqrt(np.clip(1 - (u / width) ** 2, 0, 1))
    power = np.where(v < 0, 2.2, person.jaw)
    head = (u / width) ** 2 + np.abs(v) ** power - 1
    turned = u - 0.45 * shot.yaw * depth
    return Grid(u, v, turned, head, pixel=1.2 / scale, scale=scale)


def _place_landmarks(person: Traits, shot: Traits, size: int) -> np.ndarray:
    """Map eyes, nose and corners of the mouth from the face's frame to pixels."""
    points = np.array(
        [
            [-person.eye_x, person.eye_y],
            [person.eye_x, person.eye_y],
            [0.0, person.nose_y],
            [-person.mouth_width, person.mouth_y],
            [person.mouth_width, person.mouth_y],
        ]
    )
    depth = np.sqrt(1 - (points[:, 0] / person.head_width) ** 2)
    points[:, 0] += 0.45 * shot.yaw * depth
    cosine, sine = math.cos(shot.tilt), math.sin(shot.tilt)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([0.5 + shot.shift_x, 0.5 + shot.shift_y])
    return (points @ turn.T * shot.scale + middle) * size - 0.5


def _cover_inner(person: Traits, grid: Grid) -> np.ndarray:
    """Cover the part of the face that a swap replaces: brows to chin."""
    top, bottom = person.eye_y - person.brow_gap - 0.09, person.mouth_y + 0.2
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    wide = 0.84 * person.head_width
    oval = np.abs(grid.turned / wide) ** 2.5 + np.abs((grid.v - middle) / half) ** 2.5
    inside = cover(grid.head * 0.35 + 0.03, 0.02)
    return inside * cover((oval - 1) * 0.3, grid.pixel)
