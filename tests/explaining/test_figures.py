"""Tests of what explanations look like."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from explaining.figures import (
    GradCam,
    Pair,
    build_grad_cam_figure,
    build_mean_maps_figure,
    build_pairs_figure,
    plot_pair,
)

GREY = np.full((4, 4, 3), 0.5, dtype=np.float32)
RAMP = np.arange(16, dtype=np.float32).reshape(4, 4)


@pytest.mark.parametrize(
    ("saliency", "title"),
    [(RAMP, "fake,  P(fake) = 0.25"), (0 * RAMP, "fake,  P(fake) = 0.25,  gradient 0")],
)
def test_plot_pair_draws_the_image_left_and_the_map_right(saliency, title):
    before = saliency.copy()

    axes = plot_pair(Figure().subplots(), Pair("a.png", GREY, saliency, 1, 0.25))

    picture = axes.images[0].get_array()
    assert picture.shape == (4, 8, 3)
    assert (picture[:, :4] == 0.5).all()
    brightness = picture[:, 4:].sum(axis=2)
    assert (np.diff(brightness.ravel()) >= 0).all()
    assert (brightness.max() > 2) == saliency.any()
    assert axes.get_title() == title
    assert np.array_equal(saliency, before)


@pytest.mark.parametrize(("num", "num_cells"), [(1, 6), (6, 6), (7, 12), (36, 36)])
def test_build_pairs_figure_has_six_pairs_in_a_row(num, num_cells):
    pairs = [Pair("a.png", GREY, RAMP, index % 2, 0.5) for index in range(num)]

    figure = build_pairs_figure(pairs, "SimpleNet on $faces$")

    assert len(figure.axes) == num_cells
    assert sum(bool(axes.images) for axes in figure.axes) == num
    assert figure.get_suptitle().startswith("SimpleNet on \\$faces\\$\nleft: image")


def test_build_mean_maps_figure_says_class_number_and_unit():
    mean_maps, counts = np.stack([RAMP, 0 * RAMP]), {"real": 12, "fake": 5}

    figure = build_mean_maps_figure(mean_maps, counts, "title", "a unit")

    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["real images, n = 12", "fake images, n = 5"]
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == ["a unit", "a unit"]
    assert figure.axes[0].images[0].get_array().tolist() == RAMP.tolist()
    assert [axes.images[0].get_clim()[0] for axes in figure.axes[:2]] == [0, 0]


@pytest.mark.parametrize(
    ("strength", "title"),
    [
        (1, "Grad-CAM: what speaks for 'real'"),
        (0, "Grad-CAM: nothing in this layer speaks for 'real'"),
    ],
)
def test_build_grad_cam_figure_shows_image_map_and_overlay(strength, title):
    overlay = np.zeros((4, 4, 3), dtype=np.uint8)
    example = GradCam(GREY, strength * RAMP / 15, overlay, 0)

    figure = build_grad_cam_figure(example, "a title")

    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["image (true class: real)", title, "map over image"]
    pictures = [axes.images[0].get_array() for axes in figure.axes[:3]]
    assert np.array_equal(pictures[1], example.map)
    assert np.array_equal(pictures[2], overlay)
    assert figure.axes[1].images[0].get_clim() == (0, 1)
