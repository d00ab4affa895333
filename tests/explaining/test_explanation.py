"""What explanations say and look like, and the mean of many maps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from map_models import SMALL, Linear, OneConvolution, make_images

from explaining import pictures
from explaining.cams import compute_grad_cam_maps
from explaining.explanation import (
    compute_mean_maps,
    describe_place,
    draw_outline,
    is_empty,
    make_displayable,
)
from explaining.pictures import build_methods, explain_sample, save_explanation
from files.classes import FAKE, REAL
from hardware import Precision
from judging.detector import as_detector
from saliency_map import compute_gradient_saliency_maps


def test_explain_sample_gives_the_maps_of_the_scripts_drawn_and_in_words(
    tmp_path, monkeypatch
):
    model = OneConvolution()
    model.preprocessing = SMALL
    sample = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)

    detector = as_detector(model)
    methods = build_methods(detector, Precision())
    explanation = explain_sample(sample, REAL, detector, methods)

    saliency, cam = explanation.maps
    images = torch.from_numpy(sample).permute(2, 0, 1)[None]
    for values, compute_maps in (
        (saliency, compute_gradient_saliency_maps),
        (cam, compute_grad_cam_maps),
    ):
        (expected,) = compute_maps(images, [REAL], model).numpy()
        np.testing.assert_array_equal(values, expected)
    expected = sample / np.float32(255)
    np.testing.assert_array_equal(explanation.image, expected)
    save_explanation(explanation, tmp_path / "new" / "a.png", "$a$.png")
    assert (tmp_path / "new" / "a.png").stat().st_size > 5_000
    # It says what each map has passed, or that none has.
    figures = []
    monkeypatch.setattr(pictures, "save_figure", lambda *of: figures.append(of[0]))
    for shown in (explanation, replace(explanation, methods=[], maps=[])):
        save_explanation(shown, "a.png", "a")
    below = [[axes.get_xlabel() for axes in figure.axes] for figure in figures]
    assert below == [["", "not checked", "not checked"], [""]]
    words = [figure.get_supxlabel() for figure in figures]
    assert words[0].startswith("nobody has checked whether")
    assert words[0].endswith(
        "bright: the pixels that move the score most; red: the map's maximum, blue: 0"
    )
    assert words[1].startswith("no kind of map passed the checks for this detector")
    explanation.image[:] = 0.5
    saliency[:] = cam[:] = 0
    saliency[0, 8] = cam[4, 4] = 1
    drawn, over = explanation.draw(0), explanation.draw(1).astype(int)
    assert (drawn.dtype, drawn.shape) == (np.uint8, (9, 9, 3))
    assert drawn.sum(axis=2).argmax() == 8
    assert (over[..., 0] - over[..., 2]).argmax() == 40  # red in the centre
    assert explanation.describe() == (
        "Saliency: the pixels that move the score of 'real' most are in the upper "
        "right.",
        "Grad-CAM at conv3: what speaks for 'real' is strongest in the centre.",
    )
    saliency[:] = cam[:] = 0
    assert np.ptp(explanation.draw(0), axis=(0, 1)).max() == 0
    assert explanation.describe() == (
        "Saliency: few pixels or none move the score of 'real'.",
        "Grad-CAM at conv3: little or nothing speaks for 'real'.",
    )


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
    cells = np.zeros((53, 53), dtype=np.float32)
    cells[20, 30] = 0.7
    assert is_empty(cells)
    cells[20:24, 30] = 0.7
    assert not is_empty(cells)


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


@pytest.mark.parametrize(("factor", "expected"), [(1, [0, 0.25, 1]), (0, [0, 0, 0])])
def test_make_displayable_without_preprocessing_stretches_to_the_full_range(
    factor, expected
):
    sample = factor * torch.tensor([-1.0, 0.0, 3.0]).view(3, 1, 1)

    image = make_displayable(sample, as_detector(Linear()))

    assert image.flatten().tolist() == expected


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_compute_mean_maps_sums_each_class_in_float64_by_its_targets(batch_size):
    values = torch.tensor([2.0**24, 1.0, 1.0, 2.0, 4.0]).view(5, 1, 1, 1)
    labels, targets = torch.tensor([REAL] * 3 + [FAKE] * 2), np.array([0, 0, 0, 1, 0])
    batches = zip(values.split(batch_size), labels.split(batch_size), strict=True)

    mean_maps = compute_mean_maps(
        batches,
        lambda images, classes, _: images[:, 0] + classes.view(-1, 1, 1),
        None,
        targets,
    )

    assert mean_maps.dtype == np.float32
    assert mean_maps.flatten().tolist() == [np.float32((2**24 + 2) / 3), 3.5]


@pytest.mark.parametrize(
    ("labels", "factor", "message"),
    [([REAL, REAL], 1, "no fake image"), ([REAL, FAKE], torch.inf, "not finite")],
)
def test_compute_mean_maps_of_one_class_or_not_finite_raises(labels, factor, message):
    batches = [(make_images(2), torch.tensor(labels))]

    with pytest.raises(ValueError, match=message):
        compute_mean_maps(batches, lambda images, *_: images[:, 0] * factor, None)
