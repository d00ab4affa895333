"""What is chosen on validation scores: a temperature, a threshold; and how to check."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from score_table import (
    FAKE,
    NUM_CALIBRATION_BINS,
    assign_bins,
    build_score_table,
    check_scores_and_labels,
)
from weighted_metrics import cumulate_positives, find_eer_crossing

_TEMPERATURE_RANGE = (0.05, 20.0)


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


def parse_threshold_policy(policy: str) -> float | None:
    """Read a policy: None for 'eer', the largest false-positive rate for 'fpr=0.01'.

    Raises:
        ValueError: for anything else.
    """
    if policy == "eer":
        return None
    name, _, value = policy.partition("=")
    try:
        max_fpr = float(value) if name == "fpr" else -1.0
    except ValueError:
        max_fpr = -1.0
    if not 0 <= max_fpr < 1:
        raise ValueError(
            "threshold policy must be 'eer' or 'fpr=RATE' with a rate in [0, 1), "
            f"got {policy!r}"
        )
    return max_fpr


def choose_threshold(
    fake_scores: ArrayLike, labels: ArrayLike, policy: str = "eer"
) -> float:
    """Choose the score from which on a sample is called fake: on validation only.

    Args:
        fake_scores: (N,) validation scores, after temperature where one is used.
        labels: (N,) 0 (real) or 1 (fake).
        policy: 'eer' where both errors are equally frequent, or 'fpr=0.01' for the
            most fakes found with at most this share of real samples called fake.

    Returns:
        The threshold, to be used as `fake_score >= threshold`. For 'fpr=' it lies
        half-way to the next lower score. With 'fpr=' below 1 / (real samples) no
        false positive is allowed; where nothing is then left to call fake, the
        threshold is just above the highest score.

    Raises:
        ValueError: for an unknown policy or input that is refused.
    """
    max_fpr = parse_threshold_policy(policy)
    if max_fpr is None:
        return compute_eer(fake_scores, labels).threshold
    scores, labels = check_scores_and_labels(fake_scores, labels)
    table = build_score_table(scores, labels)
    fp, tp = (a[0] for a in cumulate_positives(table, np.ones((1, scores.size))))
    allowed = fp <= max_fpr * fp[-1] + 1e-9
    if not (allowed & (tp > 0)).any():
        return float(np.nextafter(table.thresholds[0], np.inf))
    index = int(np.argmax(np.where(allowed, tp, -1)))  # first: fewest false positives
    return _get_middle(table.thresholds, index)


def compute_fake_scores(logits: ArrayLike, temperature: float = 1.0) -> np.ndarray:
    """Turn logits into P(fake).

    Args:
        logits: (N, 2) logits of real and fake, or (N,) their difference fake - real.
        temperature: divides the logits; above 1 makes scores less sure.

    Returns:
        float64 (N,) probabilities. Their order, and so the AUC and the EER, does not
        depend on the temperature.

    Raises:
        ValueError: for another shape, or a temperature that is not positive.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number, got {temperature}")
    return special.expit(_get_logit_differences(logits) / temperature)


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Fit the temperature that makes validation scores most likely.

    Args:
        logits: (N, 2) or (N,), as for `compute_fake_scores`.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        The temperature with the least log loss, within [0.05, 20]. Logits with every
        sample on its right side would ask for a temperature of zero, certainty that
        no finite set can vouch for: they are left alone, with 1.0.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.

    Source: Guo et al. 2017, section 4.2, temperature scaling.
    """
    differences, labels = check_scores_and_labels(
        _get_logit_differences(logits), labels
    )
    margins = np.where(labels == FAKE, differences, -differences)
    if (margins > 0).all():
        return 1.0

    def compute_log_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -margins / np.exp(log_temperature)).mean())

    # In 1 / T the loss is convex, so in log T it has one minimum.
    result = optimize.minimize_scalar(
        compute_log_loss,
        bounds=np.log(_TEMPERATURE_RANGE),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(result.x))


def _get_logit_differences(logits: ArrayLike) -> np.ndarray:
    array = np.asarray(logits, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 2:
        return array[:, 1] - array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"logits must have shape (N, 2) or (N,), got {array.shape}")
    return array
