"""Every metric with its confidence interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bootstrap import (
    bootstrap_metrics,
    compute_logit_interval,
    compute_percentile_interval,
    compute_proportion_interval,
)
from delong import compute_delong_interval
from point_metrics import compute_metrics
from score_table import FAKE, REAL, index_groups

# Where intervals on the logit scale covered better than percentiles did.
_LOGIT_METRICS = frozenset(
    {"auc", "average_precision", "precision", "f1", "accuracy"}
    | {"balanced_accuracy", "real_accuracy", "fake_accuracy"}
)


def compute_report(
    fake_scores: ArrayLike,
    labels: ArrayLike,
    threshold: float = 0.5,
    *,
    groups: ArrayLike | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute every metric with its confidence interval.

    Args:
        fake_scores, labels, threshold: as for `compute_metrics`.
        groups: (N,) names; samples of one group, such as the frames of a video, are
            drawn together and so count once in every interval.
        num_resamples, seed: of the bootstrap.
        confidence: coverage of the intervals.

    Returns:
        The values of `compute_metrics`, and beside each NAME a NAME_interval, [low,
        high] or None: for `auc` DeLong's (and `auc_bootstrap_interval`), for all
        others a bootstrap's: percentiles, or on the logit scale for accuracies and
        averages near 1. An accuracy of 0 or 1 has its exact (Clopper-Pearson)
        interval over samples or groups; other metrics whose resamples show no
        spread have None. `intervals` says how they were made.

    Raises:
        ValueError: as for `compute_metrics`, or groups of another length.
    """
    report = compute_metrics(fake_scores, labels, threshold)
    resampled = bootstrap_metrics(
        fake_scores,
        labels,
        threshold,
        groups=groups,
        num_resamples=num_resamples,
        seed=seed,
    )
    num_units = _count_units(labels, groups)
    intervals = {
        name: _compute_interval(name, values, report[name], confidence)
        or _bound_constant_accuracy(name, report[name], num_units, confidence)
        for name, values in resampled.items()
    }
    delong = compute_delong_interval(
        fake_scores, labels, groups=groups, confidence=confidence
    )
    intervals["auc_bootstrap"] = intervals["auc"]
    intervals["auc"] = (delong.low, delong.high)
    for name, interval in intervals.items():
        report[f"{name}_interval"] = list(interval) if interval else None
    report["notes"] += _explain_missing_intervals(report, intervals)
    report["auc_standard_error"] = (
        delong.standard_error if np.isfinite(delong.standard_error) else None
    )
    report["num_groups"] = None if groups is None else num_units["accuracy"]
    report["intervals"] = {
        "confidence": confidence,
        **dict.fromkeys(sorted(_LOGIT_METRICS), "stratified bootstrap, logit scale"),
        "others": "stratified bootstrap, percentiles",
        "auc": delong.method,
        "unit": "sample" if groups is None else "group",
        "num_resamples": num_resamples,
        "seed": seed,
    }
    return report


def _compute_interval(
    name: str, values: np.ndarray, estimate: float | None, confidence: float
) -> tuple[float, float] | None:
    if estimate is None:
        return None
    if name in _LOGIT_METRICS:
        return compute_logit_interval(values, estimate, confidence)
    return compute_percentile_interval(values, confidence)


def _explain_missing_intervals(
    report: dict[str, Any], intervals: dict[str, tuple[float, float] | None]
) -> list[str]:
    names = [
        name
        for name, interval in intervals.items()
        if interval is None and report.get(name) is not None
    ]
    if not names:
        return []
    return [f"no interval, the samples show no usable spread: {', '.join(names)}"]


def _count_units(labels: ArrayLike, groups: ArrayLike | None) -> dict[str, int]:
    """Independent draws behind each accuracy: samples, or groups of samples."""
    label_array = np.asarray(labels)
    index = index_groups(groups, label_array.size)
    return {
        "accuracy": np.unique(index).size,
        "real_accuracy": np.unique(index[label_array == REAL]).size,
        "fake_accuracy": np.unique(index[label_array == FAKE]).size,
    }


def _bound_constant_accuracy(
    name: str, value: float | None, num_units: dict[str, int], confidence: float
) -> tuple[float, float] | None:
    if name not in num_units or value not in (0.0, 1.0):
        return None
    trials = num_units[name]
    return compute_proportion_interval(int(value) * trials, trials, confidence)
