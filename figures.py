"""What an analysis looks like: each plot function draws on an Axes and returns it.

Fake is the positive class. Nothing here changes the numbers it draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import Analysis
from curve_figures import plot_det, plot_precision_recall, plot_roc
from score_figures import plot_confusion_matrix, plot_reliability, plot_score_histogram

__all__ = [
    "build_comparison_figures",
    "build_figures",
    "plot_confusion_matrix",
    "plot_det",
    "plot_precision_recall",
    "plot_reliability",
    "plot_roc",
    "plot_score_histogram",
]


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
