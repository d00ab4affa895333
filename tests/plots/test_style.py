"""Texts and sizes of figures."""

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from plots.style import (
    build_title,
    format_with_interval,
    get_line_style,
    save_figure,
    save_plot,
    wrap_title,
)


def test_build_title_dollars_start_no_formula():
    title = build_title("ROC", "net on $x$", "6 real and 4 fake images")

    assert title == (
        "ROC: net on \\$x\\$\n6 real and 4 fake images, positive class: fake"
    )


def test_wrap_title_long_name_is_broken_and_keeps_every_word():
    assert wrap_title("one two-three four", 9) == "one\ntwo-three\nfour"


@pytest.mark.parametrize(
    ("interval", "percent", "text"),
    [
        ([0.9, 0.98], False, "0.950 [0.900, 0.980]"),
        ([0.9, 0.98], True, "95.0 % [90.0 %, 98.0 %]"),
        (None, False, "0.950"),
    ],
)
def test_format_with_interval_shows_what_there_is(interval, percent, text):
    report = {"auc": 0.95, "auc_interval": interval}

    assert format_with_interval(report, "auc", percent=percent) == text


def test_get_line_style_seven_detectors_differ_in_grey_too():
    dashes = [get_line_style(index)["ls"] for index in range(7)]

    assert len(set(dashes)) == 7
    assert get_line_style(7) == get_line_style(0)


def test_save_figure_writes_a_png(tmp_path):
    save_figure(Figure(figsize=(1, 1)), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_save_plot_keeps_a_legend_beside_the_axes(tmp_path):
    def draw(axes, anchor):
        axes.plot([0, 1], label="detector")
        axes.legend(loc="upper left", bbox_to_anchor=(anchor, 1))

    widths = []
    for anchor in (0.5, 1.0, 2.0):
        save_plot(lambda axes, x=anchor: draw(axes, x), tmp_path / "plot.png")
        widths.append(imread(tmp_path / "plot.png").shape[1])

    assert widths[0] < widths[1] < widths[2]
