"""Every metric of one array of fake scores, for one or many weightings at once.

The point estimate is the weighting "each sample once"; a bootstrap resample is
the weighting "how often each sample was drawn". Both go through the same code,
so an interval always belongs to the number that stands beside it.
"""

from __future__ import annotations

import numpy as np

from score_table import NUM_SUMS, ScoreTable

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
