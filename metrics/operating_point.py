"""What is chosen on validation: temperature, likelihood ratios and a threshold."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike

from metrics.calibration import Calibration, choose_calibration, count_neighbours
from metrics.likelihood_ratios import fit_llr_calibration
from metrics.meaning import compute_fake_scores, compute_logit_differences
from metrics.measures import find_eer_threshold
from metrics.samples import SortedSamples, check_scores_and_labels, sort_samples

FEW_IMAGES = 20  # of a class; with fewer a note says so


@dataclass(frozen=True)
class OperatingPoint:
    """What was chosen on the validation split, named as in a checkpoint's record.

    Attributes:
        temperature: divides the logits, so that the scores are calibrated.
        temperature_interval: 95 % interval of the temperature that fits best.
        logit_bias: added to the scaled logit difference.
        log_losses: without and with temperature and bias, nats.
        calibration_notes: sentences about the fit, such as that it met a bound.
        llr_slope, llr_intercept: the line from logit differences (fake's minus real's)
            to log-likelihood ratios, natural logarithm.
        llr_lower, llr_upper: the bounds of these ratios, at most 0 and at least 0.
        threshold: the verdict is 'fake' if the calibrated P(fake) is at least as high.
        threshold_policy: how it was chosen, and on how many images.
        val_fake_share: the share of images whose larger logit says 'fake'.
        reliability: rows of `ScoreNeighbours`, among images with similar scores.
        real_below: the verdict is 'real' if P(fake) is below it; in between it is
            neither. At most the threshold; None: as the threshold.
    """

    temperature: float
    temperature_interval: list[float]
    logit_bias: float
    log_losses: list[float]
    calibration_notes: list[str]
    llr_slope: float
    llr_intercept: float
    llr_lower: float
    llr_upper: float
    threshold: float
    threshold_policy: str
    val_fake_share: float
    reliability: list[list[float]]
    real_below: float | None = None

    @property
    def zone(self) -> tuple[float, float]:
        """P(fake) below which an image is called real, and at or above which fake."""
        below = self.threshold if self.real_below is None else self.real_below
        return below, self.threshold

    def compute_fake_scores(self, logits: np.ndarray) -> np.ndarray:
        """Turn logits (..., 2) into P(fake) (...)."""
        flat = logits.reshape(-1, 2)
        scores = compute_fake_scores(flat, self.temperature, self.logit_bias)
        return scores.reshape(logits.shape[:-1])

    def to_entries(self) -> dict[str, Any]:
        """Return what a checkpoint's record says of it."""
        return asdict(self)


def choose_operating_point(
    logits: ArrayLike,
    labels: ArrayLike,
    max_fpr: float | None = None,
    *,
    fpr_confidence: float | None = None,
    max_fnr: float | None = None,
    num_views: int = 1,
) -> OperatingPoint:
    """Choose everything that is chosen on validation, and never on the test split.

    Args:
        logits: (N, 2), real first.
        max_fpr, fpr_confidence: as for `choose_threshold`.
        max_fnr: the largest share of these fakes called real; images that could be
            called so only beyond it, and are not called fake, are called neither.
        num_views: rows of an image, one after another, which count as one.

    Raises:
        ValueError: as `choose_threshold`.
    """
    differences, labels = check_scores_and_labels(
        compute_logit_differences(logits), labels
    )
    choice = choose_calibration(differences, labels, num_views)
    calibration = choice.calibration
    weights = np.full(labels.size, 1 / num_views)
    line = fit_llr_calibration(differences, labels, weights)
    fake_scores = compute_fake_scores(logits, *calibration)
    threshold = choose_threshold(
        fake_scores, labels, max_fpr, confidence=fpr_confidence, num_views=num_views
    )
    notes = list(choice.notes)
    num_real, num_fake = np.bincount(labels) // num_views
    if min(num_real, num_fake) < FEW_IMAGES:
        notes.append(
            f"chosen on only {num_real} real and {num_fake} fake images: the "
            "threshold, P(fake) and likelihood ratios may be far off"
        )
    real_below = None
    if max_fnr is not None:
        fewest = find_fpr_threshold(sort_samples(1 - fake_scores, 1 - labels), max_fnr)
        real_below = min(threshold, max(0.0, 1 - fewest))
    policy = describe_policy(max_fpr, fpr_confidence, max_fnr)
    return OperatingPoint(
        temperature=calibration.temperature,
        temperature_interval=list(choice.temperature_interval),
        logit_bias=calibration.bias,
        log_losses=[
            float(of.compute_losses(differences, labels).mean())
            for of in (Calibration(), calibration)
        ],
        calibration_notes=notes,
        llr_slope=line.slope,
        llr_intercept=line.intercept,
        llr_lower=line.lower,
        llr_upper=line.upper,
        threshold=threshold,
        threshold_policy=f"{policy} on {labels.size // num_views} validation images",
        val_fake_share=float(np.mean(differences > 0)),
        reliability=[list(row) for row in count_neighbours(fake_scores, labels)],
        real_below=real_below,
    )


def describe_policy(
    max_fpr: float | None, confidence: float | None, max_fnr: float | None = None
) -> str:
    """Return a threshold policy in words, such as 'equal error rates'."""
    missed = "" if max_fnr is None else f", called real at FNR {max_fnr:g}"
    if max_fpr is None:
        return f"equal error rates{missed}"
    if confidence is None:
        return f"FPR {max_fpr:g}{missed}"
    return f"FPR at most {max_fpr:g} with confidence {confidence:g}{missed}"


def choose_threshold(
    fake_scores: ArrayLike,
    labels: ArrayLike,
    max_fpr: float | None = None,
    *,
    confidence: float | None = None,
    num_views: int = 1,
) -> float:
    """Choose the least score that is called fake, on validation only.

    Args:
        fake_scores: (N,) validation scores, after calibration if there is one.
        max_fpr: the largest share of these real samples called fake, in [0, 1), within
            which to find the most fakes; other real samples exceed it about half the
            time. None makes both errors equally frequent.
        confidence: with `max_fpr`, how sure to be that the share in all other real
            samples stays within it too, in (0, 1).
        num_views: rows of an image, which count as one where it is about confidence.

    Returns:
        The threshold, to be used as `fake_score >= threshold`, half-way between two
        scores. With `max_fpr` below 1 / (real samples) no false positive is allowed;
        if that leaves nothing to call fake, the threshold is just above the highest
        score.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses, or with too few
            real samples for this rate and confidence.

    Source: with `confidence` Tong, Feng & Li 2018, the Neyman-Pearson umbrella.
    """
    samples = sort_samples(*check_scores_and_labels(fake_scores, labels))
    if max_fpr is None:
        return find_eer_threshold(samples)
    if confidence is None:
        return find_fpr_threshold(samples, max_fpr)
    num_real = int(np.count_nonzero(~samples.is_fake)) // num_views
    num_allowed = count_allowed_false_positives(num_real, max_fpr, confidence)
    return find_fpr_threshold(samples, num_allowed / num_real)


def find_fpr_threshold(samples: SortedSamples, max_fpr: float) -> float:
    """Return the threshold that finds the most fakes within a share of real samples.

    Half-way to the next lower score; just above all if none can be found.
    """
    fp, tp = samples.count_positives()
    allowed = fp <= max_fpr * fp[-1] + 1e-9
    if not (allowed & (tp > 0)).any():
        return float(np.nextafter(samples.thresholds[0], np.inf))
    index = int(np.argmax(np.where(allowed, tp, -1)))  # first: fewest false positives
    return samples.get_middle(index)


def count_allowed_false_positives(
    num_real: int, max_fpr: float, confidence: float
) -> int:
    """Return how many of these real samples may lie at or above the threshold.

    The true FPR of a threshold just above the (k + 1)-th highest of n real scores
    exceeds a rate with the probability that Bin(n, rate) is at most k.

    Raises:
        ValueError: even a threshold above them all cannot promise it, as none can a
            rate of 0.
    """
    if max_fpr <= 0:
        raise ValueError("no number of real images shows a false-positive rate of 0")
    allowed = int(scipy.stats.binom.ppf(1 - confidence, num_real, max_fpr))
    if scipy.stats.binom.cdf(allowed, num_real, max_fpr) > 1 - confidence:
        allowed -= 1
    if allowed < 0:
        needed = int(np.ceil(np.log1p(-confidence) / np.log1p(-max_fpr)))
        raise ValueError(
            f"{num_real} real images are too few to keep the false-positive rate at "
            f"{max_fpr:g} with confidence {confidence:g}: at least {needed} are needed"
        )
    return allowed
