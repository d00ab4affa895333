"""DeLong's intervals and tests for AUCs, with midranks, also for grouped samples."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from files.classes import FAKE, REAL
from metrics.samples import (
    Samples,
    check_samples,
    check_scores_and_labels,
    index_groups,
)

# The variance expected of an AUC counts for as many samples.
_PRIOR_SAMPLES = 15


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
        groups: (N,) names; samples of one group count as one draw, not several.
        confidence: nominal coverage, in (0, 1).

    Returns:
        The AUC and its interval inside [0, 1]. If the classes separate, or all scores
        are equal, DeLong's variance is zero, which says nothing: the interval is then
        the exact and conservative one from k = min(real, fake) separate pairs that were
        all alike, P**k = (1 - confidence) / 2. A class of one sample, which has no
        variance, gives [0, 1].

    Source:
        DeLong et al. 1988, by the midranks of Sun & Xu 2014 (O(N log N)); with
        groups Obuchowski 1997. Deviations, each justified by
        benchmarks/interval_coverage.py: the interval is symmetric on the logit scale,
        with Student's t of the smaller class, and the variance is shrunk towards
        Hanley & McNeil's (Newcombe 2006, method 5), because with few samples DeLong's
        is too small exactly when the AUC is too high.
    """
    samples = check_samples(fake_scores, labels, groups=groups)
    scores, labels, units = samples.scores, samples.labels, samples.units
    alone = np.arange(labels.size)
    group_index = alone if groups is None else samples.group_index
    aucs, covariance = compute_aucs_and_covariance(scores[None], labels, group_index)
    variance = np.maximum(covariance[0, 0], 0)  # rounding can leave it below 0
    auc, standard_error = float(aucs[0]), float(np.sqrt(variance))
    if auc in (0.0, 1.0) or variance == 0:
        num_pairs = max(min(units.smaller, units.total // 2), 1)
        bound = float(((1 - confidence) / 2) ** (1 / num_pairs))
        ends = auc * bound, 1 - (1 - auc) * bound
        which = "separated classes" if auc in (0.0, 1.0) else "equal scores"
        return AucInterval(auc, *ends, standard_error, f"exact bound, {which}")
    if not np.isfinite(standard_error):
        return AucInterval(auc, 0.0, 1.0, standard_error, "none: a class of one sample")
    sizes = np.bincount(labels)
    if groups is not None:  # as many independent samples as vary like these
        _, single = compute_aucs_and_covariance(scores[None], labels, alone)
        sizes = np.clip(sizes * single[0, 0] / variance, units[:2], sizes)
    share = _PRIOR_SAMPLES / (_PRIOR_SAMPLES + units.smaller)
    variance += share * (_expect_variance(auc, *sizes) - variance)
    margin = scipy.stats.t.ppf((1 + confidence) / 2, units.smaller - 1)
    margin *= np.sqrt(variance) / (auc * (1 - auc))
    low, high = special.expit(special.logit(auc) + np.array([-margin, margin]))
    return AucInterval(auc, float(low), float(high), standard_error, "DeLong, logit")


def _expect_variance(auc: float, num_real: float, num_fake: float) -> float:
    """Return the usual variance of such an AUC (Newcombe 2006, method 5)."""
    pairs = (num_real + num_fake) / 2 - 1
    spread = 1 + pairs * (1 - auc) / (2 - auc) + pairs * auc / (1 + auc)
    return auc * (1 - auc) * spread / (num_real * num_fake)


def compute_paired_delong_test(
    fake_scores_a: ArrayLike,
    fake_scores_b: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> AucComparison:
    """Test whether two detectors have the same AUC on the same samples.

    Args:
        fake_scores_a, fake_scores_b: (N,) finite numbers, higher is more fake.
        groups: (N,) names; samples of one group count as one draw.

    Returns:
        Both AUCs, their difference, its 95 % interval, z and the two-sided p-value. The
        interval has no width if both order the samples alike, and only then. Equal AUCs
        have z = 0 and p = 1; z and p of a difference without variance are NaN.

    Source: DeLong et al. 1988; Sun & Xu 2014; with groups Obuchowski 1997. The
        interval as of `_combine_intervals`.
    """
    scores_a, checked_labels = check_scores_and_labels(fake_scores_a, labels)
    scores_b, _ = check_scores_and_labels(fake_scores_b, labels)
    rows, group_index = [scores_a, scores_b], index_groups(groups, checked_labels.size)
    (auc_a, auc_b), covariance = compute_aucs_and_covariance(
        np.stack(rows), checked_labels, group_index
    )
    difference = auc_a - auc_b
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    # Rounding leaves about 1e-17 of variance between two equal orders.
    if not variance > 1e-16:
        z = 0.0 if abs(difference) < 1e-12 else np.nan
    else:
        z = difference / np.sqrt(variance)
    singles = [compute_delong_interval(row, labels, groups=groups) for row in rows]
    correlation = _correlate(np.stack(rows), covariance, checked_labels, group_index)
    ends = _combine_intervals(np.array([1, -1]), singles, correlation)
    p_value = 2 * scipy.stats.norm.sf(abs(z))
    return AucComparison(*map(float, (auc_a, auc_b, difference, *ends, z, p_value)))


def _correlate(
    score_rows: np.ndarray,
    covariance: np.ndarray,
    labels: np.ndarray,
    group_index: np.ndarray,
) -> np.ndarray:
    """Return the correlation of D AUCs, (D, D).

    DeLong's, shrunk like the variances towards that of the ranks within the classes
    (Hanley & McNeil 1983), which separated classes have as well.
    """
    units = Samples(score_rows[0], labels, group_index=group_index).units
    share = _PRIOR_SAMPLES / (_PRIOR_SAMPLES + units.smaller)
    by_class = []
    for label in (REAL, FAKE):
        ranks = scipy.stats.rankdata(score_rows[:, labels == label], axis=1)
        ranks -= ranks.mean(axis=1, keepdims=True)
        by_class.append(_normalise(ranks @ ranks.T))
    of_ranks = np.mean(by_class, axis=0)
    varies = np.diag(covariance) > 1e-16
    shrunk = share * of_ranks + (1 - share) * _normalise(covariance)
    return np.where(np.outer(varies, varies), shrunk, of_ranks)


def _normalise(covariance: np.ndarray) -> np.ndarray:
    """Turn a covariance into correlations; 0 to what does not vary."""
    deviations = np.sqrt(np.maximum(np.diag(covariance), 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / np.outer(deviations, deviations)
    correlation = np.nan_to_num(correlation, posinf=0, neginf=0)
    np.fill_diagonal(correlation, 1)
    return np.clip(np.round(correlation, 12), -1, 1)  # equal ranks: 1, not almost


def _combine_intervals(
    weights: np.ndarray, singles: Sequence[AucInterval], correlation: np.ndarray
) -> tuple[float, float]:
    """Return the interval of the sum of weighted AUCs.

    Source: MOVER (Zou & Donner 2008; Newcombe 1998 for a difference), which recovers
        each variance from the single interval, so that whatever corrects that, and what
        bounds it for separated classes, holds here too. Deviation: the correlations
        shrink both sides alike, by what they do to symmetric intervals. So equal orders
        cancel, where the paper leaves a width if the intervals are lopsided.
    """
    aucs, lows, highs = (np.array([s[i] for s in singles]) for i in range(3))
    spread = weights * (highs - lows) / 2
    shrunk = max(spread @ correlation @ spread, 0.0) / max(spread @ spread, 1e-300)
    down, up = (
        np.linalg.norm(weights * (np.where(weights > 0, *ends) - aucs))
        for ends in ((lows, highs), (highs, lows))
    )
    total, scale = weights @ aucs, np.sqrt(shrunk)
    return float(total - scale * down), float(total + scale * up)


def compute_aucs_and_covariance(
    score_rows: np.ndarray, labels: np.ndarray, group_index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return AUCs (D,) and their covariance (D, D), by placement values.

    Args:
        score_rows: (D, N), finite: D detectors' scores of the same samples.
        labels, group_index: int (N,); the groups as of `index_groups`.
    """
    fake, real = labels == FAKE, labels == REAL
    num_fake, num_real = fake.sum(), real.sum()
    rank_all, rank_fake, rank_real = (
        scipy.stats.rankdata(rows, axis=1)
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


def compute_auc_kept(
    clean_scores: np.ndarray, disturbed_scores: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """Compute which share of the AUC above chance is kept, averaged over conditions.

    Args:
        clean_scores: (N,), higher is more fake.
        disturbed_scores: (C, N), the same samples' under C conditions.
        labels: int (N,).

    Returns:
        `auc_kept`, the mean AUC - 1/2 over that of the clean samples, and its 95 %
        `auc_kept_interval` [low, high]; both None unless the clean AUC is surely above
        1/2.

    Source: the delta method takes the ratio to a sum of weighted AUCs, whose interval
        is that of `_combine_intervals`.
    """
    rows = np.vstack([clean_scores, disturbed_scores])
    singles = [compute_delong_interval(row, labels) for row in rows]
    if not singles[0].low > 0.5:
        return {"auc_kept": None, "auc_kept_interval": None}
    index = np.arange(labels.size)
    aucs, covariance = compute_aucs_and_covariance(rows, labels, index)
    gain = aucs[0] - 0.5
    kept = float((aucs[1:].mean() - 0.5) / gain)
    slopes = np.full(len(rows), 1 / (gain * len(disturbed_scores)))
    slopes[0] = -kept / gain
    correlation = _correlate(rows, covariance, labels, index)
    ends = np.array(_combine_intervals(slopes, singles, correlation))
    interval = kept + ends - slopes @ aucs
    return {"auc_kept": kept, "auc_kept_interval": interval.tolist()}
