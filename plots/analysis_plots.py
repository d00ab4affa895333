"""The table of an analysis's plots: whoever saves or explains one reads it here.

A new plot is one more row, and its sentence in `reporting/figures.py`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from plots.curves import plot_det, plot_precision_recall, plot_roc
from plots.scores import (
    plot_confusion_matrix,
    plot_cross_entropy,
    plot_reliability,
    plot_score_histogram,
    plot_tippett,
)
from scores.analysis import Analysis


class Plot(NamedTuple):
    """A row of the table.

    Attributes:
        ending: of its file's name.
        draw: on axes, one analysis; a curve takes several.
        reading: how to read it; `reading_alone`: what is drawn of a single detector.
        is_curve: whether it can show several detectors over each other.
        is_known: whether an analysis has what it shows.
    """

    ending: str
    name: str
    draw: Callable[[Axes, Any], Axes]
    reading: str
    reading_alone: str = ""
    is_curve: bool = False
    is_known: Callable[[Analysis], bool] = lambda analysis: True

    def can_show(self, analyses: Sequence[Analysis]) -> bool:
        """Say whether it can show these, one or several."""
        fits = self.is_curve or len(analyses) == 1
        return fits and all(map(self.is_known, analyses))

    def plot_on(self, axes: Axes, analyses: Sequence[Analysis]) -> Axes:
        """Draw the only analysis, or the curves of several."""
        return self.draw(axes, analyses if self.is_curve else analyses[0])


PLOTS: dict[str, Plot] = {
    plot.ending: plot
    for plot in (
        Plot(
            "roc_curve",
            "ROC curve",
            plot_roc,
            "The share of fakes found against the share of false alarms, as the "
            "threshold moves. Upper left is better; the dotted line is chance. The "
            "lower panel stretches small false-alarm rates.",
            "The pale curve is P(real): the same detector read backwards.",
            is_curve=True,
        ),
        Plot(
            "det_curve",
            "DET curve",
            plot_det,
            "Missed fakes against false alarms, on axes that stretch small rates. "
            "Lower left is better. The curve crosses the thin diagonal at the equal "
            "error rate.",
            "The pale curve is P(real): the same detector read backwards.",
            is_curve=True,
        ),
        Plot(
            "precision_recall",
            "Precision-recall curve",
            plot_precision_recall,
            "How many of the images called fake are fake, against how many of the "
            "fakes are found. It depends on the split's share of fakes; the dotted "
            "line is what guessing reaches.",
            is_curve=True,
        ),
        Plot(
            "score_histogram",
            "Score histogram",
            plot_score_histogram,
            "How many images of each class have which score. Counts are logarithmic, "
            "so that one image can be seen as well as a thousand.",
        ),
        Plot(
            "reliability",
            "Reliability diagram",
            plot_reliability,
            "Are 80 % of the images with P(fake) = 0.8 fake? On the diagonal they are; "
            "below it the scores are too high, above it too low.",
            is_known=lambda analysis: analysis.bins is not None,
        ),
        Plot(
            "confusion_matrix",
            "Confusion matrix",
            plot_confusion_matrix,
            "Rows are what the images are, columns what they are called. False alarms "
            "are at the upper right, missed fakes at the lower left.",
        ),
        Plot(
            "tippett",
            "Tippett plot",
            plot_tippett,
            "The share of each class with a likelihood ratio above each value. At the "
            "dotted line the evidence is worth nothing; on its wrong side it misleads.",
            is_known=lambda analysis: analysis.scores.llrs is not None,
        ),
        Plot(
            "cross_entropy",
            "Empirical cross-entropy",
            plot_cross_entropy,
            "How much stays unknown after hearing the likelihood ratio, for each share "
            "of fakes expected beforehand. Below the dotted curve the ratios help, "
            "above it they mislead. The gap to the dashed curve is lost by "
            "calibration.",
            is_known=lambda analysis: analysis.scores.llrs is not None,
        ),
    )
}
