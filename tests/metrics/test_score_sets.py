"""Scores as CSV: there and back, other programs' files, and what is refused."""

import numpy as np
import pytest

from metrics.score_sets import ScoreSet, load_score_set, save_score_set, tell_apart


def write(tmp_path, text):
    path = tmp_path / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("groups", [None, ["a", "b,c"]])
def test_save_score_set_then_load_gives_the_same_numbers(tmp_path, groups):
    scores, labels = np.array([0.1, 1 / 3]), np.array([0, 1])
    paths = ["x/é,1.png", "2.png"]
    path = tmp_path / "scores.csv"

    save_score_set(ScoreSet("faces", "", scores, labels, paths, groups), path)
    loaded = load_score_set(path, group_column=groups and "group")

    assert (loaded.paths, loaded.groups) == (paths, groups)
    np.testing.assert_array_equal(loaded.labels, labels)
    np.testing.assert_array_equal(loaded.fake_scores, scores)


def test_load_score_set_is_named_by_its_file_unless_told(tmp_path):
    path = write(tmp_path, "path,score,label\nv1_0.png,0.5,0\nv2_0.png,0.5,1\n")

    unnamed = load_score_set(path, group_pattern="prefix")
    named = load_score_set(path, dataset="faces", model="SimpleNet")

    assert (unnamed.dataset, unnamed.model, unnamed.groups) == (
        "scores",
        "",
        ["v1", "v2"],
    )
    assert unnamed.title == "scores (scores)"
    assert named.title == "SimpleNet (scores) on faces"
    assert named.name == "faces_SimpleNet_scores"


def test_tell_apart_names_the_detector_only_where_needed(tmp_path):
    def make(dataset, detector):
        empty = np.empty(0)
        return ScoreSet(dataset, "m", empty, empty, [], detector=detector)

    named = tell_apart([make("a", "x"), make("a", "y"), make("b", "x")])

    assert [scores.name for scores in named] == ["a_m_x", "a_m_y", "b_m"]
    with pytest.raises(ValueError, match="2 inputs would be saved as a_m_x"):
        tell_apart([make("a", "x"), make("a", "x")])


def test_load_score_set_other_columns_and_words_are_understood(tmp_path):
    path = write(tmp_path, "\ufefftruth,id, p\nFake,7,0.75\nreal,8,1e-3\n")

    loaded = load_score_set(path, score_column="p", label_column="truth")

    assert loaded.labels.tolist() == [1, 0]
    assert loaded.fake_scores.tolist() == [0.75, 0.001]
    assert loaded.paths == ["2", "3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'score'; it has none"),
        ("a,b\n1,2\n", "no column 'score'; it has a, b"),
        ("score\n0.1\n", "no column 'label'"),
        ("score,label\n", "holds no scores, only a header"),
        ("score,label\n0.5,0\nhigh,1\n", "line 3: score 'high' is no probability"),
        ("score,label\n1.5,0\n", "line 2: score '1.5' is no probability"),
        ("score,label\nnan,0\n", "score 'nan'"),
        ("score,label\n0.5,2\n", "line 2: label '2' is not 0, 1, real or fake"),
        ("score,label\n0.5\n", "line 2: label '' is not"),
        ("score,label\n" + "1" * 200_000 + ",1\n", "is no CSV file"),
    ],
)
def test_load_score_set_bad_file_is_refused_by_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_score_set(write(tmp_path, text))


def test_load_score_set_missing_group_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no column 'video'"):
        load_score_set(write(tmp_path, "score,label\n0.5,1\n"), group_column="video")


def test_load_score_set_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no scores file"):
        load_score_set(tmp_path / "none.csv")
