"""What is taken for scores, labels and groups, and what is refused."""

import numpy as np
import pytest
from metrics.checks import check_scores_and_labels, index_groups


def test_check_scores_and_labels_lists_become_arrays():
    scores, labels = check_scores_and_labels([2, -1], [1.0, 0.0])

    assert (scores.dtype, scores.tolist()) == (np.float64, [2, -1])
    assert (labels.dtype, labels.tolist()) == (np.int64, [1, 0])


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, 0.2], [0, 0], "both classes .* 2 real and 0 fake"),
        ([0.1, 0.2], [1, 1], "both classes .* 0 real and 2 fake"),
        ([0.1, np.nan], [0, 1], "1 of 2 scores are NaN"),
        ([0.1, np.inf], [0, 1], "NaN or infinite"),
        ([0.1, 1.2], [0, 1], r"in \[0, 1\], got 0.1 to 1.2"),
        ([0.1, 0.2], [0, 2], "labels must be 0 .* got 2"),
        ([0.1, 0.2], [0, 0.5], "labels must be 0 .* got 0.5"),
        ([0.1, 0.2], [0, np.nan], "1 of 2 labels are NaN"),
        ([0.1, 0.2, 0.3], [0, 1], "3 scores but 2 labels"),
        ([], [], "non-empty"),
        ([[0.1, 0.2]], [[0, 1]], r"shape \(1, 2\)"),
        (["a", "b"], [0, 1], "list of numbers"),
        ([0.1, 0.2], ["real", "fake"], "list of numbers"),
        ([[0.1], [0.2, 0.3]], [0, 1], "list of numbers"),
    ],
)
def test_check_scores_and_labels_bad_input_is_refused_in_one_line(
    scores, labels, message
):
    with pytest.raises(ValueError, match=message) as caught:
        check_scores_and_labels(scores, labels, probabilities=True)

    assert "\n" not in str(caught.value)


def test_index_groups_without_groups_each_sample_is_its_own():
    assert index_groups(None, 3).tolist() == [0, 1, 2]
    assert index_groups(["b", "a", "b"], 3).tolist() == [1, 0, 1]


def test_index_groups_wrong_number_is_refused():
    with pytest.raises(ValueError, match="one group a sample"):
        index_groups(["a"], 2)
