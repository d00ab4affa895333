"""DeLong against placement values counted pair by pair; shares that are kept."""

import numpy as np
import pytest
from scipy import stats

from metrics.delong import (
    compute_auc_kept,
    compute_delong_interval,
    compute_paired_delong_test,
)

LABELS = np.repeat([0, 1], 4)
PERFECT = np.arange(1.0, 9)
HALF = np.array([1.0, 3, 5, 7, 6, 4, 8, 2])  # AUC 10 / 16


def place_pairs(scores, labels):
    """Compare every fake with every real: 1, 1/2 or 0, shape (fake, real)."""
    fake, real = scores[labels == 1][:, None], scores[labels == 0][None]
    return (fake > real) + 0.5 * (fake == real)


def covary_naively(score_rows, labels):
    """DeLong et al. 1988, equations 4 to 6, in O(N**2)."""
    pairs = [place_pairs(row, labels) for row in score_rows]
    over_fake = np.cov([p.mean(axis=1) for p in pairs]) / (labels == 1).sum()
    over_real = np.cov([p.mean(axis=0) for p in pairs]) / (labels == 0).sum()
    return [p.mean() for p in pairs], over_fake + over_real


def draw_two_detectors(seed, decimals):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 70)]
    common = rng.normal(size=labels.size) + labels
    rows = [common + rng.normal(size=labels.size) for _ in range(2)]
    return np.round(rows, decimals), labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decimals", [0, 8])
def test_compute_paired_delong_test_equals_the_naive_covariance(seed, decimals):
    rows, labels = draw_two_detectors(seed, decimals)
    aucs, covariance = covary_naively(rows, labels)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    z = (aucs[0] - aucs[1]) / np.sqrt(variance)

    result = compute_paired_delong_test(*rows, labels)

    assert result[:2] == pytest.approx(aucs, abs=1e-12)
    assert result.z == pytest.approx(z, abs=1e-10)
    assert result.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-10)
    half = (result.high - result.low) / 2  # as wide, but for what 70 samples correct
    assert half == pytest.approx(1.959964 * np.sqrt(variance), rel=0.15)


@pytest.mark.parametrize("decimals", [0, 8])
def test_compute_delong_interval_equals_the_naive_variance(decimals):
    rows, labels = draw_two_detectors(7, decimals)
    aucs, covariance = covary_naively(rows, labels)

    result = compute_delong_interval(rows[0], labels)

    assert result.auc == pytest.approx(aucs[0], abs=1e-12)
    assert result.standard_error**2 == pytest.approx(covariance[0, 0], abs=1e-12)
    assert 0 < result.low < result.auc < result.high < 1


def test_compute_delong_interval_four_samples_by_hand():
    # Fakes 2 and 4, reals 1 and 3: placements of fakes 1/2, 1; of reals 1, 1/2.
    result = compute_delong_interval([2, 4, 1, 3], [1, 1, 0, 0])

    assert result.auc == 0.75
    assert result.standard_error == pytest.approx(np.sqrt(2 * 0.125 / 2))
    # Expected of an AUC of 3/4: 3/16 (1 + (1/4) / (5/4) + (3/4) / (7/4)) / 4. It counts
    # for 15 samples, and DeLong's variance for the two that there are of a class.
    expected = 0.1875 * (1 + 0.2 + 3 / 7) / 4
    variance = (15 * expected + 2 * 0.125) / 17
    # logit(3/4) = ln 3, and its slope there is 1 / (3/4 * 1/4); t with one degree.
    margin = 12.706205 * np.sqrt(variance) / 0.1875
    odds = 3 * np.exp([-margin, margin])
    assert result[1:3] == pytest.approx(odds / (1 + odds), abs=1e-6)


@pytest.mark.parametrize(
    ("scores", "labels", "interval", "method"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], (0.025**0.5, 1), "exact bound"),
        ([4, 3, 2, 1], [0, 0, 1, 1], (0, 1 - 0.025**0.5), "exact bound"),
        ([1, 1, 1, 1], [0, 0, 1, 1], (0.5 * 0.025**0.5, 1 - 0.5 * 0.025**0.5), "exact"),
        ([1, 3, 2], [0, 0, 1], (0, 1), "none"),
    ],
    ids=["perfect", "inverted", "constant", "one fake"],
)
def test_compute_delong_interval_no_variance_is_honest(
    scores, labels, interval, method
):
    result = compute_delong_interval(scores, labels)

    assert (result.low, result.high) == pytest.approx(interval)
    assert result.method.startswith(method)


def test_compute_delong_interval_groups_of_copies_equal_single_samples():
    rows, labels = draw_two_detectors(3, 8)
    copies, copied_labels = np.repeat(rows[0], 5), np.repeat(labels, 5)
    groups = np.repeat(np.arange(labels.size), 5)

    single = compute_delong_interval(rows[0], labels)
    grouped = compute_delong_interval(copies, copied_labels, groups=groups)

    assert grouped == pytest.approx((*single[:4], single.method))


def test_compute_delong_interval_mixed_groups_equal_obuchowski_by_hand():
    scores, labels = np.array([2.0, 1, 4, 3, 5, 2.5]), np.array([1, 0, 1, 0, 1, 0])
    groups = np.array(["a", "a", "b", "b", "c", "c"])
    pairs = place_pairs(scores, labels)
    fake = pairs.mean(axis=1) - pairs.mean()  # a group holds one of each
    real = pairs.mean(axis=0) - pairs.mean()
    variance = 3 / 2 * (fake + real) @ (fake + real) / 9

    result = compute_delong_interval(scores, labels, groups=groups)

    assert result.standard_error**2 == pytest.approx(variance, abs=1e-12)


def test_compute_delong_interval_separated_groups_count_groups():
    scores, labels = np.r_[np.zeros(50), np.ones(50)], np.repeat([0, 1], 50)
    groups = np.arange(100) // 10

    result = compute_delong_interval(scores, labels, groups=groups)

    assert result.low == pytest.approx(0.025 ** (1 / 5))


@pytest.mark.parametrize(
    ("scores", "other", "z", "width"),
    [
        (PERFECT, HALF, None, True),
        (PERFECT, PERFECT[::-1], np.nan, True),
        (PERFECT, np.array([4, 3, 2, 1, 8, 7, 6, 5]), 0, True),
        (PERFECT, np.zeros(8), np.nan, True),
        (HALF, np.exp(HALF), 0, False),
        (PERFECT, np.exp(PERFECT), 0, False),
        (np.zeros(8), np.ones(8), 0, True),
    ],
)
def test_compute_paired_delong_test_only_equal_orders_have_no_width(
    scores, other, z, width
):
    result = compute_paired_delong_test(scores, other, LABELS)

    assert (result.high - result.low > 0.05) is width
    assert (result.high == result.low) is not width
    assert result.low <= result.difference <= result.high
    if z is not None:
        assert (result.z, result.p_value) == pytest.approx((z, 1 + z), nan_ok=True)


@pytest.mark.parametrize(("size", "shifts"), [(10, (3, 1.5)), (20, (3.6, 2.3))])
def test_compute_paired_delong_test_interval_holds_what_it_says(size, shifts):
    labels, rng = np.repeat([0, 1], size), np.random.default_rng(6)
    truth = np.subtract(*stats.norm.cdf(np.array(shifts) / np.sqrt(2)))
    num_held = 0
    for _ in range(200):
        noise = rng.normal(size=(3, labels.size))
        rows = [0.7 * noise[2] + 0.7141 * noise[i] + shifts[i] * labels for i in (0, 1)]
        result = compute_paired_delong_test(*rows, labels)
        num_held += result.low <= truth <= result.high

    assert num_held >= 190


def test_compute_delong_interval_of_few_fakes_holds_what_it_says():
    num_held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], [500, 25])
        scores = rng.normal(size=525) + labels * np.sqrt(2) * 1.880794  # AUC 0.97
        interval = compute_delong_interval(scores, labels)
        num_held += interval.low <= 0.97 <= interval.high

    assert 0.94 <= num_held / 300 <= 0.99


def test_compute_delong_interval_groups_whose_classes_score_alike_are_so_many_pairs():
    scores = np.tile(np.random.default_rng(0).standard_normal(100), 2)
    labels, groups = np.repeat([0, 1], 100), np.tile(np.arange(100), 2)

    interval = compute_delong_interval(scores, labels, groups=groups)

    low = 0.5 * 0.025 ** (1 / 50)  # a pair takes two groups
    assert interval[:3] == pytest.approx((0.5, low, 1 - low))


def test_compute_auc_kept_by_hand():
    labels, perfect = np.repeat([0, 1], 8), np.arange(16.0)
    half = np.r_[HALF[:4], HALF[:4], HALF[4:], HALF[4:]]
    found = compute_auc_kept(perfect, np.stack([perfect, half, -perfect]), labels)

    # AUCs 1, 5/8, 0: above chance 1/2, 1/8 and -1/2, in the mean over 1/2.
    assert found["auc_kept"] == pytest.approx(1 / 8 / 3 / 0.5)
    low, high = found["auc_kept_interval"]
    assert low < found["auc_kept"] < high


@pytest.mark.parametrize(
    ("scores", "labels"),
    [(HALF, LABELS), (np.array([0.0, 1.0]), np.array([0, 1]))],
    ids=["at chance", "one sample a class"],
)
def test_compute_auc_kept_needs_a_clean_auc_above_chance(scores, labels):
    found = compute_auc_kept(scores, scores[None], labels)

    assert found == {"auc_kept": None, "auc_kept_interval": None}


def test_compute_auc_kept_separated_classes_have_a_width():
    labels, clean = np.repeat([0, 1], 10), np.arange(20.0)
    other = np.r_[clean[:10][::-1], clean[10:]]

    low, high = compute_auc_kept(clean, other[None], labels)["auc_kept_interval"]

    assert low < 0.9 and high > 1.1


def test_compute_auc_kept_interval_is_as_wide_as_the_bootstraps():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [150, 100])
    clean = rng.normal(size=250) + labels
    rows = np.stack([clean, *(clean + rng.normal(0, s, 250) for s in (1, 2, 4))])
    found = compute_auc_kept(clean, rows[1:], labels)
    same = compute_auc_kept(clean, np.stack([clean, 2 * clean]), labels)

    values = []
    for _ in range(400):
        chosen = np.r_[rng.integers(150, size=150), 150 + rng.integers(100, size=100)]
        gains = [place_pairs(r[chosen], labels[chosen]).mean() - 0.5 for r in rows]
        values.append(np.mean(gains[1:]) / gains[0])

    low, high = found["auc_kept_interval"]
    assert (high - low) / 3.92 == pytest.approx(np.std(values), rel=0.15)
    assert same["auc_kept_interval"] == pytest.approx([1, 1], abs=1e-6)
