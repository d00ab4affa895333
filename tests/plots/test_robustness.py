"""The robustness figure and table."""

from typing import Any

import numpy as np
import pytest

from plots.robustness import build_robustness_figure, format_robustness

PANELS = dict.fromkeys(("blur", "noise", "crop", "chat"), ("a unit", (1, 2)))


def make_level(auc: float) -> dict[str, Any]:
    """Numbers of one level, the EER without an interval."""
    return {
        **{"auc": auc, "auc_interval": [auc - 0.1, auc + 0.05]},
        **{"accuracy": 0.7, "accuracy_interval": [0.6, 0.8]},
        **{"eer": 0.25, "eer_interval": None},
    }


def make_detector(title: str) -> dict[str, Any]:
    """A detector whose AUC falls from 0.9 to 0.7."""
    levels = [make_level(auc) for auc in (0.9, 0.8, 0.7)]
    words = "keeps 75 %"
    return {
        **{"title": title, "auc_kept_in_words": words, "sentence": f"{title} {words}"},
        "conditions": dict.fromkeys(PANELS, levels),
    }


def test_figure_of_one_detector_has_three_measures_in_each_panel():
    figure = build_robustness_figure([make_detector("net")], PANELS, "$net$ on faces")

    panels = figure.axes[: len(PANELS)]
    assert [axes.get_title() for axes in panels] == list(PANELS)
    for axes in panels:
        heights = [line.get_ydata()[:3] for line in axes.lines[:3]]
        assert np.allclose(heights[0], [0.9, 0.8, 0.7])
        assert np.allclose(heights[1:], [[0.7] * 3, [0.25] * 3])
        assert len(axes.collections) == 3
        heights = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx((0.6, 0.95))
        labels = [tick.get_text() for tick in axes.get_xticklabels()]
        assert labels == ["none", "1", "2"]
    legend = figure.axes[len(PANELS)].get_legend()
    texts = [text.get_text().replace("\n", " ") for text in legend.get_texts()]
    assert texts == ["AUC (keeps 75 %)", "accuracy", "EER"]
    assert figure.get_suptitle() == "\\$net\\$ on faces"


def test_figure_of_two_detectors_has_an_auc_of_each():
    figure = build_robustness_figure(
        [make_detector("a"), make_detector("b")], PANELS, "both"
    )

    assert len(figure.axes[0].collections) == 2
    legend = figure.axes[len(PANELS)].get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["a: keeps 75 %", "b: keeps 75 %"]


def test_format_robustness_has_a_row_for_each_disturbance_and_measure():
    lines = format_robustness(make_detector("net"), PANELS)

    assert lines[0] == "net"
    assert lines[1].split() == ["AUC", "none", "1", "2"]
    assert lines[2].split() == ["blur", "0.900", "0.800", "0.700"]
    assert len(lines) == 1 + 3 * (1 + len(PANELS)) + 1
    assert lines[-1] == "net keeps 75 %"
