"""Tests of an audit's figure and page."""

import re
from html.parser import HTMLParser

import pytest
from browser import find_violations
from drawn_photos import inspect_folder, write_dataset
from matplotlib.figure import Figure
from PIL import Image

from auditing.duplicates import find_duplicates
from auditing.findings import Finding, list_findings
from auditing.page import build_figure, build_page, plot_shortcuts, summarise
from auditing.shortcuts import find_shortcuts


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """Inspection, findings and shortcuts of a dataset with a leak and a shortcut."""

    def save(image, path, label, number):
        image.save(path, quality=60 if label else 90)

    root = write_dataset(
        tmp_path_factory.mktemp("data"), {"train": 15, "test": 2}, save
    )
    with Image.open(root / "train/real/p0_000.jpg") as image:
        image.save(root / "test/real/<b>&.jpg", quality=50)
    inspection = inspect_folder(root)
    shortcuts = find_shortcuts(inspection)
    pairs = find_duplicates(inspection)
    return inspection, list_findings(inspection, pairs, [], shortcuts), shortcuts


def test_page_holds_all_that_it_shows(audit):
    inspection, findings, shortcuts = audit
    counts = {"train": {"real": 15, "fake": 15}, "test": {"real": 3, "fake": 2}}

    page = build_page(
        "<faces>", inspection, findings, shortcuts=shortcuts, counts=counts
    )

    HTMLParser().feed(page)
    assert "Audit of &lt;faces&gt;" in page
    assert "<b>&" not in page
    assert "test/real/&lt;b&gt;&amp;.jpg" in page
    assert page.count("data:image/png") == 1
    assert page.count("data:image/jpeg") == 1
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    assert "40.0" in page
    for finding in findings:
        assert finding.text.split(" (")[0] in page
    assert "the same in all" in page


def test_page_of_nothing_found_says_so(audit):
    inspection, _, _ = audit

    page = build_page("faces", inspection, [], shortcuts=[], counts={})

    assert "Nothing was found." in page
    assert "Images that show the same" not in page


def test_figure_shows_each_interval_and_what_is_constant(audit):
    _, _, shortcuts = audit
    axes = Figure().subplots()

    assert plot_shortcuts(axes, shortcuts) is axes

    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == 10
    assert labels[0].endswith("(file)")
    assert [t.get_text() for t in axes.texts] == ["the same in all"] * 3
    (container,) = axes.containers
    assert container.get_label() == "train (n = 30)"
    points = container.lines[0].get_xdata()
    assert sorted(points) == sorted(s.auc for s in shortcuts if not s.is_constant)


def test_figure_of_no_shortcut_is_drawn():
    assert build_figure("a$b", []).axes[0].get_title().startswith("What single")


def test_summarise_counts_the_levels():
    look, serious = Finding("look", "", ""), Finding("serious", "", "")

    assert summarise([look, look]) == "nothing serious: 0 serious, 2 look, 0 info"
    assert summarise([serious]).startswith("not fair as it is: 1 serious")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_a_browser_breaks_no_rule_and_fits(
    audit, tmp_path, browser_page, scheme
):
    inspection, findings, shortcuts = audit
    counts = {"train": {"real": 15, "fake": 15}}
    path = tmp_path / "page.html"
    options = {"shortcuts": shortcuts, "counts": counts}
    path.write_text(build_page("faces", inspection, findings, **options))
    browser_page.emulate_media(color_scheme=scheme)
    browser_page.set_viewport_size({"width": 390, "height": 844})

    browser_page.goto(path.as_uri())

    assert find_violations(browser_page) == []
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= 390
