"""What an analysis looks like: each function draws on an Axes and returns it.

Fake is the positive class. Colours are Okabe and Ito's, told apart by readers with
any colour vision; line styles and markers differ as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from scipy.special import ndtri

from analysis import Analysis
from metrics import CLASS_NAMES, FAKE, REAL, compute_proportion_interval

REAL_COLOR = "#0072B2"
FAKE_COLOR = "#D55E00"
COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")
_GREY = "#666666"
_DET_TICKS = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999, 0.9999)
_FALSE_POSITIVES = "False-positive rate (real called fake)"
_TRUE_POSITIVES = "True-positive rate (fake called fake)"
_FALSE_NEGATIVES = "False-negative rate (fake called real)"


def plot_roc(axes: Axes, analyses: Sequence[Analysis]) -> Axes:
    """Draw ROC curves; for a single detector also its P(real), band and marks.

    Args:
        axes: where to draw.
        analyses: one detector, or several to overlay.

    Returns:
        The same axes.
    """
    for index, analysis in enumerate(analyses):
        style = _get_style(index)
        rates = analysis.roc.false_positive_rates, analysis.roc.true_positive_rates
        band = analysis.band_fprs, analysis.band_low, analysis.band_high
        axes.fill_between(*band, color=style["color"], alpha=0.2, lw=0)
        axes.plot(*rates, **style, label=_label_auc(analysis, len(analyses)))
    if len(analyses) == 1:
        auc = analyses[0].report["auc_of_real_score"]
        mirrored = 1 - rates[0], 1 - rates[1]
        axes.plot(*mirrored, color=REAL_COLOR, ls="--", label=f"P(real): AUC {auc:.3f}")
        _mark_points(axes, analyses[0], lambda fpr, fnr: (fpr, 1 - fnr))
    axes.plot([0, 1], [0, 1], color=_GREY, ls=":", label="chance")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel=_FALSE_POSITIVES, ylabel=_TRUE_POSITIVES)
    return _finish(axes, "ROC", analyses)


def plot_det(axes: Axes, analyses: Sequence[Analysis]) -> Axes:
    """Draw detection error trade-offs on normal-deviate axes labelled in percent.

    Rates are clipped, on a copy, to half an error: a rate of 0 has no normal deviate.

    Args and Returns: as for `plot_roc`.

    Source: Martin et al. 1997, "The DET curve in assessment of detection task
    performance".
    """
    smallest = 0.5 / max(
        max(a.report["num_real"], a.report["num_fake"]) for a in analyses
    )

    def to_deviates(rates: np.ndarray | float) -> np.ndarray:
        return ndtri(np.clip(rates, smallest, 1 - smallest))

    for index, analysis in enumerate(analyses):
        style = _get_style(index)
        fpr = to_deviates(analysis.roc.false_positive_rates)
        fnr = to_deviates(1 - analysis.roc.true_positive_rates)
        band = analysis.band_fprs, 1 - analysis.band_high, 1 - analysis.band_low
        axes.fill_between(
            *map(to_deviates, band), color=style["color"], alpha=0.2, lw=0
        )
        axes.plot(fpr, fnr, **style, label=_label_eer(analysis, len(analyses)))
    if len(analyses) == 1:
        eer = 1 - analyses[0].report["eer"]
        axes.plot(
            -fpr, -fnr, color=REAL_COLOR, ls="--", label=f"P(real): EER {eer:.1%}"
        )
        _mark_points(axes, analyses[0], lambda *rates: map(to_deviates, rates))
    limit = -ndtri(smallest)
    axes.plot([-limit, limit], [limit, -limit], color=_GREY, ls=":", label="chance")
    _set_deviate_ticks(axes, limit)
    edge_note = "\n(no errors, and nothing but errors, are drawn on the edges)"
    axes.set(xlabel=_FALSE_POSITIVES + edge_note, ylabel=_FALSE_NEGATIVES)
    axes.set_aspect("equal")
    return _finish(axes, "DET", analyses)


def _set_deviate_ticks(axes: Axes, limit: float) -> None:
    ticks = [rate for rate in _DET_TICKS if abs(ndtri(rate)) <= limit + 0.05]
    labels = [f"{100 * rate:g} %" for rate in ticks]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ndtri(ticks), labels=labels)
    axes.tick_params(axis="x", labelrotation=45)
    axes.set(xlim=(-1.04 * limit, 1.04 * limit), ylim=(-1.04 * limit, 1.04 * limit))


def plot_precision_recall(axes: Axes, analyses: Sequence[Analysis]) -> Axes:
    """Draw precision over recall of the fakes, and the precision of guessing.

    Args and Returns: as for `plot_roc`.
    """
    for index, analysis in enumerate(analyses):
        report = analysis.report
        fakes = analysis.roc.true_positive_rates[1:] * report["num_fake"]
        reals = analysis.roc.false_positive_rates[1:] * report["num_real"]
        recalls = np.r_[0, analysis.roc.true_positive_rates[1:]]
        precisions = fakes / (fakes + reals)
        label = f"{_name(analysis, len(analyses))}: AP " + _with_interval(
            report, "average_precision"
        )
        style = _get_style(index)
        axes.plot(recalls, np.r_[precisions[0], precisions], **style, label=label)
        share = report["num_fake"] / report["num_samples"]
        axes.axhline(share, color=style["color"], ls=":", lw=1)
    if len(analyses) == 1:
        point = report["fake_accuracy"], report["precision"]
        axes.plot(
            *point, "s", color="black", label=f"threshold {report['threshold']:.3g}"
        )
    axes.plot([], [], color=_GREY, ls=":", lw=1, label="chance: share of fakes")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set(xlabel="Recall (fakes found)", ylabel="Precision (found that are fake)")
    return _finish(axes, "Precision-recall", analyses)


def plot_score_histogram(axes: Axes, analysis: Analysis) -> Axes:
    """Draw how the scores of each class are spread, each class as a whole of 100 %.

    Args:
        axes: where to draw.
        analysis: the detector.

    Returns:
        The same axes.
    """
    scores = analysis.scores
    edges = np.linspace(0, 1, 41)
    for label, color, hatch in ((REAL, REAL_COLOR, "//"), (FAKE, FAKE_COLOR, "")):
        chosen = scores.fake_scores[scores.labels == label]
        shares = np.histogram(chosen, edges)[0] / chosen.size * 100
        name = f"{CLASS_NAMES[label]} (n = {chosen.size})"
        colors = {"facecolor": to_rgba(color, 0.35), "edgecolor": color}
        axes.stairs(shares, edges, fill=True, **colors, lw=1.5, hatch=hatch, label=name)
    threshold = analysis.report["threshold"]
    axes.axvline(threshold, color="black", ls="--", label=f"threshold {threshold:.3g}")
    axes.set(
        xlim=(-0.02, 1.02), xlabel="Score P(fake)", ylabel="Share of the class (%)"
    )
    return _finish(axes, "Scores by true class", [analysis])


def plot_reliability(axes: Axes, analysis: Analysis) -> Axes:
    """Draw the share of fakes in each bin of the score, with exact 95 % intervals.

    Args and Returns: as for `plot_score_histogram`.
    """
    bins, report = analysis.bins, analysis.report
    fakes = np.rint(bins.fake_fractions * bins.counts).astype(int)
    intervals = np.array(
        [
            compute_proportion_interval(*pair)
            for pair in zip(fakes, bins.counts, strict=True)
        ]
    )
    errors = np.abs(intervals.T - bins.fake_fractions)
    shares = bins.counts / bins.counts.sum()
    axes.bar(
        bins.mean_scores, shares, 0.03, color="#BBBBBB", label="share of the samples"
    )
    axes.plot([0, 1], [0, 1], color=_GREY, ls=":", label="perfectly calibrated")
    axes.errorbar(
        bins.mean_scores,
        bins.fake_fractions,
        errors,
        fmt="o-",
        color=FAKE_COLOR,
        capsize=3,
        label=f"ECE {_with_interval(report, 'ece')}",
    )
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.set(xlabel="Mean score P(fake) of the bin", ylabel="Share that is fake")
    return _finish(axes, "Reliability", [analysis])


def plot_confusion_matrix(axes: Axes, analysis: Analysis) -> Axes:
    """Draw counts of true against called class, shaded by the share of the true class.

    Args and Returns: as for `plot_score_histogram`.
    """
    counts = np.array(analysis.report["confusion_matrix"])
    shares = counts / counts.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{counts[row, column]}\n{share:.1%} of {CLASS_NAMES[row]}"
        color = "white" if share > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=13)
    axes.set_xticks([0, 1], [f"called {name}" for name in CLASS_NAMES])
    axes.set_yticks([0, 1], [f"true {name}" for name in CLASS_NAMES])
    threshold = analysis.report["threshold"]
    axes.set_xlabel(f"called fake from a score of {threshold:.3g} on")
    accuracy = _with_interval(analysis.report, "accuracy")
    axes.set_title(_build_title(f"Accuracy {accuracy}", [analysis]), fontsize=11)
    return axes


def build_figures(analysis: Analysis) -> dict[str, Figure]:
    """Draw every figure of one detector: the end of its file name -> figure."""
    drawings: dict[str, Callable[[Axes], Axes]] = {
        "roc_curve": lambda axes: plot_roc(axes, [analysis]),
        "det_curve": lambda axes: plot_det(axes, [analysis]),
        "precision_recall": lambda axes: plot_precision_recall(axes, [analysis]),
        "score_histogram": lambda axes: plot_score_histogram(axes, analysis),
        "reliability": lambda axes: plot_reliability(axes, analysis),
        "confusion_matrix": lambda axes: plot_confusion_matrix(axes, analysis),
    }
    return {name: _draw(plot) for name, plot in drawings.items()}


def build_comparison_figures(analyses: Sequence[Analysis]) -> dict[str, Figure]:
    """Draw the curves of several detectors over each other."""
    plots = {
        "roc_curve": plot_roc,
        "det_curve": plot_det,
        "precision_recall": plot_precision_recall,
    }
    return {
        name: _draw(lambda axes, plot=plot: plot(axes, analyses))
        for name, plot in plots.items()
    }


def _draw(plot: Callable[[Axes], Axes]) -> Figure:
    # Not pyplot: no global list keeps the figure alive, no display is looked for.
    figure = Figure(figsize=(6.8, 6.8), layout="constrained")
    plot(figure.add_subplot())
    return figure


def _get_style(index: int) -> dict[str, object]:
    line_style = LINE_STYLES[index % len(LINE_STYLES)]
    return {"color": COLORS[index % len(COLORS)], "ls": line_style, "lw": 2}


def _name(analysis: Analysis, num_detectors: int) -> str:
    return "P(fake)" if num_detectors == 1 else analysis.scores.title


def _label_auc(analysis: Analysis, num_detectors: int) -> str:
    interval = _with_interval(analysis.report, "auc")
    return f"{_name(analysis, num_detectors)}: AUC {interval}"


def _label_eer(analysis: Analysis, num_detectors: int) -> str:
    interval = _with_interval(analysis.report, "eer", percent=True)
    return f"{_name(analysis, num_detectors)}: EER {interval}"


def _with_interval(report: dict, name: str, *, percent: bool = False) -> str:
    number = "{:.1%}" if percent else "{:.3f}"
    interval = report[f"{name}_interval"]
    value = number.format(report[name])
    if interval is None:
        return value
    return f"{value} [{', '.join(map(number.format, interval))}]"


def _mark_points(
    axes: Axes, analysis: Analysis, place: Callable[[float, float], object]
) -> None:
    """Mark the EER, the threshold in use and TPR at FPR 1 %, given (FPR, FNR)."""
    report = analysis.report
    eer, low_fpr = report["eer"], report["tpr_at_fpr_0.01"]
    used = 1 - report["real_accuracy"], 1 - report["fake_accuracy"]
    marks = [("o", (eer, eer), f"EER {eer:.1%}")]
    marks += [("s", used, f"threshold {report['threshold']:.3g}")]
    if low_fpr is not None:
        marks += [("D", (0.01, 1 - low_fpr), f"TPR {low_fpr:.1%} at FPR 1 %")]
    for marker, rates, label in marks:
        axes.plot(
            *place(*rates),
            marker,
            color="black",
            mfc="none",
            ms=8,
            mew=1.6,
            label=label,
        )


def _build_title(kind: str, analyses: Sequence[Analysis]) -> str:
    report, scores = analyses[0].report, analyses[0].scores
    if len(analyses) > 1:
        return f"{kind} of {len(analyses)} detectors\npositive class: fake"
    counts = f"{report['num_real']} real and {report['num_fake']} fake {scores.unit}"
    return f"{kind}: {scores.title}\n{counts}, positive class: fake"


def _finish(axes: Axes, kind: str, analyses: Sequence[Analysis]) -> Axes:
    axes.set_title(_build_title(kind, analyses), fontsize=11)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    columns = 1 if len(analyses) > 1 else 2
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14 if kind != "DET" else -0.22),
        ncols=columns,
        frameon=False,
    )
    return axes
