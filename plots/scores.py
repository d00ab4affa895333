"""Score histogram, reliability diagram and confusion matrix of one detector."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from files.layout import CLASS_NAMES, FAKE, REAL
from metrics import compute_proportion_interval
from metrics.analysis import Analysis
from plots.style import (
    FAKE_COLOR,
    GREY,
    REAL_COLOR,
    build_title,
    finish_axes,
    format_with_interval,
)


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
    return finish_axes(axes, _build_title("Scores by true class", analysis))


def plot_reliability(axes: Axes, analysis: Analysis) -> Axes:
    """Draw the share of fakes in each bin of the score, with exact 95 % intervals.

    Args and Returns: as for `plot_score_histogram`.
    """
    bins, report = analysis.bins, analysis.report
    fakes = np.rint(bins.fake_fractions * bins.counts).astype(int)
    intervals = [
        compute_proportion_interval(*pair)
        for pair in zip(fakes, bins.counts, strict=True)
    ]
    errors = np.abs(np.transpose(intervals) - bins.fake_fractions)
    shares = bins.counts / bins.counts.sum()
    axes.bar(
        bins.mean_scores, shares, 0.03, color="#BBBBBB", label="share of the samples"
    )
    axes.plot([0, 1], [0, 1], color=GREY, ls=":", label="perfectly calibrated")
    axes.errorbar(
        bins.mean_scores,
        bins.fake_fractions,
        errors,
        fmt="o-",
        color=FAKE_COLOR,
        capsize=3,
        label=f"ECE {format_with_interval(report, 'ece')}",
    )
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.set(xlabel="Mean score P(fake) of the bin", ylabel="Share that is fake")
    return finish_axes(axes, _build_title("Reliability", analysis))


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
    accuracy = format_with_interval(analysis.report, "accuracy")
    axes.set_title(_build_title(f"Accuracy {accuracy}", analysis), fontsize=11)
    return axes


def _build_title(kind: str, analysis: Analysis) -> str:
    return build_title(kind, analysis.scores.title, analysis.sizes)
