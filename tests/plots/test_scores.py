"""Pictures of one detector's scores: counts, bins, shares and their texts."""

from dataclasses import replace

import numpy as np
import pytest

from metrics.calibration import ReliabilityBins
from metrics.cross_entropy import compute_cross_entropies
from plots.scores import (
    _build_edges,
    plot_confusion_matrix,
    plot_cross_entropy,
    plot_reliability,
    plot_score_histogram,
    plot_tippett,
)


def get_legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("kind", ["good", "inverted", "constant", "tied"])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.47, 0.999, 1.0])
def test_plot_score_histogram_equal_bins_beside_the_threshold_hold_the_errors(
    kind, threshold, make_analysis, axes
):
    analysis = make_analysis(kind, threshold=threshold)
    (_, false_alarms), (missed, _) = analysis.numbers["confusion_matrix"]

    plot_score_histogram(axes, analysis)

    line = axes.lines[0].get_xdata()[0]
    real, fake = (patch.get_data() for patch in axes.patches)
    assert real.values.sum() == 60 and fake.values.sum() == 40
    widths = np.diff(real.edges)
    np.testing.assert_allclose(widths, widths[0], rtol=1e-6)
    right, left = real.edges[:-1] >= line - 1e-9, fake.edges[1:] <= line + 1e-9
    # If a side is empty, the line is at the last sample.
    if analysis.scores.called_fake.any() and not analysis.scores.called_fake.all():
        assert real.values[right].sum() == false_alarms
        assert fake.values[left].sum() == missed
    assert get_legend(axes) == [
        f"real, n = 60: {false_alarms} false alarms",
        f"fake, n = 40: {missed} missed",
        f"threshold: P(fake) {threshold:.3g}, here at {line:.3g}",
    ]


def test_plot_score_histogram_draws_what_samples_are_ranked_by(make_analysis, axes):
    analysis = make_analysis("perfect")  # P(fake) is 0 or 1, logit differences are not

    plot_score_histogram(axes, analysis)

    filled = axes.patches[1].get_data().values > 0
    assert np.count_nonzero(filled) > 2
    edges = axes.patches[0].get_data().edges
    scores = analysis.scores.scores
    assert edges[0] <= scores.min() and scores.max() <= edges[-1]
    np.testing.assert_allclose(np.diff(edges), np.diff(edges)[0])
    assert axes.get_xlabel() == "Score: logit difference"
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize(
    ("num_real", "expected"),
    [(20, ["1", "2"]), (60, ["1", "2", "5"]), (15000, ["1", "10", "100", "1,000"])],
)
def test_plot_score_histogram_counts_are_plain_whole_numbers(
    num_real, expected, make_analysis, axes
):
    plot_score_histogram(axes, make_analysis("good", num_real, 3))

    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    labels = [
        label.get_text()
        for which in ("major", "minor")
        for label in axes.yaxis.get_ticklabels(which=which)
        if low <= label.get_position()[1] <= high and label.get_text()
    ]
    assert labels == expected


def test_plot_reliability_small_bins_are_hollow_and_joined_by_no_line(
    make_analysis, axes
):
    bins = ReliabilityBins(
        np.array([0.1, 0.4, 0.6, 0.9]),
        np.array([0.0, 0.5, 1.0, 1.0]),
        np.array([20, 12, 3, 40]),
    )

    plot_reliability(axes, replace(make_analysis(), bins=bins))

    joined, hollow = (container.lines[0] for container in axes.containers)
    np.testing.assert_equal(joined.get_xdata(), [0.1, 0.4, 0.9])
    assert joined.get_linestyle() == "-"
    np.testing.assert_equal(hollow.get_xdata(), [0.6])
    assert hollow.get_linestyle() == "None"
    assert "bins of 12 to 40 images" in get_legend(axes)
    assert "bins of fewer than 10 images" in get_legend(axes)
    (low, _), *_ = axes.containers[1].lines[2][0].get_segments()
    assert low[1] == pytest.approx(0.025 ** (1 / 3))  # exact, for 3 of 3


@pytest.mark.slow
def test_plot_reliability_samples_in_groups_have_no_intervals(make_analysis, axes):
    groups = [f"video {index // 5}" for index in range(100)]

    plot_reliability(axes, make_analysis(groups=groups))

    assert axes.containers[0].lines[2] == ()


def test_plot_reliability_names_what_chance_alone_gives(make_analysis, axes):
    analysis = make_analysis()
    numbers = {**analysis.numbers, "ece": 0.1, "ece_noise_floor": 0.05}

    plot_reliability(axes, replace(analysis, numbers={**numbers, "ece_p_value": 0.012}))

    assert "ECE 0.100; by chance alone 0.050, p = 0.012" in axes.get_xlabel()


def test_plot_tippett_steps_down_at_each_ratio(make_analysis, axes):
    analysis = make_analysis("good", 1, 2)
    llrs = np.log([0.1, 0.01, 1000.0])  # a real one, and two fakes, one of them misled
    scores = replace(analysis.scores, llrs=llrs)

    plot_tippett(axes, replace(analysis, scores=scores))

    fake, real = axes.lines[:2]
    np.testing.assert_allclose(fake.get_xdata(), [-3.15, -2, 3, 3.15])
    np.testing.assert_allclose(fake.get_ydata(), [1, 0.5, 0, 0])
    np.testing.assert_allclose(real.get_xdata(), [-3.15, -1, 3.15])
    np.testing.assert_allclose(real.get_ydata(), [1, 0, 0])
    assert fake.get_drawstyle() == "steps-post"
    assert get_legend(axes)[:2] == [
        "fake, n = 2: 50.0 % have an LR below 1",
        "real, n = 1: 0.0 % have an LR above 1",
    ]


def test_plot_tippett_names_cllr_and_min_cllr(make_analysis, axes):
    analysis = make_analysis()
    numbers = {**analysis.numbers, "cllr": 0.5, "cllr_interval": [0.4, 0.6]}

    plot_tippett(
        axes, replace(analysis, numbers={**numbers, "min_cllr_interval": None})
    )

    assert get_legend(axes)[-2:] == [
        "Cllr 0.500 [0.400, 0.600]",
        f"minCllr {numbers['min_cllr']:.3f}",
    ]


def test_plot_cross_entropy_draws_the_three_curves_and_names_their_costs(
    make_analysis, axes
):
    analysis = make_analysis()
    scores, numbers = analysis.scores, analysis.numbers

    plot_cross_entropy(axes, analysis)

    neutral, system, minimal = axes.lines[:3]
    curves = compute_cross_entropies(scores.scores, scores.labels, scores.llrs)
    np.testing.assert_array_equal(neutral.get_ydata(), curves.neutral)
    np.testing.assert_array_equal(system.get_ydata(), curves.system)
    np.testing.assert_array_equal(minimal.get_ydata(), curves.minimal)
    assert system.get_xdata()[[0, 50, -1]].tolist() == [-2.5, 0, 2.5]
    assert system.get_ydata()[50] == pytest.approx(numbers["cllr"])
    legend = get_legend(axes)
    assert legend[1].startswith(f"the detector's LRs: Cllr {numbers['cllr']:.3f} [")
    assert f"minCllr {numbers['min_cllr']:.3f}" in legend[2]


def test_plot_confusion_matrix_shows_counts_and_named_rates(make_analysis, axes):
    analysis = make_analysis("perfect")
    numbers = {**analysis.numbers, "real_accuracy_interval": [0.94, 1.0]}
    numbers["fake_accuracy_interval"] = None

    plot_confusion_matrix(axes, replace(analysis, numbers=numbers))

    assert [text.get_text() for text in axes.texts] == [
        "60\nTNR 100.0 %\n[94.0 %, 100.0 %]",
        "0\nFPR 0.0 %\n[0.0 %, 6.0 %]",
        "0\nFNR 0.0 %",
        "40\nTPR 100.0 %",
    ]
    assert axes.get_ylabel() == "True class"
    assert axes.get_xlabel().startswith("Predicted class (fake at or above 0.5)")


def test_build_edges_hold_every_score_despite_rounding():
    rng = np.random.default_rng(0)
    for scores in rng.normal(size=(300, 5)):
        edges = _build_edges(scores, threshold=scores[:2].mean())
        assert edges[0] <= scores.min() and scores.max() <= edges[-1]
