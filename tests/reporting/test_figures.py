"""Tests of a report's pictures and of what they say."""

from dataclasses import replace

from reporting.figures import (
    describe_counts,
    draw_analysis,
    draw_comparison,
    draw_learning,
    draw_means,
    draw_samples,
)
from reporting.runs import History


def test_analysis_has_a_figure_of_each_kind_with_its_numbers(run):
    figures = {figure.name: figure for figure in draw_analysis(run.analysis)}

    assert list(figures) == [
        *("ROC curve", "DET curve", "Precision-recall curve", "Reliability diagram"),
        *("Tippett plot", "Score histogram", "Confusion matrix"),
    ]
    for figure in figures.values():
        assert figure.picture.alt.startswith(f"{figure.name} of SimpleNet on faces. ")
        assert figure.picture.alt.endswith(figure.caption)
        assert any(character.isdigit() for character in figure.caption)
    assert figures["Confusion matrix"].caption == (
        "Of the real images 0 are called real and 2 fake; of the fakes 0 are called "
        "fake and 3 real."
    )
    assert "are 2 of 2 real images" in figures["Score histogram"].caption
    assert "AUC 0.000" in figures["ROC curve"].caption


def test_figures_that_have_no_numbers_are_left_out(run):
    numbers = {**run.analysis.numbers, "precision": None}
    analysis = replace(run.analysis, bins=None, numbers=numbers)

    figures = {figure.name: figure for figure in draw_analysis(analysis)}

    assert "Reliability diagram" not in figures
    assert "no image is called fake" in figures["Precision-recall curve"].caption


def test_brief_figures_are_those_that_curves_do_not_show(run):
    names = [figure.name for figure in draw_analysis(run.analysis, brief=True)]

    assert names == ["Reliability diagram", "Confusion matrix"]


def test_comparison_says_the_numbers_of_each(run):
    figures = draw_comparison([run.analysis, run.analysis])

    assert [f.name for f in figures] == [
        *("ROC curves", "DET curves", "Precision-recall curves"),
    ]
    assert figures[0].caption.count("SimpleNet on faces: AUC 0.000") == 2


def test_learning_curves_say_the_best_epoch(run):
    loss, accuracy = draw_learning(run)

    assert loss.caption.startswith("Loss in epoch 2 of 2, the best by validation")
    assert accuracy.caption.endswith("train 41 %, val 51 %, test 61 %.")
    training = replace(run.training, history=History(None, None, "none"))
    assert draw_learning(replace(run, training=training)) == []


def test_samples_and_mean_maps_say_what_they_are(run):
    (heading, pictures), _ = draw_samples(run)
    saliency, cam = draw_means(run)

    assert heading == "real: 5 random images of 5"
    assert pictures[0].alt == "The real training image 00.png"
    assert saliency.name == "Mean saliency map"
    assert cam.caption.startswith("Of the real images' map (n = 2) ")


def test_counts_are_rows_with_the_share_of_fakes():
    counts = {"train": {"real": 3, "fake": 1}, "val": {"real": 0, "fake": 0}}

    assert describe_counts(counts) == [["train", 3, 1, "25.0 %"], ["val", 0, 0, "-"]]
