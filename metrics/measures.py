"""The formulas of metrics, for one or many weightings of the samples at once.

The point estimate is the weighting "each sample once"; a bootstrap resample is the
weighting "how often each sample was drawn". Both go through the same formulas, so an
interval always belongs to the number beside it. `all_metrics.py` lists the metrics.
"""

from dataclasses import dataclass

import numpy as np

from files.classes import FAKE, REAL
from metrics.samples import Cells, SortedSamples


@dataclass(frozen=True)
class Decisions:
    """Error rates at a threshold and the classes' sizes, numbers or (R,) each."""

    fpr: np.ndarray
    fnr: np.ndarray
    num_real: np.ndarray
    num_fake: np.ndarray

    @property
    def fp(self) -> np.ndarray:
        """How many real samples are called fake."""
        return self.fpr * self.num_real

    @property
    def fn(self) -> np.ndarray:
        """How many fakes are called real."""
        return self.fnr * self.num_fake

    @property
    def tn(self) -> np.ndarray:
        """How many real samples are called real."""
        return self.num_real - self.fp

    @property
    def tp(self) -> np.ndarray:
        """How many fakes are called fake."""
        return self.num_fake - self.fn


@dataclass(frozen=True)
class Tally(Decisions):
    """All that formulas are computed from, for R weightings of the samples.

    Attributes:
        reals_above, fakes_above: (R, B) samples at or above each distinct score, from
            the highest: the ROC curve's false and true positives.
        real, fake: of each quantity of `build_cells` its mean (R,) within the class.
        median_gap: of the cells.
    """

    reals_above: np.ndarray
    fakes_above: np.ndarray
    real: dict[str, np.ndarray]
    fake: dict[str, np.ndarray]
    median_gap: float

    def average(self, quantity: str) -> np.ndarray:
        """Return a quantity's mean (R,) over all samples."""
        real, fake = self.real[quantity], self.fake[quantity]
        total = self.num_real * real + self.num_fake * fake
        return total / (self.num_real + self.num_fake)


def tally_cells(cells: Cells, weights: np.ndarray) -> Tally:
    """Count and average what lies in C cells.

    `weights` (2, R, C): how many real and fake samples each cell counts for.
    """
    fp, tp = np.cumsum(weights, axis=2)
    if cells.block_ends.size < weights.shape[2]:
        fp, tp = fp[:, cells.block_ends], tp[:, cells.block_ends]
    real, fake = (_average(cells, weights, label) for label in (REAL, FAKE))
    return Tally(
        fpr=real["called_fake"],
        fnr=1 - fake["called_fake"],
        num_real=fp[:, -1],
        num_fake=tp[:, -1],
        reals_above=fp,
        fakes_above=tp,
        real=real,
        fake=fake,
        median_gap=cells.median_gap,
    )


def _average(cells: Cells, weights: np.ndarray, label: int) -> dict[str, np.ndarray]:
    """Return each quantity's mean (R,) over the samples of one class."""
    totals = weights[label].sum(axis=1)
    return {
        name: weights[label] @ means[label] / totals
        for name, means in cells.means.items()
    }


def divide_or_zero(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; 0 where there is nothing to count, as in scikit-learn."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1e-300), 0.0)


def compute_mcc(of: Decisions) -> np.ndarray:
    """Return Matthews correlation of truth and verdicts, (R,)."""
    scale = (of.tp + of.fp) * (of.tp + of.fn) * (of.tn + of.fp) * (of.tn + of.fn)
    return divide_or_zero(of.tp * of.tn - of.fp * of.fn, np.sqrt(scale))


def compute_d_prime(tally: Tally) -> np.ndarray:
    """Return by how many standard deviations the classes' means differ, (R,)."""
    gap = tally.median_gap + tally.fake["offset"] - tally.real["offset"]
    variances = [
        np.maximum(of["squared_offset"] - of["offset"] ** 2, 0.0)
        for of in (tally.real, tally.fake)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        d_prime = gap / np.sqrt((variances[REAL] + variances[FAKE]) / 2)
    return np.where(gap == 0, 0.0, d_prime)


def compute_auc(tally: Tally) -> np.ndarray:
    """Return the share of pairs whose fake scores above their real sample, (R,)."""
    fp, tp = tally.reals_above, tally.fakes_above
    fp_steps, tp_steps = np.diff(fp, prepend=0), np.diff(tp, prepend=0)
    concordant = (fp_steps * (tp - tp_steps / 2)).sum(axis=1)
    return concordant / (fp[:, -1] * tp[:, -1])


def compute_average_precision(tally: Tally) -> np.ndarray:
    """Return the area below the steps of the precision-recall curve, (R,)."""
    fp, tp = tally.reals_above, tally.fakes_above
    called_fake = np.maximum(fp + tp, 1)  # if it is 0, tp and its step are 0 as well
    steps = np.diff(tp, prepend=0)
    return (steps * tp / called_fake).sum(axis=1) / tp[:, -1]


def compute_eer(tally: Tally) -> np.ndarray:
    """Return the equal error rate on the straight lines between ROC points, (R,)."""
    fp = tally.reals_above
    index, fraction = _find_eer_crossing(fp, tally.fakes_above)
    before, after = _take_before(fp, index), _take_before(fp, index + 1)
    return (before + fraction * (after - before)) / fp[:, -1]


def _find_eer_crossing(fp: np.ndarray, tp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find where FPR = FNR: the ROC point at or after it, and how far along to it.

    The index (R,) is of the first point with FPR >= FNR, the fraction (R,) in (0, 1] of
    the way from the point before it (the origin, for index 0).
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

    If the crossing is itself a ROC point, every threshold down to the next score gives
    the same decisions; the middle is returned: 0.5 for real 0.1, fake 0.9.
    """
    fp, tp = samples.count_positives()
    (index,), (fraction,) = _find_eer_crossing(fp[None], tp[None])
    if fraction == 1.0:
        return samples.get_middle(index)
    upper, lower = samples.thresholds[max(index - 1, 0)], samples.thresholds[index]
    return float(upper + fraction * (lower - upper))


def compute_tpr_at_fpr(samples: SortedSamples, max_fpr: float) -> float | None:
    """Return the best TPR within a false-positive rate; None with too few samples."""
    fp, tp = samples.count_positives()
    allowed = max_fpr * fp[-1] + 1e-9  # 0.29 * 100 is 28.999999999999996
    if allowed < 1:
        return None
    num_points = np.searchsorted(fp, allowed, side="right")
    return float(tp[num_points - 1] / tp[-1]) if num_points else 0.0
