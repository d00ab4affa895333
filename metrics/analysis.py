"""Everything computed from one score set, and comparisons of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from files.layout import FAKE, REAL
from metrics.bootstrap import (
    bootstrap_metrics,
    compute_logit_interval,
    compute_percentile_interval,
    compute_proportion_interval,
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
    compute_metrics,
    compute_reliability_bins,
)
from metrics.roc import RocCurve, compute_roc_band, compute_roc_curve
from metrics.score_sets import ScoreSet

# Dense near 0 and 1, where a DET curve looks closely.
_ENDS = np.geomspace(1e-4, 0.1, 100)
_BAND_FPRS = np.unique(np.concatenate([_ENDS, np.linspace(0, 1, 201), 1 - _ENDS]))

# Where intervals on the logit scale covered better than percentiles did.
_LOGIT_METRICS = frozenset(
    {"auc", "average_precision", "precision", "f1", "accuracy"}
    | {"balanced_accuracy", "real_accuracy", "fake_accuracy"}
)


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

    @property
    def sizes(self) -> str:
        """What was judged, such as '60 real and 40 fake images'."""
        num_real, num_fake = self.report["num_real"], self.report["num_fake"]
        return f"{num_real} real and {num_fake} fake {self.scores.unit}"


class Comparison(NamedTuple):
    """Two detectors that judged the same samples, and the test of AUC(a) - AUC(b)."""

    a: Analysis
    b: Analysis
    test: AucComparison


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
    samples = scores.fake_scores, scores.labels
    options = {"num_resamples": num_resamples, "seed": seed}
    report = compute_report(*samples, scores.threshold, groups=scores.groups, **options)
    band = compute_roc_band(*samples, _BAND_FPRS, groups=scores.groups, **options)
    return Analysis(
        scores=scores,
        roc=compute_roc_curve(*samples),
        band_fprs=_BAND_FPRS,
        band_low=band[0],
        band_high=band[1],
        bins=compute_reliability_bins(*samples),
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


def compare_detectors(analyses: Sequence[Analysis]) -> list[Comparison]:
    """Test each pair of detectors that judged the same samples.

    Args:
        analyses: any number; pairs on different samples are left out.

    Returns:
        The pairs, each with its paired DeLong test, by group where the first of the
        two has groups.
    """
    return [
        Comparison(
            a,
            b,
            compute_paired_delong_test(
                a.scores.fake_scores,
                b.scores.fake_scores,
                a.scores.labels,
                groups=a.scores.groups,
            ),
        )
        for a, b in combinations(analyses, 2)
        if _judge_same_samples(a.scores, b.scores)
    ]


def _judge_same_samples(a: ScoreSet, b: ScoreSet) -> bool:
    return list(a.paths) == list(b.paths) and np.array_equal(a.labels, b.labels)


def compute_report(
    fake_scores: ArrayLike,
    labels: ArrayLike,
    threshold: float = 0.5,
    *,
    groups: ArrayLike | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute every metric with its 95 % confidence interval.

    Args:
        fake_scores, labels, threshold: as for `compute_metrics`.
        groups: (N,) names; samples of one group, such as the frames of a video, are
            drawn together and so count once in every interval.
        num_resamples, seed: of the bootstrap.

    Returns:
        The values of `compute_metrics`, and beside each NAME a NAME_interval, [low,
        high] or None: for `auc` DeLong's, for all others a bootstrap's: percentiles,
        or on the logit scale for accuracies and averages near 1. An accuracy of 0 or 1
        has its exact (Clopper-Pearson) interval over samples or groups; other metrics
        whose resamples show no spread have None. `intervals` says how they were made.

    Raises:
        ValueError: as for `compute_metrics`, or groups of another length.
    """
    report = compute_metrics(fake_scores, labels, threshold)
    delong = compute_delong_interval(fake_scores, labels, groups=groups)
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
        name: _compute_interval(name, values, report[name], num_units)
        for name, values in resampled.items()
    }
    intervals["auc"] = (delong.low, delong.high)
    report["notes"] += _explain_missing_intervals(report, intervals)
    for name, interval in intervals.items():
        report[f"{name}_interval"] = list(interval) if interval else None
    report["auc_standard_error"] = (
        delong.standard_error if np.isfinite(delong.standard_error) else None
    )
    report["num_groups"] = None if groups is None else num_units["accuracy"]
    report["intervals"] = {
        "confidence": 0.95,
        **dict.fromkeys(sorted(_LOGIT_METRICS), "stratified bootstrap, logit scale"),
        "others": "stratified bootstrap, percentiles",
        "auc": delong.method,
        "unit": "sample" if groups is None else "group",
        "num_resamples": num_resamples,
        "seed": seed,
    }
    return report


def _count_units(labels: ArrayLike, groups: ArrayLike | None) -> dict[str, int]:
    """Independent draws behind each accuracy: samples, or groups of samples."""
    label_array = np.asarray(labels)
    index = index_groups(groups, label_array.size)
    return {
        "accuracy": np.unique(index).size,
        "real_accuracy": np.unique(index[label_array == REAL]).size,
        "fake_accuracy": np.unique(index[label_array == FAKE]).size,
    }


def _compute_interval(
    name: str, values: np.ndarray, estimate: float | None, num_units: dict[str, int]
) -> tuple[float, float] | None:
    if estimate is None:
        return None
    if name in num_units and estimate in (0.0, 1.0):  # and so is every resample
        trials = num_units[name]
        return compute_proportion_interval(int(estimate) * trials, trials)
    if name in _LOGIT_METRICS:
        return compute_logit_interval(values, estimate)
    return compute_percentile_interval(values)


def _explain_missing_intervals(
    report: dict[str, Any], intervals: dict[str, tuple[float, float] | None]
) -> list[str]:
    names = [
        name
        for name, interval in intervals.items()
        if interval is None and report[name] is not None
    ]
    if not names:
        return []
    return [f"no interval, the samples show no usable spread: {', '.join(names)}"]
