"""ROC, DET and precision-recall curves, of one detector or of several overlaid."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patches import Polygon
from matplotlib.ticker import PercentFormatter
from scipy.special import expit, ndtri

from files.names import format_percent
from metrics.all_metrics import METRICS
from plots.style import (
    GREY,
    MOST_BANDS,
    PALE_COLOR,
    build_title,
    finish_axes,
    finish_comparison,
    format_threshold,
    format_with_interval,
    get_line_style,
    wrap_title,
)
from scores.analysis import Analysis

# From FPR and TPR (T,) of a detector to where they are drawn, x and y (T,).
Place = Callable[[np.ndarray, np.ndarray, Analysis], tuple[np.ndarray, np.ndarray]]

_LOW_FPR = 0.01
_LOG_TICKS = (0.0001, 0.001, 0.01, 0.1, 1)
_DET_TICKS = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999, 0.9999)
_MAX_ZOOMED_EER = 0.4  # a worse detector needs more of a DET figure than its corner
_LEGEND_WIDTH = 52  # characters
_FRACTIONS = expit(np.linspace(-9, 9, 31))  # of a line, dense at its ends
FALSE_POSITIVES = "False-positive rate (real called fake)"
TRUE_POSITIVES = "True-positive rate (fake called fake)"
FALSE_NEGATIVES = "False-negative rate (fake called real)"


def plot_roc(axes: Axes, analyses: Sequence[Analysis]) -> Axes:
    """Draw ROC curves, and below the axes the same curves with small FPRs stretched.

    A single detector also has its P(real) and its marked points.
    """
    edge = _find_edge(analyses, "num_real")
    stretched = axes.inset_axes((0, -0.71, 1, 0.46))
    labels = _label_curves(analyses, "auc")
    panels = {
        axes: lambda fpr, tpr, _: (fpr, tpr),
        stretched: lambda fpr, tpr, _: (np.maximum(fpr, edge), tpr),
    }
    for panel, place in panels.items():
        _draw_curves(panel, analyses, place, labels)
        if len(analyses) == 1:
            _mark_points(panel, analyses[0], place, "TPR")
        panel.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        panel.set_ylabel(TRUE_POSITIVES if panel is axes else "True-positive rate")
        rates = np.linspace(0, 1, 1001)
        panel.plot(rates, rates, color=GREY, ls=":", label="chance", zorder=1)
    if len(analyses) == 1:
        auc = analyses[0].numbers["auc_of_real_score"]
        _draw_real_score(axes, analyses[0], panels[axes], f"P(real): AUC {auc:.3f}")
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=FALSE_POSITIVES)
    axes.set_aspect("equal")
    _set_log_axis(stretched, edge)
    return _finish_curves(axes, "ROC", analyses, legend_top=-0.87)


def _set_log_axis(axes: Axes, edge: float) -> None:
    ticks = [rate for rate in _LOG_TICKS if rate > 1.5 * edge]
    labels = ["0", *map(_format_tick, ticks)]
    axes.set(xscale="log", xlim=(0.9 * edge, 1.1), ylim=(-0.04, 1.04))
    axes.xaxis.set_ticks([edge, *ticks], labels=labels)
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.set_xlabel("False-positive rate (logarithmic)")


def plot_det(axes: Axes, analyses: Sequence[Analysis]) -> Axes:
    """Draw detection error trade-offs on normal-deviate axes labelled in percent.

    A rate of 0 has no normal deviate: it is drawn at half an error of the largest
    class, where the axis says 0. Straight lines between ROC points are bent here.

    Source: Martin et al. 1997, "The DET curve in assessment of detection task
    performance".
    """
    edges = _find_edge(analyses, "num_real"), _find_edge(analyses, "num_fake")

    def place(
        fpr: np.ndarray, tpr: np.ndarray, _: Analysis
    ) -> tuple[np.ndarray, np.ndarray]:
        return to_deviates(fpr, edges[0]), to_deviates(1 - tpr, edges[1])

    _draw_curves(axes, analyses, place, _label_curves(analyses, "eer"))
    worst_eer = max(analysis.numbers["eer"] for analysis in analyses)
    zoomed = len(analyses) > 1 and worst_eer <= _MAX_ZOOMED_EER
    rates = ndtri([max(edges), 1 - max(edges)])
    axes.plot(rates, rates, color=GREY, lw=0.8, label="FPR = FNR", zorder=1)
    if len(analyses) == 1:
        eer = format_percent(1 - analyses[0].numbers["eer"])
        _mark_points(axes, analyses[0], place, "FNR")
        _draw_real_score(axes, analyses[0], place, f"P(real): EER {eer}")
    if not zoomed:
        axes.plot(rates, -rates, color=GREY, ls=":", label="chance", zorder=1)
    for axis, edge in zip((axes.xaxis, axes.yaxis), edges, strict=True):
        set_deviate_axis(axis, edge, 0.5 if zoomed else 1 - edge)
    axes.set(xlabel=FALSE_POSITIVES, ylabel=FALSE_NEGATIVES, box_aspect=1)
    return _finish_curves(axes, "DET", analyses, legend_top=-0.22)


def to_deviates(rates: np.ndarray, edge: float) -> np.ndarray:
    return ndtri(np.clip(rates, edge, 1 - edge))


def set_deviate_axis(axis: Axis, edge: float, highest: float) -> None:
    """Let an axis reach from no errors to `highest`, its edges labelled 0 and 100 %."""
    low, high = ndtri(edge), ndtri(highest)
    margin = 0.05 * (high - low)
    ends = {low: "0"} if highest == 0.5 else {low: "0", high: "100 %"}
    between = {
        ndtri(rate): _format_tick(rate)
        for rate in _DET_TICKS
        if all(abs(ndtri(rate) - end) > 1.4 * margin for end in ends)
    }
    ticks = {place: text for place, text in (ends | between).items() if place <= high}
    axis.set_ticks(list(ticks), labels=list(ticks.values()))
    axis.set_tick_params(labelrotation=45 if axis.axis_name == "x" else 0)
    axis.axes.set(**{f"{axis.axis_name}lim": (low - margin, high + margin)})


def plot_precision_recall(axes: Axes, analyses: Sequence[Analysis]) -> Axes:
    """Draw precision over recall of the fakes, and the precision of guessing.

    Recall steps from threshold to threshold; the area below the steps is the average
    precision. The band is the ROC curve's at the samples' share of fakes.

    Source: Davis and Goadrich 2006, "The relationship between precision-recall and
    ROC curves", for the band.
    """
    labels = _label_curves(analyses, "average_precision")
    _draw_curves(axes, analyses, _to_precision_recall, labels, steps=True)
    shares = sorted({analysis.fake_share for analysis in analyses})
    for share in shares:
        axes.axhline(share, color=GREY, ls=":", zorder=1)
    values = " to ".join(map(format_percent, sorted({shares[0], shares[-1]})))
    axes.plot([], [], color=GREY, ls=":", label=f"chance: {values} are fake")
    if len(analyses) == 1 and analyses[0].scores.called_fake.any():
        _mark_threshold(axes, analyses[0], _to_precision_recall)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set(xlabel="Recall (fakes found)", ylabel="Precision (found that are fake)")
    return _finish_curves(axes, "Precision-recall", analyses)


def _to_precision_recall(
    fpr: np.ndarray, tpr: np.ndarray, analysis: Analysis
) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision, which starts at 1 before anything is called fake."""
    share = analysis.fake_share
    called_fake = share * tpr + (1 - share) * fpr
    right = np.where(called_fake > 0, share * tpr, 1)
    return tpr, right / np.where(called_fake > 0, called_fake, 1)


def _find_edge(analyses: Sequence[Analysis], count: str) -> float:
    """Return half an error of the largest class, in place of a rate of 0."""
    return 0.5 / max(2, *(analysis.numbers[count] for analysis in analyses))


def _draw_curves(
    axes: Axes,
    analyses: Sequence[Analysis],
    place: Place,
    labels: Sequence[str],
    *,
    steps: bool = False,
) -> None:
    """Draw each detector's band and curve; in steps, or straight in rates."""
    band = {"lw": 0, "alpha": 0.22 / len(analyses) ** 0.5}
    if len(analyses) == 1:
        band["label"] = "95 % band"
    for index, analysis in enumerate(analyses):
        style = get_line_style(index)
        rates = analysis.roc[:2]
        if steps:
            x, y = place(*rates, analysis)
            y[0] = y[1]  # the first step starts where nothing is called fake
            style["drawstyle"] = "steps-pre"
        else:
            x, y = place(*fill_in_slopes(*rates), analysis)
        axes.plot(x, y, **style, label=labels[index])
        if len(analyses) <= MOST_BANDS:
            corners = _outline_band(analysis, place).T
            # Not `fill`, which takes long to find limits that are set anyway.
            axes.add_artist(Polygon(corners, color=style["color"], **band))


def _outline_band(analysis: Analysis, place: Place) -> np.ndarray:
    """Return the corners of a band, x and y (2, T): along its low end and back."""
    fprs, *ends = analysis.band
    low, high = (
        np.array(place(*fill_in_slopes(fprs, tprs), analysis)) for tprs in ends
    )
    return np.hstack([low, high[:, ::-1]])


def fill_in_slopes(fpr: np.ndarray, tpr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return FPRs and TPRs (T,) with more points where the curve slopes.

    There real and fake samples share a score: the curve is straight in rates, so it
    bends where rates are stretched. Slopes too short to be seen stay as they are.
    """
    rises, runs = np.diff(tpr), np.diff(fpr)
    slopes = np.flatnonzero((rises > 0) & (runs > 0) & (rises + runs > 1e-4))
    index = np.arange(fpr.size)
    positions = np.sort(np.r_[index, np.add.outer(slopes, _FRACTIONS).ravel()])
    return np.interp(positions, index, fpr), np.interp(positions, index, tpr)


def _draw_real_score(axes: Axes, analysis: Analysis, place: Place, label: str) -> None:
    """Draw the curve of P(real), the same turned by 180 degrees, in a pale colour."""
    fpr, tpr = fill_in_slopes(*analysis.roc[:2])
    turned = place(1 - fpr, 1 - tpr, analysis)
    axes.plot(*turned, color=PALE_COLOR, lw=1.2, label=label, zorder=1.5)


def _mark_points(axes: Axes, analysis: Analysis, place: Place, name: str) -> None:
    """Mark the EER, the threshold in use, and what FPR 1 % allows (as TPR or FNR)."""
    numbers, roc = analysis.numbers, analysis.roc
    eer = numbers["eer"]
    _mark(axes, place(eer, 1 - eer, analysis), "o", 11, f"EER {format_percent(eer)}")
    _mark_threshold(axes, analysis, place)
    tpr = numbers[f"tpr_at_fpr_{_LOW_FPR:g}"]
    if tpr is not None:
        last = np.searchsorted(roc.false_positive_rates, _LOW_FPR + 1e-12, "right") - 1
        point = place(roc.false_positive_rates[last], tpr, analysis)
        rate = format_percent(tpr if name == "TPR" else 1 - tpr)
        _mark(axes, point, "D", 4.5, f"{name} {rate} at FPR 1 %")


def _mark_threshold(axes: Axes, analysis: Analysis, place: Place) -> None:
    numbers = analysis.numbers
    fpr, tpr = 1 - numbers["real_accuracy"], numbers["fake_accuracy"]
    label = f"threshold {format_threshold(numbers['threshold'])}"
    _mark(axes, place(fpr, tpr, analysis), "s", 7.5, label)


def _mark(
    axes: Axes, point: tuple[float, float], marker: str, size: float, label: str
) -> None:
    """Mark a point; hollow marks of different sizes do not hide each other."""
    look = {"color": "black", "mfc": "none", "mew": 1.3, "ls": "none", "zorder": 3}
    axes.plot(*point, marker=marker, ms=size, label=label, **look)


def _label_curves(analyses: Sequence[Analysis], metric: str) -> list[str]:
    """Return the legend's entries: whose curve it is, and its number."""
    labels = []
    for analysis in analyses:
        value = format_with_interval(analysis.numbers, metric, percent=metric == "eer")
        label = f"{METRICS[metric].short} {value}"
        if len(analyses) == 1:
            return [f"P(fake): {label}"]
        name = wrap_title(analysis.scores.title, _LEGEND_WIDTH)
        labels.append(f"{name}\n{label}, n = {analysis.numbers['num_samples']}")
    return labels


def _format_tick(rate: float) -> str:
    return f"{100 * rate:g} %"


def _finish_curves(
    axes: Axes, kind: str, analyses: Sequence[Analysis], *, legend_top: float = -0.16
) -> Axes:
    if len(analyses) > 1:
        bands = "bands and " if len(analyses) <= MOST_BANDS else ""
        title = f"{kind} curves\npositive class: fake; {bands}brackets: 95 %"
        return finish_comparison(axes, title)
    (analysis,) = analyses
    title = build_title(kind, analysis.scores.title, analysis.sizes)
    return finish_axes(axes, title, legend_top=legend_top)
