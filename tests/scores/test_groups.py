"""Groups: out of names, into one score each, and across splits."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from scores.groups import (
    Leak,
    MixedGroupsError,
    choose_groups,
    deal_folds,
    find_leaks,
    groups_from_names,
    score_groups,
    subsets_from_names,
)
from scores.score_sets import LOGIT_DIFFERENCE, PROBABILITY, RAW_SCORE, ScoreSet


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (None, None),
        ("prefix", ["vid1", "vid2"]),
        (r"vid\d", ["vid1", "vid2"]),
        (r"vid(\d)_(\d+)", ["1", "2"]),
        (r"_(\d+)\.", ["003", "004"]),
    ],
)
def test_groups_from_names_any_pattern_takes_the_first_group(pattern, groups):
    names = ["test/real/vid1_003.png", "test/fake/vid2_004.png"]

    assert groups_from_names(names, pattern) == groups
    names = ["test/00144.jpg", "a.b_1.png", "plain"]
    assert groups_from_names(names, "prefix") == ["00144", "a.b", "plain"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("[", "is not a regular expression"),
        ("xyz", "finds no group in the name 'a_1.png'"),
        ("(x)?a", "finds no group"),
    ],
)
def test_groups_from_names_bad_pattern_is_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        groups_from_names(["folder_xyz/a_1.png"], pattern)


@pytest.mark.parametrize("pattern", [r"DF|NT", r"^(\w*)/c", None])
def test_subsets_from_names_searches_folders_and_lets_real_ones_be_of_none(pattern):
    names = ["real/1.png", "DF/c23/1.png", "NT/c23/1.png"]

    subsets = subsets_from_names(names, [0, 1, 1], pattern)

    assert subsets == (["", "DF", "NT"] if pattern else None)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("[", "subset pattern .* is not a regular expression"),
        ("DF", "in the path 'NT/1.png'"),
    ],
)
def test_subsets_from_names_bad_pattern_is_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        subsets_from_names(["real/1.png", "DF/1.png", "NT/1.png"], [0, 1, 1], pattern)


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


def test_find_leaks_shared_groups_are_named_by_pair():
    leaks = find_leaks({"train": ["b", "a"], "val": ["c"], "test": ["b", "a", "d"]})

    assert leaks == [Leak("train", "test", ("a", "b"))]
    assert str(leaks[0]) == "2 groups are in both train and test: a, b"
    assert find_leaks({"train": ["a"], "test": ["b"]}) == []
    leak = Leak("train", "val", ("a\x1b[31m", "b"))
    assert str(leak) == "2 groups are in both train and val: 'a\\x1b[31m', b"


def test_deal_folds_deals_whole_groups_evenly_whatever_their_order():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1], [30, 90]))
    names = [f"{place}" for place in range(120)]
    for groups in (names, [f"{place // 4}" for place in range(120)]):
        folds = deal_folds(groups, labels, 4)
        pairs = set(zip(groups, folds.tolist(), strict=True))
        assert len(pairs) == len(set(groups))
        order = rng.permutation(120)
        again = deal_folds([groups[i] for i in order], labels[order], 4)
        assert again.tolist() == folds[order].tolist()
        for label, size in ((0, 30), (1, 90)):
            counts = np.bincount(folds[labels == label], minlength=4)
            assert abs(counts - size / 4).max() <= (1 if groups is names else 3)
    labels = np.repeat([0, 1], 6)  # the largest first, or it would be 2 and 4
    folds = deal_folds(list("abcdddefghhh"), labels, 2)
    assert np.bincount(2 * labels + folds).tolist() == [3, 3, 3, 3]


def test_choose_groups_are_whole_as_the_seed_says_and_never_all():
    groups = [place // 3 for place in range(30)]
    chosen = [choose_groups(groups, 0.38, seed) for seed in range(3)]

    assert {len(of) for of in chosen} == {12} and len(set(map(tuple, chosen))) == 3
    assert all(np.diff(of).tolist()[::3] == [1] * 4 for of in chosen)
    assert len(choose_groups(list("ab"), 0.99, 0)) == 1


def test_deal_folds_too_few_groups_are_refused(refused):
    with pytest.raises(ValueError, match="3 groups of real and of fake.*3 and 2"):
        deal_folds(list("aabcde"), np.array([0, 0, 0, 0, 1, 1]), 3)
