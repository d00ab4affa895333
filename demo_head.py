"""A drawn head: its relief and the light on it, its hair, its ears and what it sits on.

Every function takes the traits of `demo_faces` and its grid of face coordinates:
u runs right, v runs down, the face's middle is (0, 0) and its chin lies at v = 1.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from scipy import ndimage

from demo_canvas import HAIRS, SIDES, SKINS, blend, bump, cover, paint


def build_relief(person: SimpleNamespace, grid: SimpleNamespace) -> np.ndarray:
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


def shade(
    skin: np.ndarray, relief: np.ndarray, shot: SimpleNamespace, grid: SimpleNamespace
) -> np.ndarray:
    """Light the skin from one side: ambient, diffuse and a little gloss (S, S, 3)."""
    down, right = np.gradient(relief * grid.scale)
    side = shot.light_side
    front = (1 - side**2) ** 0.5
    towards = -side * (shot.light_right * right + shot.light_down * down)
    facing = np.clip((towards + front) / np.sqrt(1 + right**2 + down**2), 0, 1)
    light = shot.ambient + (1.15 - shot.ambient) * facing
    return skin * light[..., None] + (shot.gloss * facing**14)[..., None]


def draw_strands(
    person: SimpleNamespace, grid: SimpleNamespace, rng: np.random.Generator
) -> np.ndarray:
    """Draw noise that runs along the hair, from the parting outwards, (S, S)."""
    across, along = grid.u - person.hair_part * 0.5, grid.v + 1.1
    radius = np.hypot(across, along)
    angle = np.arctan2(across, along) / (2 * np.pi) + 0.5
    angle = angle + 0.04 * person.hair_wave * np.sin(9 * radius)
    table = rng.standard_normal((360, 14), dtype=np.float32)
    table = 0.6 * table + 1.2 * ndimage.gaussian_filter1d(table, 3, axis=0, mode="wrap")
    return ndimage.map_coordinates(
        table, [angle * 360, radius * 5], order=1, mode="grid-wrap"
    )


def colour_hair(person, shot, grid: SimpleNamespace, strands: np.ndarray) -> np.ndarray:
    """Colour the hair: lighter and darker strands and a band of gloss (S, S, 3)."""
    base = blend(HAIRS, person.hair)
    radius = np.hypot(grid.u - person.hair_part * 0.5, grid.v + 1.1)
    gloss = bump(radius - 0.45, grid.u - 0.3 * shot.light_right, 0.16, 0.5)
    light = 0.75 + 0.22 * strands + 0.7 * gloss * (1 + 0.4 * strands)
    return base * np.clip(light, 0.2, 2.5)[..., None]


def cover_back_hair(person, grid: SimpleNamespace, strands: np.ndarray) -> np.ndarray:
    """Cover the hair behind the head, down to the length that the person wears."""
    wide = person.head_width + person.hair_side + 0.05 * np.clip(grid.v, 0, 2)
    wide = wide + 0.02 * strands + person.hair_wave * 0.1 * np.sin(7 * grid.v)
    top = np.clip(-grid.v / (1.02 + person.hair_top), 0, None) ** 2.2
    outline = (grid.u / wide) ** 2 + top - 1 + 0.03 * strands
    end = grid.v - person.hair_length - 0.05 * strands
    return cover(np.maximum(outline * 0.4, end), 2 * grid.pixel)


def cover_fringe(person, grid: SimpleNamespace, strands: np.ndarray) -> np.ndarray:
    """Cover the hair in front of the forehead and down the temples."""
    offset = np.abs(grid.turned) / person.head_width
    lean = 0.25 * np.sign(person.hair_part) * grid.turned
    line = person.hairline + person.temple * (offset**2) ** 2 + lean + 0.035 * strands
    line = np.minimum(line, person.hair_length + 0.2)
    wide = person.head_width + person.hair_side + 0.02 * strands
    top = np.clip(-grid.v / (1.02 + person.hair_top), 0, None) ** 2.2
    outline = (grid.u / wide) ** 2 + top - 1 + 0.04 * strands
    return cover(np.maximum(outline * 0.4, grid.v - line), 2 * grid.pixel)


def cover_ears(person: SimpleNamespace, grid: SimpleNamespace) -> np.ndarray:
    """Cover both ears."""
    across = np.abs(grid.u) - person.head_width - 0.01
    oval = np.hypot(across / 0.075, (grid.v - 0.02) / person.ear) - 1
    return cover(oval * 0.07, grid.pixel)


def draw_body(image: np.ndarray, person, shot, grid: SimpleNamespace) -> None:
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
