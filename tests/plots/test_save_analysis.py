"""The files of an analysis: what is written, from which numbers."""

import json
from dataclasses import replace

import pytest
from plots.reports import save_all

from plots import reports, style
from scores.score_files import load_score_set

CALL = {"command": "python x.py", "date": "2000-01-01T00:00:00+00:00", "versions": {}}
SUBSETS = [""] * 60 + ["blend"] * 20 + ["swap"] * 20


@pytest.fixture(autouse=True)
def small_figures(monkeypatch):
    monkeypatch.setattr(style, "PLOT_DPI", 20)


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(reports, "CURVES", {})
    monkeypatch.setattr(reports, "PICTURES", {})


def load_json(path):
    return json.loads(path.read_text())


def test_save_all_one_detector_writes_numbers_scores_and_figures(
    tmp_path, make_analysis, capsys
):
    provenance = {"inputs": [{"path": "a.pt", "sha256": "0f"}]}
    analysis = make_analysis(subsets=SUBSETS, provenance=provenance, llr_source="here")

    paths = save_all([analysis], tmp_path, CALL)

    names = {path.name.removeprefix("faces_SimpleNet_") for path in paths}
    assert names == {
        *("metrics.json", "scores.csv", "subsets_det_curve.png"),
        *(f"{name}.png" for name in (*reports.CURVES, *reports.PICTURES)),
    }
    assert all(path.stat().st_size > 0 for path in paths)
    report = load_json(paths[0])
    assert report["auc"] == analysis.report["auc"]
    assert report["llr_source"] == "here"
    assert report["provenance"] == {**CALL, **provenance}
    assert list(report["subsets"]) == ["blend", "swap"]
    assert report["subsets"]["swap"]["auc"] == analysis.subsets[1].report["auc"]
    assert load_score_set(paths[1]).llrs.tolist() == analysis.scores.llrs.tolist()
    assert "SimpleNet on faces: 60 real and 40 fake" in capsys.readouterr().out


def test_save_all_scores_that_only_rank_draw_what_there_is(tmp_path, make_analysis):
    analysis = make_analysis(fake_scores=None, llrs=None, score_name="score")

    paths = save_all([analysis], tmp_path, CALL)

    names = {path.name for path in paths}
    assert "faces_SimpleNet_score_histogram.png" in names
    assert "faces_SimpleNet_reliability.png" not in names
    assert "faces_SimpleNet_tippett.png" not in names
    assert load_json(paths[0])["subsets"] is None


def test_save_all_several_detectors_are_compared(tmp_path, make_analysis, no_figures):
    analyses = [make_analysis("good", detector="a"), make_analysis("random")]

    paths = save_all(analyses, tmp_path, CALL)

    comparison = load_json(tmp_path / "comparison_metrics.json")
    titles = ["SimpleNet (a) on faces", "SimpleNet on faces"]
    assert [d["title"] for d in comparison["detectors"]] == titles
    (test,) = comparison["paired_delong_tests"]
    assert (test["first"], test["second"], test["num_common"]) == (*titles, 100)
    assert test["holm_p_value"] == test["p_value"] < 0.001
    assert comparison["provenance"]["detectors"] == {title: {} for title in titles}
    assert [p.name for p in paths[-4:]] == [
        f"comparison_metrics.{end}" for end in ("json", "csv", "md", "tex")
    ]
    assert r"\begin{tabular}" in paths[-1].read_text()


def test_save_all_detectors_by_datasets_get_their_matrix(
    tmp_path, make_analysis, no_figures, capsys
):
    analyses = []
    for detector in "ab":
        for dataset in ("faces", "masks"):
            analysis = make_analysis(detector=detector)
            scores = replace(analysis.scores, dataset=dataset)
            analyses.append(replace(analysis, scores=scores))

    paths = save_all(analyses, tmp_path, CALL)

    names = [path.name for path in paths[-2:]]
    assert names == ["comparison_auc_matrix.csv", "comparison_auc_matrix.png"]
    assert paths[-1].stat().st_size > 0
    assert "AUC, detector by data it was tested on" in capsys.readouterr().out


def test_save_all_pairs_that_cannot_be_tested_say_why(
    tmp_path, make_analysis, no_figures
):
    analyses = [make_analysis(detector="a", paths=None), make_analysis()]

    save_all(analyses, tmp_path, CALL)

    (test,) = load_json(tmp_path / "comparison_metrics.json")["paired_delong_tests"]
    assert "p_value" not in test
    assert "have no names to pair by" in test["note"]


def test_save_all_test_without_variance_saves_null_not_nan(
    tmp_path, make_analysis, no_figures
):
    analyses = [make_analysis("perfect", detector="a"), make_analysis("inverted")]

    save_all(analyses, tmp_path, CALL)

    (test,) = load_json(tmp_path / "comparison_metrics.json")["paired_delong_tests"]
    assert test["p_value"] is None and test["difference"] == 1.0


@pytest.mark.parametrize(
    "name", ["faces_SimpleNet_scores.csv", "comparison_metrics.csv"]
)
@pytest.mark.parametrize("kind", ["inputs", "calibrated_on"])
def test_save_all_would_replace_its_input_is_refused(
    tmp_path, make_analysis, name, kind
):
    path = tmp_path / name
    path.write_text("mine")
    analysis = make_analysis(provenance={kind: [{"path": str(path)}]})

    with pytest.raises(ValueError, match="choose another --figures-dir"):
        save_all([analysis], tmp_path, CALL)

    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]
