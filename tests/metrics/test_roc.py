"""ROC curves against hand-made ones, and their bands."""

from itertools import pairwise

import numpy as np
import pytest
from metrics.cells import Samples
from metrics.roc import compute_roc_band, compute_roc_curve


def compute_band(scores, labels):
    curve = compute_roc_curve(scores, labels)
    samples = Samples(np.asarray(scores, dtype=float), np.asarray(labels))
    return curve, compute_roc_band(samples, curve)


def test_compute_roc_curve_ties_become_one_point():
    roc = compute_roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])

    np.testing.assert_array_equal(roc.false_positive_rates, [0, 0, 0.5, 1])
    np.testing.assert_array_equal(roc.true_positive_rates, [0, 0.5, 1, 1])
    np.testing.assert_array_equal(roc.thresholds, [np.inf, 0.9, 0.5, 0.1])


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("num_samples", [5, 40, 400])
def test_compute_roc_band_holds_the_drawn_curve(num_samples, decimals):
    rng = np.random.default_rng(num_samples)
    labels = np.r_[0, 1, rng.integers(0, 2, num_samples - 2)]
    scores = (rng.normal(size=num_samples) + labels).round(decimals)

    curve, band = compute_band(scores, labels)

    # Along every straight line of the curve, its rises and its slopes over ties.
    steps = np.linspace(0, 1, 7)
    fpr, tpr = (
        np.concatenate([a + steps * (b - a) for a, b in pairwise(of)])
        for of in curve[:2]
    )
    low, high = (np.interp(fpr, band[0], end) for end in band[1:])
    assert (low <= tpr + 1e-9).all()
    assert (tpr <= high + 1e-9).all()
    assert (np.diff(band.low) >= 0).all()
    assert (np.diff(band.high) >= 0).all()


def test_compute_roc_band_of_many_is_narrow():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 2000)

    _, band = compute_band(rng.normal(size=4000) + labels, labels)

    assert (band.high - band.low)[band.false_positive_rates > 0.01].max() < 0.12


@pytest.mark.parametrize(
    ("scores", "corner"), [([0, 0, 1, 1], (0, 1)), ([1, 1, 0, 0], (1, 0))]
)
def test_compute_roc_band_of_four_samples_claims_next_to_nothing(scores, corner):
    _, band = compute_band(scores, [0, 0, 1, 1])

    middle = np.searchsorted(band.false_positive_rates, 0.5)
    assert band.high[middle] - band.low[middle] > 0.5
    assert band.low[0] == 0
    assert band.high[-1] == 1
    at_corner = band.false_positive_rates == corner[0]
    assert (band.low[at_corner] <= corner[1]).all()
