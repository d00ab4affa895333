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
from files.names import FAKE, REAL

GREY = np.full((4, 4, 3), 0.6, dtype=np.float32)
RAMP = np.arange(16, dtype=np.float32).reshape(4, 4) / 15
BESIDE = Method("saliency", None, "map", "legend", "unit")
OVER = replace(BESIDE, is_overlay=True)


def make_explanation(method: Method = BESIDE, **known: object) -> Explanation:
    known = {"label": FAKE, "verdict": FAKE, "fake_score": 0.25, **known}
    return Explanation(GREY, FAKE, [method], [RAMP], **known)


@pytest.mark.parametrize("method", [BESIDE, OVER])
def test_plot_explanation_draws_the_image_left_and_the_map_right(method):
    explanation = make_explanation(method)

    axes = plot_explanation(Figure().subplots(), explanation)

    picture = axes.images[0].get_array()
    assert picture.shape == (4, 8, 3)
    assert (picture[:, :4] == 153).all()
    drawn = explanation.draw()
    expected = draw_outline(drawn, RAMP) if method.is_overlay else drawn
    assert np.array_equal(picture[:, 4:], expected)
    assert axes.get_title() == "called fake, P(fake)=0.250"
    assert axes.get_xlabel() == ""


@pytest.mark.parametrize(
    ("label", "verdict", "is_wrong"),
    [(REAL, FAKE, True), (FAKE, FAKE, False), (UNKNOWN, FAKE, False)],
)
def test_plot_explanation_marks_errors_and_says_where_a_map_is_empty(
    label, verdict, is_wrong
):
    explanation = make_explanation(label=label, verdict=verdict)
    explanation = replace(explanation, maps=[0 * RAMP])

    axes = plot_explanation(Figure().subplots(), explanation)

    assert axes.spines["left"].get_visible() == is_wrong
    assert axes.get_title().startswith("✗") == is_wrong
    assert (axes.title.get_weight() == "bold") == is_wrong
    assert axes.get_xlabel() == "few pixels or none move the score of 'fake'"


@pytest.mark.parametrize(
    ("num", "method", "num_cells"),
    [(1, BESIDE, 1), (7, BESIDE, 12), (18, BESIDE, 18), (5, OVER, 6)],
)
def test_build_sections_figure_has_rows_as_long_as_the_method_allows(
    num, method, num_cells
):
    section = Section("a heading", FAKE, [make_explanation(method)] * num)

    figure = build_sections_figure([section], "Net on $faces$", "the true class")

    (strip,) = figure.subfigs
    assert len(strip.axes) == num_cells
    assert sum(bool(axes.images) for axes in strip.axes) == num
    assert strip.get_suptitle() == "a heading"
    assert figure.get_suptitle() == "Net on \\$faces\\$"
    legend = f"right: legend of the true class\n{method.scale}"
    assert figure.get_supxlabel() == legend


def test_build_mean_maps_figure_has_one_scale_and_says_class_number_and_unit():
    mean_maps, counts = np.stack([RAMP, 0 * RAMP]), {"real": 12, "fake": 5}

    figure = build_mean_maps_figure(mean_maps, counts, "title", "a unit")

    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert titles == ["real images, n = 12", "fake images, n = 5"]
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == ["a unit"]
    assert np.array_equal(figure.axes[0].images[0].get_array(), RAMP)
    limits = [axes.images[0].get_clim() for axes in figure.axes[:2]]
    assert limits[0] == limits[1]
    assert limits[0][0] == 0
    assert limits[0][1] > 0.9
