"""Curves: what is drawn for any kind of detector; inputs stay as they were."""

import copy
import io

import numpy as np
import pytest
from scipy.special import ndtri

from plots.curves import plot_det, plot_precision_recall, plot_roc

PLOTS = [plot_roc, plot_det, plot_precision_recall]


def get_legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def get_line(axes, start):
    return next(line for line in axes.lines if line.get_label().startswith(start))


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize(
    "kind", ["good", "random", "perfect", "inverted", "constant", "tiny"]
)
def test_plot_curve_any_detector_is_drawn_under_a_full_title(
    plot, kind, make_analysis, axes
):
    analysis = make_analysis("good", 1, 1) if kind == "tiny" else make_analysis(kind)

    plot(axes, [analysis])

    axes.figure.savefig(io.BytesIO(), dpi=20)
    counts = "1 real and 1 fake" if kind == "tiny" else "60 real and 40 fake"
    assert "SimpleNet on faces" in axes.get_title()
    assert f"{counts} images, positive class: fake" in axes.get_title()


@pytest.mark.parametrize("plot", PLOTS)
def test_plot_curve_returns_its_axes_and_changes_no_input(plot, make_analysis, axes):
    analysis = make_analysis()
    before = copy.deepcopy(analysis)

    assert plot(axes, [analysis]) is axes

    np.testing.assert_equal(vars(analysis.scores), vars(before.scores))
    np.testing.assert_equal(analysis.report, before.report)
    np.testing.assert_equal(analysis.roc._asdict(), before.roc._asdict())
    np.testing.assert_equal(analysis.bins._asdict(), before.bins._asdict())
    np.testing.assert_equal(analysis.band_low, before.band_low)


@pytest.mark.parametrize("plot", PLOTS)
def test_plot_curve_several_detectors_name_each_and_its_n(plot, make_analysis, axes):
    analyses = [
        make_analysis(kind, detector=f"{kind} $x$")
        for kind in ("good", "random", "perfect", "inverted")
    ]

    plot(axes, analyses)

    axes.figure.savefig(io.BytesIO(), dpi=20)  # a dollar sign starts no formula
    assert "of 4 detectors" in axes.get_title()
    legend = get_legend(axes)
    assert r"good \$x\$" in legend[0] and "n = 100" in legend[0]
    assert len(legend) == 5


def test_plot_roc_single_detector_draws_both_scores_mirrored(make_analysis, axes):
    analysis = make_analysis()

    plot_roc(axes, [analysis])

    fake, real = get_line(axes, "P(fake)"), get_line(axes, "P(real)")
    np.testing.assert_allclose(fake.get_xdata(), 1 - real.get_xdata())
    np.testing.assert_allclose(fake.get_ydata(), 1 - real.get_ydata())
    auc = analysis.report["auc"]
    assert f"P(fake): AUC {auc:.3f} [" in get_legend(axes)[0]
    assert get_legend(axes)[1] == f"P(real): AUC {1 - auc:.3f}"
    assert "chance" in get_legend(axes)


def test_plot_roc_marks_lie_on_the_curve(make_analysis, axes):
    analysis = make_analysis("random")
    plot_roc(axes, [analysis])

    eer, used = get_line(axes, "EER"), get_line(axes, "threshold")

    assert eer.get_xdata()[0] + eer.get_ydata()[0] == pytest.approx(1)
    curve = get_line(axes, "P(fake)").get_xydata()
    assert np.abs(curve - used.get_xydata()).sum(axis=1).min() < 1e-12


@pytest.mark.parametrize("kind", ["good", "random", "perfect", "inverted", "constant"])
def test_plot_det_any_detector_is_finite_and_inside_the_limits(
    kind, make_analysis, axes
):
    plot_det(axes, [make_analysis(kind)])

    for line in axes.lines:
        points = np.asarray(line.get_xydata(), dtype=float)
        assert np.isfinite(points).all(), line.get_label()
        for values, limits in zip(
            points.T, (axes.get_xlim(), axes.get_ylim()), strict=True
        ):
            assert limits[0] < values.min() and values.max() < limits[1]


def test_plot_det_ticks_are_percent_on_the_normal_deviate_scale(make_analysis, axes):
    plot_det(axes, [make_analysis(num_real=900)])

    ticks = dict(
        zip(
            [t.get_text() for t in axes.get_xticklabels()],
            axes.get_xticks(),
            strict=True,
        )
    )

    assert ticks["5 %"] == pytest.approx(ndtri(0.05))
    assert ticks["50 %"] == 0
    assert {"0.1 %", "99.9 %"} <= set(ticks)


def test_plot_det_perfect_detector_follows_the_lower_left_edges(make_analysis, axes):
    plot_det(axes, [make_analysis("perfect")])

    line = get_line(axes, "P(fake)").get_xydata()

    edge = ndtri(0.5 / 60)  # half of one error among 60
    assert np.isclose(line, edge).any(axis=1).all()
    assert np.isclose(line, edge).all(axis=1).any()


def test_plot_precision_recall_ends_at_the_share_of_fakes(make_analysis, axes):
    plot_precision_recall(axes, [make_analysis()])

    assert get_line(axes, "P(fake)").get_xydata()[-1] == pytest.approx([1, 0.4])
