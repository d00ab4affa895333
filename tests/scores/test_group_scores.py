"""Groups, into one score each."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from scores.group_scores import MixedGroupsError, score_groups
from scores.score_sets import LOGIT_DIFFERENCE, PROBABILITY, RAW_SCORE, ScoreSet

LOGITS = np.array([-3.0, 1.0, 0.0, 4.0, 2.0, -1.0])  # b: -3, 1, 4; a: 0, 2, -1
FAKE_SCORES = expit(LOGITS / 2)
FRAMES = {"labels": np.array([0, 0, 1, 0, 1, 1]), "groups": list("bbabaa")}


def make_set(scores=LOGITS, fake_scores=FAKE_SCORES, **options):
    known = {"score_name": LOGIT_DIFFERENCE, **FRAMES, **options}
    known |= {"threshold": 0.6, "threshold_source": "EER"}
    return ScoreSet("faces", "m", scores, fake_scores=fake_scores, **known)


@pytest.mark.parametrize(
    ("how", "expected", "words"),
    [
        ("mean-logit", [1 / 3, 2 / 3], "mean of its images' logit differences"),
        ("median", [0, 1], "median of its images' logit differences"),
        ("max", [2, 4], "highest of its images' logit differences"),
        ("top3", [1 / 3, 2 / 3], "mean of the three highest of its images' logit"),
        ("mean-probability", [0.536, 0.562], "mean of its images' P(fake)"),
    ],
)
def test_score_groups_by_hand(how, expected, words):
    groups, said = score_groups(make_set(llrs=LOGITS), how)

    assert said.startswith(words)
    assert groups.paths == ["a", "b"]
    assert groups.labels.tolist() == [1, 0]
    np.testing.assert_allclose(groups.scores, expected, atol=1e-3)
    # Calibrated as the images are, by the temperature 2.
    calibrated = expected if "P(fake)" in words else expit(np.array(expected) / 2)
    np.testing.assert_allclose(groups.fake_scores, calibrated, atol=1e-3)
    assert (groups.threshold, groups.unit, groups.llrs) == (0.6, "groups", None)
    assert groups.threshold_source == "that of the images, not chosen for groups: EER"


def test_score_groups_a_rounded_probability_counts_as_its_logit():
    logits = np.array([60.0, -14, -14, 900, 1, 2])
    certain = make_set(logits, expit(logits), groups=list("aaabbb"))

    groups, _ = score_groups(replace(certain, labels=np.repeat([0, 1], 3)))

    np.testing.assert_allclose(groups.fake_scores, expit([32 / 3, 301]), rtol=1e-9)
    alike = replace(certain, labels=np.repeat([0, 1], 3), fake_scores=np.ones(6))
    assert score_groups(alike)[0].fake_scores[1] == 1


def test_score_groups_top3_leaves_out_the_lower_ones():
    frames = {"labels": np.array([0, 0, 0, 0, 1]), "groups": list("aaaab")}
    scores = make_set(np.array([-9.0, 1, 2, 3, 7]), None, **frames)

    assert score_groups(scores, "top3")[0].scores.tolist() == [2, 7]


@pytest.mark.parametrize(
    ("options", "expected", "words"),
    [
        ({"fake_scores": None, "score_name": RAW_SCORE}, LOGITS, "scores"),
        ({"score_name": PROBABILITY}, FAKE_SCORES, "P(fake)"),
        (
            {"scores": expit(LOGITS), "score_name": RAW_SCORE, "llrs": LOGITS},
            *(LOGITS / 2, "calibrated log odds"),
        ),
    ],
)
def test_score_groups_without_logits_takes_what_is_known(options, expected, words):
    groups, said = score_groups(make_set(**options))

    means = [expected[[2, 4, 5]].mean(), expected[[0, 1, 3]].mean()]
    np.testing.assert_allclose(groups.scores, means)
    assert said == f"mean of its images' {words}"


def test_score_groups_what_cannot_be_judged_is_refused():
    with pytest.raises(MixedGroupsError, match=r"1 of 4 groups hold both .* 'a'"):
        score_groups(make_set(groups=list("abacdd")))
    with pytest.raises(ValueError, match=r"no P\(fake\) to average: choose another"):
        score_groups(make_set(fake_scores=None), "mean-probability")
