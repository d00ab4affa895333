"""Brushes and palettes: soft shapes with known values, noise of every grain."""

import numpy as np

from drawn_faces.canvas import blend, bump, cover, draw_background, paint, smooth_noise


def test_soft_shapes_and_palettes_have_known_values():
    coverage = cover(np.array([-2.0, -0.25, 0.0, 0.25, 2.0]), 1.0)
    np.testing.assert_allclose(coverage, [1.0, 0.75, 0.5, 0.25, 0.0])
    heights = bump(np.array([0.0, 2.0, 0.0]), np.array([0.0, 0.0, 3.0]), 2.0, 3.0)
    np.testing.assert_allclose(heights, [1.0, np.exp(-1), np.exp(-1)])
    colours = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]])
    for position, expected in ((0.0, [0, 0, 0]), (0.25, [0.5, 0, 0]), (1.0, [1, 1, 0])):
        np.testing.assert_allclose(blend(colours, position), expected)


def test_paint_mixes_by_the_coverage_and_nowhere_else():
    image = np.full((4, 5, 3), 0.25, np.float32)
    coverage = np.zeros((4, 5), np.float32)
    paint(image, 1.0, coverage)
    assert (image == 0.25).all()
    colours = np.linspace(0, 1, 60, dtype=np.float32).reshape(4, 5, 3)
    coverage[1, 2], coverage[2, 3] = 0.5, 1.0
    for colour in (0.75, np.array([1.0, 0.5, 0.0]), colours):
        painted = image.copy()
        paint(painted, colour, coverage)
        expected = image + coverage[..., None] * (colour - image)
        np.testing.assert_allclose(painted, expected, rtol=1e-6)


def test_smooth_noise_any_grain_has_the_size_and_larger_changes_more_slowly():
    fields = [
        smooth_noise(np.random.default_rng(0), 64, grain)
        for grain in (1.0, 16.0, 500.0)
    ]
    for field in fields:
        assert (field.shape, field.dtype) == ((64, 64), np.float32)
        assert 0.1 < field.std() < 1.2
    fine, coarse = (np.abs(np.diff(field)).mean() for field in fields[:2])
    assert coarse < fine / 4


def test_draw_background_many_seeds_stays_near_the_range():
    scenes = [draw_background(np.random.default_rng(seed), 48) for seed in range(12)]
    assert {scene.shape for scene in scenes} == {(48, 48, 3)}
    assert min(scene.min() for scene in scenes) > -0.4
    assert max(scene.max() for scene in scenes) < 1.4
    assert np.std([scene.mean() for scene in scenes]) > 0.05
