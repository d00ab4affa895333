"""Reports with intervals, and comparisons: sure of as much as the samples say."""

import json

import numpy as np
import pytest

from metrics.analysis import analyse, compare_detectors, compute_report
from metrics.score_sets import ScoreSet


def draw_scores(num_samples):
    rng = np.random.default_rng(0)
    labels = (rng.random(num_samples) < 0.35).astype(int)
    noise = rng.normal(size=num_samples)
    return 1 / (1 + np.exp(-(noise + 1.5 * (labels - 0.5)))), labels


def test_compare_detectors_pairs_only_judges_of_the_same_samples():
    scores, labels = draw_scores(40)
    paths = [str(number) for number in range(40)]
    score_sets = [
        ScoreSet("faces", "first", scores, labels, paths),
        ScoreSet("faces", "second", 1 - scores, labels, paths),
        ScoreSet("others", "first", scores, labels, paths[::-1]),
    ]
    analyses = [analyse(score_set, num_resamples=5) for score_set in score_sets]

    (comparison,) = compare_detectors(analyses)

    assert (comparison.a, comparison.b) == (analyses[0], analyses[1])
    auc = analyses[0].report["auc"]
    assert comparison.test.difference == pytest.approx(2 * auc - 1)


def test_compute_report_has_a_json_interval_for_every_metric():
    scores, labels = draw_scores(150)

    report = compute_report(scores, labels, num_resamples=200)

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
        compute_report(scores, labels, num_resamples=50, seed=s) for s in (1, 1, 2)
    ]

    assert reports[0] == reports[1]
    assert reports[0]["eer_interval"] != reports[2]["eer_interval"]


def test_compute_report_perfect_scores_claim_no_certainty():
    report = compute_report(
        [0.1] * 30 + [0.9] * 20, [0] * 30 + [1] * 20, num_resamples=20
    )

    # 20 separate pairs, all in order: 0.025 ** (1 / 20).
    assert report["auc_interval"] == [pytest.approx(0.8316, abs=1e-4), 1.0]
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

    single = compute_report(scores, labels)
    grouped = compute_report(**copies, groups=groups)
    naive = compute_report(**copies)

    # Ten copies of each image are no new knowledge.
    np.testing.assert_allclose(grouped["auc_interval"], single["auc_interval"])
    np.testing.assert_allclose(
        grouped["accuracy_interval"], single["accuracy_interval"], atol=0.01
    )
    assert np.ptp(naive["auc_interval"]) < 0.5 * np.ptp(single["auc_interval"])
    assert grouped["num_groups"] == 60
    assert grouped["intervals"]["unit"] == "group"


def test_compute_report_one_sample_a_class_is_defined():
    report = compute_report([0.3, 0.6], [0, 1], num_resamples=10)

    assert report["auc_interval"] == [pytest.approx(0.025), 1.0]
    assert report["auc_standard_error"] is None
