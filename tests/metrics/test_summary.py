"""Numbers with intervals: as sure as the samples allow, and saying why not surer."""

import json

import numpy as np
import pytest
from scipy.special import expit

from metrics.all_metrics import METRICS, list_columns
from metrics.samples import check_samples
from metrics.summary import compute_columns, compute_summary


def draw_scores(num_samples, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_samples) < 0.35).astype(int)
    noise = rng.normal(size=num_samples)
    return noise + 1.5 * (labels - 0.5), labels


def summarise(llrs, labels, groups=None, **options):
    fake_scores = 1 / (1 + np.exp(-np.asarray(llrs, dtype=float)))
    columns = {"fake_scores": fake_scores, "llrs": llrs, "groups": groups}
    samples = check_samples(llrs, labels, **columns)
    return compute_summary(samples, **{"num_resamples": 200, **options})


def test_compute_summary_has_a_json_interval_for_every_metric():
    numbers = summarise(*draw_scores(150), prevalence=0.01)

    json.dumps(numbers, allow_nan=False)
    for name, metric in METRICS.items():
        if metric.method and name != "tpr_at_fpr_0.001":
            low, high = numbers[f"{name}_interval"]
            assert low <= numbers[name] <= high and low < high, name
    assert numbers["tpr_at_fpr_0.001_interval"] is None
    assert numbers["num_groups"] is None
    methods = numbers["intervals"]
    assert methods["f1"] == "stratified bootstrap, logit scale"
    assert methods["tpr_at_fpr"].startswith("order statistics")
    assert numbers["intervals"]["unit"] == "sample"
    assert numbers["cllr_in_words"].startswith("Cllr 0.")
    # From the fitted value's lower end to the cross-fitted one's upper end.
    low, high = numbers["min_cllr_interval"]
    assert high - numbers["min_cllr"] > 1.5 * (numbers["min_cllr"] - low)


@pytest.mark.parametrize("groups", [None, np.arange(150) // 2])
def test_compute_columns_are_those_of_the_summary(groups):
    samples = check_samples(*draw_scores(150), groups=groups)
    numbers = compute_columns(samples, "subsets", seed=3)
    names = [metric.name for metric in list_columns("subsets")]
    assert list(numbers) == [key for n in names for key in (n, f"{n}_interval")]
    whole = compute_summary(samples, seed=3)
    assert numbers == {key: whole[key] for key in numbers}


@pytest.mark.parametrize("threshold", [0, 0.02, 0.3, 0.6, 0.98, 1])
@pytest.mark.parametrize("shift", [-40, -2, 0, 2, 40])
def test_compute_summary_intervals_hold_their_estimates(shift, threshold):
    scores, labels = draw_scores(150)
    fake_scores = expit(scores + shift * (labels - 0.5))
    samples = check_samples(fake_scores, labels, threshold, fake_scores=fake_scores)

    numbers = compute_summary(samples, num_resamples=100, prevalence=0.1)

    for of in (numbers, *numbers["operating_points"]):
        for name in of:
            ends = of.get(f"{name}_interval")
            if ends and of[name] is not None:
                assert ends[0] <= of[name] <= ends[1], name


def test_compute_summary_calibration_error_has_a_test_and_no_interval():
    llrs, labels = draw_scores(400)

    calibrated = summarise(1.5 * llrs, labels)
    overconfident = summarise(6 * llrs, labels)

    assert "ece_interval" not in calibrated
    assert calibrated["ece_noise_floor"] == pytest.approx(0.05, abs=0.02)
    assert overconfident["ece_p_value"] < 0.01


def test_compute_summary_scores_without_probabilities_leaves_theirs_out():
    scores, labels = draw_scores(60)

    numbers = compute_summary(check_samples(scores, labels), num_resamples=20)

    for name in ("log_loss", "brier", "ece", "cllr", "ece_p_value", "cllr_in_words"):
        assert numbers[name] is None, name
    assert numbers["min_cllr"] is not None
    assert numbers["operating_points"][0]["threshold_scale"] == "score"


def test_compute_summary_same_seed_gives_same_numbers():
    summaries = [summarise(*draw_scores(80), seed=s) for s in (1, 1, 2)]

    assert summaries[0] == summaries[1]
    assert summaries[0]["eer_interval"] != summaries[2]["eer_interval"]


def test_compute_summary_perfect_scores_claim_no_certainty():
    numbers = summarise([-2.0] * 30 + [2.0] * 20, [0] * 30 + [1] * 20)

    # 20 separate pairs, all in order: 0.025 ** (1 / 20).
    assert numbers["auc_interval"] == [pytest.approx(0.8316, abs=1e-4), 1.0]
    # Clopper-Pearson for 50 of 50, 30 of 30 and 20 of 20.
    for name, trials in (("", 50), ("real_", 30), ("fake_", 20)):
        low, high = numbers[f"{name}accuracy_interval"]
        assert (low, high) == (pytest.approx(0.025 ** (1 / trials)), 1.0)
    # 1 - 0.0125 ** (1 / 20): all fakes above a threshold that misses so many.
    assert numbers["eer_interval"] == [0.0, pytest.approx(0.1967, abs=1e-4)]
    wrong = summarise([2.0] * 30 + [-2.0] * 20, [0] * 30 + [1] * 20)
    assert wrong["eer_interval"] == [pytest.approx(0.8033, abs=1e-4), 1.0]
    assert wrong["accuracy_interval"] == [0, pytest.approx(1 - 0.025 ** (1 / 50))]
    for name in ("average_precision", "balanced_accuracy", "precision", "f1", "mcc"):
        low, high = numbers[f"{name}_interval"]
        assert 0.5 < low < 1 == high, name
    assert 0.3 < numbers["min_cllr_interval"][1] < 0.9
    notes = " ".join(numbers["notes"])
    flat = "log loss (nats), Brier score, Cllr (bits)"
    assert f"no interval, the samples show no spread: {flat}" in notes
    assert "only 30 real and 20 fake samples" in notes


def test_compute_summary_groups_count_once():
    llrs, labels = draw_scores(60)
    copies, copied_labels = np.repeat(llrs, 10), np.repeat(labels, 10)
    groups = np.repeat(np.arange(60), 10)

    single = summarise(llrs, labels, num_resamples=1000)
    grouped = summarise(copies, copied_labels, groups, num_resamples=1000)
    naive = summarise(copies, copied_labels, num_resamples=1000)

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


def test_compute_summary_too_few_are_counted_in_groups():
    llrs, labels = draw_scores(600)
    groups = np.arange(600) // 10 + 100 * labels

    single, grouped = summarise(llrs, labels), summarise(llrs, labels, groups)

    assert single["tpr_at_fpr_0.01"] is not None
    assert grouped["tpr_at_fpr_0.01"] is None
    assert grouped["tpr_at_fpr_0.01_interval"] is None
    assert any("60 groups of real samples are too few" in n for n in grouped["notes"])
    names = [point["name"] for point in grouped["operating_points"]]
    assert names == ["threshold in use", "EER", "FPR 10 %"]


def test_compute_summary_infinite_resamples_are_named_as_the_reason():
    # Within a class some resamples hold one score only: their d' is infinite.
    numbers = summarise([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1])

    assert numbers["d_prime_interval"] is None
    assert any(
        note.startswith("d' has no interval: it is infinite in ")
        for note in numbers["notes"]
    )


def test_compute_summary_of_five_samples_or_two_stays_within_what_is_possible():
    numbers = summarise([-2.0, 2.0, -1.0, 3.0, 2.5], [0, 0, 0, 1, 1])

    assert numbers["brier_interval"][1] <= 1
    assert numbers["min_cllr_interval"][1] <= 1
    numbers = summarise([-0.3, 0.6], [0, 1], num_resamples=10)
    json.dumps(numbers, allow_nan=False)
    assert numbers["auc_interval"] == [pytest.approx(0.025), 1.0]
    assert numbers["auc_standard_error"] is None


def test_compute_summary_auc_at_or_below_chance_is_said_in_words():
    scores, labels = draw_scores(200)
    noise = np.random.default_rng(0).normal(size=scores.size)

    found = [" ".join(summarise(s, labels)["notes"]) for s in (scores, noise, -scores)]

    assert ["holds 0.5" in notes for notes in found] == [False, True, False]
    assert ["are swapped" in notes for notes in found] == [False, False, True]


def test_compute_summary_operating_points_keep_their_rates():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 1000)
    llrs = rng.normal(size=2000) + 2 * labels

    points = summarise(llrs, labels, prevalence=0.01)["operating_points"]

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


def test_compute_summary_tpr_is_called_too_high_where_its_threshold_is_too_low():
    scores, labels = draw_scores(170)  # one of some 110 real samples may lie above it
    for given, is_warned in ((scores, True), (scores.round(), False), (labels, False)):
        notes = summarise(given, labels)["notes"]
        assert any("TPR at FPR 1 % is too high" in n for n in notes) == is_warned


@pytest.mark.parametrize(
    ("num_a_class", "note"),
    [(29, "only 29 real and 29 fake samples"), (100, "with up to 100"), (101, None)],
)
def test_compute_summary_few_samples_are_warned_of(num_a_class, note):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], num_a_class)

    notes = summarise(rng.normal(size=labels.size) + labels, labels)["notes"]

    warned = [n for n in notes if "hold the truth" in n]
    assert len(warned) == (note is not None)
    assert all(n.startswith(note) for n in warned)


@pytest.mark.parametrize(
    ("draw", "is_heavy"), [("normal", False), ("logistic", False), ("laplace", True)]
)
def test_compute_summary_heavy_tails_are_warned_of(draw, is_heavy):
    labels = np.repeat([0, 1], 400)
    noise = getattr(np.random.default_rng(0), draw)(size=labels.size)

    notes = summarise(noise + labels, labels)["notes"]

    assert any("heavy tails" in note for note in notes) == is_heavy
