"""Everything computed from one score set, and comparisons of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from files.layout import FAKE, REAL
from metrics.bootstrap import (
    bootstrap_metrics,
    compute_logit_interval,
    compute_percentile_interval,
    compute_proportion_interval,
    compute_roc_band,
)
from metrics.checks import index_groups
from metrics.delong import (
    AucComparison,
    compute_delong_interval,
    compute_paired_delong_test,
)
from metrics.groups import compute_group_scores
from metrics.measures import (
    ReliabilityBins,
    RocCurve,
    compute_metrics,
    compute_reliability_bins,
    compute_roc_curve,
)
from metrics.score_sets import ScoreSet

# Dense near 0 and 1, where a DET curve looks closely.
_ENDS = np.geomspace(1e-4, 0.1, 100)

_BAND_FPRS = np.unique(np.concatenate([_ENDS, np.linspace(0, 1, 201), 1 - _ENDS]))


@dataclass(frozen=True)
class Analysis:
    """The numbers behind every figure of one score set."""

    scores: ScoreSet
    roc: RocCurve
    band_fprs: np.ndarray  # (F,)
    band_low: np.ndarray  # (F,) lowest TPR
    band_high: np.ndarray  # (F,) highest TPR
    bins: ReliabilityBins
    report: dict[str, Any]  # as saved in the JSON file


def analyse(scores: ScoreSet, *, num_resamples: int = 1000, seed: int = 0) -> Analysis:
    """Compute the report, curves and bands of one score set.

    Args:
        scores: what to analyse; with groups, intervals are by group.
        num_resamples, seed: of the bootstrap.

    Returns:
        The numbers, drawing and saving nothing.

    Raises:
        ValueError: for scores or labels that cannot be measured.
    """
    fake_scores, labels = scores.fake_scores, scores.labels
    report = compute_report(
        fake_scores,
        labels,
        scores.threshold,
        groups=scores.groups,
        num_resamples=num_resamples,
        seed=seed,
    )
    band = compute_roc_band(
        fake_scores,
        labels,
        _BAND_FPRS,
        groups=scores.groups,
        num_resamples=num_resamples,
        seed=seed,
    )
    return Analysis(
        scores=scores,
        roc=compute_roc_curve(fake_scores, labels),
        band_fprs=_BAND_FPRS,
        band_low=band[0],
        band_high=band[1],
        bins=compute_reliability_bins(fake_scores, labels),
        report={
            **_describe(scores, report),
            **report,
            **_analyse_groups(scores, num_resamples, seed),
        },
    )


def _describe(scores: ScoreSet, report: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataset": scores.dataset,
        "model": scores.model,
        "detector": scores.detector or None,
        "positive_class": "fake",
        "threshold_source": scores.threshold_source,
        "auc_of_real_score": 1 - report["auc"],
    }


def _analyse_groups(scores: ScoreSet, num_resamples: int, seed: int) -> dict[str, Any]:
    """Metrics of the groups' mean scores, where every group has one label."""
    if scores.groups is None:
        return {}
    try:
        grouped = compute_group_scores(scores.fake_scores, scores.labels, scores.groups)
    except ValueError as error:  # an answer, not a failure: say why there is none
        return {"group_level": None, "group_level_note": str(error)}
    report = compute_report(
        grouped.fake_scores,
        grouped.labels,
        scores.threshold,
        num_resamples=num_resamples,
        seed=seed,
    )
    return {"group_level": report}


def compare_detectors(
    analyses: Sequence[Analysis],
) -> list[tuple[Analysis, Analysis, AucComparison]]:
    """Test each pair of detectors that judged the same samples.

    Args:
        analyses: any number; pairs on different samples are left out.

    Returns:
        First, second and the paired DeLong test of AUC(first) - AUC(second), by
        group where the first has groups.
    """
    return [
        (
            first,
            second,
            compute_paired_delong_test(
                first.scores.fake_scores,
                second.scores.fake_scores,
                first.scores.labels,
                groups=first.scores.groups,
            ),
        )
        for first, second in combinations(analyses, 2)
        if _judge_same_samples(first.scores, second.scores)
    ]


def _judge_same_samples(first: ScoreSet, second: ScoreSet) -> bool:
    return list(first.paths) == list(second.paths) and np.array_equal(
        first.labels, second.labels
    )


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
