"""Likelihood ratios: how many times better 'fake' explains a score than 'real' does.

The language of forensic evaluation. An expert states the ratio; how likely a fake
was before the image was seen is for the court to say. Logarithms are natural, Cllr is
in bits: 0 is perfect, 1 is what a detector that always answers 'no evidence' gets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from files.names import CLASS_NAMES, FAKE, REAL
from metrics.checks import check_scores_and_labels

# From which ratio on its support is called so: ENFSI 2015, whose scale begins at 2.
_SUPPORT = {
    1e6: "extremely strong",
    1e4: "very strong",
    1e3: "strong",
    1e2: "moderately strong",
    10: "moderate",
    2: "weak",
}


class LlrCalibration(NamedTuple):
    """llr = slope * score + intercept, in natural logarithms."""

    slope: float
    intercept: float

    def compute_llrs(self, scores: ArrayLike) -> np.ndarray:
        """Turn scores (N,) into log-likelihood ratios of fake over real (N,)."""
        return self.slope * np.asarray(scores, dtype=np.float64) + self.intercept


def fit_llr_calibration(scores: ArrayLike, labels: ArrayLike) -> LlrCalibration:
    """Fit the line from scores to log-likelihood ratios: on validation only.

    Args:
        scores: (N,) finite numbers, higher is more fake, such as logit differences.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        The line of a logistic regression in which both classes weigh alike, so that
        no prior is in it. The labels' targets are drawn in to (n + 1) / (n + 2) and
        1 / (n + 2), n being the class's samples: so even separable classes get a
        finite slope, by which typical ratios are about n. Scores that are all equal
        get the slope 0: no evidence.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.

    Source:
        Brümmer & du Preez 2006 (prior-free logistic regression); Platt 1999, section
        2.2 (targets).
    """
    scores, labels = check_scores_and_labels(scores, labels)
    num_real, num_fake = np.bincount(labels)
    targets = draw_in_targets(labels)
    weights = np.where(labels == FAKE, 0.5 / num_fake, 0.5 / num_real)
    middle, scale = float(np.mean(scores)), float(np.std(scores))
    if scale == 0:
        return LlrCalibration(0.0, 0.0)
    features = np.stack([(scores - middle) / scale, np.ones_like(scores)], axis=1)

    def compute_loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        llrs = features @ line
        losses = np.logaddexp(0, llrs) - targets * llrs
        gradient = (weights * (special.expit(llrs) - targets)) @ features
        return float(weights @ losses), gradient

    fitted = optimize.minimize(
        compute_loss, [1.0, 0.0], jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    slope, intercept = fitted.x
    return LlrCalibration(
        float(slope / scale), float(intercept - slope * middle / scale)
    )


def draw_in_targets(labels: np.ndarray) -> np.ndarray:
    """Return what a calibration aims at in place of labels 0 and 1, (N,).

    Source: Platt 1999, section 2.2: 1 / (n + 2) and (n + 1) / (n + 2), n being the
    samples of that class, for n samples do not tell 1 from n / (n + 1).
    """
    num_real, num_fake = np.bincount(labels, minlength=2)
    return np.where(labels == FAKE, (num_fake + 1) / (num_fake + 2), 1 / (num_real + 2))


def compute_cllr(llrs: ArrayLike, labels: ArrayLike) -> float:
    """Compute the cost of log-likelihood ratios, Cllr, in bits.

    Args:
        llrs: (N,) natural logarithms of the ratios, fake over real.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        0 for ratios that are always right and infinitely sure, 1 for ratios that are
        all 1, more for evidence that misleads.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.

    Source: Brümmer & du Preez 2006, eq. 28.
    """
    llrs, labels = check_scores_and_labels(llrs, labels)
    costs = compute_llr_costs(llrs, labels)
    return float((costs[labels == REAL].mean() + costs[labels == FAKE].mean()) / 2)


def compute_llr_costs(llrs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the cost of each sample's ratio, bits, (N,)."""
    towards_truth = np.where(labels == FAKE, llrs, -llrs)
    return np.logaddexp(0, -towards_truth) / np.log(2)


def compute_min_cllr(fp: np.ndarray, tp: np.ndarray) -> np.ndarray:
    """Compute the Cllr of the best ratios that keep the order of the scores.

    Args:
        fp, tp: (R, B) false and true positives at falling scores.

    Returns:
        (R,) in bits: what is left of Cllr when calibration is perfect. Of few samples
        it is too low on average, as the calibration is fitted to them themselves.

    Source: Brümmer & du Preez 2006, section 5, by pool adjacent violators.
    """
    return np.array([_compute_min_cllr(*row) for row in zip(fp, tp, strict=True)])


def _compute_min_cllr(fp: np.ndarray, tp: np.ndarray) -> float:
    real_shares = np.diff(fp, prepend=0) / fp[-1]
    fake_shares = np.diff(tp, prepend=0) / tp[-1]
    totals = real_shares + fake_shares
    drawn = totals > 0
    real_shares, fake_shares, totals = (
        of[drawn] for of in (real_shares, fake_shares, totals)
    )
    fitted = optimize.isotonic_regression(
        fake_shares / totals, weights=totals, increasing=False
    ).x.clip(0, 1)  # rounding may leave it
    losses = special.xlogy(fake_shares, fitted) + special.xlogy(real_shares, 1 - fitted)
    return max(0.0, float(-losses.sum() / (2 * np.log(2))))


def compute_cross_fitted_cllr(
    counts: np.ndarray, fold_counts: Sequence[np.ndarray]
) -> float:
    """Compute the Cllr of ratios whose calibration never saw the sample it is used on.

    Args:
        counts: (2, C) real and fake samples in cells of falling score.
        fold_counts: for each fold, as many of them as are in it, (2, C).

    Returns:
        In bits: each fold is judged by the order-keeping ratios of all others. They
        are finite, as a real sample is set above all scores and a fake below, so it is
        too high on average, as `compute_min_cllr` is too low. NaN where a class is
        in a single fold.

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
    fitted = optimize.isotonic_regression(
        np.concatenate([[0.0], shares[FAKE, filled] / totals, [1.0]]),
        weights=np.concatenate([[one_real], totals, [one_fake]]),
        increasing=False,
    ).x
    return np.interp(np.arange(counts.shape[1]), filled, fitted[1:-1])


def describe_cllr(cllr: float, min_cllr: float) -> str:
    """Say in a sentence what a Cllr means, and what calibration could bring it to."""
    if cllr >= 1:
        verdict = "worse than no evidence (1): its likelihood ratios mislead"
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


def describe_likelihood_ratio(llr: float) -> str:
    """Say in words what a likelihood ratio is worth.

    Args:
        llr: its natural logarithm, fake over real.

    Returns:
        Such as "weak support for 'fake'"; ratios from 1/2 to 2 support neither.

    Source:
        ENFSI 2015, Guideline for evaluative reporting in forensic science, appendix:
        verbal equivalents of likelihood ratios.
    """
    size = abs(llr) + 1e-9  # the logarithm of 10 is 10 again
    words = (word for ratio, word in _SUPPORT.items() if size >= np.log(ratio))
    strength = next(words, None)
    if strength is None:
        return "no support for either"
    return f"{strength} support for '{CLASS_NAMES[FAKE if llr > 0 else REAL]}'"


def describe_median_ratios(llrs: np.ndarray, labels: np.ndarray) -> str:
    """Say in a sentence what ratios real and fake samples typically have."""
    fake, real = (float(np.median(llrs[labels == c])) for c in (FAKE, REAL))
    return (
        f"the median fake's ratio is {format_ratio(fake)}, "
        f"{describe_likelihood_ratio(fake)}; the median real sample's is "
        f"{format_ratio(real)}, {describe_likelihood_ratio(real)}"
    )


def format_ratio(llr: float) -> str:
    """Return the ratio of this logarithm, below 1 as '1 to' its inverse."""
    ratio = f"{np.exp(min(abs(llr), 700.0)):.3g}"  # more is no float
    return f"1 to {ratio}" if llr < 0 else f"{ratio} to 1"
