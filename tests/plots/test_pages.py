"""Tests of what pages share."""

import base64
import io
import re

import jinja2
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from files.atomic import save_text
from plots import pages
from plots.pages import FRAME, embed_figure, embed_image, embed_plot, render_page, tie


def decode(picture: pages.EmbeddedImage) -> bytes:
    return base64.b64decode(picture.source.partition(",")[2])


def test_plot_is_a_drawing_of_the_size_it_says_and_always_the_same():
    first, second = (embed_plot(lambda axes: axes.plot([1, 2]), "a") for _ in range(2))

    assert first.source.startswith("data:image/svg+xml;base64,")
    assert first == second
    assert first.alt == "a"
    svg = decode(first).decode()
    points = float(re.search(r' width="([\d.]+)pt"', svg)[1])
    assert first.width == round(points * 96 / 72)
    assert first.width > 300 < first.height
    assert "<dc:date>" not in svg


@pytest.mark.slow
def test_plot_of_very_many_points_becomes_pixels_of_about_the_same_size(monkeypatch):
    monkeypatch.setattr(pages, "_PIXELS_DPI", 130)  # as outside of tests
    noise = np.random.default_rng(0).normal(size=40_000)

    picture = embed_plot(lambda axes: axes.plot(noise, "."), "noise")
    drawn = embed_plot(lambda axes: axes.plot(noise[:20], "."), "less noise")

    assert picture.source.startswith("data:image/png;base64,")
    assert picture.width == pytest.approx(drawn.width, abs=20)
    with Image.open(io.BytesIO(decode(picture))) as image:
        assert image.width > picture.width


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_figure_becomes_pixels_of_its_kind(kind):
    picture = embed_figure(Figure(figsize=(2, 1)), "nothing", kind)

    with Image.open(io.BytesIO(decode(picture))) as image:
        assert image.format == kind.upper()
    assert (picture.width, picture.height) == (192, 96)


def test_image_is_shown_at_its_size():
    picture = embed_image(Image.new("RGB", (30, 20), "red"), "red")

    with Image.open(io.BytesIO(decode(picture))) as image:
        assert image.size == (picture.width, picture.height) == (30, 20)
        assert np.abs(np.subtract(image.getpixel((5, 5)), (255, 0, 0))).max() < 5


def test_tie_keeps_numbers_and_intervals_on_a_line():
    tied = tie("AUC 0.9 [0.8, 0.95], 5.0 % [4.0 %, 6.1 %] of [all, of them]")

    assert tied.split(" ") == [
        *("AUC", "0.9", "[0.8,\xa00.95],"),
        *("5.0\xa0%", "[4.0\xa0%,\xa06.1\xa0%]", "of", "[all,", "of", "them]"),
    ]


def test_page_escapes_values_and_refuses_what_is_missing(tmp_path):
    template = tmp_path / "page.html"
    template.write_text(
        '{% extends "frame.html" %}{% block title %}{{ name }}{% endblock %}'
    )

    page = render_page(template, name="<b>&")

    assert "<title>&lt;b&gt;&amp;</title>" in page
    assert FRAME.read_text().splitlines()[0] in page
    with pytest.raises(jinja2.UndefinedError):
        render_page(template)


def test_page_with_a_name_that_is_not_utf8_can_be_saved(tmp_path):
    save_text("\udcff", tmp_path / "new" / "page.html")

    assert (tmp_path / "new" / "page.html").read_bytes() == b"\\udcff"
