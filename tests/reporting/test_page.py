"""Tests of the page: what it holds, and that it can be read by everybody."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

from reported_runs import write_page

from reporting import name_report

SECTIONS = [
    *("What it was trained on", "How learning went", "The numbers", "Figures"),
    *("The surest mistakes, and where it looks", "Model card", "How to make it again"),
]


class Page(HTMLParser):
    """A page's tags with their attributes, and its headings."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = path.read_text(encoding="utf-8")
        found = re.findall(r"<h(\d)[^>]*>(.*?)</h\1>", self.text)
        self.headings = [(int(level), text) for level, text in found]
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def find(self, *names: str) -> list[dict[str, Any]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def test_page_has_every_section_and_its_headings_in_order(single):
    page = Page(single)

    assert [text for level, text in page.headings if level == 2] == SECTIONS
    assert page.headings[0] == (1, "Report: SimpleNet on faces")
    levels = [level for level, _ in page.headings]
    assert max(b - a for a, b in pairwise(levels)) == 1
    assert levels.count(1) == 1
    assert "old</th><td" in page.text  # a package of the training alone
    assert "--batch-size</th>" in page.text


def test_comparison_has_every_section_of_each_run(triple):
    page = Page(triple)

    assert [text for level, text in page.headings if level < 3] == [
        *("Report: 3 detectors", "Side by side", "Run by run"),
    ]
    assert [text for level, text in page.headings if level == 3] == [
        *("ROC curves", "DET curves", "Precision-recall curves"),
        *(SECTIONS * 3),
    ]
    assert max(b - a for a, b in pairwise(level for level, _ in page.headings)) == 1
    assert page.text.count("No learning curves: there is no history") == 2
    assert len([d for d in page.find("details") if d.get("class") == "run"]) == 3


def test_page_needs_nothing_else_and_is_small(page_path):
    page = Page(page_path)

    assert page_path.stat().st_size < 10_000_000
    assert page.find("script", "link", "iframe", "object") == []
    assert all(i["src"].startswith("data:image/") for i in page.find("img"))
    assert all(a["href"].startswith("#") for a in page.find("a"))
    assert re.findall(r"url\(|@import|https?://(?!www\.w3\.org)", page.text) == []


def test_page_can_be_read_without_seeing_it(page_path):
    page = Page(page_path)

    assert page.find("html") == [{"lang": "en"}]
    assert len(page.find("main")) == len(page.find("nav")) == 1
    assert len(page.find("img")) > 20
    assert all(len(image["alt"]) > 20 for image in page.find("img"))
    assert all(cell.get("scope") in ("row", "col") for cell in page.find("th"))
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


def test_name_of_a_report_is_that_of_its_checkpoint():
    paths = [Path("checkpoints/a_b_Adam.pt"), Path("c.pt")]

    assert name_report(paths[:1], "figures") == Path("figures/a_b_Adam_report.html")
    assert name_report(paths, "figures") == Path("figures/comparison_report.html")
