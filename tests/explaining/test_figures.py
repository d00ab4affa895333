"""Tests of what explanations look like."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from explaining.figures import (
    UNKNOWN,
    Kind,
    Pair,
    Section,
    build_mean_maps_figure,
    build_pairs_figure,
    color_map,
    plot_pair,
    save_picture,
    save_sections,
)
from files.names import FAKE, REAL

GREY = np.full((4, 4, 3), 0.5, dtype=np.float32)
RAMP = np.arange(16, dtype=np.float32).reshape(4, 4)
BESIDE = Kind("saliency", color_map, "mean of", "a unit", "map of", "a scale", "empty")
OVER = Kind("cam", color_map, "mean of", "a unit", "map of", "a scale", "empty", True)
DETAILS = {"model": "SimpleNet", "dataset": "$faces$", "split": "test"}
DETAILS |= {"threshold": 0.25, "class": "true"}


def make_pair(
    *, label: int = FAKE, verdict: int = FAKE, values: np.ndarray = RAMP
) -> Pair:
    """A pair of score 0.25, whose map explains the class fake."""
    picture = color_map(GREY, values)
    return Pair("in/a.png", GREY, values, picture, label, verdict, FAKE, 0.25)


def test_plot_pair_draws_the_image_left_and_the_map_right():
    axes = plot_pair(Figure().subplots(), make_pair(), BESIDE)

    picture = axes.images[0].get_array()
    assert picture.shape == (4, 8, 3)
    assert (picture[:, :4] == 0.5).all()
    brightness = picture[:, 4:].sum(axis=2)
    assert (np.diff(brightness.ravel()) >= 0).all()
    assert brightness.max() > 2
    assert axes.get_title() == "called fake, P(fake)=0.250"
    assert axes.get_xlabel() == ""


def test_plot_pair_takes_pictures_of_bytes():
    picture = np.full((4, 4, 3), 51, dtype=np.uint8)
    pair = Pair("a.png", GREY, RAMP, picture, REAL, REAL, REAL, 0.1)

    axes = plot_pair(Figure().subplots(), pair, OVER)

    np.testing.assert_allclose(axes.images[0].get_array()[:, 4:], 0.2)


@pytest.mark.parametrize(
    ("label", "verdict", "is_wrong"),
    [(REAL, FAKE, True), (FAKE, FAKE, False), (UNKNOWN, FAKE, False)],
)
def test_plot_pair_marks_errors_by_frame_weight_and_sign(label, verdict, is_wrong):
    pair = make_pair(label=label, verdict=verdict)

    axes = plot_pair(Figure().subplots(), pair, BESIDE)

    assert axes.spines["left"].get_visible() == is_wrong
    assert axes.get_title().startswith("✗") == is_wrong
    assert (axes.title.get_weight() == "bold") == is_wrong


def test_plot_pair_explains_an_empty_map_under_it():
    axes = plot_pair(Figure().subplots(), make_pair(values=0 * RAMP), OVER)

    assert axes.get_xlabel() == "empty 'fake'"
    assert not axes.collections


def test_is_empty_where_a_single_cell_of_many_is_not_zero():
    cell = np.zeros((53, 53), dtype=np.float32)
    cell[20, 30] = 0.7

    assert make_pair(values=cell).is_empty
    cell[20:24, 30] = 0.7
    assert not make_pair(values=cell).is_empty


def test_plot_pair_outlines_the_upper_half_over_the_right_image_only():
    figure = Figure()
    values = np.zeros((4, 4), dtype=np.float32)
    values[1:3, 1:3] = 1

    axes = plot_pair(figure.subplots(), make_pair(values=values), OVER)

    for lines in axes.collections:
        points = np.concatenate([path.vertices for path in lines.get_paths()])
        assert points[:, 0].min() == 4.5
        assert points[:, 0].max() == 6.5
    assert len(axes.collections) == 2


@pytest.mark.parametrize(
    ("num", "kind", "num_cells"),
    [(1, BESIDE, 1), (4, BESIDE, 4), (7, BESIDE, 12), (18, BESIDE, 18), (5, OVER, 6)],
)
def test_build_pairs_figure_has_rows_as_long_as_the_kind_allows(num, kind, num_cells):
    section = Section("a heading", FAKE, [make_pair()] * num)

    figure = build_pairs_figure([section], "SimpleNet on $faces$", kind, "predicted")

    (strip,) = figure.subfigs
    assert len(strip.axes) == num_cells
    assert sum(bool(axes.images) for axes in strip.axes) == num
    assert strip.get_suptitle() == "a heading"
    assert figure.get_suptitle() == "SimpleNet on \\$faces\\$"
    assert figure.get_supxlabel() == "right: map of the predicted class\na scale"


def test_save_sections_says_why_each_image_is_shown(tmp_path, capsys):
    sections = [
        Section("worst", REAL, [make_pair(label=REAL)]),
        Section("surest", FAKE, [make_pair(), make_pair(values=0 * RAMP)]),
    ]

    save_sections(tmp_path / "pairs", sections, BESIDE, DETAILS)

    start = tmp_path / "pairs"
    assert capsys.readouterr().out == f"wrote {start}.png\nwrote {start}.json\n"
    numbers = json.loads(Path(f"{start}.json").read_text())
    assert {**numbers, **DETAILS} == numbers
    assert [s["why"] for s in numbers["samples"]] == ["worst", "surest", "surest"]
    assert numbers["samples"][0] == {
        "why": "worst",
        "path": "in/a.png",
        "label": REAL,
        "verdict": FAKE,
        "fake_score": 0.25,
        "explained_class": FAKE,
        "map": {"min": 0, "max": 15, "mean": 7.5},
    }


def test_save_picture_has_no_label_to_say(tmp_path):
    save_picture(tmp_path / "a.b", make_pair(label=UNKNOWN), OVER, DETAILS)

    assert (tmp_path / "a.b.png").stat().st_size > 1000
    numbers = json.loads((tmp_path / "a.b.json").read_text())
    assert numbers["label"] is None
    assert numbers["threshold"] == 0.25


def test_build_mean_maps_figure_has_one_scale_and_says_class_number_and_unit():
    mean_maps, counts = np.stack([RAMP, 0 * RAMP]), {"real": 12, "fake": 5}

    figure = build_mean_maps_figure(mean_maps, counts, "title", "a unit")

    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert titles == ["real images, n = 12", "fake images, n = 5"]
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == ["a unit"]
    assert figure.axes[0].images[0].get_array().tolist() == RAMP.tolist()
    limits = [axes.images[0].get_clim() for axes in figure.axes[:2]]
    assert limits[0] == limits[1]
    assert limits[0][0] == 0
    assert limits[0][1] > 14


def test_color_map_leaves_its_map_as_it_is_and_bears_an_empty_one():
    before = RAMP.copy()

    color_map(GREY, RAMP)

    assert np.array_equal(RAMP, before)
    assert np.ptp(color_map(GREY, 0 * RAMP), axis=(0, 1)).max() == 0
