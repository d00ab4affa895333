"""What figures of maps show."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from explaining.explanation import UNKNOWN, Explanation, Method, draw_outline
from explaining.figures import (
    Section,
    build_mean_maps_figure,
    build_sections_figure,
    plot_explanation,
)
from files.classes import FAKE, REAL

GREY = np.full((4, 4, 3), 0.6, dtype=np.float32)
RAMP = np.arange(16, dtype=np.float32).reshape(4, 4) / 15
BESIDE = Method("saliency", None, "map", "legend", "unit")
OVER = replace(BESIDE, is_overlay=True)


def make_explanation(method: Method = BESIDE, **known: object) -> Explanation:
    known = {"label": FAKE, "verdict": FAKE, "fake_score": 0.25, **known}
    return Explanation(GREY, FAKE, [method], [RAMP], **known)


@pytest.mark.parametrize("method", [BESIDE, OVER])
@pytest.mark.parametrize(("label", "sign"), [(REAL, "✗ "), (FAKE, ""), (UNKNOWN, "")])
def test_plot_explanation_draws_image_and_map_and_marks_errors(label, sign, method):
    explanation = make_explanation(method, label=label)

    axes = plot_explanation(Figure().subplots(), explanation)

    left, right = np.split(axes.images[0].get_array(), 2, axis=1)
    assert (left == 153).all()
    drawn = explanation.draw()
    expected = draw_outline(drawn, RAMP) if method.is_overlay else drawn
    assert np.array_equal(right, expected)
    assert axes.get_title() == f"{sign}called fake, P(fake)=0.250"
    assert axes.spines["left"].get_visible() == bool(sign)
    assert axes.get_xlabel() == ""
    empty = replace(explanation, maps=[0 * RAMP])
    assert "'fake'" in plot_explanation(axes, empty).get_xlabel()


@pytest.mark.parametrize(
    ("num", "method", "num_cells"),
    [(1, BESIDE, 1), (7, BESIDE, 12), (18, BESIDE, 18), (5, OVER, 6)],
)
def test_build_sections_figure_has_rows_as_long_as_the_method_allows(
    num, method, num_cells
):
    section = Section("a heading", FAKE, [make_explanation(method)] * num)

    figure = build_sections_figure([section] * 2, "Net on $faces$", "the true class")

    for strip in figure.subfigs:
        assert len(strip.axes) == num_cells
        assert sum(bool(axes.images) for axes in strip.axes) == num
        assert strip.get_suptitle() == "a heading"
    assert figure.get_suptitle() == "Net on \\$faces\\$"
    legend = f"right: legend of the true class\n{method.scale}"
    assert figure.get_supxlabel() == legend


def test_build_mean_maps_figure_has_one_scale_and_says_class_number_and_unit():
    mean_maps, counts = np.stack([RAMP, 0 * RAMP]), {"real": 12, "fake": 5}

    figure = build_mean_maps_figure(mean_maps, counts, "title", "a unit")

    real, fake, bar = figure.axes
    titles = real.get_title(), fake.get_title(), bar.get_ylabel()
    assert titles == ("real images, n = 12", "fake images, n = 5", "a unit")
    assert np.array_equal(real.images[0].get_array(), RAMP)
    assert real.images[0].get_clim() == fake.images[0].get_clim()
    assert real.images[0].get_clim() == (0, pytest.approx(1, abs=0.01))
