"""What explanations say and look like, and the mean of many maps."""

import numpy as np
import pytest
import torch
from map_models import Linear, OneConvolution, make_images
from PIL import Image
from torch import Tensor

from explaining.cams import compute_grad_cam_maps
from explaining.explanation import (
    Explanation,
    color_map,
    compute_mean_maps,
    describe_place,
    draw_outline,
    is_empty,
    make_displayable,
)
from explaining.pictures import build_methods, explain_sample, save_explanation
from files.names import FAKE, REAL
from hardware import Precision
from judging.detector import as_detector
from loading import PUBLISHED
from saliency_map import compute_gradient_saliency_maps

RAMP = np.arange(16, dtype=np.float32).reshape(4, 4)


@pytest.fixture
def explanation() -> Explanation:
    maps = np.zeros((2, 9, 9), dtype=np.float32)
    maps[0, 0, 8] = maps[1, 4, 4] = 1
    methods = build_methods(as_detector(OneConvolution()), Precision())
    return Explanation(np.full((9, 9, 3), 0.5, np.float32), FAKE, methods, maps)


def test_explain_sample_gives_the_maps_of_the_scripts():
    model = OneConvolution()
    model.preprocessing = PUBLISHED
    sample = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)

    explanation = explain_sample(sample, REAL, as_detector(model), Precision())

    for values, compute_maps in zip(
        explanation.maps,
        (compute_gradient_saliency_maps, compute_grad_cam_maps),
        strict=True,
    ):
        (expected,) = compute_maps(sample[None], [REAL], model).numpy()
        np.testing.assert_array_equal(values, expected)
    expected = sample.permute(1, 2, 0).numpy() / np.float32(255)
    np.testing.assert_array_equal(explanation.image, expected)


def test_describe_says_where_both_maps_are_strongest(explanation):
    assert explanation.describe() == (
        "Saliency: the pixels that move the score of 'fake' most are in the upper "
        "right.",
        "Grad-CAM at conv3: what speaks for 'fake' is strongest in the centre.",
    )
    explanation.maps[:] = 0
    assert explanation.describe() == (
        "Saliency: few pixels or none move the score of 'fake'.",
        "Grad-CAM at conv3: little or nothing speaks for 'fake'.",
    )


def test_draw_marks_the_strongest_place(explanation):
    drawn, over = explanation.draw_saliency(), explanation.draw_grad_cam()

    assert (drawn.dtype, drawn.shape) == (np.uint8, (9, 9, 3))
    assert drawn.sum(axis=2).argmax() == 8
    redness = over[..., 0].astype(int) - over[..., 2]
    assert redness.argmax() == 40  # in the centre
    assert np.array_equal(next(iter(explanation)), drawn)


def test_save_explanation_draws_the_picture_and_both_maps(explanation, tmp_path):
    save_explanation(explanation, tmp_path / "new" / "a.png", "fake\n$a$.png")

    with Image.open(tmp_path / "new" / "a.png") as figure:
        assert figure.format == "PNG"
        assert figure.width > 2 * figure.height


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
    assert describe_place(0 * values).startswith("nowhere")


def test_is_empty_where_a_single_cell_of_many_is_not_zero():
    cell = np.zeros((53, 53), dtype=np.float32)
    cell[20, 30] = 0.7
    assert is_empty(cell)
    cell[20:24, 30] = 0.7
    assert not is_empty(cell)


def test_color_map_is_brightest_where_the_map_is_and_bears_an_empty_one():
    before = RAMP.copy()

    brightness = color_map(RAMP).sum(axis=2, dtype=int)

    assert (np.diff(brightness.ravel()) >= 0).all()
    assert brightness.max() > 500
    assert np.array_equal(RAMP, before)
    assert np.ptp(color_map(0 * RAMP), axis=(0, 1)).max() == 0


@pytest.mark.parametrize(("size", "width"), [(20, 1), (256, 2)])
def test_draw_outline_surrounds_the_upper_half_and_changes_nothing_else(size, width):
    values = np.full((size, size), 0.49)
    values[5:15, 5:15], values[8, 8] = 0.5, 1
    grey = np.full((size, size, 3), 100, np.uint8)

    row = draw_outline(grey, values)[10, :, 0].tolist()

    line = [0] * width + [255] * width
    around = [100] * (5 - 2 * width), [100] * (size - 15 - 2 * width)
    assert row == [*around[0], *line, *[100] * 10, *line[::-1], *around[1]]
    assert (grey == 100).all()
    assert draw_outline(grey, 0 * values) is grey
    values[0] = 1
    assert (draw_outline(grey, values)[0] == 100).all()  # open at the image's border


@pytest.mark.parametrize(("factor", "expected"), [(1, [0, 0.25, 1]), (0, [0, 0, 0])])
def test_make_displayable_without_preprocessing_stretches_to_the_full_range(
    factor, expected
):
    sample = factor * torch.tensor([-1.0, 0.0, 3.0]).view(3, 1, 1)

    image = make_displayable(sample, as_detector(Linear()))

    assert image.flatten().tolist() == expected


def test_compute_mean_maps_sums_each_class_in_float64():
    values = torch.tensor([2.0**24, 1.0, 1.0, 2.0]).view(4, 1, 1, 1)
    labels = torch.tensor([REAL, REAL, REAL, FAKE])
    batches = zip(values.split(1), labels.split(1), strict=True)

    mean_maps = compute_mean_maps(batches, lambda images, labels: images[:, 0])

    assert mean_maps.dtype == "float32"
    assert mean_maps.flatten().tolist() == [torch.tensor((2**24 + 2) / 3).item(), 2.0]


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_compute_mean_maps_gives_each_image_its_target(batch_size):
    labels, targets = torch.tensor([0, 0, 1, 1]), np.array([1, 0, 1, 1])
    images = make_images(4)
    batches = zip(images.split(batch_size), labels.split(batch_size), strict=True)

    def compute_maps(images: Tensor, classes: Tensor) -> Tensor:
        return classes.view(-1, 1, 1).float()

    mean_maps = compute_mean_maps(batches, compute_maps, targets)

    assert mean_maps.flatten().tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("labels", "factor", "message"),
    [([REAL, REAL], 1, "no fake image"), ([REAL, FAKE], torch.inf, "not finite")],
)
def test_compute_mean_maps_of_one_class_or_not_finite_raises(labels, factor, message):
    batches = [(make_images(2), torch.tensor(labels))]

    with pytest.raises(ValueError, match=message):
        compute_mean_maps(batches, lambda images, labels: images[:, 0] * factor)
