"""ROC curves against hand-made ones, and their bands."""

import numpy as np

from metrics.roc import compute_roc_band, compute_roc_curve


def test_compute_roc_curve_ties_become_one_point():
    roc = compute_roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])

    np.testing.assert_array_equal(roc.false_positive_rates, [0, 0, 0.5, 1])
    np.testing.assert_array_equal(roc.true_positive_rates, [0, 0.5, 1, 1])
    np.testing.assert_array_equal(roc.thresholds, [np.inf, 0.9, 0.5, 0.1])


def test_compute_roc_band_holds_the_curve():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    scores = rng.normal(size=400) + labels
    fprs = np.linspace(0.05, 0.9, 10)

    low, high = compute_roc_band(scores, labels, fprs, num_resamples=200)

    roc = compute_roc_curve(scores, labels)
    steps = np.searchsorted(roc.false_positive_rates, fprs + 1e-12, side="right") - 1
    tprs = roc.true_positive_rates[steps]
    assert ((low <= tprs) & (tprs <= high)).all()
    assert (np.diff(low) >= 0).all()
    assert (high - low < 0.3).all()


def test_compute_roc_band_perfect_scores_is_the_corner():
    low, high = compute_roc_band([0, 0, 1, 1], [0, 0, 1, 1], [0, 0.5, 1])

    assert low.tolist() == high.tolist() == [1, 1, 1]


def test_compute_roc_band_inverted_scores_starts_at_zero():
    low, high = compute_roc_band([1, 1, 0, 0], [0, 0, 1, 1], [0, 0.5, 1])

    assert low.tolist() == high.tolist() == [0, 0, 1]
