"""The files of an analysis, and what all their figures have in common."""

import copy
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from plots.analysis_plots import PLOTS
from plots.save_analysis import save_all
from scores.analysis import compare_detectors
from scores.score_files import load_score_set

CALL = {"command": "python x.py", "date": "2000-01-01T00:00:00+00:00", "versions": {}}
SUBSETS = [""] * 60 + ["blend"] * 20 + ["swap"] * 20


def load_json(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("what", PLOTS)
@pytest.mark.parametrize(
    "kind", ["good", "random", "perfect", "inverted", "constant", "tiny"]
)
def test_every_figure_draws_any_detector_titled_and_changes_no_input(
    what, kind, make_analysis, axes
):
    analysis = make_analysis("good", 1, 1) if kind == "tiny" else make_analysis(kind)
    before = copy.deepcopy(analysis)

    drawn = PLOTS[what].plot_on(axes, [analysis])

    assert drawn is axes
    axes.figure.savefig(io.BytesIO(), dpi=20)
    counts = "1 real and 1 fake" if kind == "tiny" else "60 real and 40 fake"
    assert "SimpleNet on faces" in axes.get_title()
    assert f"{counts} images, positive class: fake" in axes.get_title()
    np.testing.assert_equal(vars(analysis.scores), vars(before.scores))
    np.testing.assert_equal(analysis.numbers, before.numbers)
    for field in ("roc", "band", "bins"):
        np.testing.assert_equal(getattr(analysis, field), getattr(before, field))


@pytest.mark.slow
def test_save_all_one_detector_writes_numbers_scores_and_figures(
    tmp_path, make_analysis
):
    provenance = {"inputs": [{"path": "a.pt", "sha256": "0f"}]}
    analysis = make_analysis(subsets=SUBSETS, provenance=provenance, llr_source="here")

    paths, text = save_all([analysis], [], tmp_path, CALL)

    names = {path.name.removeprefix("faces_SimpleNet_") for path in paths}
    figures = ("subsets_det_curve", *PLOTS)
    assert names == {"metrics.json", "scores.csv", *(f"{name}.png" for name in figures)}
    assert all(path.stat().st_size > 0 for path in paths)
    numbers = load_json(paths[0])
    assert numbers["auc"] == analysis.numbers["auc"]
    assert numbers["llr_source"] == "here"
    assert numbers["provenance"] == {**CALL, **provenance}
    assert list(numbers["subsets"]) == ["blend", "swap"]
    assert numbers["subsets"]["swap"]["auc"] == analysis.subsets[1].numbers["auc"]
    assert load_score_set(paths[1]).llrs.tolist() == analysis.scores.llrs.tolist()
    assert text.startswith("SimpleNet on faces: 60 real and 40 fake")

    ranked = make_analysis(fake_scores=None, llrs=None, score_name="score")
    paths, _ = save_all([ranked], [], tmp_path / "ranked", CALL)

    fewer = {path.stem.removeprefix("faces_SimpleNet_") for path in paths}
    needy = {"reliability", "tippett", "cross_entropy"}
    assert PLOTS.keys() - fewer == needy
    assert load_json(paths[0])["subsets"] is None


@pytest.mark.slow
def test_save_all_detectors_by_datasets_are_compared_and_get_their_matrix(
    tmp_path, make_analysis, no_figures
):
    analyses = []
    for detector, kind in (("a", "good"), ("b", "random")):
        for dataset in ("faces", "masks"):
            analysis = make_analysis(kind, detector=detector)
            scores = replace(analysis.scores, dataset=dataset)
            analyses.append(replace(analysis, scores=scores))

    paths, text = save_all(analyses, compare_detectors(analyses), tmp_path, CALL)

    comparison = load_json(tmp_path / "comparison_metrics.json")
    titles = [f"SimpleNet ({d}) on {s}" for d in "ab" for s in ("faces", "masks")]
    assert [d["title"] for d in comparison["detectors"]] == titles
    tests = comparison["paired_delong_tests"]
    assert len(tests) == 6
    assert (tests[1]["first"], tests[1]["second"]) == (titles[0], titles[2])
    assert tests[1]["num_common"] == 100
    assert tests[1]["p_value"] < tests[1]["holm_p_value"] < 0.01
    assert comparison["provenance"]["detectors"] == {title: {} for title in titles}
    names = [path.name for path in paths[-6:]]
    assert names[:4] == [
        f"comparison_metrics.{e}" for e in ("json", "csv", "md", "tex")
    ]
    assert names[4:] == [f"comparison_auc_matrix.{end}" for end in ("csv", "png")]
    assert r"\begin{tabular}" in paths[-3].read_text()
    assert paths[-1].stat().st_size > 0
    parts = ["\n\nA: SimpleNet (a)", "\n\nAUC, detector by data it was tested on"]
    assert all(part in text for part in parts)


@pytest.mark.parametrize(
    ("options", "p_value", "note"),
    [
        ({"paths": None}, None, "have no names to pair by"),
        ({"kind": "perfect"}, None, ""),  # against inverted: no variance, NaN
    ],
)
def test_save_all_pairs_without_a_p_value_say_so_in_json(
    options, p_value, note, tmp_path, make_analysis, no_figures
):
    analyses = [make_analysis(detector="a", **options), make_analysis("inverted")]

    save_all(analyses, compare_detectors(analyses), tmp_path, CALL)

    (test,) = load_json(tmp_path / "comparison_metrics.json")["paired_delong_tests"]
    assert test.get("p_value") == p_value
    assert ("p_value" in test) == (not note)
    assert note in (test["note"] or "")


@pytest.mark.parametrize(
    "name", ["faces_SimpleNet_scores.csv", "comparison_metrics.csv"]
)
@pytest.mark.parametrize("kind", ["inputs", "calibrated_on"])
def test_save_all_that_would_replace_its_input_is_refused(
    tmp_path, make_analysis, name, kind
):
    path = tmp_path / name
    path.write_text("mine")
    analysis = make_analysis(provenance={kind: [{"path": str(path)}]})

    with pytest.raises(ValueError, match="choose another --figures-dir"):
        save_all([analysis], [], tmp_path, CALL)

    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]
