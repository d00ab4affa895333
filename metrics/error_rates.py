"""Error rates and the ROC curve, with intervals that assume no distribution.

Groups, such as the frames of a video, count for as many independent samples as the
spread between the groups allows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from files.classes import FAKE, REAL
from metrics.likelihood_ratios import compute_min_cllr
from metrics.samples import Samples

_NUM_DRAWS = 4000
_CONFIDENCE = 0.95
_NUM_WORTH_RATES = 25  # rates at which grouped samples are weighed, others in between
# Dense near 0 and 1, where a DET curve looks closely.
_ENDS = np.geomspace(1e-4, 0.1, 60)
_BAND_FPRS = np.unique(np.concatenate([_ENDS, np.linspace(0, 1, 101), 1 - _ENDS]))
_MAX_CURVE_FPRS = 500  # with more, the band leaves out the curve's own points


class Proportion(NamedTuple):
    """Hits among independent trials; grouped samples count for what they are worth."""

    num_hits: float
    num_trials: float

    @property
    def share(self) -> float:
        """The proportion itself."""
        return self.num_hits / self.num_trials


def compute_proportion_interval(
    num_hits: float, num_trials: float, confidence: float = _CONFIDENCE
) -> tuple[float, float]:
    """Return the exact interval of a proportion (Clopper & Pearson 1934).

    Args:
        num_hits, num_trials: whole numbers, or effective ones of grouped samples.
        confidence: the least coverage.
    """
    tail = (1 - confidence) / 2
    num_misses = num_trials - num_hits
    quantile = scipy.stats.beta.ppf
    low = quantile(tail, num_hits, num_misses + 1) if num_hits > 0 else 0.0
    high = quantile(1 - tail, num_hits + 1, num_misses) if num_misses > 0 else 1.0
    return float(low), float(high)


def count_hits(hits: np.ndarray, group_index: np.ndarray | None = None) -> Proportion:
    """Count hits and trials, or with groups what they are worth.

    Args:
        hits: bool (n,).
        group_index: (n,) the number of each sample's group.

    Returns:
        With groups the same share of as many trials as would spread like the groups,
        but never more than there are samples. If all samples agree, groups are counted.

    Source: Korn & Graubard 1998, the effective sample size with degrees of freedom.
    """
    share, num_samples = float(hits.mean()), hits.size
    if group_index is None:
        return Proportion(float(hits.sum()), float(num_samples))
    num_groups = np.count_nonzero(np.bincount(group_index))
    sums = np.bincount(group_index, hits - share)  # 0 for groups of the other class
    spread = sums @ sums
    if num_groups < 2 or share in (0.0, 1.0) or spread == 0:
        return Proportion(share * num_groups, float(num_groups))
    variance = num_groups / (num_groups - 1) * spread / num_samples**2
    tails = [scipy.stats.t.ppf(0.975, n - 1) for n in (num_samples, num_groups)]
    trials = share * (1 - share) / variance * (tails[0] / tails[1]) ** 2
    trials = float(np.clip(trials, 1, num_samples))
    return Proportion(share * trials, trials)


def compute_tpr_intervals(
    samples: Samples, fprs: ArrayLike, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Compute 95 % intervals of the TPR at false-positive rates.

    Of n real scores K ~ Bin(n, FPR) lie above the threshold with this FPR. So K is
    drawn; x of m fakes lie above the K-th real score, and
    TPR ~ Beta(x + 1/2, m - x + 1/2). This covers the threshold's chance and the fakes'.

    Args:
        samples: what was judged; with groups, n and m are what the samples are worth
            at this FPR by `count_hits`.
        fprs: (F,) rates in [0, 1].
        seed: of the draws.

    Returns:
        Lowest and highest TPR, each (F,).

    Source:
        The order statistics' exact distribution, with Jeffreys' prior for the fakes.
        Between tied scores the ROC curve is followed along its straight lines.
    """
    rates = np.asarray(fprs, dtype=np.float64)
    rng = np.random.default_rng(seed)
    fp, tp = (np.append(0, of) for of in samples.in_order.count_positives())
    num_real, num_fake = _count_worth(samples, rates)
    num_above = rng.binomial(num_real, rates, size=(_NUM_DRAWS, rates.size))
    # Slightly less, so that where the curve rises, fakes below the K-th do not count.
    places = num_above / num_real * fp[-1] - 1e-9
    hits = np.interp(places, fp, tp) / tp[-1] * num_fake
    tprs = rng.beta(hits + 0.5, num_fake - hits + 0.5)
    ends = (1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2
    low, high = np.quantile(tprs, ends, axis=0)
    return low, high


def _count_worth(samples: Samples, fprs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count independent real and fake samples at each rate, (F,) each."""
    is_fake, groups = samples.labels == FAKE, samples.group_index
    if groups is None:
        return tuple(np.full(fprs.size, size) for size in samples.units[:2])
    grid = np.unique(fprs)
    if grid.size > _NUM_WORTH_RATES:
        grid = np.unique(np.quantile(fprs, np.linspace(0, 1, _NUM_WORTH_RATES)))
    reals = np.sort(samples.scores[~is_fake])[::-1]
    places = np.clip(np.ceil(grid * reals.size).astype(int), 1, reals.size) - 1
    worth = [
        [
            count_hits(samples.scores[chosen] >= threshold, groups[chosen])
            for threshold in reals[places]
        ]
        for chosen in (~is_fake, is_fake)
    ]
    real, fake = (np.interp(fprs, grid, [of.num_trials for of in row]) for row in worth)
    return np.maximum(np.rint(real), 1).astype(int), fake


class RocCurve(NamedTuple):
    """Points of a ROC curve from (0, 0) to (1, 1), each field (T,)."""

    false_positive_rates: np.ndarray
    true_positive_rates: np.ndarray
    thresholds: np.ndarray


class RocBand(NamedTuple):
    """Lowest and highest TPR at false-positive rates, each field (F,)."""

    false_positive_rates: np.ndarray
    low: np.ndarray
    high: np.ndarray


def compute_roc_curve(samples: Samples) -> RocCurve:
    """Compute the ROC curve: from the origin a point for each distinct score."""
    fp, tp = (np.append(0, of) for of in samples.in_order.count_positives())
    thresholds = np.append(np.inf, samples.in_order.thresholds)
    return RocCurve(fp / fp[-1], tp / tp[-1], thresholds)


def compute_roc_band(samples: Samples, curve: RocCurve, *, seed: int = 0) -> RocBand:
    """Compute the pointwise 95 % band of the samples' ROC curve.

    Returns:
        The intervals of `compute_tpr_intervals` at rates dense near 0 and 1 and, if the
        curve has few points, at those; widened where the curve itself, drawn with
        straight lines between its points, leaves them.
    """
    own = np.unique(curve.false_positive_rates)
    fprs = np.union1d(_BAND_FPRS, own) if own.size <= _MAX_CURVE_FPRS else _BAND_FPRS
    low, high = compute_tpr_intervals(samples, fprs, seed=seed)
    foot, top = read_curve(curve, fprs)
    low, high = np.minimum(low, foot), np.maximum(high, top)
    # The curve rises, so the band does too, whatever the draws' own chance.
    low = np.minimum.accumulate(low[::-1])[::-1]
    return RocBand(fprs, low, np.maximum.accumulate(high))


def average_roc_curves(curves: Sequence[RocCurve]) -> RocCurve:
    """Average ROC curves vertically: at each FPR the mean of their TPRs.

    Where curves rise, the mean goes from the mean of their feet to that of their tops,
    so the area below it is the mean of their AUCs. It has no thresholds (NaN).

    Source: Fawcett 2006, "An introduction to ROC analysis", algorithm 3.
    """
    fprs = np.unique(np.concatenate([curve.false_positive_rates for curve in curves]))
    ends = np.mean([read_curve(curve, fprs) for curve in curves], axis=0)  # (2, F)
    places = np.repeat(fprs, 2)
    return RocCurve(places, ends.T.ravel(), np.full(places.size, np.nan))


def read_curve(curve: RocCurve, fprs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve's lowest and highest TPR at each rate: they differ on rises."""
    fpr, tpr, _ = curve
    between = np.interp(fprs, fpr, tpr)
    first = np.minimum(np.searchsorted(fpr, fprs, side="left"), fpr.size - 1)
    last = np.searchsorted(fpr, fprs, side="right") - 1
    is_point = fpr[first] == fprs
    foot, top = (np.where(is_point, tpr[of], between) for of in (first, last))
    return foot, top


class SeparationBounds(NamedTuple):
    """Error rates that are still possible if no score is on the wrong side."""

    fpr: float
    fnr: float

    @property
    def eer(self) -> float:
        """The largest equal error rate."""
        return max(self.fpr, self.fnr)

    def compute_min_cllr(self) -> float:
        """Return the largest minCllr, that of the curve with this one corner."""
        fp, tp = np.array([[self.fpr, 1.0]]), np.array([[1 - self.fnr, 1.0]])
        return float(compute_min_cllr(fp, tp)[0])

    def compute_average_precision(self, share_fake: float) -> float:
        """Return the least average precision: no fake found before `fpr` is reached.

        The integral of the precision over the recall r, r / (r + c), with c the
        false-positive rate times the odds of 'real': `fpr` until 1 - `fnr` of the
        fakes are found, and 1 for the rest.
        """
        odds = (1 - share_fake) / share_fake
        found = 1 - self.fnr

        def integrate(low: float, high: float, fpr: float) -> float:
            c = fpr * odds
            return high - low - c * np.log((high + c) / (low + c))

        return float(integrate(0, found, self.fpr) + integrate(found, 1, 1.0))


def bound_separated(num_real: int, num_fake: int) -> SeparationBounds:
    """Bound the error rates of a detector that separated all samples.

    Args:
        num_real, num_fake: independent samples, or groups of samples.

    Returns:
        Bounds that hold together: classes separate only if, at any threshold, all real
        samples lie below it or all fakes above, so that
        (1 - FPR)**n_real + (1 - FNR)**n_fake is at least 2.5 %, one side of a 95 %
        interval.
    """
    return SeparationBounds(
        *(compute_proportion_interval(0, n, 0.975)[1] for n in (num_real, num_fake))
    )


def compute_point(
    samples: Samples,
    called_fake: np.ndarray,
    *,
    prevalence: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute what an operator asks of a threshold, each with a 95 % interval.

    Args:
        samples: what was judged.
        called_fake: bool (N,), the verdicts.
        prevalence: share of fakes where the detector is to be used, in (0, 1).
        seed: of the draws.

    Returns:
        `fpr`, `fnr` and, with a prevalence, `ppv` (how many of the samples called fake
        are) and `npv` (of those called real), else None; NAME_interval beside each:
        Clopper & Pearson's for the rates, percentiles of both rates' Jeffreys draws
        for the values. A value that no sample tells, as none is called so, is None.
    """
    rates = [
        count_hits(called_fake[samples.labels == c] != c, samples.index_class(c))
        for c in (REAL, FAKE)
    ]
    point: dict[str, Any] = {}
    for name, rate in zip(("fpr", "fnr"), rates, strict=True):
        point[name] = rate.share
        point[f"{name}_interval"] = list(compute_proportion_interval(*rate))
    point |= dict.fromkeys(("ppv", "ppv_interval", "npv", "npv_interval"))
    if prevalence is not None:
        point |= _compute_predictive_values(rates, prevalence, seed)
    return point


def _compute_predictive_values(
    rates: Sequence[Proportion], prevalence: float, seed: int
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    drawn = [
        rng.beta(rate.num_hits + 0.5, rate.num_trials - rate.num_hits + 0.5, _NUM_DRAWS)
        for rate in rates
    ]
    found = _divide_predictive(*(rate.share for rate in rates), prevalence)
    values = {}
    for name, value, draws in zip(
        ("ppv", "npv"), found, _divide_predictive(*drawn, prevalence), strict=True
    ):
        values[name] = float(value) if np.isfinite(value) else None
        ends = np.quantile(draws, [0.025, 0.975]).tolist()
        values[f"{name}_interval"] = hold_estimate(ends, values[name])
    return values


def hold_estimate(ends: Sequence[float], estimate: float | None) -> list[float]:
    """Widen an interval to its estimate: draws never reach a rate of 0 or 1."""
    known = [*ends] if estimate is None else [*ends, estimate]
    return [min(known), max(known)]


def _divide_predictive(
    fpr: ArrayLike, fnr: ArrayLike, prevalence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how right the verdicts 'fake' and 'real' are, by Bayes' rule."""
    fpr, fnr = np.asarray(fpr), np.asarray(fnr)
    right_fake, right_real = prevalence * (1 - fnr), (1 - prevalence) * (1 - fpr)
    with np.errstate(invalid="ignore"):
        return (
            right_fake / (right_fake + (1 - prevalence) * fpr),
            right_real / (right_real + prevalence * fnr),
        )
