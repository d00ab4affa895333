"""Figures: what is drawn for any kind of detector; inputs stay as they were."""

import copy
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.special import expit, ndtri

import numerical_analysis
from metrics.analysis import analyse
from metrics.score_sets import ScoreSet
from plots import curves, scores

NAMES = {
    "roc_curve",
    "det_curve",
    "precision_recall",
    "score_histogram",
    "reliability",
    "confusion_matrix",
}


def make_analysis(kind="good", num_real=60, num_fake=40, **options):
    labels = np.repeat([0, 1], [num_real, num_fake])
    noise = np.random.default_rng(0).normal(size=labels.size)
    signs = 2 * labels - 1
    scores = {
        "good": expit(noise + signs),
        "random": expit(noise),
        "perfect": expit(noise + 20 * signs),
        "inverted": expit(noise - 20 * signs),
        "constant": np.full(labels.size, 0.5),
    }[kind]
    paths = [f"{index}.png" for index in range(labels.size)]
    scores = ScoreSet("faces", "SimpleNet", scores, labels, paths, **options)
    return analyse(scores, num_resamples=20)


def get_axes():
    return Figure().add_subplot()


def get_legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def get_line(axes, start):
    return next(line for line in axes.lines if line.get_label().startswith(start))


@pytest.mark.parametrize(
    "kind", ["good", "random", "perfect", "inverted", "constant", "tiny"]
)
def test_build_figures_any_detector_draws_six_pictures(kind):
    analysis = make_analysis("good", 1, 1) if kind == "tiny" else make_analysis(kind)

    built = numerical_analysis.build_figures(analysis)

    assert set(built) == NAMES
    for figure in built.values():
        figure.savefig(io.BytesIO(), dpi=20)
        title = figure.axes[0].get_title()
        assert "SimpleNet on faces" in title
        assert "real and" in title and "positive class: fake" in title


@pytest.mark.parametrize(
    "plot",
    [
        lambda axes, a: curves.plot_roc(axes, [a]),
        lambda axes, a: curves.plot_det(axes, [a]),
        lambda axes, a: curves.plot_precision_recall(axes, [a]),
        scores.plot_score_histogram,
        scores.plot_reliability,
        scores.plot_confusion_matrix,
    ],
)
def test_plot_any_returns_its_axes_and_changes_no_input(plot):
    analysis = make_analysis()
    before = copy.deepcopy(analysis)
    axes = get_axes()

    assert plot(axes, analysis) is axes

    np.testing.assert_equal(vars(analysis.scores), vars(before.scores))
    np.testing.assert_equal(analysis.report, before.report)
    np.testing.assert_equal(analysis.roc._asdict(), before.roc._asdict())
    np.testing.assert_equal(analysis.bins._asdict(), before.bins._asdict())
    np.testing.assert_equal(analysis.band_low, before.band_low)


def test_plot_roc_single_detector_draws_both_scores_mirrored():
    analysis = make_analysis()

    axes = curves.plot_roc(get_axes(), [analysis])

    fake, real = get_line(axes, "P(fake)"), get_line(axes, "P(real)")
    np.testing.assert_allclose(fake.get_xdata(), 1 - real.get_xdata())
    np.testing.assert_allclose(fake.get_ydata(), 1 - real.get_ydata())
    auc = analysis.report["auc"]
    assert f"P(fake): AUC {auc:.3f} [" in get_legend(axes)[0]
    assert get_legend(axes)[1] == f"P(real): AUC {1 - auc:.3f}"
    assert "chance" in get_legend(axes)


def test_plot_roc_marks_lie_on_the_curve():
    analysis = make_analysis("random")
    axes = curves.plot_roc(get_axes(), [analysis])

    eer, used = get_line(axes, "EER"), get_line(axes, "threshold")

    assert eer.get_xdata()[0] + eer.get_ydata()[0] == pytest.approx(1)
    curve = get_line(axes, "P(fake)").get_xydata()
    assert np.abs(curve - used.get_xydata()).sum(axis=1).min() < 1e-12


@pytest.mark.parametrize("kind", ["good", "random", "perfect", "inverted", "constant"])
def test_plot_det_any_detector_is_finite_and_inside_the_limits(kind):
    axes = curves.plot_det(get_axes(), [make_analysis(kind)])

    for line in axes.lines:
        points = np.asarray(line.get_xydata(), dtype=float)
        assert np.isfinite(points).all(), line.get_label()
        for values, limits in zip(
            points.T, (axes.get_xlim(), axes.get_ylim()), strict=True
        ):
            assert limits[0] < values.min() and values.max() < limits[1]


def test_plot_det_ticks_are_percent_on_the_normal_deviate_scale():
    axes = curves.plot_det(get_axes(), [make_analysis(num_real=900)])

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


def test_plot_det_perfect_detector_follows_the_lower_left_edges():
    axes = curves.plot_det(get_axes(), [make_analysis("perfect")])

    line = get_line(axes, "P(fake)").get_xydata()

    edge = ndtri(0.5 / 60)  # half of one error among 60
    assert np.isclose(line, edge).any(axis=1).all()
    assert np.isclose(line, edge).all(axis=1).any()


def test_plot_precision_recall_ends_at_the_share_of_fakes():
    axes = curves.plot_precision_recall(get_axes(), [make_analysis()])

    assert get_line(axes, "P(fake)").get_xydata()[-1] == pytest.approx([1, 0.4])


def test_plot_score_histogram_each_class_is_a_hundred_percent():
    axes = scores.plot_score_histogram(get_axes(), make_analysis())

    assert [p.get_data().values.sum() for p in axes.patches] == pytest.approx(
        [100, 100]
    )
    assert get_legend(axes)[:2] == ["real (n = 60)", "fake (n = 40)"]


def test_plot_confusion_matrix_shows_counts_and_shares():
    analysis = make_analysis("perfect")

    axes = scores.plot_confusion_matrix(get_axes(), analysis)

    texts = [text.get_text() for text in axes.texts]
    assert texts == [
        "60\n100.0% of real",
        "0\n0.0% of real",
        "0\n0.0% of fake",
        "40\n100.0% of fake",
    ]


def test_build_comparison_figures_name_each_detector_and_its_n():
    analyses = [
        make_analysis(kind, detector=f"{kind} $x$")
        for kind in ("good", "random", "perfect", "inverted")
    ]

    built = numerical_analysis.build_comparison_figures(analyses)

    assert set(built) == {"roc_curve", "det_curve", "precision_recall"}
    for figure in built.values():
        figure.savefig(io.BytesIO(), dpi=20)  # a dollar sign starts no formula
        legend = get_legend(figure.axes[0])
        assert [r"good \$x\$" in legend[0], "n = 100" in legend[0]] == [True, True]
        assert len(legend) == 5
