"""Labels and fake scores in, numbers that can be stood behind out; no torch.

One score a sample: P(fake), higher is more fake, and a sample is called fake when
its score is at least the threshold. Fake is the positive class throughout, so a
false positive is a real image called fake. Rates and accuracies are fractions in
[0, 1]. The curves of the other score, P(real) = 1 - P(fake), follow from these:
against the same positive class its AUC is 1 - AUC.

This file is the front door. The rooms behind it: `score_table` (input checks),
`weighted_metrics` (the formulas), `point_metrics`, `delong`, `bootstrap`,
`metrics_report` (numbers with intervals), `calibration`, `groups`.
"""

from __future__ import annotations

from bootstrap import (
    bootstrap_metrics,
    compute_logit_interval,
    compute_percentile_interval,
    compute_proportion_interval,
    compute_roc_band,
)
from calibration import (
    EqualErrorRate,
    ReliabilityBins,
    choose_threshold,
    compute_ece,
    compute_eer,
    compute_fake_scores,
    compute_reliability_bins,
    fit_temperature,
    parse_threshold_policy,
)
from delong import (
    AucComparison,
    AucInterval,
    compute_delong_interval,
    compute_paired_delong_test,
)
from groups import (
    GroupScores,
    Leak,
    compute_group_scores,
    find_leaks,
    groups_from_names,
)
from metrics_report import compute_report
from point_metrics import (
    RocCurve,
    compute_auc,
    compute_confusion_matrix,
    compute_metrics,
    compute_roc_curve,
)
from score_table import (
    CLASS_NAMES,
    FAKE,
    NUM_CALIBRATION_BINS,
    REAL,
    check_scores_and_labels,
)
from weighted_metrics import MAX_FPRS

__all__ = [
    "CLASS_NAMES",
    "FAKE",
    "MAX_FPRS",
    "NUM_CALIBRATION_BINS",
    "REAL",
    "AucComparison",
    "AucInterval",
    "EqualErrorRate",
    "GroupScores",
    "Leak",
    "ReliabilityBins",
    "RocCurve",
    "bootstrap_metrics",
    "check_scores_and_labels",
    "choose_threshold",
    "compute_auc",
    "compute_confusion_matrix",
    "compute_delong_interval",
    "compute_ece",
    "compute_eer",
    "compute_fake_scores",
    "compute_group_scores",
    "compute_logit_interval",
    "compute_metrics",
    "compute_paired_delong_test",
    "compute_percentile_interval",
    "compute_proportion_interval",
    "compute_reliability_bins",
    "compute_report",
    "compute_roc_band",
    "compute_roc_curve",
    "find_leaks",
    "fit_temperature",
    "groups_from_names",
    "parse_threshold_policy",
]
