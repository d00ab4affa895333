"""Samples: what is refused, their order, and what pooling them changes."""

from itertools import pairwise

import numpy as np
import pytest

from metrics.all_metrics import compute_weighted_metrics
from metrics.samples import (
    Samples,
    build_cells,
    check_samples,
    check_scores_and_labels,
    index_groups,
    number_folds,
    sort_samples,
)


def test_check_scores_and_labels_lists_become_arrays():
    scores, labels = check_scores_and_labels([2, -1], [1.0, 0.0])

    assert (scores.dtype, scores.tolist()) == (np.float64, [2, -1])
    assert (labels.dtype, labels.tolist()) == (np.int64, [1, 0])


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, 0.2], [0, 0], "both classes .* 2 real and 0 fake"),
        ([0.1, np.nan], [0, 1], "1 of 2 scores are NaN"),
        ([0.1, 1.2], [0, 1], r"in \[0, 1\], got 0.1 to 1.2"),
        ([0.1, 0.2], [0, 0.5], "labels must be 0 .* got 0.5"),
        ([0.1, 0.2], [0, np.nan], "1 of 2 labels are NaN"),
        ([0.1, 0.2, 0.3], [0, 1], "3 scores but 2 labels"),
        ([], [], "non-empty"),
        ([[0.1, 0.2]], [[0, 1]], r"shape \(1, 2\)"),
        ([0.1, 0.2], ["real", "fake"], "list of numbers"),
    ],
)
def test_check_scores_and_labels_bad_input_is_refused_in_one_line(
    scores, labels, message
):
    with pytest.raises(ValueError, match=message) as caught:
        check_scores_and_labels(scores, labels, probabilities=True)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": float("nan")}, "threshold"),
        ({"fake_scores": [0.1, 1.1]}, r"in \[0, 1\]"),
        ({"llrs": [0.0, np.inf]}, "infinite"),
        ({"groups": ["a"]}, "each sample needs a group: 2 scores, 1 groups"),
    ],
)
def test_check_samples_bad_input_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        check_samples([0.1, 0.9], [0, 1], **given)


def test_check_samples_judges_probabilities_if_there_are_any():
    logits = check_samples([-1.0, 3.0], [0, 1], 0.9, fake_scores=[0.2, 0.95])
    raw = check_samples([-1.0, 3.0], [0, 1], -2.0)

    assert logits.called_fake.tolist() == [False, True]
    assert raw.called_fake.tolist() == [True, True]


def test_units_are_samples_or_groups_that_may_hold_both_classes():
    labels, groups = [0, 0, 0, 1, 1, 1], list("aabbcd")

    assert check_samples(np.arange(6), labels).units == (3, 3, 6)
    grouped = check_samples(np.arange(6), labels, groups=groups)
    assert grouped.units == (2, 3, 4)
    assert grouped.units.smaller == 2
    assert grouped.index_class(1).tolist() == [1, 2, 3]
    assert index_groups(None, 3).tolist() == [0, 1, 2]
    assert index_groups(["b", "a", "b"], 3).tolist() == [1, 0, 1]


def test_sort_samples_ties_are_one_block_and_neighbours_are_not():
    in_order = sort_samples(np.array([0.1, 0.9, 0.5, 0.5]), np.array([0, 1, 0, 1]))

    assert in_order.order.tolist() == [1, 2, 3, 0]
    assert in_order.thresholds.tolist() == [0.9, 0.5, 0.1]
    fp, tp = in_order.count_positives()
    assert (fp.tolist(), tp.tolist()) == ([0, 1, 2], [1, 2, 2])
    upper = np.nextafter(1.0, 2)  # neighbouring floats are kept apart
    in_order = sort_samples(np.array([upper, 1.0]), np.array([1, 0]))

    assert in_order.get_middle(0) == upper


def test_build_cells_pooled_keep_ties_together_and_every_sample():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=5000).round(2), rng.integers(0, 2, 5000)

    cells = build_cells(Samples(scores, labels), 50)

    assert 40 <= cells.counts.shape[1] <= 51
    assert cells.counts.sum(axis=1).tolist() == np.bincount(labels).tolist()
    by_cell = [scores[cells.index == cell] for cell in range(cells.counts.shape[1])]
    assert all(above.min() > below.max() for above, below in pairwise(by_cell))


def test_build_cells_pooled_change_no_metric_by_a_thousandth():
    rng = np.random.default_rng(1)
    labels = (rng.random(100_000) < 0.02).astype(int)
    scores = rng.normal(size=labels.size) + 2 * labels
    samples = Samples(scores, labels, 0.6, 1 / (1 + np.exp(-scores)), scores)

    exact, pooled = (
        compute_weighted_metrics(cells, cells.counts[:, None].astype(float))
        for cells in (build_cells(samples), build_cells(samples, 10_000))
    )

    for name, (value,) in exact.items():
        assert pooled[name][0] == pytest.approx(value, abs=1e-3), name


@pytest.mark.parametrize(
    ("labels", "groups", "expected"),
    [
        ([0, 0, 0, 0, 1, 1], None, [0, 0, 1, 1, 0, 1]),
        ([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 1, 1, 2, 2, 3, 3]),
    ],
    ids=["runs of neighbours", "whole groups"],
)
def test_number_folds_keep_together_what_belongs_together(labels, groups, expected):
    groups = None if groups is None else np.array(groups)

    assert number_folds(np.array(labels), groups).tolist() == expected
