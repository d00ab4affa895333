"""What is chosen on validation scores: a temperature, a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from files.layout import FAKE
from metrics.checks import check_scores_and_labels
from metrics.measures import (
    _get_middle,
    build_score_table,
    compute_eer,
    cumulate_positives,
)

_TEMPERATURE_RANGE = (0.05, 20.0)


def parse_threshold_policy(policy: str) -> float | None:
    """Read a policy: None for 'eer', the largest false-positive rate for 'fpr=0.01'.

    Raises:
        ValueError: for anything else.
    """
    if policy == "eer":
        return None
    name, _, value = policy.partition("=")
    try:
        max_fpr = float(value) if name == "fpr" else -1.0
    except ValueError:
        max_fpr = -1.0
    if not 0 <= max_fpr < 1:
        raise ValueError(
            "threshold policy must be 'eer' or 'fpr=RATE' with a rate in [0, 1), "
            f"got {policy!r}"
        )
    return max_fpr


def choose_threshold(
    fake_scores: ArrayLike, labels: ArrayLike, policy: str = "eer"
) -> float:
    """Choose the score from which on a sample is called fake: on validation only.

    Args:
        fake_scores: (N,) validation scores, after temperature where one is used.
        labels: (N,) 0 (real) or 1 (fake).
        policy: 'eer' where both errors are equally frequent, or 'fpr=0.01' for the
            most fakes found with at most this share of real samples called fake.

    Returns:
        The threshold, to be used as `fake_score >= threshold`. For 'fpr=' it lies
        half-way to the next lower score. With 'fpr=' below 1 / (real samples) no
        false positive is allowed; where nothing is then left to call fake, the
        threshold is just above the highest score.

    Raises:
        ValueError: for an unknown policy or input that is refused.
    """
    max_fpr = parse_threshold_policy(policy)
    if max_fpr is None:
        return compute_eer(fake_scores, labels).threshold
    scores, labels = check_scores_and_labels(fake_scores, labels)
    table = build_score_table(scores, labels)
    fp, tp = (a[0] for a in cumulate_positives(table, np.ones((1, scores.size))))
    allowed = fp <= max_fpr * fp[-1] + 1e-9
    if not (allowed & (tp > 0)).any():
        return float(np.nextafter(table.thresholds[0], np.inf))
    index = int(np.argmax(np.where(allowed, tp, -1)))  # first: fewest false positives
    return _get_middle(table.thresholds, index)


def compute_fake_scores(logits: ArrayLike, temperature: float = 1.0) -> np.ndarray:
    """Turn logits into P(fake).

    Args:
        logits: (N, 2) logits of real and fake, or (N,) their difference fake - real.
        temperature: divides the logits; above 1 makes scores less sure.

    Returns:
        float64 (N,) probabilities. Their order, and so the AUC and the EER, does not
        depend on the temperature.

    Raises:
        ValueError: for another shape, or a temperature that is not positive.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number, got {temperature}")
    return special.expit(_get_logit_differences(logits) / temperature)


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Fit the temperature that makes validation scores most likely.

    Args:
        logits: (N, 2) or (N,), as for `compute_fake_scores`.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        The temperature with the least log loss, within [0.05, 20]. Logits with every
        sample on its right side would ask for a temperature of zero, certainty that
        no finite set can vouch for: they are left alone, with 1.0.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.

    Source: Guo et al. 2017, section 4.2, temperature scaling.
    """
    differences, labels = check_scores_and_labels(
        _get_logit_differences(logits), labels
    )
    margins = np.where(labels == FAKE, differences, -differences)
    if (margins > 0).all():
        return 1.0

    def compute_log_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -margins / np.exp(log_temperature)).mean())

    # In 1 / T the loss is convex, so in log T it has one minimum.
    result = optimize.minimize_scalar(
        compute_log_loss,
        bounds=np.log(_TEMPERATURE_RANGE),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(result.x))


def _get_logit_differences(logits: ArrayLike) -> np.ndarray:
    array = np.asarray(logits, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 2:
        return array[:, 1] - array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"logits must have shape (N, 2) or (N,), got {array.shape}")
    return array


def compute_scores(
    logits: np.ndarray, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return P(real) and P(fake), float64 (N,), of logits (N, 2), real first."""
    fake_scores = compute_fake_scores(logits, temperature)
    return compute_fake_scores(logits[:, ::-1], temperature), fake_scores


@dataclass(frozen=True)
class OperatingPoint:
    """What was chosen on the validation split.

    Attributes:
        temperature: divides the logits, so that the scores are calibrated.
        threshold: P(fake) after that, from which on the verdict is 'fake'.
        policy: how the threshold was chosen.
        fake_share: the share of images whose larger logit says 'fake'.
        num_samples: how many images were scored.
    """

    temperature: float
    threshold: float
    policy: str
    fake_share: float
    num_samples: int
