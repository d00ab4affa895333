"""Errors and verdicts that are not given, counted by hand."""

import numpy as np
import pytest

from files.classes import FAKE, NEITHER, REAL
from metrics.error_rates import compute_proportion_interval
from metrics.verdicts import RATES, check_promise, measure_rates

LABELS = np.array([REAL] * 5 + [FAKE] * 5)
DECISIONS = np.array(
    [*(FAKE, FAKE, NEITHER, REAL, REAL), *(REAL, REAL, FAKE, NEITHER, FAKE)]
)
TOLD = np.array(
    [*(FAKE, NEITHER, NEITHER, REAL, REAL), *(REAL, NEITHER, FAKE, NEITHER, NEITHER)]
)


def test_measure_rates_known_answers():
    numbers = measure_rates(LABELS, DECISIONS, TOLD)

    counts = {
        "false_alarms": [2, 5],
        "misses": [2, 5],
        "inconclusive": [5, 10],
        "told_false_alarms": [1, 3],
        "told_misses": [1, 2],
    }
    assert {name: numbers[f"{name}_counts"] for name in RATES} == counts
    for name, (hits, of) in counts.items():
        assert numbers[name] == hits / of
        ends = compute_proportion_interval(hits, of)
        assert numbers[f"{name}_interval"] == list(ends)


def test_measure_rates_without_verdicts_has_none():
    numbers = measure_rates(LABELS, DECISIONS, np.full(10, NEITHER))

    assert (numbers["inconclusive"], numbers["false_alarms"]) == (1, 0.4)
    for name in ("told_false_alarms", "told_misses"):
        assert numbers[name] is numbers[f"{name}_interval"] is None
        assert numbers[f"{name}_counts"] == [0, 0]
    assert check_promise(numbers, 0.5) is None


@pytest.mark.parametrize(
    ("most", "expected"), [(None, None), (0.33, False), (1 / 3, True), (0.5, True)]
)
def test_check_promise_is_of_false_alarms_among_verdicts(most, expected):
    assert check_promise(measure_rates(LABELS, DECISIONS, TOLD), most) is expected
