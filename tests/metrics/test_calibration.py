"""Reliability by hand, and the noise of a calibrated detector's calibration error."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit

from metrics.calibration import (
    Calibration,
    choose_calibration,
    compute_calibration_test,
    compute_ece,
    compute_reliability_bins,
    count_neighbours,
    fit_calibration,
)
from metrics.meaning import ScoreNeighbours, check_neighbours, find_neighbours


def test_compute_reliability_bins_are_those_of_the_ece():
    scores, labels = draw_calibrated(400, 0)

    bins = compute_reliability_bins(scores, labels)

    gaps = np.abs(bins.mean_scores - bins.fake_fractions)
    assert gaps @ bins.counts / 400 == pytest.approx(compute_ece(scores, labels))
    # Bins of width 1/15: 0.2 opens the fourth, 1.0 closes the last; the empty ones
    # between are left out.
    scores, labels = np.array([0.19, 0.2, 0.24, 0.95, 1.0]), np.array([0, 1, 0, 1, 1])
    ece = (0.19 + 2 * 0.28 + 2 * 0.025) / 5
    assert compute_ece(scores, labels) == pytest.approx(ece)
    bins = compute_reliability_bins(scores, labels)
    np.testing.assert_allclose(bins.mean_scores, [0.19, 0.22, 0.975])
    np.testing.assert_allclose(bins.fake_fractions, [0, 0.5, 1])
    np.testing.assert_array_equal(bins.counts, [1, 2, 2])


def draw_calibrated(num_samples, seed):
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 2, num_samples)
    return scores, (rng.random(num_samples) < scores).astype(int)


def test_compute_calibration_test_one_certain_score_by_hand():
    # Two scores of 1/2 in one bin: its sum of errors is -1, 0 or 1, in 1 : 2 : 1. So
    # the error per sample is 1/2 or 0, each half of the time.
    test = compute_calibration_test([0.5, 0.5], [0, 1], num_draws=20_000)

    assert test.noise_floor == pytest.approx(0.25, abs=0.01)
    assert test.p_value == 1.0  # the ECE is 0, any draw is as large


def test_compute_calibration_test_overconfident_scores_are_found():
    scores, labels = draw_calibrated(500, 0)
    sharpened = scores**3 / (scores**3 + (1 - scores) ** 3)

    assert compute_calibration_test(sharpened, labels).p_value < 0.01


@pytest.mark.parametrize(
    ("num_samples", "copies", "grouped", "least", "most"),
    [
        (60, 1, False, 2, 12),  # 5 of 100 expected
        (25_000, 1, False, 1, 12),
        (80, 10, True, 0, 10),
        (80, 10, False, 90, 100),  # copies that pass for independent samples
    ],
)
def test_compute_calibration_test_of_calibrated_scores_alarms_as_often_as_it_says(
    num_samples, copies, grouped, least, most
):
    alarms = 0
    groups = np.repeat(np.arange(num_samples), copies) if grouped else None
    for seed in range(100):
        scores, labels = (
            np.repeat(of, copies) for of in draw_calibrated(num_samples, seed)
        )
        options = {"num_draws": 100, "seed": seed, "group_index": groups}
        test = compute_calibration_test(scores, labels, **options)
        alarms += test.p_value < 0.05

    assert least <= alarms <= most


def draw_logits(num_samples, temperature, bias=0.0, seed=0):
    """Logit differences that `temperature` and `bias` calibrate, and labels."""
    rng = np.random.default_rng(seed)
    log_odds = 2 * rng.normal(size=num_samples)
    labels = (rng.random(num_samples) < 1 / (1 + np.exp(-log_odds))).astype(int)
    return temperature * (log_odds - bias), labels


@pytest.mark.parametrize(("temperature", "bias"), [(3.0, 0.0), (2.0, -1.5)])
def test_fit_calibration_brings_logits_back(temperature, bias):
    differences, labels = draw_logits(20_000, temperature, bias)

    fitted = fit_calibration(differences, labels, with_bias=bias != 0)

    assert fitted == pytest.approx((temperature, bias), rel=0.05)


def test_fit_calibration_nearly_minimises_the_log_loss():
    differences, labels = draw_logits(300, 0.5)

    best = fit_calibration(differences, labels).temperature

    losses = [
        Calibration(t).compute_losses(differences, labels).mean()
        for t in (best / 1.2, best, best * 1.2)
    ]
    assert losses[1] < min(losses[0], losses[2])


def test_fit_calibration_one_image_on_the_other_side_moves_next_to_nothing():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    differences = np.where(labels == 1, 1, -1) * np.abs(2 * rng.normal(size=200))
    separable, not_quite = differences.copy(), differences.copy()
    separable[0], not_quite[0] = -1e-9, 1e-9

    temperatures = [
        fit_calibration(of, labels).temperature for of in (separable, not_quite)
    ]

    assert temperatures[0] == pytest.approx(temperatures[1], rel=1e-4)
    assert 0.1 < temperatures[0] < 0.5


@pytest.mark.parametrize("num_samples", [3, 50, 500])
def test_choose_calibration_calibrated_logits_keep_temperature_one(num_samples):
    kept = 0
    for seed in range(10):
        differences, labels = draw_logits(num_samples, 1.0, seed=seed)
        labels[:2] = 0, 1
        choice = choose_calibration(differences, labels)
        kept += choice.calibration == Calibration(1.0, 0.0)

    assert kept >= 8


@pytest.mark.parametrize("bias", [0.0, -1.5])
def test_choose_calibration_takes_what_gains_beyond_chance(bias):
    differences, labels = draw_logits(1000, 3.0, bias)

    choice = choose_calibration(differences, labels)

    assert choice.calibration.temperature == pytest.approx(3, rel=0.2)
    assert choice.calibration.bias == pytest.approx(bias, abs=0.4)
    assert (choice.calibration.bias == 0) == (bias == 0)
    low, high = choice.temperature_interval
    assert 2.2 < low < choice.calibration.temperature < high < 4.2
    assert not choice.notes


def test_choose_calibration_says_where_a_fit_is_at_its_bound_used_or_not():
    labels = np.tile([0, 1], 50)
    differences = np.random.default_rng(0).normal(scale=30, size=100)

    choice = choose_calibration(differences, labels)

    assert choice.calibration.temperature == pytest.approx(20)
    assert "at its bound, 20: look" in choice.notes[0]
    differences = np.random.default_rng(2).normal(scale=0.01, size=40) * labels[:40]
    choice = choose_calibration(-differences, labels[:40])
    assert choice.calibration.temperature == 1
    assert "is not used: look" in choice.notes[0]


def test_choose_calibration_logits_that_say_next_to_nothing_stay_in_bounds():
    none = choose_calibration(np.zeros(10), np.tile([0, 1], 5))
    little = choose_calibration(1e-6 * np.array([1.0, -2, 3, 1.5]), [0, 0, 1, 1])

    assert none.calibration == Calibration(1.0, 0.0)
    assert none.temperature_interval == (0.05, 20.0)
    low, high = little.temperature_interval
    assert 0.05 <= low < high <= 20


def test_compute_calibration_test_of_few_videos_keeps_its_size():
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 300)
        groups = np.repeat(np.arange(60), 10)
        noise = (rng.normal(size=60)[groups] + rng.normal(size=600)) / np.sqrt(2)
        scores = expit(1.5 * (noise + 1.5 * (labels - 0.5)))  # calibrated: binormal
        test = compute_calibration_test(
            scores, labels, group_index=groups, num_draws=200, seed=seed
        )
        alarms += test.p_value < 0.05

    assert 4 <= alarms <= 18  # a binomial of 200 and 5 % is, in 98 of 100 cases


def test_count_neighbours_two_bins_by_hand():
    scores = np.arange(20) / 20
    labels = np.r_[np.zeros(8), np.ones(2), np.ones(9), 0].astype(int)
    order = np.random.default_rng(0).permutation(20)

    rows = count_neighbours(scores[order], labels[order])

    assert rows == [(0.0, 0.45, 2, 10), (0.5, 0.95, 9, 10)]
    assert check_neighbours([list(row) for row in rows]) == rows


@pytest.mark.parametrize("num_samples", [2, 15, 25, 151, 3000])
@pytest.mark.parametrize("decimals", [1, 8])
def test_count_neighbours_rows_hold_ten_samples_and_cut_no_ties(num_samples, decimals):
    rng = np.random.default_rng(0)
    scores = rng.random(num_samples).round(decimals)
    labels = np.r_[0, 1, rng.integers(0, 2, num_samples - 2)]

    rows = count_neighbours(scores, labels)

    counts = [row.num_samples for row in rows]
    assert (sum(counts), min(counts) >= min(10, num_samples)) == (num_samples, True)
    assert 1 <= len(rows) <= 15
    assert all(a.highest < b.lowest for a, b in pairwise(rows))


@pytest.mark.parametrize(
    ("score", "number"), [(0.0, 0), (0.2, 0), (0.29, 0), (0.31, 1), (0.5, 1), (0.99, 1)]
)
def test_find_neighbours_takes_the_nearest_row(score, number):
    rows = [ScoreNeighbours(0.1, 0.2, 0, 10), ScoreNeighbours(0.4, 0.6, 9, 10)]
    assert find_neighbours(rows, score) == rows[number]


@pytest.mark.parametrize(
    "rows",
    [
        {},
        [3],
        [[0.1, 0.2, 1]],
        [[0.1, 0.2, 1.0, 2]],
        [[0.1, 0.2, True, 2]],
        [[0.2, 0.1, 1, 2]],
        [[0.1, 0.2, 3, 2]],
        [[0.1, 0.2, 0, 0]],
        [[0.1, 1.2, 1, 2]],
        [[-0.1, 0.2, 1, 2]],
        [[float("nan"), 0.2, 1, 2]],
        [[0.1, 0.3, 1, 2], [0.2, 0.4, 1, 2]],
    ],
)
def test_check_neighbours_refuses_what_is_not_a_table(rows):
    with pytest.raises(ValueError, match="its reliability"):
        check_neighbours(rows)
