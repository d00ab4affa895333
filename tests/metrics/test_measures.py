"""Point metrics: hand-made tables, scikit-learn as oracle, degenerate input."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

import metrics

RNG = np.random.default_rng(0)


def draw_scores(num_samples=400, shift=1.5, decimals=None, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_samples) < 0.35).astype(int)
    scores = 1 / (1 + np.exp(-(rng.normal(size=num_samples) + shift * (labels - 0.5))))
    return (scores if decimals is None else scores.round(decimals)), labels


@pytest.mark.parametrize("decimals", [None, 1, 2])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_compute_metrics_any_scores_equals_scikit_learn(decimals, threshold):
    scores, labels = draw_scores(decimals=decimals)
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

    computed = metrics.compute_metrics(scores, labels, threshold)

    for name, value in expected.items():
        assert computed[name] == pytest.approx(value, abs=1e-12), name
    matrix = sk.confusion_matrix(labels, called)
    np.testing.assert_array_equal(computed["confusion_matrix"], matrix)
    assert metrics.compute_auc(scores, labels) == computed["auc"]
    assert computed["eer"] == metrics.compute_eer(scores, labels).eer


def test_compute_metrics_four_samples_gives_the_hand_made_table():
    # Sorted: fake .9, real .6, fake .4, real .2; at 0.5: one of each cell.
    computed = metrics.compute_metrics([0.9, 0.6, 0.4, 0.2], [1, 0, 1, 0])

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

    computed = metrics.compute_metrics(np.r_[reals, fakes], labels)

    assert computed["tpr_at_fpr_0.01"] == 0.5
    assert computed["tpr_at_fpr_0.001"] is None
    assert "200 real samples are too few" in computed["notes"][0]
    assert "1000" in computed["notes"][0]


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
    computed = metrics.compute_metrics(scores, [0, 0, 1, 1])

    assert {name: computed[name] for name in expected} == expected
    json.dumps(computed, allow_nan=False)


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
def test_compute_metrics_bad_input_is_refused_in_one_line(scores, labels, message):
    with pytest.raises(ValueError, match=message) as caught:
        metrics.compute_metrics(scores, labels)

    assert "\n" not in str(caught.value)


def test_compute_metrics_nan_threshold_is_refused():
    with pytest.raises(ValueError, match="threshold"):
        metrics.compute_metrics([0.1, 0.9], [0, 1], float("nan"))


def test_compute_auc_both_scores_sum_to_one():
    scores, labels = draw_scores(decimals=2)

    of_real = metrics.compute_auc(1 - scores, labels)

    assert of_real + metrics.compute_auc(scores, labels) == pytest.approx(1, abs=1e-12)


def test_compute_roc_curve_ties_become_one_point():
    roc = metrics.compute_roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])

    np.testing.assert_array_equal(roc.false_positive_rates, [0, 0, 0.5, 1])
    np.testing.assert_array_equal(roc.true_positive_rates, [0, 0.5, 1, 1])
    np.testing.assert_array_equal(roc.thresholds, [np.inf, 0.9, 0.5, 0.1])


def test_compute_metrics_reordered_samples_change_nothing():
    scores, labels = draw_scores(decimals=1)
    order = RNG.permutation(scores.size)

    first = metrics.compute_metrics(scores, labels)
    second = metrics.compute_metrics(scores[order], labels[order])

    assert first.pop("notes") == second.pop("notes")
    assert first.pop("confusion_matrix") == second.pop("confusion_matrix")
    assert first == pytest.approx(second, abs=1e-12)


def test_compute_report_has_a_json_interval_for_every_metric():
    scores, labels = draw_scores(150)

    report = metrics.compute_report(scores, labels, num_resamples=200)

    json.dumps(report, allow_nan=False)
    for name in ("auc", "eer", "accuracy", "f1", "mcc", "log_loss", "ece", "d_prime"):
        low, high = report[f"{name}_interval"]
        assert low < report[name] < high, name
    assert report["tpr_at_fpr_0.001_interval"] is None
    assert report["num_groups"] is None
    assert report["intervals"]["unit"] == "sample"


def test_compute_report_same_seed_gives_same_numbers():
    scores, labels = draw_scores(80)

    reports = [
        metrics.compute_report(scores, labels, num_resamples=50, seed=s)
        for s in (1, 1, 2)
    ]

    assert reports[0] == reports[1]
    assert reports[0]["eer_interval"] != reports[2]["eer_interval"]


def test_compute_report_perfect_scores_claim_no_certainty():
    report = metrics.compute_report(
        [0.1] * 30 + [0.9] * 20, [0] * 30 + [1] * 20, num_resamples=20
    )

    # 20 separate pairs, all in order: 0.025 ** (1 / 20).
    assert report["auc_interval"] == [pytest.approx(0.8316, abs=1e-4), 1.0]
    assert report["auc_bootstrap_interval"] is None
    # Clopper-Pearson for 50 of 50, 30 of 30 and 20 of 20.
    for name, trials in (("", 50), ("real_", 30), ("fake_", 20)):
        low, high = report[f"{name}accuracy_interval"]
        assert (low, high) == (pytest.approx(0.025 ** (1 / trials)), 1.0)
    assert report["eer_interval"] is None
    assert any(note.startswith("no interval") for note in report["notes"])


def test_compute_report_groups_count_once():
    scores, labels = draw_scores(60)
    copies = {"fake_scores": np.repeat(scores, 10), "labels": np.repeat(labels, 10)}
    groups = np.repeat(np.arange(60), 10)

    single = metrics.compute_report(scores, labels)
    grouped = metrics.compute_report(**copies, groups=groups)
    naive = metrics.compute_report(**copies)

    # Ten copies of each image are no new knowledge.
    np.testing.assert_allclose(grouped["auc_interval"], single["auc_interval"])
    np.testing.assert_allclose(
        grouped["accuracy_interval"], single["accuracy_interval"], atol=0.01
    )
    assert np.ptp(naive["auc_interval"]) < 0.5 * np.ptp(single["auc_interval"])
    assert grouped["num_groups"] == 60
    assert grouped["intervals"]["unit"] == "group"


def test_compute_report_one_sample_a_class_is_defined():
    report = metrics.compute_report([0.3, 0.6], [0, 1], num_resamples=10)

    assert report["auc_interval"] == [pytest.approx(0.025), 1.0]
    assert report["auc_standard_error"] is None
