"""ROC, DET and precision-recall curves, of one detector or of several overlaid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.special import ndtri

from metrics.analysis import Analysis
from plots.style import (
    GREY,
    REAL_COLOR,
    build_title,
    escape_dollars,
    finish_axes,
    format_with_interval,
)

COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")
_BAND_ALPHA = 0.2
_MAX_BANDS = 3  # more would hide the curves
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
        if len(analyses) <= _MAX_BANDS:
            axes.fill_between(*band, color=style["color"], alpha=_BAND_ALPHA, lw=0)
        label = _label_curve(analysis, len(analyses), "AUC", "auc")
        axes.plot(*rates, **style, label=label)
    if len(analyses) == 1:
        auc = analyses[0].report["auc_of_real_score"]
        mirrored = 1 - rates[0], 1 - rates[1]
        axes.plot(*mirrored, color=REAL_COLOR, ls="--", label=f"P(real): AUC {auc:.3f}")
        _mark_points(axes, analyses[0], lambda fpr, fnr: (fpr, 1 - fnr))
    axes.plot([0, 1], [0, 1], color=GREY, ls=":", label="chance")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel=_FALSE_POSITIVES, ylabel=_TRUE_POSITIVES)
    return _finish_curves(axes, "ROC", analyses)


def plot_det(axes: Axes, analyses: Sequence[Analysis]) -> Axes:
    """Draw detection error trade-offs on normal-deviate axes labelled in percent.

    Rates are clipped, on a copy, to half an error: a rate of 0 has no normal deviate.

    Args and Returns: as for `plot_roc`.

    Source: Martin et al. 1997, "The DET curve in assessment of detection task
    performance".
    """
    counts = [a.report[key] for a in analyses for key in ("num_real", "num_fake")]
    smallest = 0.5 / max(2, *counts)

    def to_deviates(rates: np.ndarray | float) -> np.ndarray:
        return ndtri(np.clip(rates, smallest, 1 - smallest))

    for index, analysis in enumerate(analyses):
        style = _get_style(index)
        fpr = to_deviates(analysis.roc.false_positive_rates)
        fnr = to_deviates(1 - analysis.roc.true_positive_rates)
        band = analysis.band_fprs, 1 - analysis.band_high, 1 - analysis.band_low
        if len(analyses) <= _MAX_BANDS:
            band = map(to_deviates, band)
            axes.fill_between(*band, color=style["color"], alpha=_BAND_ALPHA, lw=0)
        label = _label_curve(analysis, len(analyses), "EER", "eer", percent=True)
        axes.plot(fpr, fnr, **style, label=label)
    if len(analyses) == 1:
        eer = 1 - analyses[0].report["eer"]
        axes.plot(
            -fpr, -fnr, color=REAL_COLOR, ls="--", label=f"P(real): EER {eer:.1%}"
        )
        _mark_points(axes, analyses[0], lambda *rates: map(to_deviates, rates))
    limit = -ndtri(smallest)
    axes.plot([-limit, limit], [limit, -limit], color=GREY, ls=":", label="chance")
    _set_deviate_ticks(axes, limit)
    edge_note = "\n(no errors, and nothing but errors, are drawn on the edges)"
    axes.set(xlabel=_FALSE_POSITIVES + edge_note, ylabel=_FALSE_NEGATIVES)
    axes.set_aspect("equal")
    return _finish_curves(axes, "DET", analyses, legend_top=-0.22)


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
        style = _get_style(index)
        label = _label_curve(analysis, len(analyses), "AP", "average_precision")
        axes.plot(recalls, np.r_[precisions[0], precisions], **style, label=label)
        share = report["num_fake"] / report["num_samples"]
        axes.axhline(share, color=style["color"], ls=":", lw=1)
    if len(analyses) == 1:
        point = report["fake_accuracy"], report["precision"]
        axes.plot(
            *point, "s", color="black", label=f"threshold {report['threshold']:.3g}"
        )
    axes.plot([], [], color=GREY, ls=":", lw=1, label="chance: share of fakes")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set(xlabel="Recall (fakes found)", ylabel="Precision (found that are fake)")
    return _finish_curves(axes, "Precision-recall", analyses)


def _get_style(index: int) -> dict[str, Any]:
    """Return the line style of the detector drawn as number `index`."""
    line_style = LINE_STYLES[index % len(LINE_STYLES)]
    return {"color": COLORS[index % len(COLORS)], "ls": line_style, "lw": 2}


def _label_curve(
    analysis: Analysis, num_detectors: int, area: str, metric: str, **options: Any
) -> str:
    """Return a curve's entry in the legend: whose it is, and its number."""
    value = format_with_interval(analysis.report, metric, **options)
    if num_detectors == 1:
        return f"P(fake): {area} {value}"
    title = escape_dollars(analysis.scores.title)
    return f"{title}, n = {analysis.report['num_samples']}:\n    {area} {value}"


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


def _finish_curves(
    axes: Axes, kind: str, analyses: Sequence[Analysis], **options: Any
) -> Axes:
    if len(analyses) > 1:
        title = f"{kind} of {len(analyses)} detectors\npositive class: fake"
        return finish_axes(axes, title, columns=1, **options)
    (analysis,) = analyses
    title = build_title(kind, analysis.scores.title, analysis.sizes)
    return finish_axes(axes, title, **options)
