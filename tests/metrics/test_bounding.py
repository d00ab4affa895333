"""Bounds of likelihood ratios: those of `lir`, and what must hold for any samples."""

import numpy as np
import pytest
from scipy.special import expit

from judging.detector import Detector
from metrics.bounding import compute_elub
from metrics.likelihood_ratios import fit_llr_calibration
from metrics.operating_point import choose_operating_point
from records.checkpoint import CheckpointRecord
from scores import ScoreSet, calibrate_on, load_score_set, save_score_set


def draw(seed, num_real, num_fake, gap=2.0, tails=3):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [num_real, num_fake])
    return gap * labels + rng.standard_t(tails, size=labels.size), labels


@pytest.mark.parametrize(
    ("num_real", "num_fake", "gap", "spread", "expected"),
    [
        (50, 50, 2, 4, (-1.36, 0.45)),  # some mislead
        (60, 60, 9, 5, (-1.75, 1.76)),  # none does
        (300, 30, 1, 3, (-0.23, 0.22)),  # many do, and fakes are few
    ],
)
def test_compute_elub_equals_that_of_the_netherlands_forensic_institute(
    num_real, num_fake, gap, spread, expected
):
    # What elub of lir 1.3.1 gives for these ratios, to base 10.
    labels = np.repeat([0, 1], [num_real, num_fake])
    llrs = gap * (2 * labels - 1) + spread * np.sin(np.arange(labels.size) ** 2)

    bounds = compute_elub(llrs, labels)

    assert np.divide(bounds, np.log(10)) == pytest.approx(expected, abs=1e-9)


def test_compute_elub_three_samples_a_class_by_hand():
    # Of four fakes three lie above 3 to 1, of four real samples one: 3 is supported,
    # (3 / 4) / (1 / 4), and so is 1 to 3; 100 to 1 is not.
    llrs = np.log([0.01, 0.01, 0.01, 100, 100, 100])

    bounds = compute_elub(llrs, [0, 0, 0, 1, 1, 1])

    step = 0.01 * np.log(10)
    assert -np.log(3) <= bounds[0] < -np.log(3) + step
    assert np.log(3) - step < bounds[1] <= np.log(3)


@pytest.mark.parametrize("llrs", [[0.0] * 4, [5.0, 5.0, -5.0, -5.0], [9.0] * 4])
def test_compute_elub_of_what_is_no_evidence_is_zero(llrs):
    assert compute_elub(llrs, [0, 0, 1, 1]) == (0, 0)


def test_compute_elub_more_samples_support_as_much_or_more():
    for seed in range(20):
        scores, labels = draw(seed, 20, 30)

        bounds = [
            compute_elub(np.tile(scores, n), np.tile(labels, n)) for n in (1, 2, 5, 50)
        ]

        lower, upper = np.transpose(bounds)
        assert (np.diff(lower) <= 0).all() and (np.diff(upper) >= 0).all()
        assert (upper <= np.log(20 * np.array([1, 2, 5, 50]) + 1)).all()
        assert (lower >= -np.log(30 * np.array([1, 2, 5, 50]) + 1)).all()
    assert bounds[0] != bounds[-1]


def repeat_views(seed, scores, labels):
    """Each image 1 to 7 times, and what its views weigh: together one."""
    num_views = np.random.default_rng(seed).integers(1, 8, labels.size)
    return (*(np.repeat(of, num_views) for of in (scores, labels, 1 / num_views)),)


@pytest.mark.parametrize("size", [5, 20, 200])
def test_compute_elub_views_of_an_image_count_as_one_image(size):
    num_others = 0
    for seed in range(300):  # in some, costs are equal but for rounding
        llrs, labels = draw(seed, size, size, 0.5)
        *views, weights = repeat_views(seed, llrs, labels)

        bounds = compute_elub(llrs, labels)
        assert compute_elub(*views, weights=weights) == bounds
        num_others += compute_elub(*views) != bounds
    assert num_others > 150


def test_fit_llr_calibration_views_of_an_image_count_as_one_image():
    step = 0.01 * np.log(10)
    for seed in range(10):
        scores, labels = draw(seed, 25, 40)
        *views, weights = repeat_views(seed, scores, labels)

        fitted = fit_llr_calibration(*views, weights)

        expected = fit_llr_calibration(scores, labels)
        assert fitted[:2] == pytest.approx(expected[:2], abs=1e-5)
        assert fitted.bounds == pytest.approx(expected.bounds, abs=1.01 * step)
    assert fit_llr_calibration(*views)[:2] != pytest.approx(expected[:2], abs=1e-3)


@pytest.mark.parametrize("gap", [-2, 0, 0.5, 2, 30])
def test_no_ratio_lies_outside_its_bound_in_any_output(gap, tmp_path):
    given = {"fake_scores": None, "score_name": "score", "detector": "d"}
    given["provenance"] = {"inputs": []}
    for seed in range(2):
        scores, labels = draw(seed, 40, 60, gap)
        far = np.r_[scores, -1e3, 1e3], np.r_[labels, 0, 1]
        line = fit_llr_calibration(scores, labels)
        logits = np.outer(scores, [-0.5, 0.5])
        point = choose_operating_point(logits, labels)
        record = CheckpointRecord(**point.to_entries())
        validation = ScoreSet("val", "", scores, labels, **given)

        judged = calibrate_on(ScoreSet("far", "", *far, **given), validation)
        save_score_set(judged, tmp_path / "far.csv")
        read = load_score_set(tmp_path / "far.csv")
        from_network = Detector(None, record=record).llr_line.compute_llrs(far[0])

        assert line.lower <= 0 <= line.upper
        for llrs in (judged.llrs, read.llrs, from_network, line.compute_llrs(far[0])):
            assert line.lower <= llrs.min() <= llrs.max() <= line.upper
            assert np.unique(llrs).size > 2 or line.bounds == (0, 0)
        assert judged.llr_bounds == line.bounds
        # A file without a ratio on one side does not say that side's bound.
        assert read.llr_bounds == (line.lower or -np.inf, line.upper)
        # P(fake) still tells apart what the bounds hold alike.
        inner = np.argsort(scores)
        assert np.unique(judged.fake_scores[inner]).size > 90
        assert judged.fake_scores[inner] == pytest.approx(
            expit(line.extrapolate(scores[inner]) + np.log(1.5))
        )
