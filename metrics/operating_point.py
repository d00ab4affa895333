"""What is chosen on validation: a temperature and a threshold, the operating point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from files.layout import FAKE, REAL
from metrics.checks import check_scores_and_labels
from metrics.measures import cumulate_positives, find_eer_threshold, sort_samples

_TEMPERATURE_RANGE = (0.05, 20.0)


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


def choose_operating_point(
    logits: ArrayLike, labels: ArrayLike, max_fpr: float | None = None
) -> OperatingPoint:
    """Choose temperature and threshold: on validation, never on the test split.

    Args:
        logits: (N, 2), real first.
        labels: (N,) 0 (real) or 1 (fake).
        max_fpr: as for `choose_threshold`.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    temperature = fit_temperature(logits, labels)
    fake_scores = compute_fake_scores(logits, temperature)
    return OperatingPoint(
        temperature=temperature,
        threshold=choose_threshold(fake_scores, labels, max_fpr),
        policy="eer" if max_fpr is None else f"fpr={max_fpr:g}",
        fake_share=float(np.mean(_get_margins(logits) > 0)),
        num_samples=len(fake_scores),
    )


def choose_threshold(
    fake_scores: ArrayLike, labels: ArrayLike, max_fpr: float | None = None
) -> float:
    """Choose the score from which on a sample is called fake: on validation only.

    Args:
        fake_scores: (N,) validation scores, after temperature where one is used.
        labels: (N,) 0 (real) or 1 (fake).
        max_fpr: None where both errors are equally frequent, or the largest share of
            real samples called fake, in [0, 1), with which to find the most fakes.

    Returns:
        The threshold, to be used as `fake_score >= threshold`. With `max_fpr` it lies
        half-way to the next lower score. Below 1 / (real samples) no false positive
        is allowed; where nothing is then left to call fake, the threshold is just
        above the highest score.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    samples = sort_samples(*check_scores_and_labels(fake_scores, labels))
    if max_fpr is None:
        return find_eer_threshold(samples)
    (fp,), (tp,) = cumulate_positives(samples, samples.once)
    allowed = fp <= max_fpr * fp[-1] + 1e-9
    if not (allowed & (tp > 0)).any():
        return float(np.nextafter(samples.thresholds[0], np.inf))
    index = int(np.argmax(np.where(allowed, tp, -1)))  # first: fewest false positives
    return samples.get_middle(index)


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Fit the temperature that makes validation scores most likely.

    Args:
        logits: (N, 2), real first.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        The temperature with the least log loss, within [0.05, 20]. Logits with every
        sample on its right side would ask for a temperature of zero, certainty that
        no finite set can vouch for: they are left alone, with 1.0.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.

    Source: Guo et al. 2017, section 4.2, temperature scaling.
    """
    margins, labels = check_scores_and_labels(_get_margins(logits), labels)
    right_margins = np.where(labels == FAKE, margins, -margins)
    if (right_margins > 0).all():
        return 1.0

    def compute_log_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -right_margins / np.exp(log_temperature)).mean())

    # In 1 / T the loss is convex, so in log T it has one minimum.
    result = optimize.minimize_scalar(
        compute_log_loss,
        bounds=np.log(_TEMPERATURE_RANGE),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(result.x))


def compute_fake_scores(logits: ArrayLike, temperature: float = 1.0) -> np.ndarray:
    """Turn logits into P(fake).

    Args:
        logits: (N, 2), real first.
        temperature: divides the logits; above 1 makes scores less sure.

    Returns:
        float64 (N,) probabilities. Their order, and so the AUC and the EER, does not
        depend on the temperature.

    Raises:
        ValueError: for another shape, or a temperature that is not positive.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number, got {temperature}")
    return special.expit(_get_margins(logits) / temperature)


def _get_margins(logits: ArrayLike) -> np.ndarray:
    """By how much fake's logit exceeds real's, float64 (N,)."""
    array = np.asarray(logits, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"logits must have shape (N, 2), got {array.shape}")
    return array[:, FAKE] - array[:, REAL]
