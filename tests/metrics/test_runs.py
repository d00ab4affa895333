"""Several runs as one result, against tables worked out by hand and a simulation."""

import numpy as np
import pytest
from scipy import stats

from metrics.all_metrics import METRICS
from metrics.delong import compute_aucs_and_covariance, compute_delong_interval
from metrics.runs import (
    combine_runs,
    compare_means,
    compare_sets,
    estimate_covariances,
    measure_runs,
)
from metrics.samples import check_samples
from metrics.summary import bootstrap_metrics

COVARIANCE = np.array([[9.0, 1, 2], [1, 9, 3], [2, 3, 9]]) / 1000  # pairs: mean 0.002


def draw_runs(num_runs, num_images, seed=0, spread=0.3, groups=None):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], num_images // 2)
    shared = rng.normal(size=num_images)
    shifts = 1.5 + spread * rng.normal(size=num_runs)
    rows = [s * (labels - 0.5) + shared + rng.normal(size=num_images) for s in shifts]
    return [
        check_samples(row, labels, 0.0, fake_scores=None, groups=groups) for row in rows
    ]


def test_combine_runs_by_hand():
    mean = combine_runs(np.array([0.7, 0.8, 0.9]), COVARIANCE, 11)

    # MS = 0.01; MS / R + C = 0.00333 + 0.002, with 2 and 10 degrees of freedom
    assert mean[:3] == pytest.approx((0.8, 0.01 / 3, 0.002))
    assert mean.standard_error == pytest.approx((0.01 / 3 + 0.002) ** 0.5)
    free = (0.01 / 3 + 0.002) ** 2 / ((0.01 / 3) ** 2 / 2 + 0.002**2 / 10)
    assert mean.num_free == pytest.approx(free)
    assert mean.margin == pytest.approx(stats.t.ppf(0.975, free) * mean.standard_error)


def test_combine_runs_in_the_limits_is_hillis_or_what_is_left():
    values = np.array([0.7, 0.8, 0.9])
    hillis = 2 * ((0.01 + 3 * 0.002) / 0.01) ** 2  # Hillis 2007
    assert combine_runs(values, COVARIANCE, 10**9).num_free == pytest.approx(hillis)
    alike = combine_runs(np.full(3, 0.8), COVARIANCE, 11)  # MS is V - C = 0.007
    assert alike[1:3] == pytest.approx((0.007 / 3, 0.002))
    same = combine_runs(np.full(3, 0.8), np.full((3, 3), 0.002), 11)
    assert same[1:] == pytest.approx((0, 0.002, 10))
    apart = combine_runs(values, -COVARIANCE, 11)  # no variance is below 0
    assert apart[1:] == pytest.approx((0.01 / 3, 0, 2))


def test_compare_means_by_hand():
    values = np.array([0.7, 0.9]), np.array([0.5, 0.6, 0.7])
    covariance = np.full((5, 5), 0.001)  # across recipes
    covariance[:2, :2], covariance[2:, 2:] = 0.004, 0.002

    test = compare_means(values, covariance, 21)

    parts = (0.02 / 2, 1), (0.01 / 3, 2), (0.004 + 0.002 - 2 * 0.001, 20)
    variance = sum(part for part, _ in parts)
    free = variance**2 / sum(part**2 / number for part, number in parts)
    margin = stats.t.ppf(0.975, free) * variance**0.5
    expected = (0.2, 0.2 - margin, 0.2 + margin, free)
    assert test[:4] == pytest.approx(expected)
    p_value = 2 * stats.t.sf(0.2 / variance**0.5, free)
    assert test.p_value == pytest.approx(p_value)


@pytest.mark.slow
@pytest.mark.parametrize("num_groups", [None, 20])
def test_estimate_covariances_are_delongs_and_those_of_the_bootstrap(num_groups):
    groups = num_groups and np.arange(200) % num_groups  # of both classes
    runs = draw_runs(2, 200, groups=groups)
    found = estimate_covariances(runs, num_resamples=2000)
    index = np.arange(200) if groups is None else groups
    rows = np.stack([run.scores for run in runs])
    expected = compute_aucs_and_covariance(rows, runs[0].labels, index)[1]
    np.testing.assert_array_equal(found["auc"], expected)
    assert {"eer", "accuracy", "d_prime"} < found.keys()
    assert not {"min_cllr", "tpr_at_fpr_0.01", "cllr"} & found.keys()
    units = runs[0].units.smaller
    for name in ("eer", "accuracy", "mcc"):
        for place, run in enumerate(runs):
            alone = bootstrap_metrics(run, num_resamples=2000)[name]
            variance = np.var(alone, ddof=1) * units / (units - 1)
            assert found[name][place, place] == pytest.approx(variance, rel=0.2)
        assert 0 < found[name][0, 1] < found[name][0, 0]  # half of the noise is shared


def test_estimate_covariances_draws_the_same_images_for_each_run():
    run = draw_runs(1, 60)[0]
    turned = check_samples(run.scores * 3 + 1, run.labels, 1.0)  # the same order
    found = estimate_covariances([run, turned], num_resamples=50)
    for name in ("eer", "accuracy", "average_precision"):
        assert found[name] == pytest.approx(np.full((2, 2), found[name][0, 0]))


def test_measure_runs_gives_mean_spread_and_interval_of_every_metric():
    runs = draw_runs(3, 240)
    numbers = measure_runs(runs, num_resamples=100)
    assert (numbers["num_runs"], numbers["num_real"]) == (3, 120)
    for name in METRICS:
        values = numbers.get(f"{name}_runs")
        if values is None:
            assert numbers[name] is numbers[f"{name}_interval"] is None
            continue
        assert numbers[name] == pytest.approx(np.mean(values))
        assert numbers[f"{name}_deviation"] == pytest.approx(np.std(values, ddof=1))
        assert numbers[f"{name}_range"] == [min(values), max(values)]
        interval = numbers[f"{name}_interval"]
        assert (interval is None) == (f"{name}_variance" not in numbers)
        assert interval is None or interval[0] < numbers[name] < interval[1]
    assert numbers["min_cllr_interval"] is numbers["tpr_at_fpr_0.01_interval"] is None
    assert numbers["log_loss"] is None  # these scores are no probabilities
    width = np.ptp(numbers["auc_interval"])
    single = compute_delong_interval(runs[0].scores, runs[0].labels)
    assert width > single.high - single.low


def test_measure_runs_perfect_ones_get_the_bound_of_their_images():
    labels = np.repeat([0, 1], 20)
    runs = [check_samples(labels + shift * np.arange(40), labels) for shift in (0, 1)]
    numbers = measure_runs(runs, num_resamples=100)
    single = compute_delong_interval(labels, labels)
    assert numbers["auc"] == 1
    assert numbers["auc_interval"] == [single.low, 1]


def test_compare_sets_finds_a_difference_and_no_other():
    good, again = draw_runs(4, 400, spread=0.05), draw_runs(5, 400, 0, spread=0.05)
    poor = [check_samples(run.scores - run.labels, run.labels, 0.0) for run in again]
    found = compare_sets(good, poor, num_resamples=100)
    assert {"auc", "eer", "accuracy", "average_precision"} < found.keys()
    assert found["auc"].low > 0
    assert found["auc"].p_value < 1e-4
    assert found["eer"].high < 0
    same = compare_sets(good, again, num_resamples=100)["auc"]
    assert same.low < 0 < same.high
    assert same.p_value > 0.05
