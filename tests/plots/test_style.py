"""Texts and sizes of figures."""

import math
import os
import subprocess
import sys
from importlib import reload

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

import plots
from plots import style
from plots.style import (
    format_number,
    format_threshold,
    format_with_interval,
    get_line_style,
    make_drawable,
    save_plot,
    wrap_title,
)
from tests.script_helpers import PROJECT


def test_import_before_matplotlib_keeps_the_users_settings_away(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://of_a_notebook")
    monkeypatch.setenv("MATPLOTLIBRC", "mine")
    reload(plots)  # too late: whoever imported Matplotlib has chosen
    assert os.environ["MPLBACKEND"] == "module://of_a_notebook"
    monkeypatch.delitem(sys.modules, "matplotlib")
    reload(plots)
    assert (os.environ["MPLBACKEND"], os.environ["MATPLOTLIBRC"]) == ("agg", os.devnull)


def test_wrap_title_long_name_is_broken_and_starts_no_formula():
    assert wrap_title("one two-three $x$", 9) == "one\ntwo-three\n\\$x\\$"


@pytest.mark.parametrize(
    ("value", "interval", "options", "text"),
    [
        (0.95, [0.9, 0.98], {}, "0.950 [0.900, 0.980]"),
        (0.95, [0.9, 0.98], {"digits": 4}, "0.9500 [0.9000, 0.9800]"),
        (0.95, [0.9, 0.98], {"percent": True}, "95.0 % [90.0 %, 98.0 %]"),
        (0.95, None, {}, "0.950"),
        (0.4875, None, {}, "0.487"),  # as the nearest double is slightly below
        (0.4875, None, {"percent": True}, "48.7 %"),
        (None, None, {}, "-"),
    ],
)
def test_format_with_interval_shows_what_there_is(value, interval, options, text):
    numbers = {"auc": value, "auc_interval": interval}

    assert format_with_interval(numbers, "auc", **options) == text


def test_get_line_style_sixteen_differ_and_seven_in_grey_too():
    styles = [get_line_style(index) for index in range(16)]

    assert len({str(style) for style in styles}) == 16
    assert len({str(style["ls"]) for style in styles[:7]}) == 7


@pytest.mark.parametrize(
    ("value", "text", "threshold"),
    [
        (6.5e-15, "6.5e-15", "6.5e-15"),
        (-4e-5, "-4e-05", "-4e-05"),
        (0.99999, "0.99999", "0.99999"),
        (1 - 2**-40, "0.999999999999", "0.999999999999"),
        *((0.0, "0.0000", "0"), (1.0, "1.0000", "1"), (0.5, "0.5000", "0.5")),
        (0.00005, "0.0001", "5e-05"),
        (1234.5, "1234.5000", "1.23e+03"),
        (math.nextafter(0.5, 1), "0.5000", "above 0.5"),
    ],
)
def test_format_number_only_0_and_1_look_like_it(value, text, threshold):
    assert (format_number(value), format_threshold(value)) == (text, threshold)


STIX_ONLY = "\u20db"  # a character of a font that comes with Matplotlib beside its own


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\udce9t\udcff", r"\udce9t\udcff"),
        ("\u5f20\u4e09", None),
        ("\u0645\u0631", None),
        ("\U0001f600 \u0915", None),
        (f"a{STIX_ONLY}", f"a{STIX_ONLY}"),
        ("a\x1b[2J\tb", r"a\x1b[2J\tb"),
        ("$x", r"\$x"),
    ],
)
def test_make_drawable_names_become_figures_without_a_warning(name, shown, tmp_path):
    text = make_drawable(name)

    assert shown in (None, text)
    for draw in (Axes.set_title, Axes.set_xlabel):
        save_plot(lambda axes, draw=draw: draw(axes, text), tmp_path / "plot.png")
    for path in style._families:  # no font that shows boxes
        assert "resort" not in path.lower()


def test_save_plot_looks_alike_whatever_the_user_set(tmp_path):
    def save(name):
        save_plot(lambda axes: axes.plot([0, 1]), tmp_path / name)
        return (tmp_path / name).read_bytes()

    plain = save("plain.png")
    ambient = {"font.size": 30, "savefig.transparent": True, "axes.facecolor": "red"}
    with matplotlib.rc_context({**ambient, "lines.linewidth": 0}):
        assert save("ambient.png") == plain


@pytest.mark.slow
def test_scripts_start_whatever_matplotlib_is_told(tmp_path):
    path = tmp_path / "rc"
    path.write_bytes(b"text.usetex: True\nbackend: nothing\n\xff")
    code = "import command_line, plots.style as s; import matplotlib.pyplot;"
    code += f"s.PLOT_DPI = {style.PLOT_DPI};"
    code += "s.save_plot(lambda axes: axes.set_title('a'), 'plot.png')"
    backend = "module://matplotlib_inline.backend_inline"
    told = {"MPLBACKEND": backend, "MATPLOTLIBRC": str(path), "PYTHONPATH": PROJECT}

    environment = {**os.environ, **told}
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True
    )

    save_plot(lambda axes: axes.set_title("a"), tmp_path / "expected.png")
    expected = (tmp_path / "expected.png").read_bytes()
    assert (tmp_path / "plot.png").read_bytes() == expected


def test_save_plot_keeps_a_legend_beside_the_axes(tmp_path):
    def draw(axes, anchor):
        axes.plot([0, 1], label="detector")
        axes.legend(loc="upper left", bbox_to_anchor=(anchor, 1))

    widths = []
    for anchor in (0.5, 1.0, 2.0):
        save_plot(lambda axes, x=anchor: draw(axes, x), tmp_path / "plot.png")
        widths.append(imread(tmp_path / "plot.png").shape[1])

    assert widths[0] < widths[1] < widths[2]
