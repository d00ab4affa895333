"""Whether names, or else scores, are of the same samples."""

import re
from dataclasses import replace

import numpy as np
import pytest

from scores.pairing import count_common, pair_names, set_keys
from scores.score_sets import ScoreSet

NAMES = ["test/real/1.png", "test/fake/1.png", "test/fake/Zoë.PNG"]
RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], 30)


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: f"./{name}",
        lambda name: name.replace("/", "\\"),
        lambda name: name.upper(),
        lambda name: name.lower(),
        lambda name: name.replace("ë", "e\u0308"),
        lambda name: f"/mnt/b/faces/{name}",
        lambda name: f"D:\\faces\\{name}",
        lambda name: f"x//../faces/{name}",
    ],
)
@pytest.mark.parametrize("root", ["", "/data/a/faces/", "datasets/faces/"])
def test_pair_names_finds_the_same_sample_however_spelt(spell, root):
    names = [root + name for name in NAMES]

    assert pair_names(names, [spell(name) for name in NAMES[::-1]]) == (
        *([0, 1, 2], [2, 1, 0]),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("val/real/1.png", "test/real/1.png"),
        ("/a/val/real/1.png", "/b/test/real/1.png"),
        ("/data/celebs/test/real/1.png", "/data/actors/test/real/1.png"),
        ("celebs/test/1.png", "actors/test/1.png"),
        ("/a/ff/Deepfakes/c23/0/1.png", "/b/ff/Face2Face/c23/0/1.png"),
        ("/a/1.png", "/b/1.png"),
        ("test/real/1.png", "test/real/11.png"),
    ],
)
def test_pair_names_keeps_different_samples_apart(one, other):
    assert pair_names([one], [other]) == ([], [])


def test_pair_names_equal_names_come_first_and_doubtful_ones_not_at_all():
    assert pair_names(["x.png", "X.png"], ["X.png", "x.png"]) == ([0, 1], [1, 0])
    assert pair_names(["1.png"], ["a/1.png", "b/1.png"]) == ([], [])
    assert pair_names([], ["a"]) == ([], [])


def name(*paths):
    columns = np.empty(len(paths)), np.empty(len(paths)), None
    return ScoreSet("d", "m", *columns, paths=paths)


@pytest.mark.parametrize(
    ("names", "match", "folders", "keys"),
    [
        (["test/real/1.JPG", "a\\b\\v1.5_2.png"], "stem", [], ["1", "v1.5_2"]),
        (["x/v1.5", "2.mp4"], "stem", ["x"], ["v1.5", "2"]),
        (["out/x/1.png", "Out/xy/1.png"], "path", ["out/x"], ["1.png", "out/xy/1.png"]),
        (["out/x/1.png", "out/2.png"], "path", ["out", "out\\x/"], ["1.png", "2.png"]),
        (["/a/b/1.png", "b/2.png"], "path", ["/a"], ["b/1.png", "b/2.png"]),
        (["x/1.png", "y/1.png"], "path", [], None),
    ],
)
def test_set_keys_are_stems_or_paths_without_folders(names, match, folders, keys):
    given, unnamed = set_keys([name(*names), name()], match, folders)

    assert given.keys == keys
    assert list(given.paths) == names
    assert not unnamed.keys


@pytest.mark.parametrize(
    ("match", "folders", "message"),
    [
        ("stem", [], "'a/1.png' and 'b/1.jpg' would both pair as '1'"),
        ("path", ["a", "c"], "no sample's name begins with the folder 'c'"),
        ("path", ["a/1.png"], "no sample's name begins with the folder 'a/1.png'"),
    ],
)
def test_set_keys_that_are_not_unique_or_not_there_are_refused(match, folders, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        set_keys([name("a/1.png", "b/1.jpg"), name("2.png")], match, folders)


def draw(seed, decimals=4):
    noise = np.random.default_rng(seed).normal(size=60)
    scores = (1 / (1 + np.exp(-noise - LABELS))).round(decimals)
    return ScoreSet("d", "m", scores, LABELS, scores)


def shuffle(scores, size=60):
    order = RNG.permutation(60)[:size]
    return replace(scores, scores=scores.scores[order], labels=scores.labels[order])


@pytest.mark.parametrize("decimals", [2, 4, 8])
def test_count_common_without_names_takes_more_equal_scores_than_chance(decimals):
    scores = draw(0, decimals)

    assert count_common(scores, shuffle(scores)) == (60, "scores and labels")
    assert count_common(scores, draw(1, decimals))[0] == 0
    turned = replace(scores, labels=1 - LABELS)
    assert count_common(scores, turned)[0] == 0


def test_count_common_parts_and_coarse_scores():
    scores = draw(0)

    assert count_common(scores, shuffle(scores, 20))[0] == 20
    assert count_common(draw(0, 0), draw(1, 0))[0] == 0
    names = [f"test/{number}.png" for number in range(60)]
    named = replace(scores, paths=names)
    assert count_common(named, replace(named, paths=["a/" + n for n in names])) == (
        *(60, "names"),
    )
    others = replace(draw(1), paths=[n.replace("test", "val") for n in names])
    assert count_common(named, others)[0] == 0
