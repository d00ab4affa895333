"""Hair, body, skin and features of a drawn face, in the order in which they are drawn.

The traits are those of `PERSON_RANGES` and `SHOT_RANGES` in `portraits.py`.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from scipy import ndimage

from drawn_faces.canvas import (
    HAIRS,
    IRISES,
    SIDES,
    SKINS,
    blend,
    bump,
    cover,
    paint,
    smooth_noise,
)

Traits = SimpleNamespace  # of a person or of a shot


@dataclass(frozen=True)
class Grid:
    """The face coordinates of every pixel, float32 (S, S).

    u runs to the right and v down; the face's centre is (0, 0), its chin at v = 1.

    Attributes:
        u, v: coordinates on a face seen from the front.
        turned: u, moved by the yaw.
        head: negative inside the head's outline.
        pixel: width of a soft edge, in face units.
        scale: pixels per face unit.
    """

    u: np.ndarray
    v: np.ndarray
    turned: np.ndarray
    head: np.ndarray
    pixel: float
    scale: float


def draw_strands(person: Traits, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Draw noise (S, S) that runs along the hair, outwards from the parting."""
    across, along = grid.u - person.hair_part * 0.5, grid.v + 1.1
    radius = np.hypot(across, along)
    angle = np.arctan2(across, along) / (2 * np.pi) + 0.5
    angle = angle + 0.04 * person.hair_wave * np.sin(9 * radius)
    table = rng.standard_normal((360, 14), dtype=np.float32)
    table = 0.6 * table + 1.2 * ndimage.gaussian_filter1d(table, 3, axis=0, mode="wrap")
    return ndimage.map_coordinates(
        table, [angle * 360, radius * 5], order=1, mode="grid-wrap"
    )


def colour_hair(
    person: Traits, shot: Traits, grid: Grid, strands: np.ndarray
) -> np.ndarray:
    """Colour the hair (S, S, 3): lighter and darker strands, and a band of gloss."""
    base = blend(HAIRS, person.hair)
    radius = np.hypot(grid.u - person.hair_part * 0.5, grid.v + 1.1)
    gloss = bump(radius - 0.45, grid.u - 0.3 * shot.light_right, 0.16, 0.5)
    light = 0.75 + 0.22 * strands + 0.7 * gloss * (1 + 0.4 * strands)
    return base * np.clip(light, 0.2, 2.5)[..., None]


def cover_back_hair(person: Traits, grid: Grid, strands: np.ndarray) -> np.ndarray:
    """Cover the hair behind the head, down to its length."""
    wide = person.head_width + person.hair_side + 0.05 * np.clip(grid.v, 0, 2)
    wide = wide + 0.02 * strands + person.hair_wave * 0.1 * np.sin(7 * grid.v)
    top = np.clip(-grid.v / (1.02 + person.hair_top), 0, None) ** 2.2
    outline = (grid.u / wide) ** 2 + top - 1 + 0.03 * strands
    end = grid.v - person.hair_length - 0.05 * strands
    return cover(np.maximum(outline * 0.4, end), 2 * grid.pixel)


def cover_fringe(person: Traits, grid: Grid, strands: np.ndarray) -> np.ndarray:
    """Cover the hair in front of the forehead and down the temples."""
    offset = np.abs(grid.turned) / person.head_width
    lean = 0.25 * np.sign(person.hair_part) * grid.turned
    line = person.hairline + person.temple * (offset**2) ** 2 + lean + 0.035 * strands
    line = np.minimum(line, person.hair_length + 0.2)
    wide = person.head_width + person.hair_side + 0.02 * strands
    top = np.clip(-grid.v / (1.02 + person.hair_top), 0, None) ** 2.2
    outline = (grid.u / wide) ** 2 + top - 1 + 0.04 * strands
    return cover(np.maximum(outline * 0.4, grid.v - line), 2 * grid.pixel)


def draw_body(image: np.ndarray, person: Traits, shot: Traits, grid: Grid) -> None:
    """Draw neck and clothes below the head, in place."""
    tone = blend(SKINS, person.skin) * (0.6 + 0.3 * shot.ambient)
    neck = np.maximum(np.abs(grid.u) - 0.6 * person.head_width, 0.3 - grid.v)
    shadow = 0.75 + 0.25 * np.clip(grid.v - 0.8, 0, 1)
    paint(image, tone * shadow[..., None], cover(neck, grid.pixel))
    collar = 1.28 - 0.25 * np.clip(np.abs(grid.u) - 0.3, 0, 0.3) + 0.4 * grid.u**2 * 0.4
    hue = 2 * np.pi * (shot.cloth * 7 % 1 + np.array([0, 1 / 3, 2 / 3]))
    colour = np.clip(shot.cloth + 0.25 * np.cos(hue), 0.05, 0.95)
    folds = 0.85 + 0.1 * np.sin(9 * grid.u + 4 * grid.v + 6 * shot.cloth)
    paint(image, colour * folds[..., None], cover(collar - grid.v, grid.pixel))


def draw_skin(person: Traits, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Draw bare skin with blotches, pores, freckles, blush, beard and lines.

    Returns: float32 (S, S, 3), the colour before it is lit.
    """
    tone, size = blend(SKINS, person.skin), len(grid.u)
    blotches = 0.04 * smooth_noise(rng, size, size / 12)
    pores = 0.035 * smooth_noise(rng, size, size / 150)
    skin = (tone * (1 + blotches + pores)[..., None]).astype(np.float32)
    for side in SIDES:
        cheek = bump(grid.turned - side * 0.38, grid.v - 0.25, 0.22, 0.2)
        paint(skin, tone * [1.0, 0.72, 0.7], person.ruddy * cheek)
        fold = side * grid.turned - 0.2 - 0.25 * (grid.v - 0.3)
        line = bump(fold, grid.v - 0.42, 0.02, 0.12)
        paint(skin, tone * 0.72, 0.35 * person.lines * line)
        across = grid.turned - side * person.eye_x
        bag = grid.v - person.eye_y - 0.11 + 0.6 * across**2
        near = bump(across, bag, 0.12, 0.025)
        paint(skin, tone * 0.7, 0.4 * person.lines * near)
    spots = smooth_noise(rng, size, size / 80) > 1.1 - person.freckles
    area = max(0.0, person.freckles) * 2.5 * bump(grid.turned, grid.v - 0.15, 0.5, 0.3)
    paint(skin, tone * [0.75, 0.6, 0.5], spots * area)
    stubble = 1 + 0.5 * smooth_noise(rng, size, size / 130)
    jaw = cover(0.42 + 0.25 * np.cos(3 * grid.turned) - grid.v, 0.25)
    beard = 0.7 * max(0, person.beard) * jaw * stubble
    paint(skin, blend(HAIRS, person.hair) * 0.8, beard)
    return skin


def draw_features(skin: np.ndarray, person: Traits, shot: Traits, grid: Grid) -> None:
    """Draw brows, eyes, nostrils, mouth and maybe glasses onto the skin, in place."""
    for side in SIDES:
        _draw_brow(skin, person, grid, side)
        _draw_eye(skin, person, shot, grid, side)
    _draw_nose(skin, person, grid)
    _draw_mouth(skin, person, shot, grid)
    if person.glasses > 0.82:
        _draw_glasses(skin, person, grid)


def _draw_brow(skin: np.ndarray, person: Traits, grid: Grid, side: int) -> None:
    across = side * grid.turned - person.eye_x - 0.01
    along = across / (person.eye_width * 1.25)
    middle = person.eye_y - person.brow_gap + person.brow_arch * (along - 0.3) ** 2
    thick = person.brow_thick * np.clip(1.25 - 0.45 * along - (along**2) ** 2, 0, 2)
    hairs = 0.006 * np.sin(130 * across + 40 * grid.v)
    brow = cover(np.abs(grid.v - middle) - thick + hairs, 2 * grid.pixel)
    paint(skin, blend(HAIRS, person.hair) * 0.7, 0.85 * brow * (np.abs(along) < 1.15))


def _draw_eye(
    skin: np.ndarray, person: Traits, shot: Traits, grid: Grid, side: int
) -> None:
    across = grid.turned - side * person.eye_x
    height = grid.v - person.eye_y + person.eye_slant * side * across
    along = across / person.eye_width
    tone, wide = blend(SKINS, person.skin), person.eye_width
    paint(skin, tone * 0.6, 0.5 * bump(across, height + 0.03, 1.3 * wide, 0.1))
    upper = person.eye_open * (1 - along**2)
    lens = np.maximum(-upper - height, height - 0.7 * upper)
    eye = cover(lens, grid.pixel)
    shade = 0.88 - 0.3 * bump(along, height + upper, 2.0, 0.035)
    white = shade[..., None] * np.array([0.98, 0.94, 0.91], np.float32)
    from_pupil = across - shot.gaze * wide * 0.6
    radius = np.hypot(from_pupil, height)
    ring = 0.75 + 0.35 * bump(radius, radius, 0.06, 0.06)
    iris = blend(IRISES, person.iris) * ring[..., None]
    paint(white, iris, cover(radius - 0.058, grid.pixel))
    paint(white, 0.03, cover(radius - 0.025, grid.pixel))
    glint = np.hypot(from_pupil - 0.02 * shot.light_right, height + 0.02)
    paint(white, 0.97, cover(glint - 0.011, grid.pixel))
    paint(skin, white, eye)
    lash = np.abs(height + upper) - 0.011
    paint(skin, tone * 0.12, 0.85 * cover(lash, grid.pixel) * (np.abs(along) < 1.08))
    crease = np.abs(height + 1.2 * upper + 0.03) - 0.004
    paint(skin, tone * 0.5, 0.6 * cover(crease, 0.025) * (np.abs(along) < 1.0))


def _draw_nose(skin: np.ndarray, person: Traits, grid: Grid) -> None:
    tone, below = blend(SKINS, person.skin), grid.v - person.nose_y
    for side in SIDES:
        across = grid.turned - side * 0.5 * person.nose_width
        hole = np.hypot(across / 1.7, below - 0.065 + 0.2 * side * across) - 0.018
        paint(skin, tone * 0.22, 0.85 * cover(hole, 0.02))
        wing = np.abs(np.hypot(across - side * 0.02, below - 0.03) - 0.06) - 0.004
        outer = (side * across > 0.02) * bump(across, below - 0.04, 0.2, 0.06)
        paint(skin, tone * 0.5, 0.6 * cover(wing, 0.02) * outer)
    under = bump(grid.turned, below - 0.1, 0.8 * person.nose_width, 0.03)
    paint(skin, tone * 0.55, 0.5 * under)


def _draw_mouth(skin: np.ndarray, person: Traits, shot: Traits, grid: Grid) -> None:
    tone = blend(SKINS, person.skin)
    along = grid.turned / person.mouth_width
    arc = np.clip(1 - along**2, 0, None)
    line = grid.v - person.mouth_y + shot.smile * along**2
    gap = max(0.0, shot.mouth_open) * arc
    bow = arc * (1 - 0.3 * bump(along, along, 0.25, 0.25))
    upper, lower = -person.lip_upper * bow - line, line - gap - person.lip_lower * arc
    tint = np.array([0.95, 0.55, 0.55]) * person.lip_red + 0.82 * (1 - person.lip_red)
    inside = np.abs(along) < 1
    light = 0.85 + 0.3 * bump(along, line - gap - 0.5 * person.lip_lower, 0.5, 0.025)
    lips = cover(np.maximum(upper, lower), 2 * grid.pixel) * inside
    paint(skin, tone * tint * light[..., None], lips)
    teeth = cover(np.maximum(-line, line - 0.6 * gap), grid.pixel)
    slit = cover(np.maximum(-line, line - gap) - 0.006, 0.015)
    paint(skin, tone * 0.15, slit * inside)
    paint(skin, 0.86, teeth * (gap > 0.012) * inside)


def _draw_glasses(skin: np.ndarray, person: Traits, grid: Grid) -> None:
    frame = 0.08 if person.glasses > 0.9 else 0.35
    nearest = np.inf
    for side in SIDES:
        across = (grid.turned - side * person.eye_x) / 1.15
        oval = np.sqrt(np.sqrt((across**2) ** 2 + ((grid.v - person.eye_y) ** 2) ** 2))
        nearest = np.minimum(nearest, np.abs(oval - 0.17))
    gap = person.eye_x - 0.19
    bridge = np.maximum(np.abs(grid.v - person.eye_y + 0.04), np.abs(grid.turned) - gap)
    paint(skin, frame, 0.9 * cover(np.minimum(nearest, bridge) - 0.014, grid.pixel))


def build_relief(person: Traits, grid: Grid) -> np.ndarray:
    """Compute the height of the face towards the viewer, in face units, (S, S)."""
    u, v = grid.turned, grid.v
    relief = 0.75 * np.sqrt(np.clip(-grid.head, 0, None) + 0.02)
    bridge = bump(u, v - 0.6 * person.nose_y, 0.06, 0.22)
    tip = bump(u, v - person.nose_y, 0.09, 0.09)
    relief += person.nose_relief * (0.6 * bridge + 0.7 * tip)
    for side in SIDES:
        wing = bump(u - side * 0.65 * person.nose_width, v - person.nose_y, 0.05, 0.06)
        socket = bump(u - side * person.eye_x, v - person.eye_y, 0.17, 0.11)
        ball = bump(u - side * person.eye_x, v - person.eye_y, 0.09, 0.06)
        cheek = bump(u - side * 0.4, v - 0.2, 0.2, 0.2)
        relief += 0.08 * wing - 0.13 * socket + 0.05 * ball + 0.07 * cheek
    brow = bump(u, v - person.eye_y + person.brow_gap, 0.45, 0.09)
    mouth = bump(u, v - person.mouth_y, 0.25, 0.13)
    dip = bump(u, v - person.mouth_y - 0.17, 0.2, 0.05)
    chin = bump(u, v - 0.85, 0.2, 0.13)
    return relief + 0.06 * brow + 0.07 * mouth - 0.04 * dip + 0.09 * chin


def shade(skin: np.ndarray, relief: np.ndarray, shot: Traits, grid: Grid) -> np.ndarray:
    """Light the skin (S, S, 3) from one side: ambient, diffuse and a little gloss."""
    down, right = np.gradient(relief * grid.scale)
    side = shot.light_side
    front = (1 - side**2) ** 0.5
    towards = -side * (shot.light_right * right + shot.light_down * down)
    facing = np.clip((towards + front) / np.sqrt(1 + right**2 + down**2), 0, 1)
    light = shot.ambient + (1.15 - shot.ambient) * facing
    return skin * light[..., None] + (shot.gloss * facing**14)[..., None]


def cover_ears(person: Traits, grid: Grid) -> np.ndarray:
    """Cover both ears."""
    across = np.abs(grid.u) - person.head_width - 0.01
    oval = np.hypot(across / 0.075, (grid.v - 0.02) / person.ear) - 1
    return cover(oval * 0.07, grid.pixel)
