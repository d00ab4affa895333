"""Reports with intervals: sure of as much as the samples say, and saying why not."""

import json

import numpy as np
import pytest
from metrics.cells import check_samples
from metrics.report import compute_report
from scipy.special import expit


def draw_scores(num_samples, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_samples) < 0.35).astype(int)
    noise = rng.normal(size=num_samples)
    return noise + 1.5 * (labels - 0.5), labels


def report_on(llrs, labels, groups=None, **options):
    fake_scores = 1 / (1 + np.exp(-np.asarray(llrs, dtype=float)))
    samples = check_samples(llrs, labels, fake_scores=fake_scores, llrs=llrs)
    return compute_report(samples, groups, **{"num_resamples": 200, **options})


def test_compute_report_has_a_json_interval_for_every_metric():
    report = report_on(*draw_scores(150), prevalence=0.01)

    json.dumps(report, allow_nan=False)
    names = ["auc", "average_precision", "eer", "accuracy", "balanced_accuracy", "f1"]
    names += ["real_accuracy", "fake_accuracy", "precision", "mcc", "log_loss", "brier"]
    for name in [*names, "d_prime", "cllr", "min_cllr"]:
        low, high = report[f"{name}_interval"]
        assert low < report[name] < high, name
    assert report["tpr_at_fpr_0.001_interval"] is None
    assert report["num_groups"] is None
    assert report["intervals"]["unit"] == "sample"
    assert report["cllr_in_words"].startswith("Cllr 0.")


def test_compute_report_calibration_error_has_a_test_and_no_interval():
    llrs, labels = draw_scores(400)

    calibrated = report_on(1.5 * llrs, labels)
    overconfident = report_on(6 * llrs, labels)

    assert "ece_interval" not in calibrated
    assert calibrated["ece_noise_floor"] == pytest.approx(0.05, abs=0.02)
    assert overconfident["ece_p_value"] < 0.01


def test_compute_report_scores_without_probabilities_leaves_theirs_out():
    scores, labels = draw_scores(60)

    report = compute_report(check_samples(scores, labels), num_resamples=20)

    for name in ("log_loss", "brier", "ece", "cllr", "ece_p_value", "cllr_in_words"):
        assert report[name] is None, name
    assert report["min_cllr"] is not None
    assert report["operating_points"][0]["threshold_scale"] == "score"


def test_compute_report_same_seed_gives_same_numbers():
    reports = [report_on(*draw_scores(80), seed=s) for s in (1, 1, 2)]

    assert reports[0] == reports[1]
    assert reports[0]["eer_interval"] != reports[2]["eer_interval"]


def test_compute_report_perfect_scores_claim_no_certainty():
    report = report_on([-2.0] * 30 + [2.0] * 20, [0] * 30 + [1] * 20)

    # 20 separate pairs, all in order: 0.025 ** (1 / 20).
    assert report["auc_interval"] == [pytest.approx(0.8316, abs=1e-4), 1.0]
    # Clopper-Pearson for 50 of 50, 30 of 30 and 20 of 20.
    for name, trials in (("", 50), ("real_", 30), ("fake_", 20)):
        low, high = report[f"{name}accuracy_interval"]
        assert (low, high) == (pytest.approx(0.025 ** (1 / trials)), 1.0)
    # 1 - 0.0125 ** (1 / 20): all fakes above a threshold that misses so many.
    assert report["eer_interval"] == [0.0, pytest.approx(0.1967, abs=1e-4)]
    for name in ("average_precision", "balanced_accuracy", "precision", "f1", "mcc"):
        low, high = report[f"{name}_interval"]
        assert 0.5 < low < 1 == high, name
    assert 0.3 < report["min_cllr_interval"][1] < 0.9
    notes = " ".join(report["notes"])
    assert "no interval, the samples show no spread: log loss, brier, cllr" in notes
    assert "only 30 real and 20 fake samples" in notes


def test_compute_report_groups_count_once():
    llrs, labels = draw_scores(60)
    copies, copied_labels = np.repeat(llrs, 10), np.repeat(labels, 10)
    groups = np.repeat(np.arange(60), 10)

    single = report_on(llrs, labels, num_resamples=1000)
    grouped = report_on(copies, copied_labels, groups, num_resamples=1000)
    naive = report_on(copies, copied_labels, num_resamples=1000)

    # Ten copies of each image are no new knowledge.
    np.testing.assert_allclose(grouped["auc_interval"], single["auc_interval"])
    np.testing.assert_allclose(
        grouped["accuracy_interval"], single["accuracy_interval"], atol=0.01
    )
    np.testing.assert_allclose(
        grouped["real_accuracy_interval"], single["real_accuracy_interval"], atol=0.03
    )
    assert np.ptp(naive["auc_interval"]) < 0.5 * np.ptp(single["auc_interval"])
    assert grouped["num_groups"] == 60
    assert grouped["intervals"]["unit"] == "group"


def test_compute_report_too_few_are_counted_in_groups():
    llrs, labels = draw_scores(600)
    groups = np.arange(600) // 10 + 100 * labels

    single, grouped = report_on(llrs, labels), report_on(llrs, labels, groups)

    assert single["tpr_at_fpr_0.01"] is not None
    assert grouped["tpr_at_fpr_0.01"] is None
    assert grouped["tpr_at_fpr_0.01_interval"] is None
    assert any("60 groups of real samples are too few" in n for n in grouped["notes"])
    names = [point["name"] for point in grouped["operating_points"]]
    assert names == ["threshold in use", "EER", "FPR 10 %"]


def test_compute_report_infinite_resamples_are_named_as_the_reason():
    # Within a class some resamples hold one score only: their d' is infinite.
    report = report_on([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1])

    assert report["d_prime_interval"] is None
    assert any(
        note.startswith("d' has no interval: it is infinite in ")
        for note in report["notes"]
    )


def test_compute_report_of_five_samples_stays_within_what_is_possible():
    report = report_on([-2.0, 2.0, -1.0, 3.0, 2.5], [0, 0, 0, 1, 1])

    assert report["brier_interval"][1] <= 1
    assert report["min_cllr_interval"][1] <= 1


def test_compute_report_auc_that_may_be_chance_is_said_in_words():
    scores, labels = draw_scores(200)
    noise = np.random.default_rng(0).normal(size=scores.size)

    notes = [" ".join(report_on(of, labels)["notes"]) for of in (scores, noise)]

    assert ["holds 0.5" in note for note in notes] == [False, True]


def test_compute_report_inverted_scores_ask_whether_labels_are_swapped():
    llrs, labels = draw_scores(200)

    reports = report_on(llrs, labels), report_on(-llrs, labels)

    asked = [any("are swapped" in n for n in report["notes"]) for report in reports]
    assert asked == [False, True]


def test_compute_report_one_sample_a_class_is_defined():
    report = report_on([-0.3, 0.6], [0, 1], num_resamples=10)

    json.dumps(report, allow_nan=False)
    assert report["auc_interval"] == [pytest.approx(0.025), 1.0]
    assert report["auc_standard_error"] is None


def test_compute_report_operating_points_keep_their_rates():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 1000)
    llrs = rng.normal(size=2000) + 2 * labels

    points = report_on(llrs, labels, prevalence=0.01)["operating_points"]

    by_name = {point["name"]: point for point in points}
    assert by_name["EER"]["fpr"] == pytest.approx(by_name["EER"]["fnr"], abs=2e-3)
    for name, rate in (("FPR 10 %", 0.1), ("FPR 1 %", 0.01), ("FPR 0.1 %", 0.001)):
        point = by_name[name]
        assert 0.8 * rate < point["fpr"] <= rate
        assert point["chosen"] == "chosen on these samples"
        assert point["threshold_scale"] == "P(fake)"
        called = expit(llrs) >= point["threshold"]
        assert called[labels == 0].mean() == pytest.approx(point["fpr"])
        assert point["fpr_interval"][0] < rate < point["fpr_interval"][1]
    assert by_name["threshold in use"]["chosen"] is None
    assert by_name["FPR 0.1 %"]["ppv"] > by_name["EER"]["ppv"]


@pytest.mark.parametrize(
    ("num_a_class", "note"),
    [(29, "only 29 real and 29 fake samples"), (100, "with up to 100"), (101, None)],
)
def test_compute_report_few_samples_are_warned_of(num_a_class, note):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], num_a_class)

    notes = report_on(rng.normal(size=labels.size) + labels, labels)["notes"]

    warned = [n for n in notes if "hold the truth" in n]
    assert len(warned) == (note is not None)
    assert all(n.startswith(note) for n in warned)


@pytest.mark.parametrize(
    ("draw", "is_heavy"), [("normal", False), ("logistic", False), ("laplace", True)]
)
def test_compute_report_heavy_tails_are_warned_of(draw, is_heavy):
    labels = np.repeat([0, 1], 400)
    noise = getattr(np.random.default_rng(0), draw)(size=labels.size)

    notes = report_on(noise + labels, labels)["notes"]

    assert any("heavy tails" in note for note in notes) == is_heavy
