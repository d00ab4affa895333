"""Every metric by its name, for one or many weightings of the samples at once.

The point estimate is the weighting "each sample once"; a bootstrap resample is
the weighting "how often each sample was drawn". Both go through the same formulas,
so an interval always belongs to the number that stands beside it.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from files.names import FAKE, REAL
from metrics.calibration import compute_ece
from metrics.cells import (
    Cells,
    Samples,
    SortedSamples,
    build_cells,
    check_samples,
    sort_samples,
)
from metrics.likelihood_ratios import compute_min_cllr

MAX_FPRS = (0.01, 0.001)


def compute_metrics(
    fake_scores: ArrayLike, labels: ArrayLike, threshold: float = 0.5
) -> dict[str, Any]:
    """Compute every metric of scores that are probabilities, without intervals.

    Args:
        fake_scores: (N,) probabilities of 'fake'.
        labels: (N,) 0 (real) or 1 (fake).
        threshold: a score at or above it is called fake.

    Returns:
        As `measure`.

    Raises:
        ValueError: for input that `check_samples` refuses.
    """
    samples = check_samples(fake_scores, labels, threshold, fake_scores=fake_scores)
    return measure(samples)


def measure(samples: Samples) -> dict[str, Any]:
    """Compute every metric, without intervals.

    Args:
        samples: what was judged.

    Returns:
        Plain Python values, ready for JSON. `num_samples`, `num_real`, `num_fake`,
        `threshold`, `confusion_matrix` (counts; rows true real and fake, columns
        called real and fake) and, as fractions, `auc`, `average_precision`,
        `eer` and `eer_threshold` (on the scale of `threshold`), `tpr_at_fpr_0.01`,
        `tpr_at_fpr_0.001`, `accuracy`, `balanced_accuracy`, `real_accuracy`
        (specificity), `fake_accuracy` (recall, sensitivity), `precision`, `f1`, `mcc`
        in [-1, 1], `d_prime` (distance of the classes' mean scores in root mean square
        standard deviations) and `min_cllr` in bits. Of P(fake): `log_loss` in nats,
        `brier`, `ece` (15 equal bins of the score); of log-likelihood ratios: `cllr`
        in bits; None without these. `notes` says in words why another value is None.
    """
    cells = build_cells(samples)
    values = compute_weighted_metrics(cells, cells.counts[:, None].astype(np.float64))
    num_real, num_fake = (int(count) for count in cells.counts.sum(axis=1))
    confusion = np.zeros((2, 2), dtype=int)
    np.add.at(confusion, (samples.labels, samples.called_fake.astype(int)), 1)
    judged = samples.in_order
    if samples.judged is not samples.scores:
        judged = sort_samples(samples.judged, samples.labels)
    metrics: dict[str, Any] = {
        "num_samples": num_real + num_fake,
        "num_real": num_real,
        "num_fake": num_fake,
        "threshold": samples.threshold,
        "confusion_matrix": confusion.tolist(),
        "eer_threshold": find_eer_threshold(judged),
        "log_loss": None,
        "brier": None,
        "ece": None,
        "cllr": None,
    }
    for name, (value,) in values.items():
        metrics[name] = float(value) if np.isfinite(value) else None
    if samples.fake_scores is not None:
        metrics["ece"] = compute_ece(samples.fake_scores, samples.labels)
    for rate in MAX_FPRS:
        tpr = compute_tpr_at_fpr(samples.in_order, rate)
        metrics[f"tpr_at_fpr_{rate:g}"] = tpr
    metrics["notes"] = _explain_missing(metrics)
    return metrics


def _explain_missing(metrics: dict[str, Any]) -> list[str]:
    notes = [
        explain_too_few(rate, f"{metrics['num_real']} real samples")
        for rate in MAX_FPRS
        if metrics[f"tpr_at_fpr_{rate:g}"] is None
    ]
    if metrics["d_prime"] is None:
        notes.append("d' is infinite: within each class all scores are equal")
    return notes


def explain_too_few(max_fpr: float, given: str) -> str:
    """Say why there is no TPR at a false-positive rate."""
    return (
        f"no TPR at FPR {100 * max_fpr:g} %: {given} are too few, at least "
        f"{round(1 / max_fpr)} are needed"
    )


def compute_weighted_metrics(
    cells: Cells, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute the metrics that have bootstrap intervals, for every row of weights.

    Args:
        cells: C cells of samples.
        weights: (2, R, C) how many real and fake samples each cell counts for.

    Returns:
        Metric name -> (R,) values; NaN where the samples do not say.
    """
    fp, tp = cumulate_positives(cells, weights)
    num_real, num_fake = fp[:, -1], tp[:, -1]
    real = _average(cells, weights, REAL)
    fake = _average(cells, weights, FAKE)
    metrics = {
        "auc": _compute_auc(fp, tp),
        "average_precision": _compute_average_precision(fp, tp),
        "eer": _compute_eer(fp, tp),
        **compute_decision_metrics(
            real["called_fake"], 1 - fake["called_fake"], num_real, num_fake
        ),
        "d_prime": _compute_d_prime(cells, real, fake),
        "min_cllr": compute_min_cllr(fp, tp),
    }
    for name, quantity in (("log_loss", "log_loss"), ("brier", "squared_error")):
        if quantity in cells.means:
            total = num_real * real[quantity] + num_fake * fake[quantity]
            metrics[name] = total / (num_real + num_fake)
    if "llr_cost" in cells.means:
        metrics["cllr"] = (real["llr_cost"] + fake["llr_cost"]) / 2
    return metrics


def _average(cells: Cells, weights: np.ndarray, label: int) -> dict[str, np.ndarray]:
    """Return each quantity's mean (R,) over the samples of one class."""
    totals = weights[label].sum(axis=1)
    return {
        name: weights[label] @ means[label] / totals
        for name, means in cells.means.items()
    }


def compute_decision_metrics(
    fpr: np.ndarray, fnr: np.ndarray, num_real: np.ndarray, num_fake: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute what follows from both error rates and the classes' sizes, all (R,)."""
    fp, fn = fpr * num_real, fnr * num_fake
    tn, tp = num_real - fp, num_fake - fn
    mcc_scale = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return {
        "accuracy": (tp + tn) / (num_real + num_fake),
        "balanced_accuracy": 1 - (fpr + fnr) / 2,
        "real_accuracy": 1 - fpr,
        "fake_accuracy": 1 - fnr,
        "precision": _divide_or_zero(tp, tp + fp),
        "f1": _divide_or_zero(2 * tp, 2 * tp + fp + fn),
        "mcc": _divide_or_zero(tp * tn - fp * fn, mcc_scale),
    }


def _divide_or_zero(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; 0 where nothing can be counted, as scikit-learn does."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1e-300), 0.0)


def _compute_d_prime(
    cells: Cells, real: dict[str, np.ndarray], fake: dict[str, np.ndarray]
) -> np.ndarray:
    gap = cells.median_gap + fake["offset"] - real["offset"]
    variances = [
        np.maximum(of["squared_offset"] - of["offset"] ** 2, 0.0) for of in (real, fake)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        d_prime = gap / np.sqrt((variances[REAL] + variances[FAKE]) / 2)
    return np.where(gap == 0, 0.0, d_prime)


def cumulate_positives(
    cells: Cells, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count what is called fake at each distinct score.

    Args:
        cells: C cells with B distinct scores.
        weights: (2, R, C) whole numbers.

    Returns:
        False and true positives, each (R, B).
    """
    fp, tp = np.cumsum(weights, axis=2)
    if cells.block_ends.size == weights.shape[2]:
        return fp, tp
    return fp[:, cells.block_ends], tp[:, cells.block_ends]


def _compute_auc(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """The share of pairs in which the fake scores above the real one, ties a half."""
    fp_steps, tp_steps = np.diff(fp, prepend=0), np.diff(tp, prepend=0)
    concordant = (fp_steps * (tp - tp_steps / 2)).sum(axis=1)
    return concordant / (fp[:, -1] * tp[:, -1])


def _compute_average_precision(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    called_fake = np.maximum(fp + tp, 1)  # where none is, tp and its step are 0
    steps = np.diff(tp, prepend=0)
    return (steps * tp / called_fake).sum(axis=1) / tp[:, -1]


def compute_tpr_at_fpr(samples: SortedSamples, max_fpr: float) -> float | None:
    """Return the best TPR within a false-positive rate; None of too few samples."""
    fp, tp = samples.count_positives()
    allowed = max_fpr * fp[-1] + 1e-9  # 0.29 * 100 is 28.999999999999996
    if allowed < 1:
        return None
    num_points = np.searchsorted(fp, allowed, side="right")
    return float(tp[num_points - 1] / tp[-1]) if num_points else 0.0


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
    fp, tp = samples.count_positives()
    (index,), (fraction,) = _find_eer_crossing(fp[None], tp[None])
    if fraction == 1.0:
        return samples.get_middle(index)
    upper, lower = samples.thresholds[max(index - 1, 0)], samples.thresholds[index]
    return float(upper + fraction * (lower - upper))
