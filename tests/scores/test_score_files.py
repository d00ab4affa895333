"""Scores as CSV: there and back, other programs' files, and what is refused."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scores.score_files import ScoreFormat, find_format, load_score_set, save_score_set
from scores.score_sets import LOGIT_DIFFERENCE, RAW_SCORE, ScoreSet

NAMES = ["x/é,1.png", " 2\r\n.png", 'a"b', "line\u2028end\u0085.png", "\udcff.png"]


def write(tmp_path, text):
    path = tmp_path / "scores.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def save_and_load(tmp_path, scores, **columns):
    path = tmp_path / "saved.csv"
    save_score_set(scores, path)
    return load_score_set(path, ScoreFormat(**columns))


def test_save_score_set_all_columns_then_load_gives_the_same(tmp_path):
    differences = np.array([-50.0, -1 / 3, 0.0, 40.0, 800.0])
    scores = ScoreSet(
        dataset="faces",
        model="",
        scores=differences,
        labels=np.array([0, 0, 1, 1, 1]),
        fake_scores=np.array([0.0, 0.1, 1 / 3, 1.0, 1.0]),
        llrs=(0.7 * differences).clip(-3, 2.5),  # one is 0
        llr_bounds=(-3.0, 2.5),
        paths=NAMES,
        groups=["a", "b,c", "a", "d", "e\u2028"],
        subsets=["", "x", "x", "y", "z"],
        score_name=LOGIT_DIFFERENCE,
    )

    loaded = save_and_load(
        tmp_path, scores, group_column="group", subset_column="subset"
    )

    for name in ("paths", "groups", "subsets", "score_name", "llr_bounds"):
        assert getattr(loaded, name) == getattr(scores, name), name
    for name in ("scores", "labels", "fake_scores", "llrs"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(scores, name))


HEADER_OF_1_0 = "path,label,score,group,logit_difference,llr,subset"


def test_load_score_set_of_an_earlier_version_has_ratios_without_bounds(tmp_path):
    path = write(tmp_path, f"{HEADER_OF_1_0}\na,0,0.1,,-9,-12,\nb,1,0.9,,9,12,\n")

    loaded = load_score_set(path)

    assert (loaded.llrs.tolist(), loaded.scores.tolist()) == ([-12, 12], [-9, 9])
    assert loaded.llr_bounds == (-np.inf, np.inf)
    assert save_and_load(tmp_path, loaded).llr_bounds == (-np.inf, np.inf)


def test_load_score_set_ratio_beyond_its_limit_is_refused(tmp_path):
    header = HEADER_OF_1_0.replace("llr", "llr,llr_limit")
    rows = "a,0,0.1,,-9,-1,-2,\nb,1,0.9,,9,12,3,\n"

    with pytest.raises(ValueError, match="line 3: llr lies beyond an llr_limit"):
        load_score_set(write(tmp_path, f"{header}\n{rows}"))


@pytest.mark.parametrize("fake_scores", [None, np.array([0.25, 0.5])])
def test_save_score_set_raw_scores_then_load_gives_the_same(tmp_path, fake_scores):
    scores = ScoreSet(
        dataset="faces",
        model="",
        scores=np.array([-3.0, 2.0]),
        labels=np.array([0, 1]),
        fake_scores=fake_scores,
        score_name=RAW_SCORE,
    )

    loaded = save_and_load(tmp_path, scores)

    assert loaded.score_name == RAW_SCORE
    assert loaded.paths is None
    np.testing.assert_array_equal(loaded.scores, scores.scores)
    np.testing.assert_array_equal(loaded.fake_scores, fake_scores)


def test_load_score_set_probabilities_rank_and_judge(tmp_path):
    path = write(tmp_path, "path,score,label\nv1_0.png,0.25,0\nv2_0.png,0.5,1\n")

    loaded = load_score_set(path, group_pattern="prefix")

    assert (loaded.dataset, loaded.model, loaded.groups) == ("scores", "", ["v1", "v2"])
    assert loaded.scores.tolist() == loaded.fake_scores.tolist() == [0.25, 0.5]
    assert loaded.llrs is None
    assert loaded.called_fake.tolist() == [False, True]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.provenance["inputs"] == [{"path": str(path), "sha256": digest}]


def test_load_score_set_no_probabilities_only_rank(tmp_path):
    loaded = load_score_set(write(tmp_path, "score,label\n-2.5,0\n3e2,1\n"))

    assert loaded.fake_scores is None
    assert loaded.scores.tolist() == [-2.5, 300]
    assert loaded.called_fake.tolist() == [False, True]
    assert "arbitrary" in loaded.threshold_source
    assert "percent" not in loaded.threshold_source
    percent = load_score_set(write(tmp_path, "score,label\n2.5,0\n97,1\n"))
    assert percent.fake_scores is None
    assert percent.threshold_source.endswith("percent should be divided by 100")


@pytest.mark.parametrize(
    ("values", "scores", "fake_scores"),
    [(("3", "1"), [-3, -1], None), (("1", "1e-20"), [-1, -1e-20], [0, 1])],
)
def test_load_score_set_lower_is_fake_turns_scores_round(
    tmp_path, values, scores, fake_scores
):
    path = write(tmp_path, "score,label\n{},0\n{},1\n".format(*values))

    loaded = load_score_set(path, ScoreFormat(lower_is_fake=True))

    assert loaded.scores.tolist() == scores
    np.testing.assert_array_equal(loaded.fake_scores, fake_scores)


@pytest.mark.parametrize(
    ("real", "fake"),
    [("0", "1"), ("0.0", " 1.0"), ("Real", "FAKE"), ("bona-fide", "spoof")],
)
def test_load_score_set_label_words_are_understood(tmp_path, real, fake):
    loaded = load_score_set(write(tmp_path, f"score,label\n1,{real}\n2,{fake}\n"))

    assert loaded.labels.tolist() == [0, 1]


@pytest.mark.parametrize("positive", ["gan", "GAN", "0"])
def test_load_score_set_positive_label_means_fake(tmp_path, positive):
    path = write(tmp_path, f"score,label\n1,{positive.lower()}\n2,1\n")

    loaded = load_score_set(path, ScoreFormat(positive_label=positive))

    assert loaded.labels.tolist() == [1, 0]


@pytest.mark.parametrize("labels", [("a", "c"), ("a", "c", "b")])
def test_load_score_set_positive_label_among_others_is_refused(tmp_path, labels):
    path = write(tmp_path, "score,label\n" + "".join(f"1,{x}\n" for x in labels))

    with pytest.raises(ValueError, match="'b' goes with two labels.* 'a', "):
        load_score_set(path, ScoreFormat(positive_label="b"))


def test_load_score_set_of_several_kinds_of_fake_names_the_real_ones(tmp_path, refused):
    path = write(tmp_path, "score,label\n1,deepfake\n2,Swap\n3,real\n4,camera\n")
    real = ScoreFormat(real_labels=["REAL", "camera"])

    assert load_score_set(path, real).labels.tolist() == [1, 1, 0, 0]
    with refused("line 3: label 'Swap' is not 0.* or those that .* --real-labels"):
        load_score_set(path)
    with refused("scores.csv: no label is 'x', as --real-labels says"):
        load_score_set(path, ScoreFormat(real_labels=["x"]))
    with refused("line 3: there is no label"):
        load_score_set(write(tmp_path, "score,label\n1,deepfake\n2, \n"), real)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_load_score_set_separator_is_told_by_the_header(tmp_path, separator):
    lines = [["truth", "File_Name", "p,q" if separator != "," else "p"]]
    lines += [["Fake", "7", "0.75"], ["real", "8", "1e-3"]]
    text = "\ufeff" + "\r\n".join(map(separator.join, lines))
    columns = {"score_column": lines[0][2], "label_column": "truth"}

    loaded = load_score_set(write(tmp_path, text), ScoreFormat(**columns))

    assert loaded.labels.tolist() == [1, 0]
    assert loaded.fake_scores.tolist() == [0.75, 0.001]
    assert loaded.paths == ["7", "8"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"path";"score";"label"\n"a;b";"0,5";"1"\n"c";"1";"0"\n', ["a;b", "c"]),
        ('path, score, label\n"a, b.png", 0.5, 1\nc, 1, 0\n\n', ["a, b.png", "c"]),
    ],
    ids=["quotes and decimal commas", "spaces behind commas"],
)
def test_load_score_set_cells_are_read_as_they_are_written(tmp_path, text, names):
    loaded = load_score_set(write(tmp_path, text))

    assert loaded.paths == names
    assert loaded.scores.tolist() == [0.5, 1]


@pytest.mark.parametrize(
    ("path_column", "names"), [(None, ["a", "b"]), ("id", ["1", "2"]), ("", None)]
)
def test_load_score_set_names_are_found_or_asked_for(tmp_path, path_column, names):
    path = write(tmp_path, "id,Image_Path,score,label\n1,a,0.5,0\n2,b,0.6,1\n")

    assert load_score_set(path, ScoreFormat(path_column=path_column)).paths == names


def test_load_score_set_subsets_by_column_and_by_pattern(tmp_path):
    path = write(
        tmp_path, "path,score,label,method\no/1.png,0,0,\nDF/c23/2.png,1,1,DF\n"
    )

    by_column = load_score_set(path, ScoreFormat(subset_column="method"))
    by_pattern = load_score_set(path, subset_pattern=r"^(\w+)/c\d")

    assert by_column.subsets == by_pattern.subsets == ["", "DF"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'score' and no column 'label'; it has none$"),
        (
            "a,b\n1,2\n",
            "no column 'score' and no column 'label'; it has 'a', 'b'; "
            "name yours: --score-column, --label-column$",
        ),
        ("\x1b[31mred,b\n1,2\n", r"it has '\\x1b\[31mred', 'b'"),
        ("score\n0.1\n", "no column 'label'; .* name yours: --label-column$"),
        ("score,label,score\n1,0,1\n", "line 1: the column 'score' occurs twice"),
        ("score,label\n", "holds no scores, only a header"),
        ("score,label\n0.5,0\nhigh,1\n", "line 3: score 'high' is not a finite number"),
        ('path,score,label\n"a\nb",1,1\nc,x,0\n', "line 4: score 'x'"),
        ("score,label\nnan,0\n", "score 'nan'"),
        ("score,label\n-inf,0\n", "score '-inf'"),
        ("score,label\n0.5,2\n", "line 2: label '2' is not 0, 1, real, fake or"),
        ("score,label\n0.5,1\n0.4,-1\n", "line 3: label '-1' is not"),
        ("score,label\n0.5\n", "line 2: 1 cells, but the header names 2 columns"),
        ("score,label\n\n0.5,1,7\n", "line 3: 3 cells"),
        ("score,label\n" + "1" * 200_000 + ",1\n", "is not a CSV file"),
        ('score,label\n"1,1\n0.5,0\n', "is not a CSV file"),
        ("score,label,path\n1,1,a\n0,0,b\n1,1,a\n", "line 4: path 'a' .* line 2 alr"),
        ("score,label,path\n1,1,a\n0,0,a\n", "line 2 already, there fake, here the"),
        ("score,label,path\n1,1,a\n0,0,\n", "line 3: the column 'path' is empty"),
    ],
)
def test_load_score_set_bad_file_is_refused_by_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_score_set(write(tmp_path, text))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"group_column": "video"}, "no column 'video'"),
        ({"path_column": "id"}, "no column 'id'"),
        ({"score_column": ""}, "no column ''; .* --score-column$"),
        ({"group_column": "g"}, "line 2: the column 'g' is empty"),
        ({"subset_column": "g"}, "line 2: the column 'g' is empty at a fake"),
    ],
)
def test_load_score_set_missing_column_or_cell_is_refused(tmp_path, columns, message):
    path = write(tmp_path, "score,label,g\n0.5,1,\n0.4,0,x\n")

    with pytest.raises(ValueError, match=message):
        load_score_set(path, ScoreFormat(**columns))


@pytest.mark.parametrize("pattern", ["group_pattern", "subset_pattern"])
def test_load_score_set_pattern_without_names_is_refused(tmp_path, pattern):
    path = write(tmp_path, "score,label\n0.5,1\n0.4,0\n")

    with pytest.raises(ValueError, match="no column names the samples.*--path-column"):
        load_score_set(path, **{pattern: "x"})


def test_load_score_set_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no scores file"):
        load_score_set(tmp_path / "none.csv")


ROWS = [f"i{n},{n % 2},{0.1 + n / 25}" for n in range(20)]


@pytest.mark.parametrize(
    ("cells", "are_probabilities", "said"),
    [
        (["1.0000001"], True, "1 of 20 scores .* 1.0000001 in line 2: taken for"),
        (["-1e-9", "1.0000005"], True, "2 of 20 scores .* -1e-09 in line 2: taken"),
        (["1.0000001"] * 15, True, "15 of 20 scores"),
        (["1.01"], False, "1 of 20 scores .* 1.01 in line 2: mend them"),
        (["-3", "5"] * 5, False, None),
        (["1"], True, None),
    ],
)
@pytest.mark.parametrize("lower_is_fake", [False, True])
def test_load_score_set_rounding_does_not_change_what_scores_mean(
    tmp_path, cells, are_probabilities, said, lower_is_fake
):
    rows = [f"i{n},{n % 2},{cell}" for n, cell in enumerate(cells)]
    path = write(tmp_path, "\n".join(["path,label,score", *rows, *ROWS[len(rows) :]]))

    loaded = load_score_set(path, ScoreFormat(lower_is_fake=lower_is_fake))

    assert (loaded.fake_scores is not None) is are_probabilities
    if are_probabilities:
        assert loaded.fake_scores.min() >= 0 and loaded.fake_scores.max() <= 1
    assert len(loaded.notes) == (said is not None)
    assert all(re.search(said, note) for note in loaded.notes)


@pytest.mark.parametrize(
    ("separator", "start", "encoding"),
    [
        (",", "", "utf-8"),
        (";", "sep=;\r\n", "utf-8-sig"),
        ("|", "sep=|\r\n", "utf-8"),
        (";", '"SEP=;"\r\n', "cp1252"),
        ("\t", "\t\t\r\n\r\n", "utf-16"),
    ],
)
def test_load_score_set_reads_what_spreadsheets_write(
    tmp_path, separator, start, encoding
):
    path = tmp_path / "scores.csv"
    lines = ["path,label,score", ROWS[0], ",,", *ROWS[1:], ",,", ",,"]
    text = start + "\r\n".join(lines).replace(",", separator)
    path.write_bytes(text.encode(encoding))

    loaded = load_score_set(path)

    assert loaded.paths == [f"i{n}" for n in range(20)]
    path.write_bytes((text + f"\r\ni20{separator}2{separator}0.5").encode(encoding))
    number = text.count("\n") + 2
    with pytest.raises(ValueError, match=f"line {number}: label '2'"):
        load_score_set(path)


@pytest.mark.parametrize(
    ("text", "path", "columns"),
    [
        ("b.csv", "b.csv", {}),
        (r"C:\b.csv", r"C:\b.csv", {}),
        (
            *(r"C:\b.csv:score=p, fake,label=y=1", r"C:\b.csv"),
            {"score_column": "p, fake", "label_column": "y=1"},
        ),
        ("b.csv:path=,group=v", "b.csv", {"path_column": "", "group_column": "v"}),
        ("a:score=x.csv", "a:score=x.csv", {}),  # there is such a file
    ],
)
def test_find_format_tells_columns_from_the_path(
    text, path, columns, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:score=x.csv").touch()
    general = ScoreFormat(subset_column="s", label_column="z")

    assert find_format(text, general) == (Path(path), replace(general, **columns))


def test_find_format_of_another_role_is_refused():
    with pytest.raises(ValueError, match="column is 'scor'; it can be said of score, "):
        find_format("b.csv:label=y,scor=p", ScoreFormat())
