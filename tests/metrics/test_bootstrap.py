"""The bootstrap: what is drawn, and that its arithmetic is that of the metrics."""

import numpy as np
import pytest

from metrics import bootstrap
from metrics.bootstrap import (
    bootstrap_metrics,
    compute_logit_interval,
    compute_percentile_interval,
    compute_proportion_interval,
)
from metrics.measures import compute_metrics

LABELS = np.array([0, 1, 0, 1, 1, 0, 0])
SCORES = np.array([0.2, 0.7, 0.5, 0.5, 0.9, 0.6, 0.1])


def draw_all(labels, groups, num_resamples=50):
    weights = bootstrap.draw_bootstrap_weights(labels, groups, num_resamples, 3)
    return np.concatenate(list(weights))


def test_bootstrap_metrics_each_resample_equals_metrics_of_the_repeated_samples():
    values = bootstrap_metrics(SCORES, LABELS, 0.5, num_resamples=30, seed=3)
    order = np.argsort(-SCORES, kind="stable")
    weights = draw_all(LABELS[order], order, 30).astype(int)

    for resample, counts in enumerate(weights):
        chosen = np.repeat(order, counts)
        expected = compute_metrics(SCORES[chosen], LABELS[chosen], 0.5)
        for name in ("auc", "average_precision", "eer", "f1", "mcc", "brier", "ece"):
            value = values[name][resample]
            assert value == pytest.approx(expected[name], abs=1e-12), name


def test_draw_bootstrap_weights_keeps_the_size_of_each_class():
    weights = draw_all(LABELS, np.arange(7))

    assert weights.shape == (50, 7)
    np.testing.assert_array_equal(weights[:, LABELS == 1].sum(axis=1), 3)
    np.testing.assert_array_equal(weights[:, LABELS == 0].sum(axis=1), 4)


def test_draw_bootstrap_weights_draws_whole_groups_of_each_kind():
    labels = np.array([0, 0, 0, 1, 1, 0, 1, 0, 1])
    groups = np.array([0, 0, 1, 2, 3, 4, 4, 5, 5])  # 2 real, 2 fake, 2 mixed groups

    weights = draw_all(labels, groups)

    for first, second in ((0, 1), (5, 6), (7, 8)):
        np.testing.assert_array_equal(weights[:, first], weights[:, second])
    for one_of_each in ([0, 2], [3, 4], [5, 7]):
        np.testing.assert_array_equal(weights[:, one_of_each].sum(axis=1), 2)


def test_draw_bootstrap_weights_in_chunks_yields_every_resample(monkeypatch):
    monkeypatch.setattr(bootstrap, "_MAX_WEIGHTS_AT_ONCE", 30)

    chunks = list(bootstrap.draw_bootstrap_weights(LABELS, np.arange(7), 9, 0))

    assert [len(chunk) for chunk in chunks] == [4, 4, 1]


def test_compute_percentile_interval_is_the_middle_of_the_values():
    values = np.random.default_rng(0).permutation(np.arange(1001.0))

    assert compute_percentile_interval(values) == pytest.approx((25, 975))
    assert compute_percentile_interval(values, 0.5) == pytest.approx((250, 750))


@pytest.mark.parametrize("values", [[0.3, 0.3], [0.1, np.inf], [0.1, np.nan]])
def test_compute_percentile_interval_without_spread_is_none(values):
    assert compute_percentile_interval(np.array(values)) is None


def test_compute_logit_interval_small_spread_is_nearly_the_normal_interval():
    values = 0.4 + 1e-4 * np.random.default_rng(0).standard_normal(2000)
    margin = 1.959964 * values.std(ddof=1)

    interval = compute_logit_interval(values, 0.4)

    assert interval == pytest.approx((0.4 - margin, 0.4 + margin), abs=1e-7)


@pytest.mark.parametrize(("values", "estimate"), [([0.9, 1.0], 1.0), ([0.5], 0.5)])
def test_compute_logit_interval_where_it_fails_is_none(values, estimate):
    assert compute_logit_interval(np.array(values), estimate) is None


def test_compute_proportion_interval_all_hits_is_the_rule_of_three():
    low, high = compute_proportion_interval(100, 100, 0.9)

    assert high == 1
    assert low == pytest.approx(0.05 ** (1 / 100))


def test_bootstrap_metrics_no_resamples_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        bootstrap_metrics(SCORES, LABELS, num_resamples=0)
