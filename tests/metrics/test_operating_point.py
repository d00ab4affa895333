"""Temperature and threshold: tables worked out by hand, and known optima."""

import numpy as np
import pytest
import torch
from scipy import stats

from metrics.calibration import choose_calibration, count_neighbours
from metrics.likelihood_ratios import fit_llr_calibration
from metrics.meaning import compute_fake_scores
from metrics.operating_point import (
    OperatingPoint,
    choose_operating_point,
    choose_threshold,
    count_allowed_false_positives,
)
from metrics.summary import compute_metrics


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, "equal error rates"),
        ({"max_fpr": 0.25}, "FPR 0.25"),
        (
            {"max_fpr": 0.25, "fpr_confidence": 0.99},
            "FPR at most 0.25 with confidence 0.99",
        ),
        ({"max_fnr": 0.01}, "equal error rates, called real at FNR 0.01"),
        ({"max_fnr": 0.5}, "equal error rates, called real at FNR 0.5"),
    ],
)
def test_choose_operating_point_is_of_the_calibrated_scores(options, policy):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 200)
    margins = 5 * rng.normal(size=200) + 6 * labels + 2
    logits = torch.tensor(np.outer(margins, [-0.5, 0.5]))

    point = choose_operating_point(logits, torch.tensor(labels), **options)

    choice = choose_calibration(margins, labels)
    temperature, bias = choice.calibration
    assert temperature > 1 and bias != 0
    scores = compute_fake_scores(logits, temperature, bias)
    losses = [
        compute_metrics(of, labels)["log_loss"]
        for of in (compute_fake_scores(logits), scores)
    ]
    line = fit_llr_calibration(margins, labels)
    max_fpr, max_fnr = options.get("max_fpr"), options.get("max_fnr")
    confidence = options.get("fpr_confidence")
    threshold = choose_threshold(scores, labels, max_fpr, confidence=confidence)
    fewest = choose_threshold(1 - scores, 1 - labels, max_fnr)
    assert point == OperatingPoint(
        temperature=temperature,
        threshold=threshold,
        real_below=max_fnr and min(threshold, 1 - fewest),
        threshold_policy=f"{policy} on 200 validation images",
        val_fake_share=np.mean(margins > 0),
        llr_slope=pytest.approx(line.slope),
        llr_intercept=pytest.approx(line.intercept),
        llr_lower=line.lower,
        llr_upper=line.upper,
        temperature_interval=pytest.approx(choice.temperature_interval),
        log_losses=pytest.approx(losses),
        logit_bias=bias,
        calibration_notes=[],
        reliability=list(map(list, count_neighbours(scores, labels))),
    )
    assert max_fnr != 0.5 or 1 - fewest > threshold
    twice = logits.repeat_interleave(2, dim=0), labels.repeat(2)  # as two views of each
    views = choose_operating_point(*twice, **options, num_views=2)
    for name in ("temperature", "threshold", "llr_slope", "llr_lower", "llr_upper"):
        assert getattr(views, name) == pytest.approx(getattr(point, name))


@pytest.mark.parametrize(
    ("max_fpr", "threshold"),
    [
        (None, 0.7 - 0.1 / 3),  # FPR = FNR = 1/3, a third of the way from .7 to .6
        (0, 0.85),  # only the fake .9, half-way down to the real .8
        (0.25, 0.65),  # one of four reals: fakes .9 .7, down to the real .6
        (0.5, 0.45),
        (0.99, 0.45),  # more false positives would find nothing more
    ],
)
def test_choose_threshold_is_at_the_eer_or_finds_most_within_max_fpr(
    max_fpr, threshold
):
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    labels = [1, 0, 1, 0, 1, 0, 0]

    assert choose_threshold(scores, labels, max_fpr) == pytest.approx(threshold)


def test_choose_threshold_max_fpr_with_a_real_on_top_calls_nothing_fake():
    chosen = choose_threshold([0.9, 0.8], [0, 1], 0)

    assert 0.9 < chosen < 0.9001


@pytest.mark.parametrize(
    ("num_real", "max_fpr", "confidence", "allowed"),
    # (1 - rate) ** n is the chance that none of n lies above: 0.95 ** 59 = 0.0485.
    [(59, 0.05, 0.95, 0), (100, 0.05, 0.95, 1), (45, 0.05, 0.9, 0), (2, 0.5, 0.75, 0)],
)
def test_count_allowed_false_positives_is_the_umbrellas(
    num_real, max_fpr, confidence, allowed
):
    counted = count_allowed_false_positives(num_real, max_fpr, confidence)

    assert counted == allowed
    at_most = [stats.binom.cdf(k, num_real, max_fpr) for k in (counted, counted + 1)]
    assert at_most[0] <= 1 - confidence + 1e-12 < at_most[1]


def test_count_allowed_false_positives_what_cannot_be_promised_is_refused(refused):
    with refused("58 real images are too few .* 59 are needed"):
        count_allowed_false_positives(58, 0.05, 0.95)


def test_choose_threshold_with_confidence_keeps_its_promise():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [200, 50])
    broken = {None: 0, 0.9: 0}
    for _ in range(300):
        scores = rng.normal(size=250) + 2 * labels
        for confidence in broken:
            threshold = choose_threshold(scores, labels, 0.05, confidence=confidence)
            broken[confidence] += stats.norm.sf(threshold) > 0.05

    assert broken[None] > 100  # the empirical policy: every other time
    assert broken[0.9] <= 40  # 30 expected


def test_compute_fake_scores_is_the_softmax_of_scaled_logits():
    scores = compute_fake_scores([[1.0, 3.0], [0.0, 0.0], [2000.0, 0.0]], 2.0)

    np.testing.assert_allclose(scores, [1 / (1 + np.exp(-1)), 0.5, 0])
    assert compute_fake_scores([[1.0, 3.0]], 2.0, -1.0) == 0.5


@pytest.mark.parametrize(
    ("logits", "temperature", "message"),
    [
        *(([[0.0, 0.0]], bad, "positive number") for bad in (0, -1, np.nan, np.inf)),
        *((bad, 1, r"shape \(N, 2\), got") for bad in ([1.0, 2.0], [[1.0, 2.0, 3.0]])),
    ],
)
def test_compute_fake_scores_bad_input_is_refused(logits, temperature, message):
    with pytest.raises(ValueError, match=message):
        compute_fake_scores(logits, temperature)
