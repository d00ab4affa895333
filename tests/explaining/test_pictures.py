"""One picture's explanation: both maps, drawn and in words."""

import numpy as np
import pytest
import torch
from map_models import OneConvolution
from PIL import Image

from explaining.cams import compute_grad_cam_maps
from explaining.methods import compute_gradient_saliency_maps
from explaining.pictures import (
    Explanation,
    build_explanation_figure,
    describe_place,
    explain_sample,
    save_explanation,
)
from hardware import Precision
from loading import PUBLISHED


@pytest.fixture
def explanation() -> Explanation:
    maps = np.zeros((2, 9, 9), dtype=np.float32)
    maps[0, 0, 8] = maps[1, 4, 4] = 1
    return Explanation(1, np.full((9, 9, 3), 0.5, dtype=np.float32), *maps)


def test_explain_sample_gives_the_maps_of_the_scripts():
    model = OneConvolution()
    model.preprocessing = PUBLISHED
    sample = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)

    explanation = explain_sample(sample, 1, model, Precision())

    (saliency,) = compute_gradient_saliency_maps(sample[None], [1], model).numpy()
    (grad_cam,) = compute_grad_cam_maps(sample[None], [1], model).numpy()
    np.testing.assert_array_equal(explanation.saliency, saliency)
    np.testing.assert_array_equal(explanation.grad_cam, grad_cam)
    expected = sample.permute(1, 2, 0).numpy() / np.float32(255)
    np.testing.assert_array_equal(explanation.image, expected)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((0, 0), "in the upper left"),
        ((4, 4), "in the centre"),
        ((4, 8), "in the middle right"),
        ((8, 4), "in the lower centre"),
    ],
)
def test_describe_place_names_the_ninth(place, expected):
    values = np.full((9, 9), 0.01)
    values[place] = 1
    assert describe_place(values) == expected


def test_describe_place_of_an_empty_map_says_so():
    assert describe_place(np.zeros((9, 9))) == "nowhere: the map is empty, or nearly so"


def test_describe_says_where_both_maps_are_strongest(explanation):
    saliency, grad_cam = explanation.describe()
    assert saliency.endswith("move the score of 'fake' most are in the upper right.")
    assert grad_cam.endswith("speaks for 'fake' is strongest in the centre.")


def test_draw_marks_the_strongest_place(explanation):
    drawn = explanation.draw_saliency()
    assert (drawn.dtype, drawn.shape) == (np.uint8, (9, 9, 3))
    assert drawn.sum(axis=2).argmax() == 8
    over = explanation.draw_grad_cam().astype(int)
    assert (over[..., 0] - over[..., 2]).argmax() == 40  # red in the centre


def test_build_explanation_figure_shows_all_three_beside_each_other(explanation):
    figure = build_explanation_figure(explanation, "fake, P(fake)=0.9\n$a$.png")
    shown = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert len(shown) == 3
    np.testing.assert_array_equal(shown[0], explanation.image)
    assert figure.get_suptitle() == "fake, P(fake)=0.9\n\\$a\\$.png"


def test_save_explanation_writes_a_png(explanation, tmp_path):
    save_explanation(explanation, tmp_path / "new" / "a.png", "title")
    with Image.open(tmp_path / "new" / "a.png") as figure:
        assert figure.format == "PNG"
