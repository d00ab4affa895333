"""Rates with exact intervals: proportions, groups, TPR at an FPR, operating points."""

import numpy as np
import pytest
from metrics.cells import Samples, check_samples
from scipy import integrate, stats

from metrics.error_rates import (
    Proportion,
    bound_separated,
    compute_proportion_interval,
    compute_tpr_intervals,
    count_hits,
    describe_point,
)


def test_compute_proportion_interval_all_hits_is_the_rule_of_three():
    low, high = compute_proportion_interval(100, 100, 0.9)

    assert high == 1
    assert low == pytest.approx(0.05 ** (1 / 100))


@pytest.mark.parametrize("hits", [0, 1, 7, 12])
def test_compute_proportion_interval_equals_scipy(hits):
    expected = stats.binomtest(hits, 12).proportion_ci(0.95, "exact")

    interval = compute_proportion_interval(hits, 12)

    assert interval == pytest.approx((expected.low, expected.high))


def test_count_hits_groups_of_copies_are_worth_their_number():
    rng = np.random.default_rng(0)
    single = rng.random(2000) < 0.3
    groups = np.repeat(np.arange(2000), 5)

    counted = count_hits(np.repeat(single, 5), groups)

    assert counted.share == pytest.approx(single.mean())
    assert counted.num_trials == pytest.approx(2000, rel=0.01)


def test_count_hits_groups_by_hand():
    # Shares of 1, 1/2, 0, 1/2 in groups of two: sums of deviations 1, 0, -1, 0.
    hits = np.array([1, 1, 1, 0, 0, 0, 0, 1], dtype=bool)
    variance = 4 / 3 * 2 / 8**2
    factor = (stats.t.ppf(0.975, 7) / stats.t.ppf(0.975, 3)) ** 2

    counted = count_hits(hits, np.repeat([3, 0, 2, 7], 2))

    assert counted.num_trials == pytest.approx(0.25 / variance * factor)


@pytest.mark.parametrize("groups", [np.array([0, 0, 1, 1]), np.zeros(4, dtype=int)])
def test_count_hits_where_all_agree_the_groups_are_counted(groups):
    counted = count_hits(np.ones(4, dtype=bool), groups)

    assert counted == Proportion(np.unique(groups).size, np.unique(groups).size)


def test_compute_tpr_intervals_equal_the_mixture_of_betas():
    # Two reals at 0 and 1, fakes at -1, 0.5, 2, 3: above 0, 1, 2 reals lie 0, 2, 3.
    samples = Samples(np.array([0, 1, -1, 0.5, 2, 3.0]), np.repeat([0, 1], [2, 4]))
    above, rate = [0, 2, 3], 0.4
    weights = stats.binom.pmf([0, 1, 2], 2, rate)

    (low,), (high,) = compute_tpr_intervals(samples, [rate])

    for end, level in ((low, 0.025), (high, 0.975)):
        parts = [stats.beta.cdf(end, x + 0.5, 4 - x + 0.5) for x in above]
        assert weights @ parts == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize(("num_real", "max_fpr"), [(100, 0.01), (1000, 0.001)])
def test_compute_tpr_intervals_hold_the_truth_where_the_bootstrap_did_not(
    num_real, max_fpr
):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [num_real, 200])
    truth = stats.norm.sf(stats.norm.isf(max_fpr) - 2)
    held = 0
    for _ in range(200):
        samples = Samples(rng.normal(size=labels.size) + 2 * labels, labels)
        (low,), (high,) = compute_tpr_intervals(samples, [max_fpr])
        held += low <= truth <= high

    assert 184 <= held <= 199  # 190 expected; the percentile bootstrap 82 and 71 %


def test_compute_tpr_intervals_groups_widen_them():
    rng = np.random.default_rng(1)
    labels, groups = np.repeat([0, 1], 500), np.arange(1000) // 10
    scores = rng.normal(size=100)[groups] + 0.3 * rng.normal(size=1000) + labels
    samples = Samples(scores, labels)

    naive = compute_tpr_intervals(samples, [0.1])
    grouped = compute_tpr_intervals(samples, [0.1], groups)

    assert np.diff(grouped, axis=0) > 1.5 * np.diff(naive, axis=0)


def test_bound_separated_is_what_separation_makes_unlikely():
    bounds = bound_separated(30, 20)

    assert (1 - bounds.fpr) ** 30 + (1 - bounds.fnr) ** 20 == pytest.approx(0.025)
    assert bounds.eer == bounds.fnr


def test_bound_separated_average_precision_is_the_area_of_the_worst_curve():
    bounds = bound_separated(50, 40)
    odds = 50 / 40

    def precision(recall):
        fpr = bounds.fpr if recall < 1 - bounds.fnr else 1.0
        return recall / (recall + fpr * odds)

    area, _ = integrate.quad(precision, 0, 1, points=[1 - bounds.fnr])

    computed = bounds.compute_average_precision(40 / 90)
    assert computed == pytest.approx(area, abs=1e-6)


def test_bound_separated_min_cllr_is_that_of_two_ratios():
    fpr, fnr, *_ = bounds = bound_separated(50, 40)
    ratios = (1 - fnr) / fpr, fnr / (1 - fpr)
    fake = (1 - fnr) * np.log2(1 + 1 / ratios[0]) + fnr * np.log2(1 + 1 / ratios[1])
    real = fpr * np.log2(1 + ratios[0]) + (1 - fpr) * np.log2(1 + ratios[1])

    assert bounds.compute_min_cllr() == pytest.approx((fake + real) / 2)


def test_describe_point_is_bayes_rule():
    # Real: 1 of 10 called fake; fake: 8 of 10 called so. At 1 % fakes:
    # PPV = .01 * .8 / (.01 * .8 + .99 * .1), NPV = .99 * .9 / (.99 * .9 + .01 * .2).
    labels = np.repeat([0, 1], 10)
    called = np.r_[[True] + [False] * 9, [True] * 8 + [False] * 2]
    samples = check_samples(called.astype(float), labels)

    point = describe_point(samples, called, prevalence=0.01)

    assert (point["fpr"], point["fnr"]) == (0.1, 0.2)
    expected = stats.binomtest(1, 10).proportion_ci(0.95, "exact")
    assert point["fpr_interval"] == pytest.approx([expected.low, expected.high])
    assert point["ppv"] == pytest.approx(0.008 / 0.107)
    assert point["npv"] == pytest.approx(0.891 / 0.893)
    for name in ("ppv", "npv"):
        low, high = point[f"{name}_interval"]
        assert low < point[name] < high


def test_describe_point_without_an_error_lies_in_its_intervals():
    samples = check_samples(np.repeat([0.1, 0.9], 20), np.repeat([0, 1], 20))

    point = describe_point(samples, samples.scores > 0.5, prevalence=0.05)

    for name in ("ppv", "npv"):
        low, high = point[f"{name}_interval"]
        assert low < point[name] == high == 1


def test_describe_point_nothing_called_fake_has_no_ppv():
    samples = check_samples([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1])

    point = describe_point(samples, np.zeros(4, dtype=bool), prevalence=0.5)

    assert (point["ppv"], point["npv"]) == (None, 0.5)


def test_describe_point_without_prevalence_has_no_predictive_values():
    samples = check_samples([0.1, 0.9], [0, 1])

    point = describe_point(samples, samples.called_fake)

    assert point["ppv"] is None
    assert point["npv_interval"] is None
