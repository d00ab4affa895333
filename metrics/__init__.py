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
evidence. `groups.py`: frames of one video. `operating_point.py`: threshold and
calibration, chosen on validation. `score_sets.py`: what a detector said of each image;
`score_files.py`: the same from CSV and to CSV.
`analysis.py`: all of it for one detector, and comparisons; to be imported by its name,
as it brings scikit-learn.
"""

from __future__ import annotations

from metrics.bootstrap import bootstrap_metrics, compute_bootstrap_interval
from metrics.delong import compute_delong_interval
from metrics.error_rates import compute_proportion_interval
from metrics.groups import find_leaks, groups_from_names, subsets_from_names
from metrics.measures import compute_metrics
from metrics.operating_point import (
    choose_operating_point,
    compute_fake_scores,
    compute_logit_differences,
)
from metrics.score_files import ScoreFormat, load_score_set, save_score_set
from metrics.score_sets import LOGIT_DIFFERENCE, ScoreSet, calibrate_on, tell_apart

__all__ = [
    "LOGIT_DIFFERENCE",
    "ScoreFormat",
    "ScoreSet",
    "bootstrap_metrics",
    "calibrate_on",
    "choose_operating_point",
    "compute_bootstrap_interval",
    "compute_delong_interval",
    "compute_fake_scores",
    "compute_logit_differences",
    "compute_metrics",
    "compute_proportion_interval",
    "find_leaks",
    "groups_from_names",
    "load_score_set",
    "save_score_set",
    "subsets_from_names",
    "tell_apart",
]
