"""The table of metrics: whoever computes, prints, saves or explains one reads it here.

A new metric is one more row. If its formula takes a `Tally`, it is resampled like the
others, and stands in the terminal, the JSON file, the report and docs/numbers.md. A
formula longer than a line is in `measures.py`; an interval that resamples alone do not
give is in `intervals.py`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from files.classes import FAKE, REAL
from metrics.bootstrap import compute_bootstrap_interval
from metrics.calibration import compute_ece
from metrics.error_rates import bound_separated
from metrics.intervals import (
    CROSS_FITTED,
    DELONG,
    Ends,
    Interval,
    bound_accuracy,
    bound_average_precision,
    bound_eer,
    build_class_interval,
    build_tpr_interval,
)
from metrics.likelihood_ratios import compute_min_cllr
from metrics.measures import (
    Decisions,
    Tally,
    compute_auc,
    compute_average_precision,
    compute_d_prime,
    compute_eer,
    compute_mcc,
    compute_tpr_at_fpr,
    divide_or_zero,
    find_eer_threshold,
    tally_cells,
)
from metrics.samples import Cells, Samples, sort_samples

MAX_FPRS = (0.01, 0.001)
_EVERYWHERE = ("comparison", "subsets", "groups", "robustness", "paper")


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
        name: its key in JSON and CSV; NAME_interval is that of its interval.
        words: what tables call it.
        definition: what it is, in words.
        formula: from a `Tally` to its value for each weighting (R,); NaN for none.
        value: from the samples to its value, for a metric that is not resampled.
        needs: the quantity of `build_cells` without which it has no value.
        scale: of its bootstrap interval, as for `compute_bootstrap_interval`.
        interval: how its interval is made in another way than from resamples.
        bound: from the samples and its value to exact ends, where resamples show no
            spread; None elsewhere.
        highest: its largest value, which a log scale does not know.
        of_decisions: the formula takes mere `Decisions`, so that the exact bounds of a
            detector without errors give its interval.
        higher_is_better: False if lower is, None if neither.
        heading: what narrow tables and figures call it; by default as `words`.
        columns: the tables that have a column for it, among 'comparison' and 'subsets'
            in the terminal, 'robustness', and 'paper' for the comparison as CSV,
            Markdown and LaTeX; 'groups': where groups are judged, theirs stands beside
            the images'.
    """

    name: str
    words: str
    definition: str
    formula: Callable[[Tally], np.ndarray] | None = None
    value: Callable[[Samples], float | None] | None = None
    needs: str = "called_fake"
    scale: str = "percentiles"
    interval: Interval | None = None
    bound: Callable[[Samples, float], Ends | None] | None = None
    highest: float = np.inf
    of_decisions: bool = False
    higher_is_better: bool | None = True
    heading: str = ""
    columns: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """What narrow tables and figures call it."""
        return self.heading or self.words

    @property
    def method(self) -> str:
        """How its interval is made; empty for none."""
        if self.interval is not None:
            return self.interval.words
        scale = "" if self.scale == "percentiles" else " scale"
        return f"stratified bootstrap, {self.scale}{scale}" if self.formula else ""

    def compute_interval(
        self,
        samples: Samples,
        value: float | None,
        resampled: np.ndarray | None,
        seed: int,
    ) -> Ends | None:
        """Compute its 95 % interval; None if it has none, or the samples do not tell.

        Args:
            value: of the samples themselves.
            resampled: (R,) values of a metric that has a formula.
            seed: of further draws.
        """
        if self.interval is not None:
            return self.interval.compute(samples, value, resampled, seed)
        exact = self.bound and self.bound(samples, value)
        if self.of_decisions and np.array_equal(samples.called_fake, samples.labels):
            exact = self._bound_faultless(samples)
        return exact or compute_bootstrap_interval(
            resampled, value, self.scale, samples.units.smaller
        )

    def _bound_faultless(self, samples: Samples) -> Ends:
        """Return how bad it may yet be of a detector that made no error."""
        bounds = bound_separated(samples.units.real, samples.units.fake)
        sizes = np.bincount(samples.labels)
        worst = float(self.formula(Decisions(bounds.fpr, bounds.fnr, *sizes)))
        return (worst, 1.0) if self.higher_is_better else (0.0, worst)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "auc",
            "AUC",
            "probability that a random fake scores above a random real image, ties "
            "counting half; 0.5 is chance, 1 perfect",
            compute_auc,
            interval=DELONG,
            columns=_EVERYWHERE,
        ),
        Metric(
            "average_precision",
            "average precision",
            "area below the precision-recall curve; chance is the share of fakes",
            compute_average_precision,
            scale="logit",
            bound=bound_average_precision,
            heading="AP",
        ),
        Metric(
            "eer",
            "equal error rate (EER)",
            "both error rates where they are equal, the threshold being chosen for "
            "that, on straight lines between ROC points; 0 is perfect",
            compute_eer,
            scale="percentiles",
            bound=bound_eer,
            higher_is_better=False,
            heading="EER",
            columns=_EVERYWHERE,
        ),
        Metric(
            "tpr_at_fpr_0.01",
            "TPR at FPR 1 %",
            "share of the fakes found when at most 1 % of the real images are called "
            "fake; takes 100 real images, or groups of them",
            value=lambda samples: compute_tpr_at_fpr(samples.in_order, MAX_FPRS[0]),
            interval=build_tpr_interval(MAX_FPRS, 0),
            columns=("paper",),
        ),
        Metric(
            "tpr_at_fpr_0.001",
            "TPR at FPR 0.1 %",
            "the same at 0.1 %; takes 1,000 real images, or groups of them",
            value=lambda samples: compute_tpr_at_fpr(samples.in_order, MAX_FPRS[1]),
            interval=build_tpr_interval(MAX_FPRS, 1),
        ),
        Metric(
            "accuracy",
            "accuracy",
            "share of all images called right at the threshold in use",
            lambda of: (of.tp + of.tn) / (of.num_real + of.num_fake),
            scale="logit",
            bound=bound_accuracy,
            columns=("comparison", "groups", "robustness", "paper"),
        ),
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            "mean of the accuracies on real and on fake images",
            lambda of: 1 - (of.fpr + of.fnr) / 2,
            scale="logit",
            of_decisions=True,
        ),
        Metric(
            "real_accuracy",
            "accuracy on real",
            "share of the real images called real; the rest are false alarms",
            lambda of: 1 - of.fpr,
            interval=build_class_interval(REAL),
            columns=("groups",),
        ),
        Metric(
            "fake_accuracy",
            "accuracy on fake",
            "share of the fakes called fake; the rest are missed",
            lambda of: 1 - of.fnr,
            interval=build_class_interval(FAKE),
            columns=("subsets", "groups"),
        ),
        Metric(
            "precision",
            "precision",
            "share of fakes among the images called fake, in this split",
            lambda of: divide_or_zero(of.tp, of.tp + of.fp),
            scale="logit",
            of_decisions=True,
        ),
        Metric(
            "f1",
            "F1",
            "harmonic mean of precision and of the accuracy on fake",
            lambda of: divide_or_zero(2 * of.tp, 2 * of.tp + of.fp + of.fn),
            scale="logit",
            of_decisions=True,
        ),
        Metric(
            "mcc",
            "Matthews correlation",
            "correlation of truth and verdicts; 0 is chance",
            compute_mcc,
            scale="atanh",
            of_decisions=True,
        ),
        Metric(
            "log_loss",
            "log loss (nats)",
            "mean of -log of the probability given to the true class; 0 is perfect, "
            "0.693 is P(fake) = 0.5 for all",
            lambda of: of.average("log_loss"),
            needs="log_loss",
            scale="log",
            higher_is_better=False,
        ),
        Metric(
            "brier",
            "Brier score",
            "mean squared error of P(fake); 0 is perfect, 0.25 is 0.5 for all",
            lambda of: of.average("squared_error"),
            needs="squared_error",
            scale="log",
            highest=1.0,
            higher_is_better=False,
        ),
        Metric(
            "cllr",
            "Cllr (bits)",
            "cost of the likelihood ratios; 0 is perfect, 1 is no evidence, above 1 "
            "they mislead",
            lambda of: (of.real["llr_cost"] + of.fake["llr_cost"]) / 2,
            needs="llr_cost",
            scale="log",
            higher_is_better=False,
            heading="Cllr",
            columns=("comparison", "paper"),
        ),
        Metric(
            "min_cllr",
            "minimal Cllr (bits)",
            "what the best calibration that keeps the scores' order would leave of "
            "Cllr (minCllr)",
            lambda of: compute_min_cllr(of.reals_above, of.fakes_above),
            interval=CROSS_FITTED,
            highest=1.0,
            higher_is_better=False,
            heading="minCllr",
            columns=("paper",),
        ),
        Metric(
            "d_prime",
            "d'",
            "distance of the classes' mean scores in standard deviations, the root of "
            "the classes' mean variance",
            compute_d_prime,
            scale="identity",
        ),
        Metric(
            "ece",
            "calibration error (ECE)",
            "mean distance of P(fake) from the share that is fake, over 15 equal bins, "
            "weighted by their images; it has a noise floor and a test instead",
            value=lambda of: compute_ece(of.fake_scores, of.labels),
            needs="squared_error",
            higher_is_better=False,
        ),
        Metric(
            "eer_threshold",
            "EER threshold",
            "the score at which both error rates are equal",
            value=lambda of: find_eer_threshold(sort_samples(of.judged, of.labels)),
            higher_is_better=None,
        ),
    )
}


def list_columns(table: str) -> list[Metric]:
    """Return the metrics that a table has columns for, as `Metric.columns` names it."""
    return [metric for metric in METRICS.values() if table in metric.columns]


def compute_weighted_metrics(
    cells: Cells, weights: np.ndarray, without: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Compute the metrics that have a formula, for every row of weights.

    Args:
        cells: C cells of samples.
        weights: (2, R, C) how many real and fake samples each cell counts for.
        without: metrics to leave out.

    Returns:
        Metric name -> (R,) values; NaN or infinite for none.
    """
    tally = tally_cells(cells, weights)
    return {
        name: metric.formula(tally)
        for name, metric in METRICS.items()
        if metric.formula is not None
        and metric.needs in cells.means
        and name not in without
    }
