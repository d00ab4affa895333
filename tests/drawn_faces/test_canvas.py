"""Brushes and palettes: known values of soft shapes, noise of every grain."""

import numpy as np
import pytest

from drawn_faces.canvas import blend, bump, cover, draw_background, paint, smooth_noise


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
