"""Labels and fake scores in, numbers that can be stood behind out; no torch, no figure.

One score a sample: P(fake), higher is more fake, and a sample is called fake when
its score is at least the threshold. Fake is the positive class throughout, so a
false positive is a real image called fake. Rates and accuracies are fractions in
[0, 1]. The curves of the other score, P(real) = 1 - P(fake), follow from these:
against the same positive class its AUC is 1 - AUC.

Start at `measures.py`, every metric by its name. `checks.py`: what is taken for scores
and labels. `delong.py`, `bootstrap.py`: intervals and tests. `roc.py`: the ROC curve
and its band. `groups.py`: frames of one video. `operating_point.py`: threshold and
temperature, chosen on validation. `score_sets.py`: what a detector said of each image.
`analysis.py`: all of it for one detector, and comparisons; to be imported by its name,
as it brings scikit-learn.
"""

from __future__ import annotations

from metrics.bootstrap import (
    bootstrap_metrics,
    compute_logit_interval,
    compute_percentile_interval,
    compute_proportion_interval,
)
from metrics.delong import compute_delong_interval
from metrics.groups import find_leaks, groups_from_names
from metrics.measures import compute_metrics
from metrics.operating_point import choose_operating_point, compute_fake_scores
from metrics.score_sets import ScoreSet, load_score_set, save_score_set, tell_apart

__all__ = [
    "ScoreSet",
    "bootstrap_metrics",
    "choose_operating_point",
    "compute_delong_interval",
    "compute_fake_scores",
    "compute_logit_interval",
    "compute_metrics",
    "compute_percentile_interval",
    "compute_proportion_interval",
    "find_leaks",
    "groups_from_names",
    "load_score_set",
    "save_score_set",
    "tell_apart",
]
