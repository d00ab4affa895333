"""How often verdicts err, and how often there is none.

A false alarm is a real image that is called fake, a miss a fake that is called real.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from files.classes import FAKE, NEITHER, REAL
from metrics.error_rates import compute_proportion_interval

# What each share is called in tables, and of what it is one.
RATES = {
    "false_alarms": "false alarms",
    "misses": "misses",
    "inconclusive": "inconclusive",
    "told_false_alarms": "false alarms among verdicts",
    "told_misses": "misses among verdicts",
}


def measure_rates(
    labels: np.ndarray, decisions: np.ndarray, told: np.ndarray
) -> dict[str, Any]:
    """Count errors and verdicts that are not given, with exact 95 % intervals.

    Args:
        labels: int (N,).
        decisions: int (N,), what the scores alone say: real, fake or `NEITHER`.
        told: int (N,), what users are told; `NEITHER` for inconclusive.

    Returns:
        For each NAME of `RATES` the share NAME, NAME_interval [low, high], and
        NAME_counts [how many, of how many]; a share of nothing is None, and so is its
        interval. `false_alarms` and `misses` are of all real and all fake images,
        `told_...` of those that get a verdict.
    """
    is_real, is_fake, has_verdict = labels == REAL, labels == FAKE, told != NEITHER
    hits_and_trials = {
        "false_alarms": (decisions == FAKE, is_real),
        "misses": (decisions == REAL, is_fake),
        "inconclusive": (~has_verdict, np.ones_like(is_real)),
        "told_false_alarms": (told == FAKE, is_real & has_verdict),
        "told_misses": (told == REAL, is_fake & has_verdict),
    }
    numbers: dict[str, Any] = {}
    for name, (hits, trials) in hits_and_trials.items():
        counts = [int((hits & trials).sum()), int(trials.sum())]
        is_known = counts[1] > 0
        numbers[name] = counts[0] / counts[1] if is_known else None
        interval = list(compute_proportion_interval(*counts)) if is_known else None
        numbers |= {f"{name}_interval": interval, f"{name}_counts": counts}
    return numbers


def check_promise(numbers: Mapping[str, Any], most: float | None) -> bool | None:
    """Say whether false alarms among verdicts keep to what is promised.

    `most` is the share of the real images with a verdict that may be called fake; None:
    nothing is promised. Returns None then, and where no real image gets a verdict.
    """
    share = numbers["told_false_alarms"]
    return None if most is None or share is None else share <= most
