"""Every metric by its name, for one or many weightings of the samples at once.

The point estimate is the weighting "each sample once"; a bootstrap resample is
the weighting "how often each sample was drawn". Both go through the same code,
so an interval always belongs to the number that stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from files.layout import FAKE, REAL
from metrics.checks import check_scores_and_labels

NUM_CALIBRATION_BINS = 15

# Columns of `ScoreTable.linear` before the calibration bins.
NUM_SUMS = 10


@dataclass(frozen=True)
class ScoreTable:
    """Samples sorted from most to least fake, with what each one adds to a sum."""

    order: np.ndarray  # (N,) indices of the samples, descending score
    thresholds: np.ndarray  # (B,) distinct scores, descending
    block_ends: np.ndarray  # (B,) last sorted sample of each run of equal scores
    is_fake: np.ndarray  # (N,) 1.0 for fake, sorted
    linear: np.ndarray  # (N, 10 + bins) summands of the metrics that are sums
    median_gap: float  # median fake minus median real score


def build_score_table(
    scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5
) -> ScoreTable:
    """Sort checked scores and precompute each sample's summands."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores, sorted_labels = scores[order], labels[order]
    block_ends = np.append(np.flatnonzero(np.diff(sorted_scores)), scores.size - 1)
    return ScoreTable(
        order=order,
        thresholds=sorted_scores[block_ends],
        block_ends=block_ends,
        is_fake=(sorted_labels == FAKE).astype(np.float64),
        linear=_build_summands(sorted_scores, sorted_labels, threshold),
        median_gap=float(
            np.median(scores[labels == FAKE]) - np.median(scores[labels == REAL])
        ),
    )


def _build_summands(
    scores: np.ndarray, labels: np.ndarray, threshold: float
) -> np.ndarray:
    fake = (labels == FAKE).astype(np.float64)
    real = 1.0 - fake
    called_fake = (scores >= threshold).astype(np.float64)
    # As scikit-learn's log_loss: a certain and wrong score costs -log(2.2e-16) = 36.
    eps = np.finfo(np.float64).eps
    clipped = np.clip(scores, eps, 1 - eps)
    losses = -np.log(np.where(labels == FAKE, clipped, 1 - clipped))
    # Deviations from a score of the class itself: its variance cannot cancel badly.
    fake_offsets = fake * (scores - np.median(scores[labels == FAKE]))
    real_offsets = real * (scores - np.median(scores[labels == REAL]))
    fake_columns = [fake, fake * called_fake, fake_offsets, fake_offsets**2]
    real_columns = [real, real * called_fake, real_offsets, real_offsets**2]
    sums = np.column_stack([*fake_columns, *real_columns, losses, (scores - fake) ** 2])
    in_bin = assign_bins(scores)[:, None] == np.arange(NUM_CALIBRATION_BINS)
    return np.hstack([sums, in_bin * (scores - fake)[:, None]])


def assign_bins(scores: np.ndarray, num_bins: int = NUM_CALIBRATION_BINS) -> np.ndarray:
    """Number the equal-width bin of each score: [0, 1/n), ..., [1 - 1/n, 1]."""
    # Divided, not spaced: 3 / 15 is the same number as the literal 0.2.
    inner_edges = np.arange(1, num_bins) / num_bins
    return np.searchsorted(inner_edges, scores, side="right")


MAX_FPRS = (0.01, 0.001)


def cumulate_positives(
    table: ScoreTable, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count what is called fake at each distinct score.

    Args:
        table: N samples with B distinct scores.
        weights: (R, N) whole numbers, in the table's order.

    Returns:
        False and true positives, each (R, B).
    """
    true_positives = np.cumsum(weights * table.is_fake, axis=1)
    false_positives = np.cumsum(weights, axis=1) - true_positives
    if table.block_ends.size == weights.shape[1]:
        return false_positives, true_positives
    return false_positives[:, table.block_ends], true_positives[:, table.block_ends]


def compute_weighted_metrics(
    table: ScoreTable, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute every metric for every row of weights.

    Args:
        table: N samples.
        weights: (R, N) whole numbers, in the table's order.

    Returns:
        Metric name -> (R,) values; NaN where n is too small to say.
    """
    sums = weights @ table.linear  # (R, 10 + bins)
    false_positives, true_positives = cumulate_positives(table, weights)
    return {
        **_compute_rank_metrics(false_positives, true_positives),
        **_compute_decision_metrics(*sums[:, [0, 4, 1, 5]].T),
        **_compute_probability_metrics(sums),
        "d_prime": _compute_d_prime(sums, table.median_gap),
    }


def _compute_rank_metrics(fp: np.ndarray, tp: np.ndarray) -> dict[str, np.ndarray]:
    num_real, num_fake = fp[:, -1], tp[:, -1]
    fp_steps, tp_steps = (np.diff(a, axis=1, prepend=0) for a in (fp, tp))
    concordant = (fp_steps * (tp - tp_steps / 2)).sum(axis=1)
    called_fake = np.maximum(fp + tp, 1)  # a run that was never drawn has tp_steps 0
    precision_sum = (tp_steps * tp / called_fake).sum(axis=1)
    low_fpr = {
        f"tpr_at_fpr_{max_fpr:g}": _compute_tpr_at_fpr(fp, tp, max_fpr)
        for max_fpr in MAX_FPRS
    }
    return {
        "auc": concordant / (num_real * num_fake),
        "average_precision": precision_sum / num_fake,
        "eer": _compute_eer(fp, tp),
        **low_fpr,
    }


def find_eer_crossing(fp: np.ndarray, tp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find where FPR = FNR: the ROC point at or after it, and how far along to it.

    Args:
        fp, tp: (R, B) cumulative false and true positives.

    Returns:
        Index (R,) of the first point with FPR >= FNR, and the fraction (R,) in
        (0, 1] of the way from the point before it (the origin, for index 0).
    """
    # Multiplied out, FPR + TPR >= 1 compares whole numbers: no rounding.
    num_real, num_fake = fp[:, -1:], tp[:, -1:]
    level = fp * num_fake + tp * num_real
    goal = (num_real * num_fake)[:, 0]
    index = np.argmax(level >= goal[:, None], axis=1)
    after = np.take_along_axis(level, index[:, None], axis=1)[:, 0]
    before = take_before(level, index)
    return index, (goal - before) / (after - before)


def take_before(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return each row's value before `index`, 0 (the ROC's origin) before the first."""
    previous = np.take_along_axis(rows, np.maximum(index - 1, 0)[:, None], axis=1)[:, 0]
    return np.where(index > 0, previous, 0.0)


def _compute_eer(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    index, fraction = find_eer_crossing(fp, tp)
    before = take_before(fp, index)
    after = np.take_along_axis(fp, index[:, None], axis=1)[:, 0]
    return (before + fraction * (after - before)) / fp[:, -1]


def _compute_tpr_at_fpr(fp: np.ndarray, tp: np.ndarray, max_fpr: float) -> np.ndarray:
    allowed = max_fpr * fp[:, -1] + 1e-9  # 0.29 * 100 is 28.999999999999996
    num_points = (fp <= allowed[:, None]).sum(axis=1)
    rates = take_before(tp, num_points) / tp[:, -1]
    return np.where(allowed >= 1, rates, np.nan)


def _compute_decision_metrics(
    num_fake: np.ndarray, num_real: np.ndarray, tp: np.ndarray, fp: np.ndarray
) -> dict[str, np.ndarray]:
    fn, tn = num_fake - tp, num_real - fp
    real_accuracy, fake_accuracy = tn / num_real, tp / num_fake
    mcc_scale = np.sqrt((tp + fp) * num_fake * num_real * (tn + fn))
    return {
        "accuracy": (tp + tn) / (num_fake + num_real),
        "balanced_accuracy": (real_accuracy + fake_accuracy) / 2,
        "real_accuracy": real_accuracy,
        "fake_accuracy": fake_accuracy,
        "precision": _divide_or_zero(tp, tp + fp),
        "f1": _divide_or_zero(2 * tp, 2 * tp + fp + fn),
        "mcc": _divide_or_zero(tp * tn - fp * fn, mcc_scale),
    }


def _compute_probability_metrics(sums: np.ndarray) -> dict[str, np.ndarray]:
    num_samples = sums[:, 0] + sums[:, 4]
    return {
        "log_loss": sums[:, 8] / num_samples,
        "brier": sums[:, 9] / num_samples,
        "ece": np.abs(sums[:, NUM_SUMS:]).sum(axis=1) / num_samples,
    }


def _compute_d_prime(sums: np.ndarray, median_gap: float) -> np.ndarray:
    fake_mean, fake_square = (sums[:, 2:4] / sums[:, :1]).T
    real_mean, real_square = (sums[:, 6:8] / sums[:, 4:5]).T
    gap = median_gap + fake_mean - real_mean
    variance = (fake_square - fake_mean**2 + real_square - real_mean**2) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        d_prime = gap / np.sqrt(np.maximum(variance, 0.0))
    return np.where(gap == 0, 0.0, d_prime)


def _divide_or_zero(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; 0 where nothing can be counted, as scikit-learn does."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1e-300), 0.0)


class ReliabilityBins(NamedTuple):
    """Non-empty bins of the scores, lowest first, each field of shape (bins,)."""

    mean_scores: np.ndarray
    fake_fractions: np.ndarray
    counts: np.ndarray


class EqualErrorRate(NamedTuple):
    """The rate at which FPR = FNR, and the threshold that gives it."""

    eer: float
    threshold: float


def compute_reliability_bins(
    fake_scores: ArrayLike, labels: ArrayLike, num_bins: int = NUM_CALIBRATION_BINS
) -> ReliabilityBins:
    """Bin P(fake) and compare each bin's mean score with its share of fakes.

    Args:
        fake_scores: (N,) probabilities of 'fake'.
        labels: (N,) 0 (real) or 1 (fake).
        num_bins: equal-width bins over [0, 1], closed below; the last holds 1 too.

    Returns:
        The bins that hold samples.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels, probabilities=True)
    bins = assign_bins(scores, num_bins)
    counts = np.bincount(bins, minlength=num_bins)
    filled = counts > 0
    score_sums = np.bincount(bins, scores, minlength=num_bins)[filled]
    fake_counts = np.bincount(bins, labels == FAKE, minlength=num_bins)[filled]
    counts = counts[filled]
    return ReliabilityBins(score_sums / counts, fake_counts / counts, counts)


def compute_ece(
    fake_scores: ArrayLike, labels: ArrayLike, num_bins: int = NUM_CALIBRATION_BINS
) -> float:
    """Compute the expected calibration error of P(fake), in [0, 1].

    Args and Raises: as for `compute_reliability_bins`.

    Returns:
        The mean over samples of |mean score - share of fakes| of their bin.

    Source: Guo et al. 2017, eq. 3. Deviation: bins of P(fake), the score itself,
    not of the confidence in whichever class was predicted.
    """
    bins = compute_reliability_bins(fake_scores, labels, num_bins)
    gaps = np.abs(bins.mean_scores - bins.fake_fractions)
    return float((gaps * bins.counts).sum() / bins.counts.sum())


def compute_eer(fake_scores: ArrayLike, labels: ArrayLike) -> EqualErrorRate:
    """Compute the equal error rate on the straight lines between ROC points.

    Args:
        fake_scores: (N,) finite numbers, higher is more fake.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        The EER and its threshold, interpolated like the rate. Where the crossing is
        itself a ROC point, every threshold down to the next score gives the same
        decisions, and the middle is returned: 0.5 for real 0.1 and fake 0.9.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels)
    table = build_score_table(scores, labels)
    fp, tp = cumulate_positives(table, np.ones((1, scores.size)))
    (index,), (fraction,) = find_eer_crossing(fp, tp)
    before = fp[0, index - 1] if index > 0 else 0.0
    eer = (before + fraction * (fp[0, index] - before)) / fp[0, -1]
    if fraction == 1.0:
        return EqualErrorRate(float(eer), _get_middle(table.thresholds, index))
    upper, lower = table.thresholds[max(index - 1, 0)], table.thresholds[index]
    return EqualErrorRate(float(eer), float(upper + fraction * (lower - upper)))


def _get_middle(thresholds: np.ndarray, index: int) -> float:
    """The threshold half-way from this score to the next lower one."""
    lower = thresholds[min(index + 1, thresholds.size - 1)]
    return float((thresholds[index] + lower) / 2)


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
