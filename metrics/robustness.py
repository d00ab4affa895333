"""What is left of a detector when its images are disturbed."""

from typing import Any

import numpy as np
from scipy import stats

from metrics.cells import check_samples
from metrics.delong import compute_aucs_and_covariance
from metrics.report import compute_report

MEASURES = ("auc", "eer", "accuracy")


def measure_condition(
    scores: np.ndarray,
    fake_scores: np.ndarray,
    labels: np.ndarray,
    threshold: float,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute AUC, EER and accuracy under one condition, each with its 95 % interval.

    Args:
        scores: (N,), what samples are ranked by, higher is more fake.
        fake_scores: (N,) P(fake).
        labels: int (N,).
        threshold: of P(fake).
        seed: of the bootstrap.

    Returns:
        For each of `MEASURES` its value and, as NAME_interval, its interval or None.

    Raises:
        ValueError: for what `check_samples` refuses.
    """
    samples = check_samples(scores, labels, threshold, fake_scores=fake_scores)
    report = compute_report(samples, seed=seed)
    names = [n for name in MEASURES for n in (name, f"{name}_interval")]
    return {name: report[name] for name in names}


def compute_auc_kept(
    clean_scores: np.ndarray, disturbed_scores: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """Compute which share of the AUC above chance is kept, in the mean of conditions.

    Args:
        clean_scores: (N,), higher is more fake.
        disturbed_scores: (C, N), the same samples' under C conditions.
        labels: int (N,).

    Returns:
        `auc_kept`, the mean AUC - 1/2 over that of the clean samples, and its 95 %
        `auc_kept_interval` [low, high]; both None where the clean AUC is not surely
        above 1/2, the interval alone where a class has one sample.

    Source: the AUCs' covariance is that of DeLong et al. 1988, between conditions as
        between detectors; the delta method takes it to the ratio.
    """
    rows = np.vstack([clean_scores, disturbed_scores])
    aucs, covariance = compute_aucs_and_covariance(rows, labels, np.arange(labels.size))
    gain = aucs[0] - 0.5
    normal = stats.norm.ppf(0.975)
    if not gain > normal * np.sqrt(max(np.nan_to_num(covariance[0, 0]), 0)):
        return {"auc_kept": None, "auc_kept_interval": None}
    kept = float((aucs[1:].mean() - 0.5) / gain)
    slopes = np.full(len(rows), 1 / (gain * len(disturbed_scores)))
    slopes[0] = -kept / gain
    margin = float(normal * np.sqrt(max(slopes @ covariance @ slopes, 0)))
    interval = None if np.isnan(covariance).any() else [kept - margin, kept + margin]
    return {"auc_kept": kept, "auc_kept_interval": interval}
