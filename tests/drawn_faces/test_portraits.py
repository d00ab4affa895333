"""Tests of the drawing: demo_canvas, demo_features, demo_head, demo_faces."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from drawn_faces.canvas import blend, bump, cover, draw_background, paint, smooth_noise
from drawn_faces.portraits import (
    PERSON_RANGES,
    SHOT_RANGES,
    Face,
    draw_face,
    sample_person,
    sample_shot,
)

SIZE = 96


def draw(seed: int, **changes) -> Face:
    """Draw a small face; `changes` replace traits of the person or the shot."""
    rng = np.random.default_rng(seed)
    person, shot = sample_person(rng), sample_shot(rng)
    for name, value in changes.items():
        traits = person if hasattr(person, name) else shot
        setattr(traits, name, value)
    return draw_face(person, shot, rng, size=SIZE)


def test_cover_signed_distance_gives_soft_edge():
    coverage = cover(np.array([-2.0, -0.25, 0.0, 0.25, 2.0]), 1.0)
    np.testing.assert_allclose(coverage, [1.0, 0.75, 0.5, 0.25, 0.0])


def test_bump_middle_and_half_axis_known_values():
    heights = bump(np.array([0.0, 2.0, 0.0]), np.array([0.0, 0.0, 3.0]), 2.0, 3.0)
    np.testing.assert_allclose(heights, [1.0, np.exp(-1), np.exp(-1)])


def test_paint_half_coverage_mixes_only_there():
    image = np.zeros((4, 5, 3), np.float32)
    coverage = np.zeros((4, 5), np.float32)
    coverage[1, 2], coverage[2, 3] = 0.5, 1.0
    paint(image, np.array([1.0, 0.5, 0.0]), coverage)
    np.testing.assert_allclose(image[1, 2], [0.5, 0.25, 0.0])
    np.testing.assert_allclose(image[2, 3], [1.0, 0.5, 0.0])
    assert image.sum() == pytest.approx(2.25)


def test_paint_colour_per_pixel_takes_the_pixels_own():
    image = np.zeros((3, 3, 3), np.float32)
    colour = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    coverage = np.zeros((3, 3), np.float32)
    coverage[1:, 2] = 1.0
    paint(image, colour, coverage)
    np.testing.assert_array_equal(image[1:, 2], colour[1:, 2])
    assert not image[:, :2].any()


def test_paint_no_coverage_changes_nothing():
    image = np.full((3, 3, 3), 0.3, np.float32)
    paint(image, 1.0, np.zeros((3, 3), np.float32))
    assert (image == np.float32(0.3)).all()


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0.0, [0, 0, 0]), (0.25, [0.5, 0, 0]), (0.5, [1, 0, 0]), (1.0, [1, 1, 0])],
)
def test_blend_position_interpolates(position, expected):
    colours = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]])
    np.testing.assert_allclose(blend(colours, position), expected)


@pytest.mark.parametrize("grain", [1.0, 4.0, 500.0])
def test_smooth_noise_any_grain_has_the_size(grain):
    noise = smooth_noise(np.random.default_rng(0), 64, grain)
    assert noise.shape == (64, 64)
    assert noise.dtype == np.float32
    assert 0.1 < noise.std() < 1.2


def test_smooth_noise_larger_grain_changes_more_slowly():
    fine, coarse = (
        np.abs(np.diff(smooth_noise(np.random.default_rng(0), 64, grain))).mean()
        for grain in (1.0, 16.0)
    )
    assert coarse < fine / 4


def test_draw_background_many_seeds_stays_near_the_range():
    scenes = [draw_background(np.random.default_rng(seed), 48) for seed in range(12)]
    assert all(scene.shape == (48, 48, 3) for scene in scenes)
    assert min(scene.min() for scene in scenes) > -0.4
    assert max(scene.max() for scene in scenes) < 1.4
    assert np.std([scene.mean() for scene in scenes]) > 0.05


@pytest.mark.parametrize(
    ("sample", "ranges"), [(sample_person, PERSON_RANGES), (sample_shot, SHOT_RANGES)]
)
def test_sample_many_draws_stay_in_range(sample, ranges):
    rng = np.random.default_rng(0)
    for _ in range(50):
        traits = sample(rng)
        for name, (low, high) in ranges.items():
            if name != "hair":  # depends on the skin as well
                assert low <= getattr(traits, name) <= high, name
    assert 0 <= getattr(traits, "hair", 0) <= 1


def test_sample_shot_pose_of_another_keeps_pose_and_redraws_light():
    rng = np.random.default_rng(0)
    first = sample_shot(rng)
    second = sample_shot(rng, pose_of=first)
    assert (second.scale, second.tilt, second.yaw) == (
        first.scale,
        first.tilt,
        first.yaw,
    )
    assert second.light_angle != first.light_angle


def test_sample_shot_light_direction_follows_the_angle():
    shot = sample_shot(np.random.default_rng(0))
    direction = complex(shot.light_right, shot.light_down)
    assert direction == pytest.approx(np.exp(1j * shot.light_angle))


def test_draw_face_result_has_documented_shapes():
    face = draw(0)
    assert face.image.shape == (SIZE, SIZE, 3)
    assert face.image.dtype == np.float32
    assert face.inner_mask.shape == (SIZE, SIZE)
    assert face.landmarks.shape == (5, 2)
    assert np.isfinite(face.image).all()


def test_draw_face_same_seed_is_identical_and_other_seed_differs():
    np.testing.assert_array_equal(draw(3).image, draw(3).image)
    assert np.abs(draw(3).image - draw(4).image).mean() > 0.02


@pytest.mark.parametrize("seed", range(12))
def test_draw_face_landmarks_lie_in_the_inner_face(seed):
    face = draw(seed)
    assert 0.05 < face.inner_mask.mean() < 0.4
    for x, y in face.landmarks.round().astype(int):
        assert face.inner_mask[y, x] > 0.5
    left, right, nose = face.landmarks[:3]
    assert left[0] < nose[0] < right[0]
    assert nose[1] > max(left[1], right[1])


@pytest.mark.parametrize("seed", [0, 1])
def test_draw_face_landmarks_of_eyes_lie_on_the_drawn_eyes(seed):
    # Iris and white replace skin: painting other irises changes pixels there only.
    brown, blue = draw(seed, iris=0.0, glasses=0.0), draw(seed, iris=1.0, glasses=0.0)
    change = np.abs(brown.image - blue.image).sum(2)
    for x, y in brown.landmarks[:2]:
        ys, xs = np.mgrid[:SIZE, :SIZE]
        near = np.hypot(xs - x, ys - y) < 0.07 * SIZE
        assert change[near].sum() > 0.2 * change.sum()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("glasses", (0.0, 0.85)),
        ("beard", (-1.0, 0.8)),
        ("freckles", (-0.3, 0.25)),
        ("hair_length", (-0.6, 1.4)),
        ("mouth_open", (-0.05, 0.05)),
        ("jaw", (1.5, 2.6)),
        ("light_angle", (0.0, 3.0)),
        ("skin", (0.0, 1.0)),
    ],
)
def test_draw_face_each_trait_shows(name, values):
    changes = [{name: value} for value in values]
    if name == "light_angle":
        changes = [{"light_right": -1.0, "light_down": 0.0}, {"light_right": 1.0}]
    first, second = (draw(5, **change).image for change in changes)
    assert (np.abs(first - second).max(axis=2) > 0.05).sum() > 10


def test_draw_face_light_from_the_right_brightens_the_right_cheek():
    still = {"yaw": 0.0, "tilt": 0.0, "light_side": 0.7, "light_down": 0.0}
    lit = draw(6, light_right=1.0, **still)
    other = draw(6, light_right=-1.0, **still)
    middle = int(lit.landmarks[2, 0])
    brighter = (lit.image - other.image).mean(2) * lit.inner_mask
    assert brighter[:, middle + 5 :].sum() > 0 > brighter[:, : middle - 5].sum()


def test_sample_person_returns_plain_traits():
    assert isinstance(sample_person(np.random.default_rng(0)), SimpleNamespace)
