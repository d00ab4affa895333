"""Samples in order, and pooled: what is counted where, and what pooling changes."""

from itertools import pairwise

import numpy as np
import pytest
from metrics.cells import (
    Samples,
    build_cells,
    check_samples,
    number_folds,
    sort_samples,
)

from metrics.measures import compute_weighted_metrics


def test_sort_samples_ties_are_one_block():
    in_order = sort_samples(np.array([0.1, 0.9, 0.5, 0.5]), np.array([0, 1, 0, 1]))

    assert in_order.order.tolist() == [1, 2, 3, 0]
    assert in_order.thresholds.tolist() == [0.9, 0.5, 0.1]
    fp, tp = in_order.count_positives()
    assert (fp.tolist(), tp.tolist()) == ([0, 1, 2], [1, 2, 2])


def test_get_middle_of_neighbouring_floats_keeps_them_apart():
    upper = np.nextafter(1.0, 2)
    in_order = sort_samples(np.array([upper, 1.0]), np.array([1, 0]))

    assert in_order.get_middle(0) == upper


def test_check_samples_judges_probabilities_where_there_are_some():
    logits = check_samples([-1.0, 3.0], [0, 1], 0.9, fake_scores=[0.2, 0.95])
    raw = check_samples([-1.0, 3.0], [0, 1], -2.0)

    assert logits.called_fake.tolist() == [False, True]
    assert raw.called_fake.tolist() == [True, True]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": float("nan")}, "threshold"),
        ({"fake_scores": [0.1, 1.1]}, r"in \[0, 1\]"),
        ({"llrs": [0.0, np.inf]}, "infinite"),
    ],
)
def test_check_samples_bad_input_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        check_samples([0.1, 0.9], [0, 1], **given)


def test_build_cells_pooled_keep_ties_together_and_every_sample():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=5000).round(2), rng.integers(0, 2, 5000)
    samples = Samples(scores, labels)

    cells = build_cells(samples, 50)

    assert 40 <= cells.counts.shape[1] <= 51
    assert cells.counts.sum(axis=1).tolist() == np.bincount(labels).tolist()
    for score in np.unique(scores):
        assert np.unique(cells.index[scores == score]).size == 1
    by_cell = [scores[cells.index == cell] for cell in range(cells.counts.shape[1])]
    assert all(above.min() > below.max() for above, below in pairwise(by_cell))


def test_build_cells_pooled_change_no_metric_by_a_thousandth():
    rng = np.random.default_rng(1)
    labels = (rng.random(100_000) < 0.02).astype(int)
    scores = rng.normal(size=labels.size) + 2 * labels
    fake_scores = 1 / (1 + np.exp(-scores))
    samples = Samples(scores, labels, 0.6, fake_scores, scores)

    exact, pooled = (
        compute_weighted_metrics(cells, cells.counts[:, None].astype(float))
        for cells in (build_cells(samples), build_cells(samples, 10_000))
    )

    for name, (value,) in exact.items():
        assert pooled[name][0] == pytest.approx(value, abs=1e-3), name


def test_number_folds_are_runs_of_neighbours_in_each_class():
    folds = number_folds(np.array([0, 0, 0, 0, 1, 1]))

    assert folds.tolist() == [0, 0, 1, 1, 0, 1]


def test_number_folds_hold_whole_groups():
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])

    folds = number_folds(np.array([0, 0, 0, 0, 1, 1, 1, 1]), groups)

    assert folds.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
