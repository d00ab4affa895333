"""The robustness figure and table."""

import re
from typing import Any

import numpy as np
import pytest

from loading.disturbances import UNITS
from metrics.verdicts import RATES
from plots.robustness import (
    build_errors_figure,
    build_robustness_figure,
    describe_promise,
    format_errors,
    format_robustness,
    list_rate_cells,
    name_rate_columns,
)

PANELS = dict.fromkeys(("blur", "noise", "crop", "chat"), ("a unit", (1, 2)))


def make_level(auc: float, number: int = 0) -> dict[str, Any]:
    """Numbers of one level, the EER without an interval."""
    rates = {}
    for place, name in enumerate(RATES):
        share = (place + number) / 10
        rates |= {name: share, f"{name}_interval": [share / 2, (1 + share) / 2]}
        rates[f"{name}_counts"] = [place + number, 10]
    return {
        **{"condition": f"level={number}" if number else "none", "level": number},
        "keeps_promise": True,
        **{"auc": auc, "auc_interval": [auc - 0.1, auc + 0.05]},
        **{"accuracy": 0.7, "accuracy_interval": [0.6, 0.8]},
        **{"eer": 0.25, "eer_interval": None},
        **rates,
    }


def make_silent(number: int) -> dict[str, Any]:
    """Numbers of a level at which no image gets a verdict."""
    level = make_level(0.6, number)
    for name in ("told_false_alarms", "told_misses"):
        level |= {name: None, f"{name}_interval": None, f"{name}_counts": [0, 0]}
    return {**level, "keeps_promise": None}


def make_detector(title: str) -> dict[str, Any]:
    """A detector whose AUC falls from 0.9 to 0.7."""
    levels = [make_level(auc, n) for n, auc in enumerate((0.9, 0.8, 0.7))]
    words = "keeps 75 %"
    return {
        **{"title": title, "auc_kept_in_words": words, "sentence": f"{title} {words}"},
        "promised_false_alarms": 0.04,
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


def test_figure_of_errors_has_five_rates_in_each_panel_and_the_promise():
    detector = make_detector("net")
    detector["conditions"]["crop"] = [
        make_level(0.9),
        make_level(0.8, 1),
        make_silent(2),
    ]

    figure = build_errors_figure(detector, PANELS, "errors")

    for axes, name in zip(figure.axes, PANELS, strict=False):
        lines = axes.lines[:5]
        heights = np.array([line.get_ydata() for line in lines])
        expected = (np.arange(5)[:, None] + np.arange(3)) / 10
        if name == "crop":
            expected[3:, 2] = np.nan
        assert np.allclose(heights, expected, equal_nan=True)
        assert axes.lines[5].get_ydata()[0] == 0.04
        heights = axes.collections[1].get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx((0.05, 0.65))
        assert len(axes.collections) == 2
        assert [t.get_text() for t in axes.get_xticklabels()] == ["none", "1", "2"]
    texts = [t.get_text() for t in figure.axes[len(PANELS)].get_legend().get_texts()]
    assert texts == [*RATES.values(), "false alarms promised at most"]
    detector["promised_false_alarms"] = None
    figure = build_errors_figure(detector, PANELS, "errors")
    assert len(figure.axes[0].lines) == 5
    legend = figure.axes[len(PANELS)].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list(RATES.values())


def test_format_errors_has_each_condition_once():
    detector = make_detector("net")
    detector["conditions"] = {
        "blur": [make_level(0.9), make_level(0.8, 1)],
        "noise": [make_level(0.9), make_silent(2)],
    }

    lines = format_errors(detector)

    assert [line.split()[0] for line in lines[2:]] == [
        *("none", "level=1", "level=2", "promise:")
    ]
    cells = ["10 [5, 55]", "20 [10, 60]", "30 [15, 65]"]
    cells += ["4 of 10 [20, 70]", "5 of 10 [25, 75]", "kept"]
    assert re.split("  +", lines[3].strip()) == ["level=1", *cells]
    assert lines[4].split()[-2:] == ["-", "-"]
    assert "4 %" in lines[-1]
    detector["promised_false_alarms"] = None
    assert len(format_errors(detector)) == len(lines) - 1
    assert "promise" not in format_errors(detector)[1]


@pytest.mark.parametrize(
    ("keeps", "low", "expected"),
    [
        (True, 0.0, "kept"),
        (False, 0.04, "broken"),
        (False, 0.041, "surely broken"),
        (None, None, ""),
    ],
)
def test_describe_promise_is_sure_where_the_interval_lies_above(keeps, low, expected):
    interval = None if low is None else [low, 0.9]
    numbers = {"keeps_promise": keeps, "told_false_alarms_interval": interval}
    assert describe_promise(numbers, 0.04) == expected


def test_list_rate_cells_stand_below_their_columns():
    cells = dict(
        zip(name_rate_columns(), list_rate_cells(make_level(0.9)), strict=True)
    )
    assert cells["misses"] == 0.1
    assert (cells["misses_low"], cells["misses_high"]) == (0.05, 0.55)
    assert (cells["misses_num"], cells["misses_of"]) == (1, 10)
    assert cells["keeps_promise"] is True
    cells = dict(zip(name_rate_columns(), list_rate_cells(make_silent(1)), strict=True))
    assert cells["told_misses"] == cells["told_misses_low"] == ""
    assert (cells["told_misses_of"], cells["keeps_promise"]) == (0, "")


def test_format_robustness_has_a_row_for_each_disturbance_and_measure():
    lines = format_robustness(make_detector("net"))

    assert lines[0] == "net"
    assert lines[1].split() == ["level", "none", "1", "2"]
    assert lines[3] == f"  {'noise':<24}{'':8}{1:>8}{2:>8}  {UNITS['noise']}"
    lines = lines[1 + len(PANELS) :]
    assert lines[1].split() == ["AUC", "none", "1", "2"]
    assert lines[2].split() == ["blur", "0.900", "0.800", "0.700"]
    assert len(lines) == 1 + 3 * (1 + len(PANELS)) + 1
    assert lines[-1] == "net keeps 75 %"


def test_format_robustness_leaves_levels_that_were_not_measured_empty():
    detector = make_detector("net")
    detector["conditions"] = {
        "blur": [make_level(0.9), make_level(0.8, 1), make_level(0.7, 3)],
        "noise": [make_level(0.9), make_level(0.6, 3)],
    }
    lines = format_robustness(detector)[3:]
    assert lines[1].split() == ["AUC", "none", "1", "3"]
    assert lines[2].split() == ["blur", "0.900", "0.800", "0.700"]
    assert lines[3] == f"  {'noise':<24}{'0.900':>8}{'':8}{'0.600':>8}"
