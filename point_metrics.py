"""Every metric of one array of fake scores, as plain Python numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from calibration import compute_eer
from score_table import build_score_table, check_scores_and_labels
from weighted_metrics import MAX_FPRS, compute_weighted_metrics


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


def compute_auc(fake_scores: ArrayLike, labels: ArrayLike) -> float:
    """Compute the probability that a fake scores above a real one, ties a half.

    Args and Raises: as for `compute_roc_curve`.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels)
    weights = np.ones((1, scores.size))
    table = build_score_table(scores, labels)
    return float(compute_weighted_metrics(table, weights)["auc"][0])


def compute_confusion_matrix(
    fake_scores: ArrayLike, labels: ArrayLike, threshold: float = 0.5
) -> np.ndarray:
    """Count decisions: int64 (2, 2), rows true real/fake, columns called real/fake.

    Args and Raises: as for `compute_metrics`.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels)
    called_fake = (scores >= threshold).astype(np.int64)
    return np.bincount(2 * labels + called_fake, minlength=4).reshape(2, 2)


def compute_metrics(
    fake_scores: ArrayLike, labels: ArrayLike, threshold: float = 0.5
) -> dict[str, Any]:
    """Compute every metric, without intervals.

    Args:
        fake_scores: (N,) probabilities of 'fake'.
        labels: (N,) 0 (real) or 1 (fake).
        threshold: a score at or above it is called fake.

    Returns:
        Plain Python values, ready for JSON. `num_samples`, `num_real`, `num_fake`,
        `threshold`, `confusion_matrix` (a list of rows, see
        `compute_confusion_matrix`) and, as fractions, `auc`, `average_precision`,
        `eer` and `eer_threshold`, `tpr_at_fpr_0.01`, `tpr_at_fpr_0.001`, `accuracy`,
        `balanced_accuracy`, `real_accuracy`, `fake_accuracy`, `precision`, `f1`,
        `mcc` in [-1, 1], `log_loss` in nats, `brier`, `ece` (15 equal bins of the
        score), `d_prime` (distance of the classes' mean scores in root mean square
        standard deviations). `notes` says in words why a value is None.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses, or a threshold
            that is not a number.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels, probabilities=True)
    if np.isnan(threshold):
        raise ValueError("the threshold is not a number")
    table = build_score_table(scores, labels, threshold)
    values = compute_weighted_metrics(table, np.ones((1, scores.size)))
    num_fake = int(labels.sum())
    metrics: dict[str, Any] = {
        "num_samples": int(scores.size),
        "num_real": int(scores.size - num_fake),
        "num_fake": num_fake,
        "threshold": float(threshold),
        "confusion_matrix": compute_confusion_matrix(
            scores, labels, threshold
        ).tolist(),
        "eer_threshold": compute_eer(scores, labels).threshold,
    }
    for name, (value,) in values.items():
        metrics[name] = float(value) if np.isfinite(value) else None
    metrics["notes"] = _explain_missing(metrics)
    return metrics


def _explain_missing(metrics: dict[str, Any]) -> list[str]:
    notes = [
        f"tpr_at_fpr_{max_fpr:g}: {metrics['num_real']} real samples are too few, a "
        f"false-positive rate of {max_fpr:.1%} needs at least {round(1 / max_fpr)}"
        for max_fpr in MAX_FPRS
        if metrics[f"tpr_at_fpr_{max_fpr:g}"] is None
    ]
    if metrics["d_prime"] is None:
        notes.append("d_prime: infinite, within each class all scores are equal")
    return notes
