"""Every metric by its name, for one or many weightings of the samples at once.

The point estimate is the weighting "each sample once"; a bootstrap resample is
the weighting "how often each sample was drawn". Both go through the same formulas,
so an interval always belongs to the number that stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from files.layout import FAKE
from metrics.checks import check_scores_and_labels

MAX_FPRS = (0.01, 0.001)
NUM_CALIBRATION_BINS = 15


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
        `threshold`, `confusion_matrix` (counts; rows true real and fake, columns
        called real and fake) and, as fractions, `auc`, `average_precision`,
        `eer` and `eer_threshold`, `tpr_at_fpr_0.01`, `tpr_at_fpr_0.001`, `accuracy`,
        `balanced_accuracy`, `real_accuracy` (specificity), `fake_accuracy` (recall,
        sensitivity), `precision`, `f1`, `mcc` in [-1, 1], `log_loss` in nats, `brier`,
        `ece` (15 equal bins of the score), `d_prime` (distance of the classes' mean
        scores in root mean square standard deviations). `notes` says in words why a
        value is None.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses, or a threshold
            that is not a number.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels, probabilities=True)
    if np.isnan(threshold):
        raise ValueError("the threshold is not a number")
    samples = sort_samples(scores, labels)
    decisions = count_decisions(samples, samples.once, threshold)
    values = compute_weighted_metrics(samples, samples.once, threshold)
    num_fake = int(labels.sum())
    metrics: dict[str, Any] = {
        "num_samples": int(scores.size),
        "num_real": int(scores.size - num_fake),
        "num_fake": num_fake,
        "threshold": float(threshold),
        "confusion_matrix": np.reshape(decisions, (2, 2)).astype(int).tolist(),
        "eer_threshold": find_eer_threshold(samples),
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


@dataclass(frozen=True)
class SortedSamples:
    """Scores from the most to the least fake, and what is true of each."""

    order: np.ndarray  # (N,) which sample stands at each place
    scores: np.ndarray  # (N,) descending
    is_fake: np.ndarray  # bool (N,)
    block_ends: np.ndarray  # (B,) last place of each run of equal scores

    @property
    def once(self) -> np.ndarray:
        """The weighting that counts each sample once, (1, N)."""
        return np.ones((1, self.scores.size))

    @property
    def thresholds(self) -> np.ndarray:
        """The distinct scores, (B,), descending."""
        return self.scores[self.block_ends]

    def get_middle(self, index: int) -> float:
        """Return the threshold half-way from distinct score `index` to the next."""
        lower = self.thresholds[min(index + 1, self.thresholds.size - 1)]
        return float((self.thresholds[index] + lower) / 2)


def sort_samples(scores: np.ndarray, labels: np.ndarray) -> SortedSamples:
    """Sort checked scores."""
    order = np.argsort(-scores, kind="stable")
    return SortedSamples(
        order=order,
        scores=scores[order],
        is_fake=labels[order] == FAKE,
        block_ends=np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1),
    )


def compute_weighted_metrics(
    samples: SortedSamples, weights: np.ndarray, threshold: float
) -> dict[str, np.ndarray]:
    """Compute every metric for every row of weights.

    Args:
        samples: N samples.
        weights: (R, N) whole numbers, in the order of the sorted samples.
        threshold: a score at or above it is called fake.

    Returns:
        Metric name -> (R,) values; NaN where n is too small to say.
    """
    fp, tp = cumulate_positives(samples, weights)
    return {
        "auc": _compute_auc(fp, tp),
        "average_precision": _compute_average_precision(fp, tp),
        "eer": _compute_eer(fp, tp),
        **{
            f"tpr_at_fpr_{rate:g}": _compute_tpr_at_fpr(fp, tp, rate)
            for rate in MAX_FPRS
        },
        **_compute_decision_metrics(*count_decisions(samples, weights, threshold)),
        **_compute_probability_metrics(samples, weights),
        "d_prime": _compute_d_prime(samples, weights),
    }


def count_decisions(
    samples: SortedSamples, weights: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return true negatives, false positives, false negatives and true positives.

    Args: as for `compute_weighted_metrics`. Each count is (R,), fake is positive.
    """
    is_fake, called_fake = samples.is_fake, samples.scores >= threshold
    tn = weights @ (~is_fake & ~called_fake)
    fp = weights @ (~is_fake & called_fake)
    fn = weights @ (is_fake & ~called_fake)
    tp = weights @ (is_fake & called_fake)
    return tn, fp, fn, tp


def _compute_decision_metrics(
    tn: np.ndarray, fp: np.ndarray, fn: np.ndarray, tp: np.ndarray
) -> dict[str, np.ndarray]:
    real_accuracy, fake_accuracy = tn / (tn + fp), tp / (tp + fn)
    mcc_scale = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return {
        "accuracy": (tp + tn) / (tp + tn + fp + fn),
        "balanced_accuracy": (real_accuracy + fake_accuracy) / 2,
        "real_accuracy": real_accuracy,
        "fake_accuracy": fake_accuracy,
        "precision": _divide_or_zero(tp, tp + fp),
        "f1": _divide_or_zero(2 * tp, 2 * tp + fp + fn),
        "mcc": _divide_or_zero(tp * tn - fp * fn, mcc_scale),
    }


def _divide_or_zero(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; 0 where nothing can be counted, as scikit-learn does."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1e-300), 0.0)


def _compute_probability_metrics(
    samples: SortedSamples, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Log loss, Brier score and expected calibration error.

    Source: Guo et al. 2017, eq. 3, for the calibration error. Deviation: bins of
    P(fake), the score itself, not of the confidence in whichever class was predicted.
    """
    scores, is_fake = samples.scores, samples.is_fake
    # As scikit-learn's log_loss: a certain and wrong score costs -log(2.2e-16) = 36.
    eps = np.finfo(np.float64).eps
    clipped = np.clip(scores, eps, 1 - eps)
    losses = -np.log(np.where(is_fake, clipped, 1 - clipped))
    errors = scores - is_fake
    in_bin = assign_bins(scores)[:, None] == np.arange(NUM_CALIBRATION_BINS)
    bin_errors = weights @ (errors[:, None] * in_bin)  # (R, bins)
    num_samples = weights.sum(axis=1)
    return {
        "log_loss": weights @ losses / num_samples,
        "brier": weights @ errors**2 / num_samples,
        "ece": np.abs(bin_errors).sum(axis=1) / num_samples,
    }


def assign_bins(scores: np.ndarray) -> np.ndarray:
    """Number the equal-width bin of each score: [0, 1/n), ..., [1 - 1/n, 1]."""
    # Divided, not spaced: 3 / 15 is the same number as the literal 0.2.
    inner_edges = np.arange(1, NUM_CALIBRATION_BINS) / NUM_CALIBRATION_BINS
    return np.searchsorted(inner_edges, scores, side="right")


def _compute_d_prime(samples: SortedSamples, weights: np.ndarray) -> np.ndarray:
    is_fake = samples.is_fake
    fake_median, fake_offset, fake_variance = _compute_moments(
        samples, weights, is_fake
    )
    real_median, real_offset, real_variance = _compute_moments(
        samples, weights, ~is_fake
    )
    gap = (fake_median - real_median) + fake_offset - real_offset
    variance = (fake_variance + real_variance) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        d_prime = gap / np.sqrt(np.maximum(variance, 0.0))
    return np.where(gap == 0, 0.0, d_prime)


def _compute_moments(
    samples: SortedSamples, weights: np.ndarray, chosen: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """A class's median score, what its mean (R,) lies above it, its variance (R,)."""
    # Taken from a score of the class itself, mean and variance cannot cancel badly.
    median = float(np.median(samples.scores[chosen]))
    offsets = np.where(chosen, samples.scores - median, 0.0)
    count = weights @ chosen
    mean = weights @ offsets / count
    return median, mean, weights @ offsets**2 / count - mean**2


def cumulate_positives(
    samples: SortedSamples, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count what is called fake at each distinct score.

    Args:
        samples: N samples with B distinct scores.
        weights: (R, N) whole numbers, in the order of the sorted samples.

    Returns:
        False and true positives, each (R, B).
    """
    tp = np.cumsum(weights * samples.is_fake, axis=1)
    fp = np.cumsum(weights, axis=1) - tp
    if samples.block_ends.size == weights.shape[1]:
        return fp, tp
    return fp[:, samples.block_ends], tp[:, samples.block_ends]


def _compute_auc(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """The share of pairs in which the fake scores above the real one, ties a half."""
    fp_steps, tp_steps = np.diff(fp, prepend=0), np.diff(tp, prepend=0)
    concordant = (fp_steps * (tp - tp_steps / 2)).sum(axis=1)
    return concordant / (fp[:, -1] * tp[:, -1])


def _compute_average_precision(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    called_fake = np.maximum(fp + tp, 1)  # where none is, tp and its step are 0
    steps = np.diff(tp, prepend=0)
    return (steps * tp / called_fake).sum(axis=1) / tp[:, -1]


def _compute_tpr_at_fpr(fp: np.ndarray, tp: np.ndarray, max_fpr: float) -> np.ndarray:
    allowed = max_fpr * fp[:, -1] + 1e-9  # 0.29 * 100 is 28.999999999999996
    num_points = (fp <= allowed[:, None]).sum(axis=1)
    rates = _take_before(tp, num_points) / tp[:, -1]
    return np.where(allowed >= 1, rates, np.nan)


def _compute_eer(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """The equal error rate on the straight lines between ROC points."""
    index, fraction = _find_eer_crossing(fp, tp)
    before, after = _take_before(fp, index), _take_before(fp, index + 1)
    return (before + fraction * (after - before)) / fp[:, -1]


def _find_eer_crossing(fp: np.ndarray, tp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find where FPR = FNR: the ROC point at or after it, and how far along to it.

    Returns:
        Index (R,) of the first point with FPR >= FNR, and the fraction (R,) in
        (0, 1] of the way from the point before it (the origin, for index 0).
    """
    # Multiplied out, FPR + TPR >= 1 compares whole numbers: no rounding.
    num_real, num_fake = fp[:, -1:], tp[:, -1:]
    level = fp * num_fake + tp * num_real
    goal = num_real * num_fake
    index = np.argmax(level >= goal, axis=1)
    before, after = _take_before(level, index), _take_before(level, index + 1)
    return index, (goal[:, 0] - before) / (after - before)


def _take_before(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return each row's value before `index`, 0 (the ROC's origin) before the first."""
    previous = np.take_along_axis(rows, np.maximum(index - 1, 0)[:, None], axis=1)[:, 0]
    return np.where(index > 0, previous, 0.0)


def find_eer_threshold(samples: SortedSamples) -> float:
    """Return the threshold at the equal error rate, interpolated like the rate.

    Where the crossing is itself a ROC point, every threshold down to the next score
    gives the same decisions, and the middle is returned: 0.5 for real 0.1, fake 0.9.
    """
    crossing = _find_eer_crossing(*cumulate_positives(samples, samples.once))
    (index,), (fraction,) = crossing
    if fraction == 1.0:
        return samples.get_middle(index)
    upper, lower = samples.thresholds[max(index - 1, 0)], samples.thresholds[index]
    return float(upper + fraction * (lower - upper))


class ReliabilityBins(NamedTuple):
    """Non-empty bins of the scores, lowest first, each field of shape (bins,)."""

    mean_scores: np.ndarray
    fake_fractions: np.ndarray
    counts: np.ndarray


def compute_reliability_bins(
    fake_scores: ArrayLike, labels: ArrayLike
) -> ReliabilityBins:
    """Bin P(fake) and compare each bin's mean score with its share of fakes.

    Args:
        fake_scores: (N,) probabilities of 'fake'.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        The bins that hold samples, of 15 of equal width over [0, 1], closed below;
        the last holds 1 too.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels, probabilities=True)
    bins = assign_bins(scores)
    counts = np.bincount(bins)
    filled = counts > 0
    counts = counts[filled]
    score_sums = np.bincount(bins, scores)[filled]
    fake_counts = np.bincount(bins, labels == FAKE)[filled]
    return ReliabilityBins(score_sums / counts, fake_counts / counts, counts)
