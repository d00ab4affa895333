"""Labels and fake scores in, numbers that can be stood behind out; no torch, no figure.

Samples are ranked by one score, higher is more fake; a sample is called fake when its
P(fake), or where there is none its score, is at least the threshold. Fake is the
positive class throughout, so a false positive is a real image called fake. Rates and
accuracies are fractions in [0, 1]. The curves of the other score, P(real) = 1 -
P(fake), follow from these: against the same positive class its AUC is 1 - AUC.

Start at `measures.py`, every metric by its name, computed from `cells.py`: samples in
order. `checks.py`: what is taken for scores and labels. `delong.py`, `bootstrap.py`,
`error_rates.py`: intervals and tests. `roc.py`: the ROC curve and its band.
`robustness.py`: what is left under disturbances.
`calibration.py`, `likelihood_ratios.py`: what a score is worth as a probability and as
evidence. `operating_point.py`: threshold and calibration, chosen on validation.
`report.py`: every number with its interval, and notes.
"""

from metrics.bootstrap import bootstrap_metrics, compute_bootstrap_interval
from metrics.delong import compute_delong_interval
from metrics.error_rates import compute_proportion_interval
from metrics.measures import compute_metrics
from metrics.operating_point import (
    choose_operating_point,
    compute_fake_scores,
    compute_logit_differences,
)

__all__ = [
    "bootstrap_metrics",
    "choose_operating_point",
    "compute_bootstrap_interval",
    "compute_delong_interval",
    "compute_fake_scores",
    "compute_logit_differences",
    "compute_metrics",
    "compute_proportion_interval",
]
