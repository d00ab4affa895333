"""DeLong's intervals and tests for the AUC, with midranks, also for grouped samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from files.names import FAKE, REAL
from metrics.checks import check_scores_and_labels, index_groups

# So many samples are worth as much as what is expected of an AUC's variance before.
_NUM_DRAWN_IN = 15


class AucInterval(NamedTuple):
    """An AUC with its interval; `method` says how the interval was made."""

    auc: float
    low: float
    high: float
    standard_error: float
    method: str


class AucComparison(NamedTuple):
    """The difference AUC(a) - AUC(b) of two detectors on the same samples."""

    auc_a: float
    auc_b: float
    difference: float
    low: float
    high: float
    z: float
    p_value: float


def compute_delong_interval(
    fake_scores: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> AucInterval:
    """Compute the AUC and DeLong's confidence interval for it.

    Args:
        fake_scores: (N,) finite numbers, higher is more fake.
        labels: (N,) 0 (real) or 1 (fake).
        groups: (N,) names; samples of one group count as one draw, not several.
        confidence: coverage aimed at, in (0, 1).

    Returns:
        The AUC and its interval inside [0, 1]. At AUC 0 or 1 DeLong's variance is
        zero, which says nothing: the other end is then the exact bound from
        k = min(real, fake) separate pairs that were all ordered alike, P**k =
        (1 - confidence) / 2; it is conservative. Equal scores throughout give
        [0.5, 0.5]; a class of one sample, with no variance, the whole [0, 1].

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.

    Source:
        DeLong et al. 1988, by the midranks of Sun & Xu 2014 (O(N log N)); with
        groups Obuchowski 1997. Deviations, which benchmarks/interval_coverage.py shows
        the reason of: the interval is symmetric on the logit scale, not on the AUC's
        own; Student's t of the class that has fewer, and of few samples a variance
        drawn in to Hanley & McNeil's (Newcombe 2006, method 5), as DeLong's is too
        small just where the AUC comes out too high.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels)
    group_index = index_groups(groups, labels.size)
    aucs, covariance = compute_aucs_and_covariance(scores[None], labels, group_index)
    variance = np.maximum(covariance[0, 0], 0)  # of rounding it can come out below
    auc, standard_error = float(aucs[0]), float(np.sqrt(variance))
    if auc in (0.0, 1.0):
        bound = _bound_separated_auc(labels, group_index, confidence)
        ends = (bound, 1.0) if auc == 1.0 else (0.0, 1.0 - bound)
        return AucInterval(auc, *ends, standard_error, "exact bound, separated classes")
    if not np.isfinite(standard_error):
        return AucInterval(auc, 0.0, 1.0, standard_error, "none: a class of one sample")
    num_units = _count_units(labels, group_index)
    if variance > 0:
        sizes = np.bincount(labels)
        if groups is not None:  # as many independent samples as vary like these
            alone = np.arange(labels.size)
            _, single = compute_aucs_and_covariance(scores[None], labels, alone)
            sizes = np.clip(sizes * single[0, 0] / variance, num_units, sizes)
        variance = _draw_in(variance, _expect_variance(auc, *sizes), num_units.min())
    margin = _get_margin(confidence, num_units.min() - 1)
    margin *= np.sqrt(variance) / (auc * (1 - auc))
    low, high = special.expit(special.logit(auc) + np.array([-margin, margin]))
    return AucInterval(auc, float(low), float(high), standard_error, "DeLong, logit")


def _count_units(labels: np.ndarray, group_index: np.ndarray) -> np.ndarray:
    """Count the groups with real and with fake samples."""
    counts = (np.bincount(group_index[labels == c]) for c in (REAL, FAKE))
    return np.array([np.count_nonzero(of) for of in counts])


def _draw_in(variance: float, expected: float, num_units: int) -> float:
    """Return a variance found with so many units, drawn in to the one expected."""
    share = _NUM_DRAWN_IN / (_NUM_DRAWN_IN + num_units)
    return variance + share * (expected - variance)


def _expect_variance(auc: float, num_real: float, num_fake: float) -> float:
    """Return the variance that AUCs of this size have (Newcombe 2006, method 5)."""
    pairs = (num_real + num_fake) / 2 - 1
    spread = 1 + pairs * (1 - auc) / (2 - auc) + pairs * auc / (1 + auc)
    return auc * (1 - auc) * spread / (num_real * num_fake)


def compute_paired_delong_test(
    fake_scores_a: ArrayLike,
    fake_scores_b: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> AucComparison:
    """Test whether two detectors have the same AUC on the same samples.

    Args:
        fake_scores_a, fake_scores_b: (N,) finite numbers, higher is more fake.
        labels: (N,) 0 (real) or 1 (fake), common to both.
        groups: (N,) names; samples of one group count as one draw.
        confidence: coverage of the interval of the difference.

    Returns:
        Both AUCs, their difference, its interval, z and the two-sided p-value.
        Detectors that order the samples alike have z = 0 and p = 1; where a
        difference has no variance to be judged by, z, p and interval are NaN.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.

    Source: DeLong et al. 1988; Sun & Xu 2014; with groups Obuchowski 1997.
    """
    scores_a, checked_labels = check_scores_and_labels(fake_scores_a, labels)
    scores_b, _ = check_scores_and_labels(fake_scores_b, labels)
    group_index = index_groups(groups, checked_labels.size)
    (auc_a, auc_b), covariance = compute_aucs_and_covariance(
        np.stack([scores_a, scores_b]), checked_labels, group_index
    )
    difference = auc_a - auc_b
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    # Rounding leaves about 1e-17 of variance between two equal orders.
    if not variance > 1e-16:
        z = 0.0 if abs(difference) < 1e-12 else np.nan
        half_width = 0.0 if z == 0.0 else np.nan
    else:
        z = difference / np.sqrt(variance)
        half_width = _get_margin(confidence) * np.sqrt(variance)
    values = (auc_a, auc_b, difference, difference - half_width)
    p_value = 2 * stats.norm.sf(abs(z))
    return AucComparison(*map(float, (*values, difference + half_width, z, p_value)))


def compute_aucs_and_covariance(
    score_rows: np.ndarray, labels: np.ndarray, group_index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return AUCs (D,) and their covariance (D, D), by placement values.

    Args:
        score_rows: (D, N), finite: what D detectors say of the same samples.
        labels: int (N,).
        group_index: int (N,), as of `index_groups`.
    """
    fake, real = labels == FAKE, labels == REAL
    num_fake, num_real = fake.sum(), real.sum()
    rank_all, rank_fake, rank_real = (
        stats.rankdata(rows, axis=1)
        for rows in (score_rows, score_rows[:, fake], score_rows[:, real])
    )
    fake_placements = (rank_all[:, fake] - rank_fake) / num_real
    real_placements = 1 - (rank_all[:, real] - rank_real) / num_fake
    aucs = (rank_all[:, fake].sum(axis=1) - num_fake * (num_fake + 1) / 2) / (
        num_fake * num_real
    )
    fake_sums = _sum_by_group(fake_placements - aucs[:, None], group_index, fake)
    real_sums = _sum_by_group(real_placements - aucs[:, None], group_index, real)
    correct_fake, correct_real, correct_all = (
        _get_bessel_factor(group_index[chosen]) for chosen in (fake, real, fake | real)
    )
    cross = fake_sums @ real_sums.T / (num_fake * num_real)  # 0 if groups are pure
    covariance = (
        correct_fake * fake_sums @ fake_sums.T / num_fake**2
        + correct_real * real_sums @ real_sums.T / num_real**2
        + correct_all * (cross + cross.T)
    )
    return aucs, covariance


def _sum_by_group(
    rows: np.ndarray, group_index: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    num_groups = group_index.max() + 1
    return np.stack(
        [np.bincount(group_index[chosen], row, minlength=num_groups) for row in rows]
    )


def _get_bessel_factor(group_index: np.ndarray) -> float:
    num_groups = np.count_nonzero(np.bincount(group_index))
    return num_groups / (num_groups - 1) if num_groups > 1 else np.nan


def _bound_separated_auc(
    labels: np.ndarray, group_index: np.ndarray, confidence: float
) -> float:
    num_fake = np.unique(group_index[labels == FAKE]).size
    num_real = np.unique(group_index[labels == REAL]).size
    num_pairs = min(num_fake, num_real, (group_index.max() + 1) // 2)
    return float(((1 - confidence) / 2) ** (1 / max(num_pairs, 1)))


def _get_margin(confidence: float, num_free: float = np.inf) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return float(stats.t.ppf((1 + confidence) / 2, num_free))
