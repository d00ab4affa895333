"""How large a likelihood ratio a number of samples can support."""

import numpy as np
from numpy.typing import ArrayLike

from files.classes import FAKE, REAL
from metrics.samples import check_scores_and_labels

# Of the logarithms to base 10 at which the utility is compared, as in `lir`.
STEP = 0.01


def compute_elub(
    llrs: ArrayLike, labels: ArrayLike, *, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Compute the empirical lower and upper bound of log-likelihood ratios (ELUB).

    Within the bounds, decisions by the ratios cost no more than decisions without them,
    whatever an error costs, even after one more real sample with the largest ratio and
    one more fake with the smallest.

    Args:
        llrs: (N,) finite log-likelihood ratios, fake over real, natural logarithm.
        weights: float64 (N,), positive: what each sample counts for, each of k views of
            an image 1 / k. The samples that are added count 1. None: 1 each.

    Returns:
        Lower bound, at most 0, and upper bound, at least 0, natural logarithm; both are
        0 where the ratios are no evidence. Beyond n + 1 to 1 for 'fake', n being the
        weight of the real samples, nothing is supported; for 'real' the fakes count.

    Source:
        Vergeer et al. 2016, "Numerical likelihood ratios outputted by LR systems are
        often based on extrapolation: when to stop extrapolating?", Science & Justice
        56, as `lir` (Netherlands Forensic Institute) computes it: on steps of 0.01.
    """
    llrs, labels = check_scores_and_labels(llrs, labels)
    weights = np.ones(llrs.size) if weights is None else weights
    num_real, num_fake = np.bincount(labels, weights)
    log_ratios = llrs / np.log(10)
    low = max(log_ratios.min(), -np.log10(num_fake + 1))
    high = min(log_ratios.max(), np.log10(num_real + 1))
    steps = np.arange(min(0, low // STEP), max(0, high // STEP + 1) + 1)
    thresholds = steps * STEP
    reals, fakes = (
        _weigh_above(log_ratios[labels == c], weights[labels == c], thresholds)
        for c in (REAL, FAKE)
    )
    prices = 10**thresholds  # of calling a real sample fake, a missed fake costs 1
    costs = 1 - fakes / (num_fake + 1) + prices * (reals + 1) / (num_real + 1)
    # Rounding must not turn equal costs into worse ones.
    failed = steps[costs > np.minimum(prices, 1) * (1 + 1e-9)]
    lower = np.max(failed[failed <= 0] + 1, initial=steps[0])
    upper = np.min(failed[failed >= 0] - 1, initial=steps[-1])
    unit = STEP * np.log(10)
    return float(min(0.0, lower * unit)), float(max(0.0, upper * unit))


def _weigh_above(
    values: np.ndarray, weights: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Return the weight of the values that lie above each threshold."""
    order = np.argsort(values)
    above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    return above[np.searchsorted(values[order], thresholds, side="right")]
