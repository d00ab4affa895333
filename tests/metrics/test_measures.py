"""Metrics: tables worked out by hand, scikit-learn as oracle, degenerate input."""

import json

import numpy as np
import pytest
from scipy import optimize
from sklearn import metrics as sk

from metrics.error_rates import compute_roc_curve
from metrics.samples import check_samples
from metrics.summary import compute_metrics, measure_samples


def draw_scores(decimals):
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.35).astype(int)
    scores = 1 / (1 + np.exp(-(rng.normal(size=400) + 1.5 * (labels - 0.5))))
    return scores.round(decimals), labels


@pytest.mark.parametrize("decimals", [1, 2, 12])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_compute_metrics_any_scores_equals_scikit_learn(decimals, threshold):
    scores, labels = draw_scores(decimals)
    called = (scores >= threshold).astype(int)
    expected = {
        "auc": sk.roc_auc_score(labels, scores),
        "average_precision": sk.average_precision_score(labels, scores),
        "accuracy": sk.accuracy_score(labels, called),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
        "real_accuracy": sk.recall_score(labels, called, pos_label=0),
        "fake_accuracy": sk.recall_score(labels, called),
        "precision": sk.precision_score(labels, called),
        "f1": sk.f1_score(labels, called),
        "mcc": sk.matthews_corrcoef(labels, called),
        "log_loss": sk.log_loss(labels, scores),
        "brier": sk.brier_score_loss(labels, scores),
    }

    computed = compute_metrics(scores, labels, threshold)

    for name, value in expected.items():
        assert computed[name] == pytest.approx(value, abs=1e-12), name
    matrix = sk.confusion_matrix(labels, called)
    np.testing.assert_array_equal(computed["confusion_matrix"], matrix)


def test_compute_metrics_four_samples_gives_the_hand_made_table():
    # Sorted: fake .9, real .6, fake .4, real .2; at 0.5: one of each cell.
    computed = compute_metrics([0.9, 0.6, 0.4, 0.2], [1, 0, 1, 0])

    assert computed["confusion_matrix"] == [[1, 1], [1, 1]]
    assert computed["auc"] == 0.75
    assert computed["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert computed["eer"] == 0.5
    assert computed["mcc"] == 0.0
    assert computed["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.04) / 4)
    # Each sample is alone in its bin: the mean of .1, .6, .6, .2.
    assert computed["ece"] == pytest.approx(1.5 / 4)
    # Means .65 and .4, standard deviations .25 and .2.
    assert computed["d_prime"] == pytest.approx(0.25 / np.sqrt((0.0625 + 0.04) / 2))


def test_compute_metrics_bounded_fpr_counts_allowed_false_positives():
    # 200 real: FPR 1 % allows two. Fakes stand above the 1st, 3rd and all reals.
    reals = np.linspace(0.1, 0.8, 200)
    fakes = [0.9, (reals[-2] + reals[-3]) / 2, (reals[-3] + reals[-4]) / 2, 0.05]
    labels = np.r_[np.zeros(200), np.ones(4)]

    computed = compute_metrics(np.r_[reals, fakes], labels)

    assert computed["tpr_at_fpr_0.01"] == 0.5
    assert computed["tpr_at_fpr_0.001"] is None
    (note,) = computed["notes"]
    assert note.endswith("200 real samples are too few, at least 1000 are needed")


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], {"auc": 1.0, "eer": 0.0, "accuracy": 1.0, "mcc": 1.0}),
        ([0.9, 0.8, 0.2, 0.1], {"auc": 0.0, "eer": 1.0, "accuracy": 0.0, "mcc": -1.0}),
        ([0.5] * 4, {"auc": 0.5, "eer": 0.5, "d_prime": 0.0, "average_precision": 0.5}),
        ([0.2] * 4, {"precision": 0.0, "f1": 0.0, "mcc": 0.0, "fake_accuracy": 0.0}),
        ([0, 0, 1, 1], {"auc": 1.0, "brier": 0.0, "ece": 0.0, "d_prime": None}),
    ],
    ids=["perfect", "inverted", "constant", "all real", "saturated"],
)
def test_compute_metrics_degenerate_scores_are_defined(scores, expected):
    computed = compute_metrics(scores, [0, 0, 1, 1])

    assert {name: computed[name] for name in expected} == expected
    json.dumps(computed, allow_nan=False)


def test_compute_metrics_reordered_samples_change_nothing():
    scores, labels = draw_scores(1)
    order = np.random.default_rng(1).permutation(scores.size)

    first = compute_metrics(scores, labels)
    second = compute_metrics(scores[order], labels[order])

    assert first.pop("notes") == second.pop("notes")
    assert first.pop("confusion_matrix") == second.pop("confusion_matrix")
    assert first == pytest.approx(second, abs=1e-12)


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
def test_compute_metrics_eer_is_interpolated_on_known_curves(
    scores, labels, eer, threshold
):
    computed = compute_metrics(scores, labels)

    assert computed["eer"] == pytest.approx(eer)
    assert computed["eer_threshold"] == pytest.approx(threshold)


@pytest.mark.parametrize("seed", range(5))
def test_compute_metrics_eer_equals_a_root_of_the_interpolated_curve(seed):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 30)]
    scores = (rng.random(32) + 0.4 * labels).round(1) / 2
    roc = compute_roc_curve(check_samples(scores, labels))
    fpr, fnr = roc.false_positive_rates, 1 - roc.true_positive_rates
    place = np.arange(fpr.size)  # along the curve, one unit an edge

    root = optimize.brentq(
        lambda t: np.interp(t, place, fpr) - np.interp(t, place, fnr), 0, place[-1]
    )

    eer = compute_metrics(scores, labels)["eer"]
    assert eer == pytest.approx(np.interp(root, place, fpr))


def test_measure_samples_ranks_by_scores_that_saturated_probabilities_cannot():
    # As P(fake) all four are 1.0; as logit differences they are in order.
    samples = check_samples(
        [40.0, 50.0, 60.0, 70.0], [0, 0, 1, 1], fake_scores=np.ones(4)
    )

    computed = measure_samples(samples)

    assert (computed["auc"], computed["eer"]) == (1.0, 0.0)
    assert computed["confusion_matrix"] == [[0, 2], [0, 2]]
    assert computed["accuracy"] == 0.5


def test_measure_samples_without_probabilities_have_none_of_theirs():
    samples = check_samples([-3.0, 2.0, 7.0], [0, 1, 1], 2.5, llrs=[-1.0, 0.0, 2.0])

    computed = measure_samples(samples)

    assert computed["confusion_matrix"] == [[1, 0], [1, 1]]
    assert [computed[name] for name in ("log_loss", "brier", "ece")] == [None] * 3
    # Costs in bits: real log2(1 + 1/e); fakes 1 and log2(1 + e**-2).
    fake_cost = (1 + np.log2(1 + np.exp(-2))) / 2
    expected = (np.log2(1 + np.exp(-1)) + fake_cost) / 2
    assert computed["cllr"] == pytest.approx(expected)
