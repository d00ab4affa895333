"""Histogram, reliability, likelihood ratios and confusion matrix of one detector."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.ticker import LogLocator, PercentFormatter

from files.classes import CLASS_NAMES, FAKE, REAL
from files.names import format_percent
from metrics.all_metrics import METRICS
from plots.style import (
    CLASS_COLORS,
    FAKE_COLOR,
    GREY,
    SHARE_COLORS,
    build_title,
    finish_axes,
    format_threshold,
    format_with_interval,
    get_interval,
    get_line_style,
)
from scores.analysis import Analysis
from scores.score_sets import PROBABILITY, RAW_SCORE, ScoreSet

_NUM_BINS = 40
_MIN_JOINED = 10  # samples; the share in fewer says little


def plot_score_histogram(axes: Axes, analysis: Analysis) -> Axes:
    """Draw how many samples of each class have which score; single ones show too.

    A bin ends at the threshold, so each bin lies on one side of it.
    """
    scores = analysis.scores
    threshold = _place_threshold(scores)
    edges = _build_edges(scores.scores, threshold)
    errors = {REAL: "false alarms", FAKE: "missed"}
    for label, hatch in ((REAL, "////"), (FAKE, "")):
        counts = np.histogram(scores.scores[scores.labels == label], edges)[0]
        num_wrong = analysis.numbers["confusion_matrix"][label][1 - label]
        name = f"{CLASS_NAMES[label]}, n = {counts.sum()}: {num_wrong} {errors[label]}"
        color = CLASS_COLORS[label]
        colors = {"facecolor": to_rgba(color, 0.35), "edgecolor": color}
        axes.stairs(counts, edges, fill=True, **colors, lw=1.2, hatch=hatch, label=name)
    what = "score" if scores.fake_scores is None else "P(fake)"
    text = f"threshold: {what} {format_threshold(scores.threshold)}"
    if scores.score_name not in (what, PROBABILITY):
        text += f", here at {threshold:.3g}"
    axes.axvline(threshold, color="black", ls="--", lw=1.2, label=text)
    name = scores.score_name
    name = "Score" if name == RAW_SCORE else f"Score: {name}"
    axes.set(yscale="log", ylim=(0.6, None), xlabel=name)
    axes.set_ylabel(f"Number of {scores.unit} (logarithmic)")
    subs = (1, 2, 5) if axes.get_ylim()[1] < 500 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    return finish_axes(axes, _build_title("Scores by true class", analysis), columns=1)


def _place_threshold(scores: ScoreSet) -> float:
    """Return where in `scores` the decision changes: between the samples beside it."""
    called_fake = scores.called_fake
    real_side, fake_side = scores.scores[~called_fake], scores.scores[called_fake]
    if not real_side.size:
        return float(fake_side.min())
    if not fake_side.size:
        return float(real_side.max())
    return float((real_side.max() + fake_side.min()) / 2)


def _build_edges(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return edges of equal bins that hold all scores, one edge at the threshold."""
    low, high = scores.min(), scores.max()
    if low == high:
        return np.array([low, low + 1 / _NUM_BINS])
    width = (high - low) / _NUM_BINS
    first = np.floor((low - threshold) / width)
    last = np.ceil((high - threshold) / width)
    edges = threshold + width * np.arange(first, last + 1)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # against rounding
    return edges


def plot_reliability(axes: Axes, analysis: Analysis) -> Axes:
    """Draw the share of fakes in each bin of P(fake), with exact 95 % intervals.

    Bins with fewer than ten samples are hollow, and no line joins them. Exact intervals
    need independent samples, so samples in groups get none. `analysis` has `bins`.
    """
    counts, unit = analysis.bins.counts, analysis.scores.unit
    axes.plot([0, 1], [0, 1], color=GREY, ls=":", label="perfectly calibrated")
    joined = counts >= _MIN_JOINED
    if joined.any():
        ends = sorted({counts[joined].min(), counts[joined].max()})
        label = f"bins of {' to '.join(map(str, ends))} {unit}"
        _draw_bins(axes, analysis, joined, fmt="o-", label=label)
    if not joined.all():
        label = f"bins of fewer than {_MIN_JOINED} {unit}"
        _draw_bins(axes, analysis, ~joined, fmt="o", mfc="white", label=label)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    ece, floor, p_value = (
        analysis.numbers[name] for name in ("ece", "ece_noise_floor", "ece_p_value")
    )
    words = f"ECE {ece:.3f}; by chance alone {floor:.3f}, p = {p_value:.2g}"
    axes.set_xlabel(f"Mean score P(fake) of the bin\n{words}")
    axes.set_ylabel("Share that is fake")
    title = _build_title("Reliability", analysis)
    return finish_axes(axes, title, legend_top=-0.22, columns=1)


def _draw_bins(axes: Axes, analysis: Analysis, chosen: np.ndarray, **look: str) -> None:
    scores, shares, _ = (values[chosen] for values in analysis.bins)
    errors = analysis.bin_intervals
    if errors is not None:
        errors = np.abs(errors[chosen].T - shares)
    common = {"color": FAKE_COLOR, "capsize": 3, "ms": 5, "lw": 1.2}
    axes.errorbar(scores, shares, errors, **common, **look)


def plot_tippett(axes: Axes, analysis: Analysis) -> Axes:
    """Draw which share of each class has a likelihood ratio above each value.

    At an LR of 1, the share that the fakes' curve has lost and the share left of the
    real samples' curve are misleading evidence. The scores have `llrs`.

    Source: Evett and Buckleton 1996, "Statistical analysis of STR data", after Tippett
    et al. 1968.
    """
    scores = analysis.scores
    log_ratios = scores.llrs / np.log(10)
    reach = 1.05 * max(1.0, np.abs(log_ratios).max())
    sides = ((FAKE, "-", "below"), (REAL, (0, (5, 1.5)), "above"))
    for label, dashes, side in sides:
        chosen = np.sort(log_ratios[scores.labels == label])
        above = 1 - np.arange(chosen.size + 1) / chosen.size
        look = {"color": CLASS_COLORS[label], "ls": dashes, "lw": 1.8}
        steps = np.r_[-reach, chosen, reach], np.r_[above, 0]
        share = format_percent(analysis.misled[label])
        name = f"{CLASS_NAMES[label]}, n = {chosen.size}: {share} have an LR {side} 1"
        axes.step(*steps, where="post", **look, label=name)
    axes.axvline(0, color=GREY, ls=":", label="LR 1: no evidence")
    for name in ("cllr", "min_cllr"):
        value = format_with_interval(analysis.numbers, name)
        axes.plot([], [], " ", label=f"{METRICS[name].short} {value}")
    axes.set(xlim=(-reach, reach), ylim=(-0.02, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_xlabel("log10 of the likelihood ratio (LR), fake over real")
    axes.set_ylabel(f"Share of {scores.unit} with a greater LR")
    return finish_axes(axes, _build_title("Tippett plot", analysis), columns=1)


def plot_cross_entropy(axes: Axes, analysis: Analysis) -> Axes:
    """Draw what the likelihood ratios leave unknown, in bits, over the prior odds.

    At log odds 0 the curves are at Cllr, minCllr and 1. The scores have `llrs`.

    Source: Ramos et al. 2018, "Deconstructing cross-entropy for probabilistic binary
    classifiers".
    """
    curves = analysis.cross_entropies
    cllr, min_cllr = (
        f"{METRICS[name].short} {format_with_interval(analysis.numbers, name)}"
        for name in ("cllr", "min_cllr")
    )
    grey = {"color": GREY, "ls": ":", "lw": 1.8}
    for values, look, label in (
        (curves.neutral, grey, "LR 1 for all: the prior alone"),
        (curves.system, get_line_style(0), f"the detector's LRs: {cllr}"),
        (curves.minimal, get_line_style(1), f"best in this order: {min_cllr}"),
    ):
        axes.plot(curves.log10_odds, values, **look, label=label)
    axes.axvline(0, color=GREY, lw=0.8, label="even odds, where Cllr is read")
    axes.set(xlim=curves.log10_odds[[0, -1]], ylim=(0, None))
    axes.set_xlabel("log10 of the prior odds, fake to real")
    axes.set_ylabel("Empirical cross-entropy (bits)")
    title = _build_title("Empirical cross-entropy", analysis)
    return finish_axes(axes, title, columns=1)


def plot_confusion_matrix(axes: Axes, analysis: Analysis) -> Axes:
    """Draw counts and rates of true against called class, shaded by the rate."""
    numbers = analysis.numbers
    counts = np.array(numbers["confusion_matrix"])
    shares = counts / counts.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap=SHARE_COLORS, vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        rate = _format_rate(numbers, row, column)
        text = f"{counts[row, column]:,}\n{rate}"
        color = "white" if share > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=10)
    axes.set_xticks([0, 1], CLASS_NAMES)
    axes.set_yticks([0, 1], CLASS_NAMES, rotation=90, va="center")
    accuracy = format_with_interval(numbers, "accuracy", percent=True)
    axes.set_xlabel(
        f"Predicted class (fake at or above {format_threshold(numbers['threshold'])})\n"
        f"accuracy {accuracy}\nbrackets: 95 % intervals"
    )
    axes.set_ylabel("True class")
    axes.set_title(_build_title("Confusion matrix", analysis), fontsize=10)
    return axes


def _format_rate(numbers: dict[str, Any], row: int, column: int) -> str:
    """Return a cell's rate with its name and interval: 'FPR 5.1 %' above '[...]'."""
    name = (("TNR", "FPR"), ("FNR", "TPR"))[row][column]
    accuracy = ("real_accuracy", "fake_accuracy")[row]
    rate, interval = numbers[accuracy], get_interval(numbers, accuracy)
    if row != column:
        rate, interval = 1 - rate, interval and [1 - end for end in interval[::-1]]
    rates = {"rate": rate, "rate_interval": interval}
    text = f"{name} {format_with_interval(rates, 'rate', percent=True)}"
    return text.replace(" [", "\n[")


def _build_title(kind: str, analysis: Analysis) -> str:
    return build_title(kind, analysis.scores.title, analysis.sizes)
