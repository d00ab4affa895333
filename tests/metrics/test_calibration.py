"""EER, thresholds, temperature and calibration error: tables worked out by hand."""

import numpy as np
import pytest
from scipy import optimize

from metrics.calibration import (
    choose_threshold,
    compute_fake_scores,
    fit_temperature,
    parse_threshold_policy,
)
from metrics.measures import (
    compute_ece,
    compute_eer,
    compute_metrics,
    compute_reliability_bins,
    compute_roc_curve,
)


@pytest.mark.parametrize(
    ("scores", "labels", "eer", "threshold"),
    [
        # ROC (0, 0) (0, 1/2) (1/3, 1/2) (1/3, 1): FPR = FNR on the last edge at 1/3.
        ([0.9, 0.8, 0.7, 0.2, 0.1], [1, 0, 1, 0, 0], 1 / 3, 0.8 - 0.1 / 3),
        # One tied step (0, 0) to (1, 1) crosses in the middle.
        ([0.4, 0.4, 0.4], [0, 1, 0], 0.5, 0.4),
        # ROC (0, 0) (1/2, 1/2) is the crossing itself: anything from 0.6 down to 0.2.
        ([0.6, 0.6, 0.2, 0.2], [0, 1, 0, 1], 0.5, 0.4),
        ([0.1, 0.9], [0, 1], 0.0, 0.5),
        ([0.9, 0.1], [0, 1], 1.0, 0.5),
    ],
    ids=["between", "constant", "on a point", "perfect", "inverted"],
)
def test_compute_eer_known_curves_are_interpolated(scores, labels, eer, threshold):
    assert compute_eer(scores, labels) == pytest.approx((eer, threshold))


@pytest.mark.parametrize("seed", range(5))
def test_compute_eer_equals_a_root_of_the_interpolated_curve(seed):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 30)]
    scores = (rng.random(32) + 0.4 * labels).round(1)
    roc = compute_roc_curve(scores, labels)
    fpr, fnr = roc.false_positive_rates, 1 - roc.true_positive_rates
    place = np.arange(fpr.size)  # along the curve, one unit an edge

    root = optimize.brentq(
        lambda t: np.interp(t, place, fpr) - np.interp(t, place, fnr), 0, place[-1]
    )

    assert compute_eer(scores, labels).eer == pytest.approx(np.interp(root, place, fpr))


def test_choose_threshold_eer_policy_separates_separable_scores():
    assert choose_threshold([0.1, 0.3, 0.6, 0.9], [0, 0, 1, 1]) == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("policy", "threshold"),
    [
        ("fpr=0", 0.85),  # only the fake .9, half-way down to the real .8
        ("fpr=0.25", 0.65),  # one of four reals: fakes .9 .7, down to the real .6
        ("fpr=0.5", 0.45),
        ("fpr=0.99", 0.45),  # more false positives would find nothing more
    ],
)
def test_choose_threshold_fpr_policy_finds_most_within_its_bound(policy, threshold):
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    labels = [1, 0, 1, 0, 1, 0, 0]

    chosen = choose_threshold(scores, labels, policy)

    assert chosen == pytest.approx(threshold)
    computed = compute_metrics(scores, labels, chosen)
    assert 1 - computed["real_accuracy"] <= float(policy[4:])


def test_choose_threshold_fpr_policy_with_a_real_on_top_calls_nothing_fake():
    chosen = choose_threshold([0.9, 0.8], [0, 1], "fpr=0")

    assert 0.9 < chosen < 0.9001


@pytest.mark.parametrize(
    "policy", ["best", "fpr", "fpr=", "fpr=1", "fpr=-1", "fpr=nan"]
)
def test_parse_threshold_policy_unknown_is_refused(policy):
    with pytest.raises(ValueError, match=r"'eer' or 'fpr=RATE'.*got"):
        parse_threshold_policy(policy)


def test_compute_reliability_bins_hand_made_table():
    # Bins of width 0.2: 0.2 opens the second, 1.0 closes the last.
    bins = compute_reliability_bins([0.1, 0.2, 0.3, 0.85, 1.0], [0, 1, 0, 1, 1], 5)

    np.testing.assert_allclose(bins.mean_scores, [0.1, 0.25, 0.925])
    np.testing.assert_allclose(bins.fake_fractions, [0, 0.5, 1])
    np.testing.assert_array_equal(bins.counts, [1, 2, 2])


def test_compute_ece_hand_made_table_and_metrics_agree():
    scores, labels = [0.1, 0.2, 0.3, 0.85, 1.0], [0, 1, 0, 1, 1]

    assert compute_ece(scores, labels, 5) == pytest.approx((0.1 + 0.5 + 0.15) / 5)
    assert compute_ece(scores, labels) == pytest.approx(
        compute_metrics(scores, labels)["ece"], abs=1e-12
    )


def test_fit_temperature_overconfident_logits_are_brought_back():
    rng = np.random.default_rng(0)
    honest = rng.normal(scale=2, size=20_000)
    labels = (rng.random(honest.size) < 1 / (1 + np.exp(-honest))).astype(int)

    assert fit_temperature(3 * honest, labels) == pytest.approx(3, rel=0.05)
    two_columns = np.column_stack([-1.5 * honest, 1.5 * honest])
    assert fit_temperature(two_columns, labels) == pytest.approx(3, rel=0.05)


def test_fit_temperature_minimises_the_log_loss():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    logits = 4 * (rng.normal(size=200) + labels - 0.5)

    best = fit_temperature(logits, labels)

    losses = [
        compute_metrics(compute_fake_scores(logits, t), labels)["log_loss"]
        for t in (best / 1.05, best, best * 1.05)
    ]
    assert losses[1] < min(losses[0], losses[2])


@pytest.mark.parametrize(
    ("logits", "temperature"), [([-1, -2, 1, 2], 1.0), ([1, 2, -1, -2], 20.0)]
)
def test_fit_temperature_no_finite_optimum_is_defined(logits, temperature):
    fitted = fit_temperature(logits, [0, 0, 1, 1])

    assert fitted == pytest.approx(temperature, rel=1e-4)


def test_compute_fake_scores_is_the_softmax_of_scaled_logits():
    scores = compute_fake_scores([[1.0, 3.0], [0.0, 0.0]], 2.0)

    np.testing.assert_allclose(scores, [1 / (1 + np.exp(-1)), 0.5])


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf])
def test_compute_fake_scores_bad_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="positive number"):
        compute_fake_scores([0.0], temperature)


def test_compute_fake_scores_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"got \(1, 3\)"):
        compute_fake_scores([[1.0, 2.0, 3.0]])
