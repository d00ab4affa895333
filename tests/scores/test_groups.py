"""Groups: out of names, and across splits."""

import numpy as np
import pytest

from scores.groups import (
    Leak,
    choose_groups,
    deal_folds,
    find_leaks,
    groups_from_names,
    subsets_from_names,
)


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
