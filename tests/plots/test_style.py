"""Texts of figures."""

import pytest
from matplotlib.figure import Figure

from plots.style import build_title, format_with_interval, save_figure


def test_build_title_dollars_start_no_formula():
    title = build_title("ROC", "net on $x$", "6 real and 4 fake images")

    assert title == (
        "ROC: net on \\$x\\$\n6 real and 4 fake images, positive class: fake"
    )


@pytest.mark.parametrize(
    ("interval", "percent", "text"),
    [
        ([0.9, 0.98], False, "0.950 [0.900, 0.980]"),
        ([0.9, 0.98], True, "95.0% [90.0%, 98.0%]"),
        (None, False, "0.950"),
    ],
)
def test_format_with_interval_shows_what_there_is(interval, percent, text):
    report = {"auc": 0.95, "auc_interval": interval}

    assert format_with_interval(report, "auc", percent=percent) == text


def test_save_figure_writes_a_png(tmp_path):
    save_figure(Figure(figsize=(1, 1)), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
