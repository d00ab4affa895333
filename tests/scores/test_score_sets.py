"""What a detector said: what it is called, what is called fake, and calibration."""

import numpy as np
import pytest
from scipy.special import expit, logit

from metrics.likelihood_ratios import fit_llr_calibration
from scores.score_sets import (
    LOGIT_DIFFERENCE,
    PROBABILITY,
    RAW_SCORE,
    ScoreSet,
    calibrate_on,
    tell_apart,
)


def make(dataset="faces", detector="d", **options):
    empty = np.empty(0)
    columns = {"scores": empty, "labels": empty, "fake_scores": None, **options}
    return ScoreSet(dataset, "m", **columns, detector=detector)


def draw(seed, num_real=300, num_fake=100):
    """Scores whose log-likelihood ratio is 2 * score, normal around -1 and 1."""
    labels = np.repeat([0, 1], [num_real, num_fake])
    noise = np.random.default_rng(seed).normal(size=labels.size)
    return 2 * labels - 1 + noise, labels


def make_drawn(seed, **options):
    scores, labels = draw(seed)
    columns = {"scores": scores, "labels": labels, "score_name": RAW_SCORE}
    provenance = {"inputs": [{"path": f"{seed}.csv"}]}
    return make(**{**columns, "provenance": provenance, **options})


@pytest.mark.parametrize(
    ("options", "name", "title"),
    [
        ({"detector": "v"}, "faces_m_v", "m (v) on faces"),
        ({"detector": "", "split": "val"}, "faces_val_m", "m on faces, val split"),
        ({"detector": "", "split": "test"}, "faces_m", "m on faces"),
    ],
)
def test_score_set_name_and_title_say_what_it_is_of(options, name, title):
    named = make(**options)

    assert (named.name, named.title) == (name, title)


@pytest.mark.parametrize(
    ("fake_scores", "called"),
    [(None, [True, False]), (np.array([0.4, 0.5]), [False, True])],
)
def test_called_fake_judges_by_probability_where_there_is_one(fake_scores, called):
    scores = make(scores=np.array([0.5, 0.2]), fake_scores=fake_scores)

    assert scores.called_fake.tolist() == called


def test_tell_apart_names_the_detector_only_where_needed():
    named = tell_apart([make("a", "x"), make("a", "y"), make("b", "x")])

    assert [scores.name for scores in named] == ["a_m_x", "a_m_y", "b_m"]
    with pytest.raises(ValueError, match="2 inputs would be saved as a_m_x"):
        tell_apart([make("a", "x"), make("a", "x")])


def test_tell_apart_titles_say_what_detectors_of_one_model_were_trained_on():
    trainings = [("a", "x", "faces"), ("a", "y", "masks"), ("b", "z", None)]
    score_sets = [
        make(dataset, stem, provenance={"trained_on": trained})
        for dataset, stem, trained in trainings
    ]
    titles = ["m (trained on faces) on a", "m (trained on masks) on a", "m on b"]

    named = tell_apart(score_sets)

    assert [scores.title for scores in named] == titles
    assert [scores.name for scores in named] == ["a_m_x", "a_m_y", "b_m"]
    # One training tells nothing apart, nor does one that two of three share.
    assert [s.title for s in tell_apart(score_sets[:1])] == ["m on a"]
    twin = make("a", "w", provenance={"trained_on": "faces"})
    titles = ["m (x) on a", titles[1], "m (w) on a"]
    assert [s.title for s in tell_apart([*score_sets[:2], twin])] == titles


def test_calibrate_on_normal_scores_finds_their_likelihood_ratio():
    scores = make_drawn(1)

    calibrated = calibrate_on(scores, make_drawn(2, detector="val", unit="samples"))

    # As many fakes as in validation: prior odds of 1 to 3.
    llrs = logit(calibrated.fake_scores) + np.log(3)
    # Within the scatter of 100 fakes, the true line is 2 * score.
    np.testing.assert_allclose(llrs, 2 * scores.scores, atol=1.5)
    np.testing.assert_allclose(calibrated.llrs, llrs.clip(*calibrated.llr_bounds))
    assert llrs.min() < calibrated.llr_bounds[0] < -2 < 2 < calibrated.llr_bounds[1]
    np.testing.assert_array_equal(calibrated.scores, scores.scores)
    assert calibrated.score_name == RAW_SCORE
    assert calibrated.threshold_source == "equal error rates on val (400 samples)"
    assert calibrated.llr_source == "calibrated on val (400 samples)"
    assert calibrated.provenance["inputs"] == [{"path": "1.csv"}]
    assert calibrated.provenance["calibrated_on"] == [{"path": "2.csv"}]
    assert not calibrated.notes


def test_calibrate_on_chooses_the_threshold_that_is_asked_for():
    scores = make_drawn(1, score_name=LOGIT_DIFFERENCE)

    balanced = calibrate_on(scores, scores)
    strict = calibrate_on(scores, scores, max_fpr=0.1)

    assert balanced.score_name == LOGIT_DIFFERENCE
    errors = balanced.called_fake != scores.labels
    assert errors[:300].mean() == pytest.approx(errors[300:].mean(), abs=0.01)
    assert 20 < strict.called_fake[:300].sum() <= 30
    assert "0.1" in strict.threshold_source
    with pytest.raises(ValueError, match="300 real images are too few"):
        calibrate_on(scores, scores, max_fpr=0.001, confidence=0.95)


def test_calibrate_on_saturated_probabilities_stays_finite():
    labels = np.array([0, 0, 1, 1])
    certain = np.array([0.0, 1.0, 0.0, 1.0])
    given = make_drawn(
        1, scores=certain, fake_scores=certain, labels=labels, score_name=PROBABILITY
    )

    assert np.isfinite(calibrate_on(given, given).llrs).all()


def test_calibrate_on_probabilities_fits_their_log_odds_and_rounds_no_doubles():
    scores, labels = draw(1)
    fake_scores = expit(12 * scores - 40)  # the least is about 1e-40
    columns = {"scores": fake_scores, "fake_scores": fake_scores}
    given = make_drawn(1, **columns, score_name=PROBABILITY)

    calibrated = calibrate_on(given, given)

    line = fit_llr_calibration(12 * scores - 40, labels)
    expected = line.compute_llrs(12 * scores - 40)
    np.testing.assert_allclose(calibrated.llrs, expected, rtol=1e-5)
    np.testing.assert_array_equal(calibrated.scores, fake_scores)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scores": -draw(2)[0]}, "the AUC is well below 0.5"),
        ({"labels": np.repeat([0, 1], [399, 1])}, "only 399 real and 1 fake samples"),
        ({"notes": ["1 of 400 scores lie outside"]}, "1 of 400 scores lie outside"),
    ],
)
def test_calibrate_on_warns_of_its_samples_as_of_those_judged(change, said):
    validation = make_drawn(2, **change, detector="val", unit="samples")

    notes = calibrate_on(make_drawn(1), validation).notes

    assert any(n.startswith(f"calibration on val (400 samples): {said}") for n in notes)


@pytest.mark.parametrize("swapped", [False, True])
def test_calibrate_on_other_kinds_of_scores_is_refused(swapped):
    pair = [make_drawn(1), make_drawn(2, scores=expit(draw(2)[0]))]

    with pytest.raises(ValueError, match=r"\d.csv: scores from .* cannot calibrate"):
        calibrate_on(*(pair[::-1] if swapped else pair))


def test_calibrate_on_one_class_names_the_file():
    one = make_drawn(2, labels=np.ones(400, dtype=int))

    with pytest.raises(ValueError, match=r"^2.csv: both classes are needed"):
        calibrate_on(make_drawn(1), one)
