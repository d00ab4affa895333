"""One detector's scores on one dataset, and everything computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from metrics import (
    AucComparison,
    ReliabilityBins,
    RocCurve,
    compute_group_scores,
    compute_paired_delong_test,
    compute_reliability_bins,
    compute_report,
    compute_roc_band,
    compute_roc_curve,
)

# Dense near 0 and 1, where a DET curve looks closely.
_ENDS = np.geomspace(1e-4, 0.1, 100)
_BAND_FPRS = np.unique(np.concatenate([_ENDS, np.linspace(0, 1, 201), 1 - _ENDS]))


@dataclass(frozen=True)
class ScoreSet:
    """What a detector said about each sample, and what is true."""

    dataset: str
    model: str
    fake_scores: np.ndarray  # (N,) P(fake)
    labels: np.ndarray  # (N,) 0 real, 1 fake
    paths: Sequence[str]  # (N,) what names each sample
    groups: Sequence[str] | None = None  # (N,) or None: each sample on its own
    threshold: float = 0.5
    threshold_source: str = "default"
    unit: str = "images"
    detector: str = ""  # told apart by this where model and dataset are equal

    @property
    def name(self) -> str:
        """The start of file names: {dataset}_{model}, and the detector if needed."""
        return "_".join(filter(None, (self.dataset, self.model, self.detector)))

    @property
    def title(self) -> str:
        """What titles and legends call it."""
        detector = f" ({self.detector})" if self.detector else ""
        if not self.model:
            return f"{self.dataset}{detector}"
        return f"{self.model}{detector} on {self.dataset}"


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
