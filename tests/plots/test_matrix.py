"""Detectors by datasets: what is arranged, and how it reads."""

from dataclasses import replace

import pytest
from matplotlib.patches import Rectangle

from plots.matrix import (
    build_auc_matrix,
    build_auc_rows,
    format_auc_matrix,
    plot_auc_matrix,
)
from scores.analysis import Analysis


@pytest.fixture
def analyses(make_analysis) -> list[Analysis]:
    """Detectors a and b on faces and masks; a was trained on faces."""
    made = []
    for detector, dataset, kind in [
        ("a", "faces", "good"),
        ("a", "masks", "inverted"),
        ("b", "faces", "random"),
        ("b", "masks", "perfect"),
    ]:
        home = {"a": "faces"}.get(detector)
        analysis = make_analysis(
            kind, detector=detector, provenance={"trained_on": home}
        )
        scores = replace(analysis.scores, dataset=dataset)
        made.append(replace(analysis, scores=scores))
    return made


@pytest.mark.slow
def test_build_auc_matrix_arranges_by_detector_and_dataset(analyses):
    matrix = build_auc_matrix(analyses)
    names = ["SimpleNet (a)", "SimpleNet (b)"]
    assert (matrix.detectors, matrix.datasets) == (names, ["faces", "masks"])
    assert matrix.cells[names[1], "masks"] is analyses[3]


@pytest.mark.parametrize("chosen", [[0], [0, 1], [0, 2], [0, 1, 2], [0, 0, 1, 2, 3]])
def test_build_auc_matrix_without_every_pair_is_none(analyses, chosen):
    assert build_auc_matrix([analyses[number] for number in chosen]) is None


def test_auc_matrix_as_text_and_rows_marks_the_dataset_that_was_trained_on(analyses):
    lines = format_auc_matrix(build_auc_matrix(analyses)).split("\n")
    assert lines[1].split() == ["faces", "masks"]
    assert lines[2].startswith("SimpleNet (a)  ")
    assert lines[2].count("*") == 1 and lines[2].index("*") < lines[2].index("0.000")
    assert "1.000 [" in lines[3] and "*" not in lines[3]
    header, rows = build_auc_rows(build_auc_matrix(analyses))
    assert [len(row) for row in rows] == [len(header)] * 4
    first = dict(zip(header, rows[0], strict=True))
    numbers = analyses[0].numbers
    assert (first["detector"], first["dataset"]) == ("SimpleNet (a)", "faces")
    assert first["is_home"] == 1
    assert [first["auc_low"], first["auc_high"]] == numbers["auc_interval"]
    assert first["auc"] == numbers["auc"]


def test_plot_auc_matrix_writes_each_auc_and_frames_the_home(analyses, axes):
    assert plot_auc_matrix(axes, build_auc_matrix(analyses)) is axes
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == 4
    assert texts[1].startswith("0.000") and texts[3].startswith("1.000")
    (frame,) = [p for p in axes.patches if isinstance(p, Rectangle)]
    assert (round(frame.get_x()), round(frame.get_y())) == (0, 0)
