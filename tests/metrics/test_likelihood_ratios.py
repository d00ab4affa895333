"""Likelihood ratios: costs worked out by hand, and fits with known answers."""

import numpy as np
import pytest

from metrics.likelihood_ratios import (
    compute_cross_fitted_cllr,
    compute_min_cllr,
    compute_platt_targets,
    describe_cllr,
    describe_llr_bounds,
    describe_median_ratios,
    fit_llr_calibration,
)
from metrics.meaning import LlrCalibration, describe_likelihood_ratio, describe_limit
from metrics.samples import check_samples
from metrics.summary import measure_samples


def compute_cllr(llrs, labels):
    samples = check_samples(llrs, labels, llrs=llrs)
    return measure_samples(samples)["cllr"]


def cumulate(scores, labels):
    order = np.argsort(-np.asarray(scores))
    is_fake = np.asarray(labels)[order]
    return np.cumsum(1 - is_fake)[None], np.cumsum(is_fake)[None]


def test_cllr_four_ratios_by_hand():
    # Ratios: fakes 3 and 1, reals 1/3 and 3. Costs in bits: fakes log2(1 + 1/3) and 1,
    # reals log2(1 + 1/3) and log2(1 + 3) = 2.
    llrs = np.log([3, 1, 1 / 3, 3])
    costs = (np.log2(4 / 3) + 1) / 2, (np.log2(4 / 3) + 2) / 2

    assert compute_cllr(llrs, [1, 1, 0, 0]) == pytest.approx(np.mean(costs))
    # No evidence costs a bit, and misleading evidence more.
    assert compute_cllr([0.0] * 6, [0, 0, 0, 0, 0, 1]) == pytest.approx(1)
    assert compute_cllr([5.0, -5.0], [0, 1]) > 7
    assert compute_cllr([-800.0, 800.0], [0, 1]) == 0


# The middle two of the last violate the order and are pooled to one half: they cost one
# bit each, the outer two nothing.
@pytest.mark.parametrize(
    ("labels", "expected"),
    [([0, 0, 1, 1], 0), ([1, 1, 0, 0], 1), ([0, 1, 0, 1], 0.5)],
)
def test_compute_min_cllr_four_samples_by_hand(labels, expected):
    fp, tp = cumulate([1, 2, 3, 4], labels)

    (found,) = compute_min_cllr(fp, tp)
    assert found == pytest.approx(expected) and not np.signbit(found)


def test_cllr_and_min_cllr_equal_those_of_the_netherlands_forensic_institute():
    # What lir 1.3.1 gives for these ratios; it brings 40 packages, 500 MB.
    number = np.arange(60)
    labels = (number % 3 == 0).astype(int)
    llrs = np.round(3 * np.sin(number**2) + 2 * labels - 1, 1)  # some are equal

    assert compute_cllr(llrs, labels) == pytest.approx(0.9642086167143579, abs=1e-9)
    min_cllr = compute_min_cllr(*cumulate(llrs, labels))[0]
    assert min_cllr == pytest.approx(0.5857721959307538, abs=1e-9)


def test_compute_cross_fitted_cllr_two_folds_by_hand():
    # Falling: two fakes, two reals, each fold one of each. By the other's fake above
    # its real, set off by one real above and one fake below, all is one half.
    counts = np.array([[0, 0, 1, 1], [1, 1, 0, 0]])
    folds = [
        np.array([[0, 0, 1, 0], [1, 0, 0, 0]]),
        np.array([[0, 0, 0, 1], [0, 1, 0, 0]]),
    ]

    assert compute_cross_fitted_cllr(counts, folds) == pytest.approx(1)


def test_compute_cross_fitted_cllr_lies_above_the_truth_that_min_cllr_is_below():
    rng = np.random.default_rng(0)
    resubstituted, cross_fitted = [], []
    for _ in range(30):
        labels = np.repeat([0, 1], 50)
        scores = rng.normal(size=100) + 2 * labels
        fp, tp = cumulate(scores, labels)
        resubstituted.append(compute_min_cllr(fp, tp)[0])
        is_fake = labels[np.argsort(-scores)]
        counts = np.stack([1 - is_fake, is_fake])
        parts = [counts * (np.arange(100) % 5 == fold) for fold in range(5)]
        cross_fitted.append(compute_cross_fitted_cllr(counts, parts))

    # The truth by a great many samples of these two normal distributions.
    scores = rng.normal(size=(2, 200_000)) + np.array([[0], [2]])
    labels = np.repeat([0, 1], 200_000)
    truth = compute_cllr((2 * scores - 2).ravel(), labels)
    assert np.mean(resubstituted) < truth - 0.03
    assert np.mean(cross_fitted) > truth + 0.03


def test_compute_cross_fitted_cllr_class_in_one_fold_is_nan():
    folds = [np.array([[0, 1, 0], [1, 0, 0]]), np.array([[0, 0, 0], [0, 0, 1]])]

    assert np.isnan(compute_cross_fitted_cllr(sum(folds), folds))


def test_compute_platt_targets_are_platts():
    targets = compute_platt_targets(np.array([0, 1, 1]), np.ones(3))

    assert targets == pytest.approx([1 / 3, 3 / 4, 3 / 4])


@pytest.mark.parametrize("share_fake", [0.5, 0.05])
def test_fit_llr_calibration_of_normal_scores_is_their_ratio_whatever_the_share(
    share_fake,
):
    rng = np.random.default_rng(0)
    labels = (rng.random(40_000) < share_fake).astype(int)
    # Of N(1, 2**2) against N(4, 2**2): llr = (4 - 1) / 4 * (score - 2.5).
    scores = 2 * rng.normal(size=labels.size) + 1 + 3 * labels

    line = fit_llr_calibration(scores, labels)

    assert line[:2] == pytest.approx((0.75, -1.875), abs=0.1)
    assert line.compute_llrs([2.5]) == pytest.approx([0], abs=0.1)


def test_fit_llr_calibration_separable_classes_stay_within_the_odds_of_their_number():
    scores, labels = np.repeat([-1.0, 1.0], 50), np.repeat([0, 1], 50)

    line = fit_llr_calibration(scores, labels)

    assert line.extrapolate([-1, 1]) == pytest.approx([-np.log(51), np.log(51)], 1e-3)
    near_50 = pytest.approx(np.log(50), abs=0.01 * np.log(10))
    assert (-line.compute_llrs([-9])[0], line.compute_llrs([9])[0]) == (near_50,) * 2
    # Equal scores are no evidence.
    assert fit_llr_calibration([2.0, 2.0, 2.0], [0, 1, 1]) == (0, 0, 0, 0)


def test_llr_calibration_says_the_bound_on_the_side_of_a_ratio():
    line = LlrCalibration(1, 0, -3.0, 2.0)

    assert line.compute_llrs([-9, -1, 1, 9]).tolist() == [-3, -1, 1, 2]
    assert [line.get_limit(llr) for llr in (-1.0, 0.0, 1.0)] == [-3, 2, 2]
    unknown = LlrCalibration.restore(1, 0, None, None)
    assert unknown.compute_llrs([-9, 9]).tolist() == [-9, 9]
    assert unknown.get_limit(-1.0) is unknown.get_limit(1.0) is None


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_fit_llr_calibration_scale_of_scores_does_not_matter(scale):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    scores = rng.normal(size=200) + labels

    plain, scaled = (fit_llr_calibration(s, labels) for s in (scores, scale * scores))

    assert scaled.slope * scale == pytest.approx(plain.slope, rel=1e-4)
    assert scaled.intercept == pytest.approx(plain.intercept, abs=1e-4)


@pytest.mark.parametrize(
    ("cllr", "words"),
    [
        (1.02, "worse than no evidence"),
        (1 + 1e-9, "no better than no evidence"),
        (0.9, "hardly better"),
        (0.25, "75 % of the way"),
    ],
)
def test_describe_cllr_says_what_it_is_worth(cllr, words):
    assert words in describe_cllr(cllr, 0.2)


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1, "no support for either"),
        (1.9, "no support for either"),
        (2, "weak support for 'fake'"),
        (1 / 9.9, "weak support for 'real'"),
        (10, "moderate support for 'fake'"),
        (0.01, "moderately strong support for 'real'"),
        (1e3, "strong support for 'fake'"),
        (2e4, "very strong support for 'fake'"),
        (1e-300, "extremely strong support for 'real'"),
    ],
)
def test_describe_likelihood_ratio_uses_the_words_of_enfsi(ratio, words):
    assert describe_likelihood_ratio(np.log(ratio)) == words


def test_describe_median_ratios_says_both_ways():
    llrs = np.log([0.02, 1 / 8, 3, 2, 25, 90])

    words = describe_median_ratios(llrs, np.array([0, 0, 0, 1, 1, 1]))

    assert words == (
        "the median fake's ratio is 25 to 1, moderate support for 'fake'; "
        "the median real sample's is 1 to 8, weak support for 'real'"
    )


def test_describe_llr_bounds_says_them_as_ratios_and_who_is_there():
    llrs, labels = np.log([0.1, 0.1, 3, 25, 2]), np.array([0, 0, 0, 1, 1])

    words = describe_llr_bounds(llrs, labels, (np.log(0.1), np.log(25)))

    assert words.startswith("their bounds are 1 to 10 ... 25 to 1: ")
    assert words.endswith("at a bound are 1 of 2 fake and 2 of 3 real samples")
    assert "not known" in describe_llr_bounds(llrs, labels, (-np.inf, np.inf))


@pytest.mark.parametrize(
    ("llr", "limit", "num_samples", "words"),
    [
        (1.0, 2.0, 9, ""),
        (2.0, 2.0, 1200, " (at its bound: 1,200 validation images support no larger"),
        (-2.0, -2.0, 0, " (at its bound: the validation images support no larger one)"),
        (2.0, None, 9, " (no bound is known: such a ratio may claim more than its "),
    ],
)
def test_describe_limit_says_where_a_ratio_ends(llr, limit, num_samples, words):
    described = describe_limit(llr, limit, num_samples)
    assert described.startswith(words) and bool(described) == bool(words)
