"""How metrics' 95 % intervals are made where resamples alone do not tell."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from metrics.bootstrap import compute_bootstrap_interval
from metrics.delong import compute_delong_interval
from metrics.error_rates import (
    bound_separated,
    compute_proportion_interval,
    compute_tpr_intervals,
    count_hits,
)
from metrics.likelihood_ratios import compute_cross_fitted_cllr
from metrics.samples import MAX_CELLS, Samples, build_cells, number_folds

Ends = tuple[float, float]


class Interval(NamedTuple):
    """A way to make an interval.

    Attributes:
        words: what it is called.
        compute: from the samples, the metric's value or None, its resampled values (R,)
            or None, and the seed of draws; None where the samples do not tell.
    """

    words: str
    compute: Callable[[Samples, float | None, np.ndarray | None, int], Ends | None]


def _compute_auc(samples: Samples, *_: object) -> Ends:
    groups = samples.group_index
    return compute_delong_interval(samples.scores, samples.labels, groups=groups)[1:3]


DELONG = Interval(
    "DeLong, logit scale; an exact bound if the classes separate or no scores differ",
    _compute_auc,
)


def build_class_interval(label: int) -> Interval:
    """Return how the interval of the accuracy on one class is made."""

    def compute(samples: Samples, *_: object) -> Ends:
        hits = samples.called_fake[samples.labels == label] == label
        counted = count_hits(hits, samples.index_class(label))
        return compute_proportion_interval(*counted)

    return Interval("Clopper-Pearson; groups by their effective size", compute)


def build_tpr_interval(fprs: Sequence[float], place: int) -> Interval:
    """Return how the TPR's is made at one of these rates, which are drawn as one."""

    def compute(samples: Samples, tpr: float | None, _: object, seed: int) -> Ends:
        lows, highs = compute_tpr_intervals(samples, fprs, seed=seed)
        return None if tpr is None else (float(lows[place]), float(highs[place]))

    return Interval("order statistics, no distribution assumed", compute)


def _compute_min_cllr(
    samples: Samples, min_cllr: float, resampled: np.ndarray, _: object
) -> Ends | None:
    """Reach from the fitted value, too low on average, to the one that is too high."""
    units = samples.units
    if min_cllr == 0:
        return 0.0, bound_separated(units.real, units.fake).compute_min_cllr()
    cells = build_cells(samples, MAX_CELLS)
    folds = number_folds(samples.labels, samples.group_index)
    cross_fitted = compute_cross_fitted_cllr(
        cells.counts,
        [cells.count(samples.labels, folds == k) for k in np.unique(folds)],
    )
    if not np.isfinite(cross_fitted):
        return None
    ends = [
        compute_bootstrap_interval(resampled, value, "log", units.smaller)
        for value in (min_cllr, max(min_cllr, cross_fitted))
    ]
    return None if None in ends else (ends[0][0], ends[1][1])


CROSS_FITTED = Interval(
    "stratified bootstrap, from the fitted to the cross-fitted value: wide",
    _compute_min_cllr,
)


def bound_eer(samples: Samples, eer: float) -> Ends | None:
    """Return exact bounds of an EER of 0 or 1, whose resamples show no spread."""
    worst = bound_separated(samples.units.real, samples.units.fake).eer
    return {0.0: (0.0, worst), 1.0: (1 - worst, 1.0)}.get(eer)


def bound_average_precision(samples: Samples, precision: float) -> Ends | None:
    """Return the exact bounds of an average precision of 1."""
    bounds = bound_separated(samples.units.real, samples.units.fake)
    worst = bounds.compute_average_precision(float(np.mean(samples.labels)))
    return (worst, 1.0) if precision == 1 else None


def bound_accuracy(samples: Samples, accuracy: float) -> Ends | None:
    """Return the exact bounds of an accuracy of 0 or 1."""
    total = samples.units.total
    if accuracy in (0.0, 1.0):
        return compute_proportion_interval(int(accuracy) * total, total)
    return None
