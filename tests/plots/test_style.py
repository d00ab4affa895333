"""Texts and sizes of figures."""

import pytest
from matplotlib.image import imread

from plots.style import (
    format_with_interval,
    get_line_style,
    save_plot,
    wrap_title,
)


def test_wrap_title_long_name_is_broken_and_starts_no_formula():
    assert wrap_title("one two-three $x$", 9) == "one\ntwo-three\n\\$x\\$"


@pytest.mark.parametrize(
    ("value", "interval", "options", "text"),
    [
        (0.95, [0.9, 0.98], {}, "0.950 [0.900, 0.980]"),
        (0.95, [0.9, 0.98], {"digits": 4}, "0.9500 [0.9000, 0.9800]"),
        (0.95, [0.9, 0.98], {"percent": True}, "95.0 % [90.0 %, 98.0 %]"),
        (0.95, None, {}, "0.950"),
        (None, None, {}, "-"),
    ],
)
def test_format_with_interval_shows_what_there_is(value, interval, options, text):
    numbers = {"auc": value, "auc_interval": interval}

    assert format_with_interval(numbers, "auc", **options) == text


def test_get_line_style_seven_detectors_differ_in_grey_too():
    dashes = [get_line_style(index)["ls"] for index in range(7)]

    assert len(set(dashes)) == 7
    assert get_line_style(7) == get_line_style(0)


def test_save_plot_keeps_a_legend_beside_the_axes(tmp_path):
    def draw(axes, anchor):
        axes.plot([0, 1], label="detector")
        axes.legend(loc="upper left", bbox_to_anchor=(anchor, 1))

    widths = []
    for anchor in (0.5, 1.0, 2.0):
        save_plot(lambda axes, x=anchor: draw(axes, x), tmp_path / "plot.png")
        widths.append(imread(tmp_path / "plot.png").shape[1])

    assert widths[0] < widths[1] < widths[2]
