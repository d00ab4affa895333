"""Likelihood ratios: how many times better 'fake' explains a score than 'real' does.

This is the language of forensic evaluation: the expert states the ratio, the court
judges how likely a fake was beforehand. Logarithms are natural, Cllr is in bits: 0 is
perfect, and a detector that always answers 'no evidence' gets 1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from files.classes import FAKE, REAL
from metrics.bounding import compute_elub
from metrics.meaning import (
    UNBOUNDED,
    LlrCalibration,
    describe_likelihood_ratio,
    format_ratio,
)
from metrics.samples import check_scores_and_labels


def fit_llr_calibration(
    scores: ArrayLike, labels: ArrayLike, weights: np.ndarray | None = None
) -> LlrCalibration:
    """Fit the line from scores to log-likelihood ratios, and their bounds.

    On validation only.

    Args:
        scores: (N,) finite numbers, higher is more fake, such as logit differences.
        weights: float64 (N,), positive: what each sample counts for, as for
            `compute_elub`: with 1 / k, k views of an image count as one image.

    Returns:
        The line of a logistic regression in which both classes weigh alike, so that
        it holds no prior. Its targets are Platt's, so even separable classes get a
        finite slope. The bounds are what the ratios of these samples support. Equal
        scores get the slope 0 and the bounds 0: no evidence.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.

    Source:
        Brümmer & du Preez 2006 (prior-free logistic regression); Platt 1999, section
        2.2 (targets); Vergeer et al. 2016 (bounds).
    """
    scores, labels = check_scores_and_labels(scores, labels)
    weights = np.ones(scores.size) if weights is None else weights
    line = _fit_line(scores, labels, weights)
    bounds = compute_elub(line.compute_llrs(scores), labels, weights=weights)
    return LlrCalibration(line.slope, line.intercept, *bounds)


def _fit_line(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> LlrCalibration:
    num_real, num_fake = np.bincount(labels, weights)
    targets = compute_platt_targets(labels, weights)
    shares = weights * np.where(labels == FAKE, 0.5 / num_fake, 0.5 / num_real)
    middle, scale = float(np.mean(scores)), float(np.std(scores))
    if scale == 0:
        return LlrCalibration(0.0, 0.0)
    features = np.stack([(scores - middle) / scale, np.ones_like(scores)], axis=1)

    def compute_loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        llrs = features @ line
        losses = np.logaddexp(0, llrs) - targets * llrs
        gradient = (shares * (special.expit(llrs) - targets)) @ features
        return float(shares @ losses), gradient

    fitted = scipy.optimize.minimize(
        compute_loss, [1.0, 0.0], jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    slope, intercept = fitted.x
    return LlrCalibration(
        float(slope / scale), float(intercept - slope * middle / scale)
    )


def compute_platt_targets(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return what a calibration aims at in place of labels 0 and 1, (N,).

    A class has as many samples as its weights (N,) sum up to.

    Source: Platt 1999, section 2.2: 1 / (n + 2) and (n + 1) / (n + 2) in a class of n
    samples, because n samples cannot tell 1 from n / (n + 1).
    """
    num_real, num_fake = np.bincount(labels, weights, minlength=2)
    return np.where(labels == FAKE, (num_fake + 1) / (num_fake + 2), 1 / (num_real + 2))


def compute_min_cllr(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """Compute the Cllr of the best ratios that keep the order of the scores.

    Args:
        fp, tp: (R, B) false and true positives at falling scores.

    Returns:
        (R,) in bits: what is left of Cllr when calibration is perfect. With few samples
        it is too low on average, because the calibration is fitted to these samples.

    Source: Brümmer & du Preez 2006, section 5, by pool adjacent violators.
    """
    real_shares, fake_shares = (
        np.diff(of, axis=1, prepend=0) / of[:, -1:] for of in (fp, tp)
    )
    fitted = np.stack(list(map(_fit_falling, real_shares, fake_shares)))
    losses = special.xlogy(fake_shares, fitted) + special.xlogy(real_shares, 1 - fitted)
    return np.maximum(0.0, 0.0 - losses.sum(axis=1) / (2 * np.log(2)))


def _fit_falling(real_shares: np.ndarray, fake_shares: np.ndarray) -> np.ndarray:
    """Fit falling probabilities of 'fake' to shares of the classes (C,); 0 at none."""
    totals = real_shares + fake_shares
    (drawn,) = totals.nonzero()
    totals, fitted = totals[drawn], np.zeros_like(totals)
    fitted[drawn] = scipy.optimize.isotonic_regression(
        fake_shares[drawn] / totals, weights=totals, increasing=False
    ).x.clip(0, 1)  # rounding may leave it
    return fitted


class OrderKeeping(NamedTuple):
    """The best calibration that keeps the scores' order, at B falling scores.

    Attributes:
        real_shares, fake_shares: (B,) of each class, at each score; they sum to 1.
        posteriors: (B,) fitted probabilities of 'fake' where both classes weigh alike.
    """

    real_shares: np.ndarray
    fake_shares: np.ndarray
    posteriors: np.ndarray


def fit_order_keeping(fp: np.ndarray, tp: np.ndarray) -> OrderKeeping:
    """Fit falling probabilities to these samples by pool adjacent violators.

    Args:
        fp, tp: (C,) false and true positives at falling scores; where neither grows
            there is nothing to fit.
    """
    real_shares, fake_shares = (np.diff(of, prepend=0) / of[-1] for of in (fp, tp))
    fitted = _fit_falling(real_shares, fake_shares)
    drawn = real_shares + fake_shares > 0
    return OrderKeeping(real_shares[drawn], fake_shares[drawn], fitted[drawn])


def compute_cross_fitted_cllr(
    counts: np.ndarray, fold_counts: Sequence[np.ndarray]
) -> float:
    """Compute the Cllr of ratios whose calibration never saw the sample it is used on.

    Args:
        counts: (2, C) real and fake samples in cells of falling score.
        fold_counts: for each fold, those of its samples, (2, C).

    Returns:
        In bits: each fold is judged by the order-keeping ratios of all others. A real
        sample is added above all scores and a fake below, which keeps the ratios
        finite, so the cost is too high on average where `compute_min_cllr` is too low.
        NaN if all samples of a class are in one fold.

    Source: Brümmer 2007, BOSARIS / FoCal, for the two samples ("Laplace's rule").
    """
    losses = np.zeros(2)
    for left_out in fold_counts:
        if (left_out.sum(axis=1) == counts.sum(axis=1)).any():
            return np.nan
        fitted = _fit_posteriors(counts - left_out)
        losses -= (left_out * np.log2([1 - fitted, fitted])).sum(axis=1)
    return float(np.mean(losses / counts.sum(axis=1)))


def _fit_posteriors(counts: np.ndarray) -> np.ndarray:
    """Fit falling probabilities of 'fake', both classes weighing alike, (C,)."""
    shares = counts / counts.sum(axis=1, keepdims=True)
    filled = np.flatnonzero(shares.sum(axis=0))
    totals = shares[:, filled].sum(axis=0)
    one_real, one_fake = 1 / counts.sum(axis=1)
    fitted = scipy.optimize.isotonic_regression(
        np.concatenate([[0.0], shares[FAKE, filled] / totals, [1.0]]),
        weights=np.concatenate([[one_real], totals, [one_fake]]),
        increasing=False,
    ).x
    return np.interp(np.arange(counts.shape[1]), filled, fitted[1:-1])


def describe_cllr(cllr: float, min_cllr: float) -> str:
    """Say in a sentence what a Cllr means, and what calibration could bring it to."""
    if cllr >= 1.0005:  # shown as more than 1.000
        verdict = "worse than no evidence (1): its likelihood ratios mislead"
    elif cllr >= 0.9995:
        verdict = "no better than no evidence (1)"
    elif cllr >= 0.8:
        verdict = "hardly better than no evidence (1)"
    else:
        verdict = (
            f"{100 * (1 - cllr):.0f} % of the way from no evidence (1) to certainty (0)"
        )
    loss = cllr - min_cllr
    return (
        f"Cllr {cllr:.3f} is {verdict}; {loss:.3f} of it is lost by calibration, "
        f"{min_cllr:.3f} by what the scores cannot tell apart"
    )


def describe_median_ratios(llrs: np.ndarray, labels: np.ndarray) -> str:
    """Say in a sentence what ratios real and fake samples typically have."""
    fake, real = (float(np.median(llrs[labels == c])) for c in (FAKE, REAL))
    return (
        f"the median fake's ratio is {format_ratio(fake)}, "
        f"{describe_likelihood_ratio(fake)}; the median real sample's is "
        f"{format_ratio(real)}, {describe_likelihood_ratio(real)}"
    )


def describe_llr_bounds(
    llrs: np.ndarray, labels: np.ndarray, bounds: tuple[float, float]
) -> str:
    """Say in a sentence how far ratios may go, and how many of each class go there.

    Args:
        llrs, labels: (N,) natural logarithms, and their classes.
        bounds: lower and upper, natural logarithm; infinite where none is known.
    """
    known = [bound for bound in bounds if np.isfinite(bound)]
    if not known:
        return f"their bounds are not known: {UNBOUNDED}"
    at_bound = np.isin(llrs, known)
    fakes, reals = (
        f"{np.count_nonzero(at_bound[labels == c])} of {np.count_nonzero(labels == c)}"
        for c in (FAKE, REAL)
    )
    return (
        f"their bounds are {' ... '.join(map(format_ratio, known))}: the samples they "
        "were calibrated on support no stronger ones (ELUB); at a bound are "
        f"{fakes} fake and {reals} real samples"
    )
