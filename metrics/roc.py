"""The ROC curve's points, and the band around it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from metrics.cells import Samples
from metrics.checks import check_scores_and_labels
from metrics.error_rates import compute_tpr_intervals

# Dense near 0 and 1, where a DET curve looks closely.
_ENDS = np.geomspace(1e-4, 0.1, 60)
_BAND_FPRS = np.unique(np.concatenate([_ENDS, np.linspace(0, 1, 101), 1 - _ENDS]))
_MAX_CURVE_FPRS = 500  # of more, the band is given between the curve's own points


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


def compute_roc_curve(scores: ArrayLike, labels: ArrayLike) -> RocCurve:
    """Compute every point of the ROC curve, positive class fake.

    Args:
        scores: (N,) finite numbers, higher is more fake.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        The points, a distinct score each after the origin at threshold infinity.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    scores, labels = check_scores_and_labels(scores, labels)
    return RocCurve(*roc_curve(labels, scores, drop_intermediate=False))


def compute_roc_band(
    samples: Samples,
    curve: RocCurve,
    group_index: np.ndarray | None = None,
    *,
    seed: int = 0,
) -> RocBand:
    """Compute the pointwise 95 % band of the ROC curve.

    Args:
        samples: what was judged.
        curve: their ROC curve.
        group_index: (N,) the number of each sample's group.
        seed: of the draws.

    Returns:
        The intervals of `compute_tpr_intervals` at rates dense near 0 and 1 and, of
        curves of few points, at those; widened where the curve itself, drawn with
        straight lines between its points, leaves them.
    """
    own = np.unique(curve.false_positive_rates)
    fprs = np.union1d(_BAND_FPRS, own) if own.size <= _MAX_CURVE_FPRS else _BAND_FPRS
    low, high = compute_tpr_intervals(samples, fprs, group_index, seed=seed)
    rates = curve.false_positive_rates, curve.true_positive_rates
    foot, top = _read_curve(*rates, fprs)
    low, high = np.minimum(low, foot), np.maximum(high, top)
    # As rising as the curve is, whatever the draws' own chance.
    low = np.minimum.accumulate(low[::-1])[::-1]
    return RocBand(fprs, low, np.maximum.accumulate(high))


def _read_curve(
    fpr: np.ndarray, tpr: np.ndarray, fprs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve's lowest and highest TPR at each rate: they differ on rises."""
    between = np.interp(fprs, fpr, tpr)
    first = np.searchsorted(fpr, fprs, side="left")
    last = np.searchsorted(fpr, fprs, side="right") - 1
    is_point = fpr[np.minimum(first, fpr.size - 1)] == fprs
    return (
        np.where(is_point, tpr[np.minimum(first, fpr.size - 1)], between),
        np.where(is_point, tpr[last], between),
    )
