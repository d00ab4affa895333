"""Pictures of one detector's scores; inputs stay as they were."""

import copy
import io

import numpy as np
import pytest

from plots.scores import plot_confusion_matrix, plot_reliability, plot_score_histogram

PLOTS = [plot_score_histogram, plot_reliability, plot_confusion_matrix]


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize(
    "kind", ["good", "random", "perfect", "inverted", "constant", "tiny"]
)
def test_plot_picture_any_detector_is_drawn_under_a_full_title(
    plot, kind, make_analysis, axes
):
    analysis = make_analysis("good", 1, 1) if kind == "tiny" else make_analysis(kind)

    plot(axes, analysis)

    axes.figure.savefig(io.BytesIO(), dpi=20)
    counts = "1 real and 1 fake" if kind == "tiny" else "60 real and 40 fake"
    assert "SimpleNet on faces" in axes.get_title()
    assert f"{counts} images, positive class: fake" in axes.get_title()


@pytest.mark.parametrize("plot", PLOTS)
def test_plot_picture_returns_its_axes_and_changes_no_input(plot, make_analysis, axes):
    analysis = make_analysis()
    before = copy.deepcopy(analysis)

    assert plot(axes, analysis) is axes

    np.testing.assert_equal(vars(analysis.scores), vars(before.scores))
    np.testing.assert_equal(analysis.report, before.report)
    np.testing.assert_equal(analysis.roc._asdict(), before.roc._asdict())
    np.testing.assert_equal(analysis.bins._asdict(), before.bins._asdict())
    np.testing.assert_equal(analysis.band_low, before.band_low)


def test_plot_score_histogram_each_class_is_a_hundred_percent(make_analysis, axes):
    plot_score_histogram(axes, make_analysis())

    assert [p.get_data().values.sum() for p in axes.patches] == pytest.approx(
        [100, 100]
    )
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend[:2] == ["real (n = 60)", "fake (n = 40)"]


def test_plot_confusion_matrix_shows_counts_and_shares(make_analysis, axes):
    analysis = make_analysis("perfect")

    plot_confusion_matrix(axes, analysis)

    texts = [text.get_text() for text in axes.texts]
    assert texts == [
        "60\n100.0% of real",
        "0\n0.0% of real",
        "0\n0.0% of fake",
        "40\n100.0% of fake",
    ]
