"""The bootstrap: what is drawn, and that its arithmetic is that of the metrics."""

import numpy as np
import pytest

from metrics import bootstrap
from metrics.bootstrap import compute_bootstrap_interval, draw_weights
from metrics.samples import Samples, build_cells, check_samples
from metrics.summary import bootstrap_metrics, measure_samples

LABELS = np.array([0, 1, 0, 1, 1, 0, 0])
SCORES = np.array([0.2, 0.7, 0.5, 0.5, 0.9, 0.6, 0.1])


def make_samples(chosen=slice(None), groups=None):
    scores, labels = SCORES[chosen], LABELS[chosen]
    columns = {"fake_scores": scores, "llrs": 8 * scores - 4, "groups": groups}
    return check_samples(scores, labels, **columns)


def draw_all(samples, num_resamples=50, max_cells=None):
    """Return how often each cell was drawn of each class, (2, R, C)."""
    cells = build_cells(samples, max_cells)
    draws = draw_weights(samples, cells, num_resamples, seed=3)
    return np.concatenate(list(draws), axis=1)


@pytest.mark.parametrize("groups", [None, [0, 1, 0, 2, 1, 3, 4]])
def test_bootstrap_metrics_each_resample_equals_metrics_of_the_repeated_samples(groups):
    samples = make_samples(groups=groups)

    values = bootstrap_metrics(samples, num_resamples=30, seed=3)

    index = build_cells(samples).index
    weights = draw_all(samples, 30).sum(axis=0).astype(int)
    for resample, counts in enumerate(weights):
        repeated = measure_samples(make_samples(np.repeat(np.arange(7), counts[index])))
        for name in values:
            value, expected = values[name][resample], repeated[name]
            if expected is not None:
                assert value == pytest.approx(expected, abs=1e-9), name


def test_draw_weights_in_chunks_keeps_the_size_of_each_class(monkeypatch):
    monkeypatch.setattr(bootstrap, "_MAX_WEIGHTS_AT_ONCE", 60)
    samples = make_samples()
    chunks = list(draw_weights(samples, build_cells(samples), 9, seed=0))
    assert [chunk.shape for chunk in chunks] == [(2, n, 7) for n in (4, 4, 1)]
    for weights in (draw_all(samples), *chunks):
        assert np.unique(weights.sum(axis=2), axis=1).tolist() == [[4], [3]]


def test_draw_weights_pooled_cells_spread_as_single_samples_do():
    rng = np.random.default_rng(0)
    samples = Samples(rng.normal(size=800), np.repeat([0, 1], 400))

    spreads = []
    for max_cells in (None, 50):
        top = build_cells(samples, max_cells).counts[0].cumsum() <= 100
        weights = draw_all(samples, 4000, max_cells)
        spreads.append(weights[0][:, top].sum(axis=1).std())

    # Of 400 draws about a quarter: sqrt(400 * 1/4 * 3/4) = 8.66.
    assert spreads == pytest.approx([8.66, 8.66], rel=0.07)


def test_draw_weights_draws_whole_groups_of_each_kind():
    labels = np.array([0, 0, 0, 1, 1, 0, 1, 0, 1])
    groups = np.array([0, 0, 1, 2, 3, 4, 4, 5, 5])  # 2 real, 2 fake, 2 mixed groups
    samples = Samples(np.arange(9.0, 0, -1), labels, group_index=groups)

    weights = draw_all(samples).sum(axis=0)

    for first, second in ((0, 1), (5, 6), (7, 8)):
        np.testing.assert_array_equal(weights[:, first], weights[:, second])
    for one_of_each in ([0, 2], [3, 4], [5, 7]):
        np.testing.assert_array_equal(weights[:, one_of_each].sum(axis=1), 2)


@pytest.mark.parametrize(
    ("size", "num_units", "ends"),
    [
        (1001, 10**9, (25, 975)),
        # Student's t with 4 degrees of freedom, 2.776, times sqrt(5 / 4): 3.104
        # deviations of the normal distribution leave 0.000955 at either side.
        (10_001, 5, (9.55, 9990.45)),
    ],
)
def test_compute_bootstrap_interval_percentiles_are_the_middle_of_the_values(
    size, num_units, ends
):
    values = np.random.default_rng(0).permutation(np.arange(float(size)))

    interval = compute_bootstrap_interval(values, 500.0, "percentiles", num_units)

    assert interval == pytest.approx(ends, abs=0.1)


@pytest.mark.parametrize("scale", ["identity", "log", "logit", "atanh"])
def test_compute_bootstrap_interval_small_spread_is_nearly_the_normal_interval(scale):
    values = 0.4 + 1e-4 * np.random.default_rng(0).standard_normal(2000)
    margin = 1.959964 * values.std(ddof=1)

    interval = compute_bootstrap_interval(values, 0.4, scale, 10**9)

    assert interval == pytest.approx((0.4 - margin, 0.4 + margin), abs=1e-7)


@pytest.mark.parametrize(
    ("values", "estimate", "scale"),
    [
        ([0.3, 0.3], 0.3, "percentiles"),
        ([0.1, np.inf], 0.3, "percentiles"),
        ([0.1, np.nan], 0.3, "logit"),
        ([0.9, 1.0], 1.0, "logit"),
        ([0.9, 1.0], 0.0, "log"),
        ([0.9, 1.0], -1.0, "atanh"),
        ([0.9, 1.0], None, "identity"),
    ],
)
def test_compute_bootstrap_interval_without_spread_or_at_an_end_is_none(
    values, estimate, scale
):
    assert compute_bootstrap_interval(np.array(values), estimate, scale, 9) is None
