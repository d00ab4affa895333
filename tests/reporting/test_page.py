"""Tests of the page: what it holds, says and shows."""

import re
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
from reported_runs import write_page

from plots.analysis_plots import PLOTS
from plots.pages import list_counts
from reporting import name_report, page
from reporting.figures import draw_analysis

pytestmark = pytest.mark.slow
SECTIONS = [
    *("What it was trained on", "How learning went", "The numbers", "Figures"),
    *("The surest mistakes, and where it looks", "Model card", "How to make it again"),
]
SAID = """
SimpleNet, trained on faces, judged on the test split of faces (n = 5: 2 real and 3 fake
images). It is not shown to be better than chance. It called 3 of 5 images right, an
Training images, chosen at random: fake
The real training image 0
--batch-size</th>
Loss in epoch 2 of 2, the best on validation:
train 41 %, val 51 %, test 61 %.
An image is called fake if P(fake) is at or above 0.48
<td class="number" data-label="value"><data value="0.6666666666666666">0.6667</data>
ROC curve of SimpleNet on faces. AUC 0.667
The pale curve is P(real)
1 of 2 real images lie right of the threshold: false alarms; 1 of 3 fakes lie left of it
Of the real images 1 are called real and 1 fake; of the fakes 2 are called fake and 1
Real called fake: 1 of 1
The real image test/real/0
called fake with P(fake)=0.48
Saliency: the pixels that move
Of the real images' map (n = 2) most is in the
It was trained on the forgeries of faces, and no others.
Small n: only 2 of one class. 5 images show its accuracy
It has learnt from 9 images.
An image is called fake at or above P(fake) = 0.48
old</th><td data-label="in the training">1.0</td>
"""


def read(path: Path) -> str:
    """A page as text without its pictures, blanks as a reader sees them."""
    text = re.sub(r'"data:image/[^"]+"', '"data:image/"', path.read_text())
    return " ".join(unescape(text).split())


def list_headings(path: Path) -> list[tuple[int, str]]:
    """Levels and texts of all headings, no level skipped."""
    found = re.findall(r"<h(\d)[^>]*>(.*?)</h\1>", read(path))
    headings = [(int(level), text) for level, text in found]
    assert max(b - a for (a, _), (b, _) in pairwise(headings)) == 1
    return headings


def test_page_of_one_run_has_every_section_and_says_what_is_known(single):
    text, headings = read(single), list_headings(single)

    assert headings[0] == (1, "Report: SimpleNet on faces")
    assert [text for level, text in headings if level == 2] == SECTIONS
    for said in SAID.strip().split("\n"):
        assert said in text
    assert [text for level, text in headings if text.split()[-1] in ("curve", "plot")]


def test_page_of_several_runs_compares_them_and_has_every_section_of_each(triple):
    text, headings = read(triple), list_headings(triple)

    assert [text for level, text in headings if level < 3] == [
        *("Report: 3 detectors", "Side by side", "Run by run")
    ]
    assert [text for level, text in headings if level == 3] == [
        *("ROC curves", "DET curves", "Precision-recall curves"),
        *(SECTIONS * 3),
    ]
    assert (
        "ROC curves of 3 detectors. SimpleNet (faces_SimpleNet_Adam) on faces: " in text
    )
    assert "The pale curve is P(real)" not in text
    assert text.count("No learning curves: there is no history") == 2
    assert text.count('<details class="run"') == 3


def test_page_of_runs_of_one_recipe_has_their_mean(
    run, files, monkeypatch, tmp_path, no_plots
):
    def give(seed, **flags):
        flags = {**run.analysis.scores.flags, "seed": seed, **flags}
        scores = replace(run.analysis.scores, flags=flags, detector=f"seed{seed}")
        return replace(run, analysis=replace(run.analysis, scores=scores))

    def show(*runs):
        monkeypatch.setattr(page, "collect_runs", lambda *given: runs)
        return read(write_page([files.checkpoint] * 2, tmp_path / "a.html", files))

    same, other = show(give(0), give(1)), show(give(0), give(1, lr=9))
    assert "All as runs of one recipe" in same
    cells = re.findall("<t[hd][^>]*>([^<]*)<", same)
    place = cells.index("SimpleNet on faces, 2 runs")
    assert cells[place + 1 : place + 3] == ["AUC", "0.667"]
    assert "All as runs of one recipe" not in other


def test_page_needs_nothing_else_and_is_small(page_path):
    text = read(page_path)

    assert page_path.stat().st_size < 10_000_000
    assert re.findall(r"<(script|link|iframe|object)|@import|url\(|https?:", text) == []
    assert {link[:1] for link in re.findall('href="([^"]*)"', text)} == {"#"}
    assert set(re.findall('src="([^"]*)"', text)) == {"data:image/"}


def test_figures_without_numbers_are_left_out(run, no_plots):
    numbers = {**run.analysis.numbers, "precision": None}
    analysis = replace(run.analysis, bins=None, numbers=numbers)

    figures = {figure.name: figure for figure in draw_analysis(analysis)}

    assert {p.name for p in PLOTS.values()} - figures.keys() == {"Reliability diagram"}
    assert "no image is called fake" in figures["Precision-recall curve"].caption
    assert [f.name for f in draw_analysis(analysis, brief=True)] == ["Confusion matrix"]


def test_counts_are_rows_with_the_share_of_fakes():
    counts = {"train": {"real": 3, "fake": 1}, "val": {"real": 0, "fake": 0}}

    assert list_counts(counts) == [["train", 3, 1, "25.0 %"], ["val", 0, 0, "-"]]


def test_name_of_a_report_is_that_of_its_checkpoint():
    paths = [Path("checkpoints/a_b_Adam.pt"), Path("c.pt")]

    assert name_report(paths[:1]) == Path("figures/a_b_Adam_report.html")
    assert name_report(paths) == Path("figures/comparison_report.html")
