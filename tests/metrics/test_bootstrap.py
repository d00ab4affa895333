"""The bootstrap: what is drawn, and that its arithmetic is that of the metrics."""

import numpy as np
import pytest
from metrics.cells import Samples, build_cells, check_samples

from metrics import bootstrap
from metrics.bootstrap import bootstrap_metrics, compute_bootstrap_interval
from metrics.measures import measure

LABELS = np.array([0, 1, 0, 1, 1, 0, 0])
SCORES = np.array([0.2, 0.7, 0.5, 0.5, 0.9, 0.6, 0.1])
SAMPLES = check_samples(SCORES, LABELS, fake_scores=SCORES, llrs=8 * SCORES - 4)


def draw_all(labels, groups=None, num_resamples=50):
    """Return how often each sample was drawn, (R, N)."""
    cells = build_cells(Samples(np.arange(labels.size, 0.0, -1), labels))
    if groups is None:
        chunks = bootstrap.draw_weights(cells, num_resamples, 3)
    else:
        chunks = bootstrap.draw_group_weights(
            cells, labels, groups, num_resamples, seed=3
        )
    return np.concatenate(list(chunks), axis=1).sum(axis=0)


@pytest.mark.parametrize("groups", [None, np.array([0, 1, 0, 2, 1, 3, 4])])
def test_bootstrap_metrics_each_resample_equals_metrics_of_the_repeated_samples(groups):
    values = bootstrap_metrics(SAMPLES, groups, num_resamples=30, seed=3)
    cells = build_cells(SAMPLES)
    draws = (
        bootstrap.draw_weights(cells, 30, 3)
        if groups is None
        else bootstrap.draw_group_weights(cells, LABELS, groups, 30, seed=3)
    )
    weights = np.concatenate(list(draws), axis=1).sum(axis=0).astype(int)

    for resample, counts in enumerate(weights):
        chosen = np.repeat(np.arange(7), counts[cells.index])
        expected = measure(
            check_samples(
                SCORES[chosen],
                LABELS[chosen],
                fake_scores=SCORES[chosen],
                llrs=8 * SCORES[chosen] - 4,
            )
        )
        for name in ("auc", "average_precision", "eer", "f1", "mcc", "brier", "cllr"):
            value = values[name][resample]
            assert value == pytest.approx(expected[name], abs=1e-12), name
        assert values["min_cllr"][resample] == pytest.approx(expected["min_cllr"])


def test_draw_weights_keeps_the_size_of_each_class():
    weights = draw_all(LABELS)

    assert weights.shape == (50, 7)
    np.testing.assert_array_equal(weights[:, LABELS == 1].sum(axis=1), 3)
    np.testing.assert_array_equal(weights[:, LABELS == 0].sum(axis=1), 4)


def test_draw_weights_pooled_cells_spread_as_single_samples_do():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 400)
    samples = Samples(rng.normal(size=800), labels)

    spreads = []
    for cells in (build_cells(samples), build_cells(samples, 50)):
        weights = np.concatenate(list(bootstrap.draw_weights(cells, 4000, 1)), axis=1)
        top = cells.counts[0].cumsum() <= 100
        spreads.append(weights[0][:, top].sum(axis=1).std())

    # Of 400 draws about a quarter: sqrt(400 * 1/4 * 3/4) = 8.66.
    assert spreads == pytest.approx([8.66, 8.66], rel=0.07)


def test_draw_group_weights_draws_whole_groups_of_each_kind():
    labels = np.array([0, 0, 0, 1, 1, 0, 1, 0, 1])
    groups = np.array([0, 0, 1, 2, 3, 4, 4, 5, 5])  # 2 real, 2 fake, 2 mixed groups

    weights = draw_all(labels, groups)

    for first, second in ((0, 1), (5, 6), (7, 8)):
        np.testing.assert_array_equal(weights[:, first], weights[:, second])
    for one_of_each in ([0, 2], [3, 4], [5, 7]):
        np.testing.assert_array_equal(weights[:, one_of_each].sum(axis=1), 2)


def test_draw_weights_in_chunks_yields_every_resample(monkeypatch):
    monkeypatch.setattr(bootstrap, "_MAX_WEIGHTS_AT_ONCE", 60)
    cells = build_cells(SAMPLES)

    chunks = list(bootstrap.draw_weights(cells, 9, 0))

    assert [chunk.shape[1] for chunk in chunks] == [4, 4, 1]


def test_compute_bootstrap_interval_percentiles_are_the_middle_of_the_values():
    values = np.random.default_rng(0).permutation(np.arange(1001.0))

    assert compute_bootstrap_interval(values, 500.0) == pytest.approx((25, 975))


def test_compute_bootstrap_interval_few_units_reach_further():
    values = np.random.default_rng(0).permutation(np.arange(10_001.0))

    low, high = compute_bootstrap_interval(values, 500.0, num_units=5)

    # Student's t with 4 degrees of freedom, 2.776, times sqrt(5 / 4): 3.104 deviations
    # of the normal distribution leave 0.000955 at either side.
    assert (low, high) == pytest.approx((9.55, 9990.45), abs=0.1)


@pytest.mark.parametrize("values", [[0.3, 0.3], [0.1, np.inf], [0.1, np.nan]])
@pytest.mark.parametrize("scale", ["percentiles", "logit"])
def test_compute_bootstrap_interval_without_spread_is_none(values, scale):
    assert compute_bootstrap_interval(np.array(values), 0.3, scale) is None


@pytest.mark.parametrize("scale", ["identity", "log", "logit", "atanh"])
def test_compute_bootstrap_interval_small_spread_is_nearly_the_normal_interval(scale):
    values = 0.4 + 1e-4 * np.random.default_rng(0).standard_normal(2000)
    margin = 1.959964 * values.std(ddof=1)

    interval = compute_bootstrap_interval(values, 0.4, scale)

    assert interval == pytest.approx((0.4 - margin, 0.4 + margin), abs=1e-7)


@pytest.mark.parametrize(
    ("estimate", "scale"), [(1.0, "logit"), (0.0, "log"), (-1.0, "atanh")]
)
def test_compute_bootstrap_interval_at_the_end_of_its_scale_is_none(estimate, scale):
    assert compute_bootstrap_interval(np.array([0.9, 1.0]), estimate, scale) is None


def test_bootstrap_metrics_no_resamples_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        bootstrap_metrics(SAMPLES, num_resamples=0)
