"""Curves: where their points, bands, marks and ticks are."""

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.path import Path
from scipy.special import ndtri
from sklearn.metrics import average_precision_score

from metrics.error_rates import RocBand
from plots.curves import plot_det, plot_precision_recall, plot_roc
from plots.style import save_plot

PLOTS = [plot_roc, plot_det, plot_precision_recall]


def get_legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def get_line(axes, start):
    return next(line for line in axes.lines if line.get_label().startswith(start))


def get_ticks(axis):
    texts = [label.get_text() for label in axis.get_ticklabels()]
    return dict(zip(texts, axis.get_ticklocs(), strict=True))


def measure_distance(points, line):
    """Return the longest way from the points (P, 2) to the straight parts of a line."""
    starts, ways = line[:-1], np.diff(line, axis=0)
    offsets = points[:, None] - starts
    lengths = np.maximum((ways**2).sum(axis=1), 1e-300)
    shares = np.clip((offsets * ways).sum(axis=2) / lengths, 0, 1)
    return np.hypot(*np.moveaxis(offsets - shares[..., None] * ways, 2, 0)).min(1).max()


@pytest.mark.slow
@pytest.mark.parametrize("plot", PLOTS)
def test_plot_curve_six_detectors_name_each_beside_the_axes(plot, make_analysis, axes):
    kinds = ("good", "random", "perfect", "inverted", "constant", "good")
    analyses = [
        make_analysis(kind, detector=f"{kind}_{index} $x$")
        for index, kind in enumerate(kinds)
    ]

    plot(axes, analyses)

    axes.figure.savefig(io.BytesIO(), dpi=20)  # a dollar sign starts no formula
    legend = [text.replace("\n", " ") for text in get_legend(axes)]
    assert r"good_0 \$x\$" in legend[0] and "n = 100" in legend[0]
    assert [line.get_label() for line in axes.lines[:6]] == get_legend(axes)[:6]
    assert len({line.get_linestyle() + line.get_color() for line in axes.lines}) >= 6
    assert len(axes.patches) == 6  # each has its band
    left = axes.get_legend().get_window_extent().x0
    assert left > axes.get_window_extent().x1


@pytest.mark.slow
@pytest.mark.parametrize("plot", PLOTS)
def test_plot_curve_saved_legend_overlaps_no_label(plot, make_analysis, tmp_path):
    def draw(axes):
        plot(axes, [make_analysis(num_real=900)])
        axes.figure.canvas.draw()
        legend = axes.get_legend().get_window_extent()
        for panel in (axes, *axes.child_axes):
            assert not legend.overlaps(panel.xaxis.label.get_window_extent())

    save_plot(draw, tmp_path / "plot.png")


def test_plot_roc_single_detector_draws_both_scores_turned(make_analysis, axes):
    analysis = make_analysis()

    plot_roc(axes, [analysis])

    fake, real = get_line(axes, "P(fake)"), get_line(axes, "P(real)")
    np.testing.assert_allclose(fake.get_xdata(), 1 - real.get_xdata())
    np.testing.assert_allclose(fake.get_ydata(), 1 - real.get_ydata())
    assert real.get_linewidth() < fake.get_linewidth()
    auc = analysis.numbers["auc"]
    assert f"P(fake): AUC {auc:.3f} [" in get_legend(axes)[0]
    assert get_legend(axes)[1] == "95 % band"
    assert f"P(real): AUC {1 - auc:.3f}" in get_legend(axes)
    assert "chance" in get_legend(axes)


def test_plot_roc_stretched_panel_draws_no_false_positives_at_its_edge(
    make_analysis, axes
):
    plot_roc(axes, [make_analysis(num_real=900)])

    (panel,) = axes.child_axes
    assert panel.get_xscale() == "log"
    assert get_ticks(panel.xaxis)["0"] == get_line(panel, "P(fake)").get_xdata()[0]
    assert get_ticks(panel.xaxis)["1 %"] == 0.01
    assert get_ticks(panel.xaxis)["0"] == 0.5 / 900


@pytest.mark.parametrize("plot", [plot_roc, plot_det])
@pytest.mark.parametrize("kind", ["good", "random", "inverted", "perfect", "tied"])
def test_plot_curve_is_inside_its_limits_and_holds_its_marks(
    plot, kind, make_analysis, axes
):
    plot(axes, [make_analysis(kind, 150)])

    for panel in (axes, *axes.child_axes):
        curve = get_line(panel, "P(fake)").get_xydata()
        for low, high, values in zip(*panel.viewLim.get_points(), curve.T, strict=True):
            assert low < values.min() <= values.max() < high
        marks = [
            line.get_xydata() for line in panel.lines if line.get_marker() != "None"
        ]
        assert len(marks) == 3
        assert measure_distance(np.concatenate(marks), curve) < 0.005


def test_plot_roc_mark_at_fpr_1_percent_is_the_last_point_within_it(
    make_analysis, axes
):
    analysis = make_analysis(num_real=150)  # one of 150 is within 1 %, two are not

    plot_roc(axes, [analysis])

    tpr = analysis.numbers["tpr_at_fpr_0.01"]
    mark = get_line(axes, f"TPR {100 * tpr:.1f} % at FPR 1 %").get_xydata()
    assert mark == pytest.approx(np.array([[1 / 150, tpr]]))
    axes = axes.figure.add_subplot()
    plot_det(axes, [analysis])
    assert f"FNR {100 - 100 * tpr:.1f} % at FPR 1 %" in get_legend(axes)


@pytest.mark.parametrize("plot", [plot_roc, plot_det])
def test_plot_curve_band_holds_its_curve_where_scores_tie(plot, make_analysis, axes):
    plot(axes, [make_analysis("tied")])

    band = axes.patches[0].get_xy()
    curve = get_line(axes, "P(fake)").get_xydata()
    outside = ~Path(band).contains_points(curve)
    assert not outside.any() or measure_distance(curve[outside], band) < 0.005


def test_plot_det_ticks_are_percent_of_normal_deviates_from_each_class_edge(
    make_analysis, axes
):
    plot_det(axes, [make_analysis("perfect", num_real=900, num_fake=40)])

    ticks = get_ticks(axes.xaxis)
    assert ticks["5 %"] == pytest.approx(ndtri(0.05))
    assert ticks["50 %"] == pytest.approx(0)
    assert ticks["0"] == pytest.approx(ndtri(0.5 / 900))
    assert ticks["100 %"] == pytest.approx(-ticks["0"])
    assert np.diff(sorted(ticks.values())).min() > 0.2  # labels do not overlap
    assert get_ticks(axes.yaxis)["0"] == pytest.approx(ndtri(0.5 / 40))
    line = get_line(axes, "P(fake)").get_xydata()
    assert line.min(axis=0) == pytest.approx(ndtri([0.5 / 900, 0.5 / 40]))


@pytest.mark.slow
def test_plot_det_perfect_detector_follows_the_edges_labelled_0(make_analysis, axes):
    plot_det(axes, [make_analysis("perfect"), make_analysis("good", 30)])

    x, y = axes.lines[0].get_xydata().T

    left, bottom = get_ticks(axes.xaxis)["0"], get_ticks(axes.yaxis)["0"]
    assert ((x == left) | (y == bottom)).all()
    assert ((x == left) & (y == bottom)).any()


@pytest.mark.parametrize("second", ["good", "inverted"])
def test_plot_det_several_good_detectors_show_errors_up_to_a_half(
    second, make_analysis, axes
):
    plot_det(axes, [make_analysis(num_real=900), make_analysis(second)])

    is_good = second == "good"
    assert (0 < axes.get_xlim()[1] < 0.4) == is_good  # 50 % is at 0
    assert ("100 %" in get_ticks(axes.xaxis)) != is_good
    assert ("chance" in get_legend(axes)) != is_good  # else its line is outside


def test_plot_precision_recall_area_below_the_steps_is_average_precision(
    make_analysis, axes
):
    analyses = [make_analysis(), make_analysis("tied")]

    plot_precision_recall(axes, analyses)

    for line, analysis in zip(axes.lines[:2], analyses, strict=True):
        recalls, precisions = line.get_xydata().T
        area = (np.diff(recalls) * precisions[1:]).sum()
        scores = analysis.scores
        expected = average_precision_score(scores.labels, scores.scores)
        assert line.get_drawstyle() == "steps-pre"
        assert precisions[0] == precisions[1]
        assert area == pytest.approx(expected)
        assert [recalls[-1], precisions[-1]] == pytest.approx([1, 0.4])


def test_plot_precision_recall_names_what_chance_gives(make_analysis, axes):
    plot_precision_recall(axes, [make_analysis(), make_analysis(num_fake=60)])

    assert get_legend(axes)[-1] == "chance: 40.0 % to 50.0 % are fake"


def test_plot_precision_recall_band_is_the_roc_band_at_the_share_of_fakes(
    make_analysis, axes
):
    analysis = make_analysis()  # 60 real, 40 fake
    band = RocBand(*map(np.array, ([0, 0.5, 1], [0, 0.75, 1], [0.5, 1, 1])))

    plot_precision_recall(axes, [replace(analysis, band=band)])

    outline = axes.patches[0].get_xy()
    for corner in ([0, 1], [0.75, 0.5], [1, 0.4], [1, 40 / 70], [0.5, 1]):
        assert np.isclose(outline, corner).all(axis=1).any(), corner


def test_plot_precision_recall_nothing_called_fake_marks_no_threshold(
    make_analysis, axes
):
    plot_precision_recall(axes, [make_analysis(threshold=1.0)])

    assert not any("threshold" in text for text in get_legend(axes))
