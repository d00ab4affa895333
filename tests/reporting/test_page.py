"""Tests of the page: what it holds, and what a browser makes of it."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from reported_runs import write_page
from script_helpers import make_checkpoint

from reporting import name_report
from reporting.page import list_numbers
from utils import load_checkpoint

SECTIONS = [
    *("What it was trained on", "How learning went", "The numbers", "Figures"),
    *("The surest mistakes, and where it looks", "Model card", "How to make it again"),
]
MEGABYTE = 1_000_000


class Page(HTMLParser):
    """A page's tags with their attributes, its headings and its exact numbers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.headings: list[tuple[int, str]] = []
        self.text = path.read_text(encoding="utf-8")
        self._heading = 0
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch(r"h\d", tag):
            self._heading = int(tag[1])
            self.headings.append((self._heading, ""))

    def handle_endtag(self, tag):
        if re.fullmatch(r"h\d", tag):
            self._heading = 0

    def handle_data(self, data):
        if self._heading:
            level, text = self.headings[-1]
            self.headings[-1] = level, text + data

    def find(self, *names: str) -> list[dict[str, Any]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def test_page_has_every_section_and_its_headings_in_order(single):
    page = Page(single)

    assert [text for level, text in page.headings if level == 2] == SECTIONS
    assert page.headings[0] == (1, "Report: SimpleNet on faces")
    levels = [level for level, _ in page.headings]
    steps = [b - a for a, b in pairwise(levels)]
    assert max(steps) == 1
    assert levels.count(1) == 1


def test_comparison_has_every_section_of_each_run(double):
    page = Page(double)

    levels = [level for level, _ in page.headings]
    assert [text for level, text in page.headings if level == 2] == [
        "Side by side",
        "Run by run",
    ]
    texts = [text for level, text in page.headings if level == 3]
    assert texts == ["ROC curves", "DET curves", "Precision-recall curves"] + (
        SECTIONS * 2
    )
    assert max(b - a for a, b in pairwise(levels)) == 1
    assert "paired DeLong" in page.text
    assert "No learning curves: there is no history" in page.text
    assert len([d for d in page.find("details") if d.get("class") == "run"]) == 2


def test_page_needs_nothing_else_and_is_small(page_path):
    page = Page(page_path)

    assert page_path.stat().st_size < 10 * MEGABYTE
    assert page.find("script", "link", "iframe", "object") == []
    for attributes in page.find("img"):
        assert attributes["src"].startswith("data:image/")
    assert all(a["href"].startswith("#") for a in page.find("a"))
    assert re.findall(r"url\(|@import|https?://(?!www\.w3\.org)", page.text) == []


def test_page_can_be_read_without_seeing_it(page_path):
    page = Page(page_path)

    assert page.find("html") == [{"lang": "en"}]
    assert len(page.find("main")) == len(page.find("nav")) == 1
    images = page.find("img")
    assert len(images) > 20
    assert all(len(attributes["alt"]) > 20 for attributes in images)
    assert all(
        attributes.get("scope") in ("row", "col") for attributes in page.find("th")
    )
    assert len(page.find("caption")) == len(page.find("table"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in page.find("a")}
    targets |= {s["aria-labelledby"] for s in page.find("section") if s}
    assert targets <= set(ids)


def test_page_is_the_same_but_for_its_date(single, files, tmp_path):
    again = write_page([files.checkpoint], tmp_path / "a.html", files)

    texts = [
        re.sub(r"Written \S+ by", "", path.read_text()) for path in (single, again)
    ]
    assert texts[0] == texts[1]


def test_numbers_are_rows_of_exact_values(run):
    rows = {row["name"]: row for row in list_numbers(run.analysis.numbers)}

    assert rows["AUC"]["value"] == run.analysis.numbers["auc"]
    assert rows["AUC"]["interval"] == run.analysis.numbers["auc_interval"]
    assert rows["TPR at FPR 1 %"]["text"] == rows["TPR at FPR 1 %"]["range"] == "-"
    assert rows["calibration error (ECE)"]["range"].startswith("by chance 0.")


def test_hostile_names_become_no_markup(files, tmp_path):
    flags = {"name": "<script>alert(1)</script>", "limit": "<b>"}
    path = tmp_path / "<img src=x>.pt"
    make_checkpoint(path, dataset="faces", flags=flags, versions={"<i>": "<u>"})

    page = Page(write_page([path], tmp_path / "page.html", files))

    assert page.find("script", "b", "i", "u") == []
    assert all(a["src"].startswith("data:") for a in page.find("img"))


def test_report_is_named_after_its_checkpoint():
    assert name_report([Path("x/run.pt")], "figures") == Path("figures/run_report.html")
    both = name_report([Path("a.pt"), Path("b.pt")], "figures")
    assert both == Path("figures/comparison_report.html")


def test_report_does_not_replace_a_checkpoint(files):
    before = files.checkpoint.read_bytes()

    with pytest.raises(ValueError, match="is an input"):
        write_page([files.checkpoint], files.checkpoint, files)

    assert files.checkpoint.read_bytes() == before
    assert load_checkpoint(files.checkpoint)
