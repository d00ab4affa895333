"""Turn labels and scores into numbers you can defend; no torch, no Matplotlib.

Samples are ranked by one score, higher is more fake. A sample is called fake when its
P(fake), or its score if there is no P(fake), is at least the threshold. Fake is the
positive class, so a false positive is a real image called fake. Rates and accuracies
are fractions in [0, 1]. The curves of the other score, P(real) = 1 - P(fake), follow
from these: its AUC against the same positive class is 1 - AUC.

Labels are (N,), 0 real and 1 fake. Functions that take them raise ValueError for what
`samples.check_scores_and_labels` refuses.

Start at `all_metrics.py`, a row each: their formulas are in `measures.py`, special
intervals in `intervals.py`, and `samples.py` checks and sorts what it is made from.
`bootstrap.py`, `delong.py`, `error_rates.py`: intervals, tests and the ROC curve.
`calibration.py`, `likelihood_ratios.py`: what a score is worth as a probability and as
evidence, `bounding.py`: how much at most, `cross_entropy.py`: for every prior.
`operating_point.py`: what is chosen on validation, and `meaning.py`: what scores then
mean. `summary.py`: every number with its interval, and notes. `runs.py`: several runs
as one result. `verdicts.py`: error rates where there may be no verdict.
"""

from hardware.lazy import attach
from metrics.meaning import compute_fake_scores, compute_logit_differences

# Those that need SciPy.
__getattr__ = attach(
    __name__,
    {
        "delong": "compute_delong_interval",
        "error_rates": "compute_proportion_interval",
        "operating_point": "choose_operating_point",
        "summary": "compute_metrics",
    },
)
