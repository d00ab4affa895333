"""The ROC curve's points, and the band that resampling gives it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from metrics.bootstrap import resample
from metrics.checks import check_scores_and_labels
from metrics.measures import cumulate_positives, sort_samples


class RocCurve(NamedTuple):
    """Points of a ROC curve from (0, 0) to (1, 1), each field (T,)."""

    false_positive_rates: np.ndarray
    true_positive_rates: np.ndarray
    thresholds: np.ndarray


def compute_roc_curve(fake_scores: ArrayLike, labels: ArrayLike) -> RocCurve:
    """Compute every point of the ROC curve of P(fake), positive class fake.

    Args:
        fake_scores: (N,) finite numbers, higher is more fake.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        The points, a distinct score each after the origin at threshold infinity.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels)
    return RocCurve(*roc_curve(labels, scores, drop_intermediate=False))


def compute_roc_band(
    fake_scores: ArrayLike,
    labels: ArrayLike,
    fprs: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the bootstrap's pointwise band of the ROC curve.

    Args:
        fake_scores: (N,) finite numbers, higher is more fake.
        labels: (N,) 0 (real) or 1 (fake).
        fprs: (F,) false-positive rates in [0, 1] to give the band at.
        groups, num_resamples, seed: as in `bootstrap_metrics`.
        confidence: coverage of each point of the band, not of the whole curve.

    Returns:
        The lowest and highest TPR, each (F,).

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels)
    samples = sort_samples(scores, labels)
    rows = [
        _read_tprs(fp_row, tp_row, np.asarray(fprs))
        for weights in resample(samples, groups, num_resamples, seed)
        for fp_row, tp_row in zip(*cumulate_positives(samples, weights), strict=True)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.stack(rows), [tail, 1 - tail], axis=0)
    return low, high


def _read_tprs(fp: np.ndarray, tp: np.ndarray, fprs: np.ndarray) -> np.ndarray:
    num_points = np.searchsorted(fp, fprs * fp[-1] + 1e-9, side="right")
    return np.where(num_points > 0, tp[np.maximum(num_points - 1, 0)], 0.0) / tp[-1]
