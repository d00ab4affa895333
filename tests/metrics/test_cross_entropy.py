"""Empirical cross-entropy: known answers, and Cllr and minCllr where they lie on it."""

import numpy as np
import pytest
from scipy import stats

from metrics.cross_entropy import LOG10_ODDS, compute_cross_entropies
from metrics.samples import check_samples
from metrics.summary import measure_samples

EVEN = int(np.flatnonzero(LOG10_ODDS == 0)[0])


def draw(seed, num_real=70, num_fake=40, decimals=8):
    labels = np.repeat([0, 1], [num_real, num_fake])
    noise = np.random.default_rng(seed).normal(size=labels.size)
    return np.round(noise + 2 * labels - 1, decimals), labels


@pytest.mark.parametrize("decimals", [0, 8])  # with ties, and without
@pytest.mark.parametrize("slope", [-1, 0.3, 2, 9])
def test_at_even_odds_the_curves_are_at_cllr_min_cllr_and_one(slope, decimals):
    scores, labels = draw(0, decimals=decimals)
    llrs = np.clip(slope * scores, -3, 2)

    curves = compute_cross_entropies(scores, labels, llrs)

    numbers = measure_samples(check_samples(scores, labels, llrs=llrs))
    assert curves.system[EVEN] == pytest.approx(numbers["cllr"], abs=1e-12)
    assert curves.minimal[EVEN] == pytest.approx(numbers["min_cllr"], abs=1e-12)
    assert curves.neutral[EVEN] == 1


def test_at_odds_of_ten_three_ratios_by_hand():
    # Real: 1 to 4. Fakes: 8 to 1 and 1 to 2. Odds of 10 to 1 for fake beforehand.
    scores = np.array([1.0, 3, 2])
    labels = np.array([0, 1, 1])

    curves = compute_cross_entropies(scores, labels, np.log([1 / 4, 8, 1 / 2]))

    place = int(np.flatnonzero(LOG10_ODDS == 1)[0])
    fake_costs, real_cost = np.log2([1 + 1 / 80, 1 + 1 / 5]), np.log2(1 + 10 / 4)
    expected = 10 / 11 * fake_costs.mean() + 1 / 11 * real_cost
    assert curves.system[place] == pytest.approx(expected)
    assert curves.minimal[place] == 0  # the order is right
    entropy = stats.entropy([10 / 11, 1 / 11], base=2)
    assert curves.neutral[place] == pytest.approx(entropy)


def test_minimal_is_below_all_that_keep_the_order_and_the_prior_alone():
    for seed in range(10):
        scores, labels = draw(seed)
        for slope in (0.0, 0.5, 2, 5):
            curves = compute_cross_entropies(scores, labels, slope * scores)
            assert (curves.minimal <= curves.system + 1e-12).all()
            assert (curves.minimal <= curves.neutral + 1e-12).all()
            assert curves.harmful.any() == (slope == 5)
    # Classes weigh by the prior, not by how many of each there are.
    twice = np.r_[scores, scores[labels == 0]], np.r_[labels, np.zeros(70, dtype=int)]
    again = compute_cross_entropies(*twice, 5 * twice[0])
    np.testing.assert_allclose(again, curves, atol=1e-12)
