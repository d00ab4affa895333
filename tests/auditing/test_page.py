"""Tests of an audit's figure and page."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from browser import find_violations
from drawn_photos import EDGE, inspect_folder, save_again, write_dataset
from matplotlib.figure import Figure
from PIL import Image, ImageChops, ImageStat

from auditing.audit import Audit
from auditing.duplicates import find_duplicates
from auditing.findings import list_findings
from auditing.page import build_figure, build_page, plot_shortcuts
from auditing.shortcuts import find_shortcuts
from loading import read_image


@pytest.fixture(scope="module")
def audit(tmp_path_factory) -> Audit:
    """A dataset with a leak and a shortcut, and hostile names."""

    def save(image, path, label, number):
        image.save(path, quality=60 if label else 90)

    sizes = {"train": 15, "test": 2}
    root = write_dataset(tmp_path_factory.mktemp("data"), sizes, save)
    save_again(root / "train/real/p0_000.jpg", root / "test/real/<b>&.jpg")
    inspection = inspect_folder(root)
    pairs, shortcuts = find_duplicates(inspection), find_shortcuts(inspection)
    findings = list_findings(inspection, pairs, [], shortcuts)
    counts = {"train": {"real": 15, "fake": 15}, "test": {"real": 3, "fake": 2}}
    return Audit("<faces>", counts, inspection, None, pairs, shortcuts, findings)


def test_page_holds_all_that_it_shows(audit):
    page = build_page(audit)

    HTMLParser().feed(page)
    assert "<b>&" not in page
    assert page.count("data:image/png") == page.count("data:image/jpeg") == 1
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    shown = ["Audit of &lt;faces&gt;", "test/real/&lt;b&gt;&amp;.jpg", "near, 0.9"]
    shown += [
        "40.0",
        "the same in all",
        *(f.text.split(" (")[0] for f in audit.findings),
    ]
    for text in shown:
        assert text in page
    (jpeg,) = re.findall('data:image/jpeg;base64,([^"]+)', page)
    with Image.open(io.BytesIO(base64.b64decode(jpeg))) as image:
        thumbnails = image.crop((0, 0, EDGE, EDGE)), image.crop((116, 0, 180, EDGE))
    for image, index in zip(thumbnails, audit.pairs[0][:2], strict=True):
        difference = ImageChops.difference(
            image, read_image(audit.inspection.files[index])
        )
        assert ImageStat.Stat(difference).mean < [5, 5, 5]


def test_page_and_figure_of_nothing_found_say_so(audit):
    page = build_page(Audit("a$b", {}, audit.inspection, None, [], [], []))

    assert "Nothing was found." in page
    assert "Images that show the same" not in page
    assert r"a\$b" in build_figure("a$b", []).axes[0].get_title()


def test_figure_shows_each_interval_and_what_is_constant(audit):
    axes = Figure().subplots()

    assert plot_shortcuts(axes, audit.shortcuts) is axes

    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == 10
    assert labels[0].endswith("(file)")
    assert [t.get_text() for t in axes.texts] == ["the same in all"] * 3
    (container,) = axes.containers
    assert container.get_label() == "train (n = 30)"
    varying = [s for s in audit.shortcuts if not s.is_constant]
    assert list(container.lines[0].get_xdata()) == [s.auc for s in varying]
    (bars,) = container.lines[2]
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx([s.low, s.high]) for s in varying]


@pytest.mark.slow
def test_page_in_a_browser_breaks_no_rule_and_fits(audit, tmp_path, browser_page):
    path = tmp_path / "page.html"
    path.write_text(build_page(audit))
    browser_page.set_viewport_size({"width": 390, "height": 844})

    browser_page.goto(path.as_uri())

    for scheme in ("light", "dark"):
        browser_page.emulate_media(color_scheme=scheme)
        assert find_violations(browser_page) == []
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= 390
