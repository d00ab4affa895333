"""Temperature and threshold: tables worked out by hand, and known optima."""

import numpy as np
import pytest
import torch

from metrics.measures import compute_metrics
from metrics.operating_point import (
    OperatingPoint,
    choose_operating_point,
    choose_threshold,
    compute_fake_scores,
    fit_temperature,
)


def make_logits(margins):
    """Logits of real and fake that differ by these margins, (N, 2)."""
    return np.outer(margins, [-0.5, 0.5])


@pytest.mark.parametrize(("max_fpr", "policy"), [(None, "eer"), (0.25, "fpr=0.25")])
def test_choose_operating_point_is_of_the_calibrated_scores(max_fpr, policy):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 50)
    logits = torch.tensor(make_logits(5 * rng.normal(size=50) + 6 * labels - 3))

    point = choose_operating_point(logits.float(), torch.tensor(labels), max_fpr)

    temperature = fit_temperature(logits.float(), labels)
    scores = compute_fake_scores(logits.float(), temperature)
    assert temperature != 1
    assert point == OperatingPoint(
        temperature=temperature,
        threshold=choose_threshold(scores, labels, max_fpr),
        policy=policy,
        fake_share=np.mean(scores > 0.5),
        num_samples=50,
    )


def test_choose_threshold_at_the_eer_separates_separable_scores():
    assert choose_threshold([0.1, 0.3, 0.6, 0.9], [0, 0, 1, 1]) == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("max_fpr", "threshold"),
    [
        (0, 0.85),  # only the fake .9, half-way down to the real .8
        (0.25, 0.65),  # one of four reals: fakes .9 .7, down to the real .6
        (0.5, 0.45),
        (0.99, 0.45),  # more false positives would find nothing more
    ],
)
def test_choose_threshold_max_fpr_finds_most_within_its_bound(max_fpr, threshold):
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    labels = [1, 0, 1, 0, 1, 0, 0]

    chosen = choose_threshold(scores, labels, max_fpr)

    assert chosen == pytest.approx(threshold)
    computed = compute_metrics(scores, labels, chosen)
    assert 1 - computed["real_accuracy"] <= max_fpr


def test_choose_threshold_max_fpr_with_a_real_on_top_calls_nothing_fake():
    chosen = choose_threshold([0.9, 0.8], [0, 1], 0)

    assert 0.9 < chosen < 0.9001


def test_fit_temperature_overconfident_logits_are_brought_back():
    rng = np.random.default_rng(0)
    honest = rng.normal(scale=2, size=20_000)
    labels = (rng.random(honest.size) < 1 / (1 + np.exp(-honest))).astype(int)

    fitted = fit_temperature(make_logits(3 * honest), labels)

    assert fitted == pytest.approx(3, rel=0.05)


def test_fit_temperature_minimises_the_log_loss():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    logits = make_logits(4 * (rng.normal(size=200) + labels - 0.5))

    best = fit_temperature(logits, labels)

    losses = [
        compute_metrics(compute_fake_scores(logits, t), labels)["log_loss"]
        for t in (best / 1.05, best, best * 1.05)
    ]
    assert losses[1] < min(losses[0], losses[2])


@pytest.mark.parametrize(
    ("margins", "temperature"), [([-1, -2, 1, 2], 1.0), ([1, 2, -1, -2], 20.0)]
)
def test_fit_temperature_no_finite_optimum_is_defined(margins, temperature):
    fitted = fit_temperature(make_logits(margins), [0, 0, 1, 1])

    assert fitted == pytest.approx(temperature, rel=1e-4)


def test_compute_fake_scores_is_the_softmax_of_scaled_logits():
    scores = compute_fake_scores([[1.0, 3.0], [0.0, 0.0], [2000.0, 0.0]], 2.0)

    np.testing.assert_allclose(scores, [1 / (1 + np.exp(-1)), 0.5, 0])


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf])
def test_compute_fake_scores_bad_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="positive number"):
        compute_fake_scores([[0.0, 0.0]], temperature)


@pytest.mark.parametrize("logits", [[1.0, 2.0], [[1.0, 2.0, 3.0]]])
def test_compute_fake_scores_wrong_shape_is_refused(logits):
    with pytest.raises(ValueError, match=r"must have shape \(N, 2\), got"):
        compute_fake_scores(logits)
