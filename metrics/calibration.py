"""Are the scores probabilities? Reliability, its noise, and the temperature.

A detector is calibrated if eight in ten of the images with a score of 0.8 are fake.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from files.classes import FAKE
from metrics.likelihood_ratios import compute_platt_targets
from metrics.meaning import ScoreNeighbours
from metrics.samples import check_scores_and_labels, number_folds

NUM_ECE_BINS = 15
_MAX_BINS, _LEAST_IN_BIN = 15, 10  # of neighbours
_TEMPERATURES = (0.05, 20.0)
_LOG_TEMPERATURES = np.log(_TEMPERATURES)
_MAX_DRAWN_LABELS = 20_000  # beyond it, a bin's errors are drawn as normal


class ReliabilityBins(NamedTuple):
    """Bins of the scores, lowest first, each field of shape (bins,)."""

    mean_scores: np.ndarray
    fake_fractions: np.ndarray
    counts: np.ndarray


def compute_reliability_bins(
    fake_scores: ArrayLike, labels: ArrayLike
) -> ReliabilityBins:
    """Bin P(fake) (N,) and compare each bin's mean score with its share of fakes.

    Returns the filled ones of 15 bins of equal width, of whose distances the ECE is the
    mean.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels, probabilities=True)
    index = assign_bins(scores)
    counts = np.bincount(index)
    filled = np.flatnonzero(counts)
    means, shares = (
        np.bincount(index, of)[filled] / counts[filled] for of in (scores, labels)
    )
    return ReliabilityBins(means, shares, counts[filled])


def count_neighbours(
    fake_scores: ArrayLike, labels: ArrayLike
) -> list[ScoreNeighbours]:
    """Count the fakes among neighbours, lowest first.

    Returns up to 15 rows of about equally many samples, at least ten each (one row with
    fewer than twenty samples). Equal scores share a row.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels, probabilities=True)
    order = np.argsort(scores, kind="stable")
    scores, ends = scores[order], np.array(_find_bin_ends(scores[order]))
    starts = np.append(0, ends[:-1])
    num_fake = np.add.reduceat(labels[order], starts)
    columns = scores[starts], scores[ends - 1], num_fake, ends - starts
    rows = zip(*(of.tolist() for of in columns), strict=True)
    return [ScoreNeighbours(*row) for row in rows]


def _find_bin_ends(ordered: np.ndarray) -> list[int]:
    """Return where each bin ends; runs of equal scores stay whole."""
    size = ordered.size
    run_ends = np.append(np.flatnonzero(np.diff(ordered)) + 1, size)
    num_bins = int(np.clip(size // _LEAST_IN_BIN, 1, _MAX_BINS))
    ends = [0]
    for number in range(1, num_bins + 1):
        due = max(size * number / num_bins, ends[-1] + _LEAST_IN_BIN)
        if due <= size:
            ends.append(int(run_ends[np.searchsorted(run_ends, due)]))
    if len(ends) == 1:
        return [size]
    return [*ends[1:-1], size]  # a rest of fewer than ten joins the last bin


def compute_ece(fake_scores: np.ndarray, labels: np.ndarray) -> float:
    """Compute the expected calibration error over `compute_reliability_bins`.

    Source: Guo et al. 2017, eq. 3. Deviation: bins of P(fake), not of the confidence
    in the predicted class.
    """
    errors = np.bincount(assign_bins(fake_scores), fake_scores - labels)
    return float(np.abs(errors).sum() / labels.size)


def assign_bins(fake_scores: np.ndarray) -> np.ndarray:
    """Number the equal-width bin of each score: [0, 1/n), ..., [1 - 1/n, 1]."""
    # Divided, not spaced: 3 / 15 is the same number as the literal 0.2.
    inner_edges = np.arange(1, NUM_ECE_BINS) / NUM_ECE_BINS
    return np.searchsorted(inner_edges, fake_scores, side="right")


class CalibrationTest(NamedTuple):
    """How large an ECE a calibrated detector would show by chance."""

    noise_floor: float  # its mean
    p_value: float  # how often it is at least as large as the one found


def compute_calibration_test(
    fake_scores: ArrayLike,
    labels: ArrayLike,
    *,
    group_index: np.ndarray | None = None,
    num_draws: int = 1000,
    seed: int = 0,
) -> CalibrationTest:
    """Test whether the labels could have been drawn with these scores' probabilities.

    Chance alone keeps every bin's error, and so the ECE, above 0. Its size for a
    calibrated detector with these scores is found by drawing labels many times.

    Args:
        fake_scores: (N,) probabilities of 'fake'.
        group_index: (N,) the number of each sample's group. The bins' errors then vary
            as their sums do among groups of one class.
        num_draws, seed: how many times, by what chance.

    Returns:
        The mean of the drawn ECEs and the one-sided p-value, (1 + draws at least as
        large) / (1 + draws).

    Source:
        Bröcker & Smith 2007, consistency resampling. Deviations: only labels are drawn,
        not scores; beyond 20,000 samples the bins' sums of errors are, as normal. The
        paper has no groups: with them the sums are drawn as Student's t with the
        covariance that the groups show.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels, probabilities=True)
    rng = np.random.default_rng(seed)
    bins = assign_bins(scores)
    if group_index is not None:
        _, index = np.unique(group_index, return_inverse=True)
        sums = _sum_by_group(scores - labels, bins, index)
        shares = np.bincount(index, labels) / np.bincount(index)
        kinds = np.ceil(shares) + np.floor(shares)  # 0 all real, 1 both, 2 all fake
        drawn = _draw_group_errors(sums, kinds, num_draws, rng)
    elif labels.size <= _MAX_DRAWN_LABELS:
        draws = (rng.random(scores.size) < scores for _ in range(num_draws))
        drawn = np.stack([np.bincount(bins, scores - fakes) for fakes in draws])
    else:
        deviations = np.sqrt(np.bincount(bins, scores * (1 - scores)))
        drawn = rng.normal(size=(num_draws, deviations.size)) * deviations
    eces = np.abs(drawn).sum(axis=1) / labels.size
    found = compute_ece(scores, labels)
    p_value = (1 + np.count_nonzero(eces >= found - 1e-12)) / (1 + num_draws)
    return CalibrationTest(float(eces.mean()), float(p_value))


def _draw_group_errors(
    sums: np.ndarray, kinds: np.ndarray, num_draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the bins' sums of errors, (draws, bins), as groups of each kind vary.

    `sums` holds the errors of each group, (G, bins), `kinds` what its labels are, (G,).
    """
    spreads = np.empty_like(sums)
    for kind in np.unique(kinds):
        # Neither the number of groups of a kind nor their mean is left to chance.
        chosen = kinds == kind
        size = np.count_nonzero(chosen)
        offsets = sums[chosen] - sums[chosen].mean(axis=0)
        spreads[chosen] = offsets * np.sqrt(size / max(size - 1, 1))
    num_free = max(kinds.size - np.unique(kinds).size, 1)
    widths = np.sqrt(num_free / rng.chisquare(num_free, size=(num_draws, 1)))
    covariance = spreads.T @ spreads
    drawn = rng.multivariate_normal(
        np.zeros(len(covariance)), covariance, num_draws, method="eigh"
    )
    return drawn * widths


def _sum_by_group(
    errors: np.ndarray, bins: np.ndarray, group_index: np.ndarray
) -> np.ndarray:
    """Sum the errors of each group in each bin, (G, bins)."""
    places = group_index * NUM_ECE_BINS + bins
    num_places = (group_index.max() + 1) * NUM_ECE_BINS
    return np.bincount(places, errors, minlength=num_places).reshape(-1, NUM_ECE_BINS)


class Calibration(NamedTuple):
    """From a logit difference to log odds: difference / temperature + bias."""

    temperature: float = 1.0
    bias: float = 0.0

    def compute_log_odds(self, differences: np.ndarray) -> np.ndarray:
        """Return the calibrated log odds of 'fake', (N,)."""
        return differences / self.temperature + self.bias

    def compute_losses(self, differences: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the log loss of each sample in nats, (N,)."""
        log_odds = self.compute_log_odds(differences)
        return np.logaddexp(0, np.where(labels == FAKE, -log_odds, log_odds))


@dataclass(frozen=True)
class CalibrationChoice:
    """The calibration to use, and the evidence for it.

    Attributes:
        calibration: temperature and bias, 1 and 0 unless others gain beyond chance.
        temperature_interval: 95 % interval of the temperature that fits best, used or
            not.
        notes: sentences for the user.
    """

    calibration: Calibration
    temperature_interval: tuple[float, float]
    notes: tuple[str, ...]


def choose_calibration(
    differences: ArrayLike, labels: ArrayLike, num_views: int = 1
) -> CalibrationChoice:
    """Fit a temperature and a bias, and take them if they gain on held-out images.

    Args:
        differences: (N,) fake's logit minus real's.
        num_views: rows of an image, one after another, which count as one.

    Returns:
        The simplest of temperature 1, a temperature, and a temperature with a bias that
        no richer one beats: in ten folds, each judged with the fit to the others, the
        mean log loss must fall by more than 1.64 standard errors (one-sided 5 %). If a
        class has one sample, temperature 1.
    """
    differences, labels = check_scores_and_labels(differences, labels)
    chosen = Calibration()
    losses = chosen.compute_losses(differences, labels)
    fewest = np.bincount(labels[::num_views]).min()
    for biased in (False, True) if fewest > 1 else ():
        left_out_losses = _cross_validate(
            differences, labels, with_bias=biased, num_views=num_views
        )
        gains = (losses - left_out_losses).reshape(-1, num_views).mean(axis=1)
        if np.mean(gains) > 1.645 * np.std(gains) / np.sqrt(gains.size):
            chosen = fit_calibration(
                differences, labels, with_bias=biased, num_views=num_views
            )
            losses = left_out_losses
    fitted = fit_calibration(differences, labels, with_bias=True, num_views=num_views)
    interval = _compute_temperature_interval(fitted, differences, num_views)
    is_used = chosen.temperature == fitted.temperature
    return CalibrationChoice(chosen, interval, _explain_bound(fitted, is_used=is_used))


def _cross_validate(
    differences: np.ndarray, labels: np.ndarray, *, with_bias: bool, num_views: int
) -> np.ndarray:
    """Return each sample's loss with the fit to the other folds, (N,)."""
    folds = number_folds(labels[::num_views]).repeat(num_views)
    losses = np.empty(labels.size)
    for fold in np.unique(folds):
        held = folds == fold
        fitted = fit_calibration(
            *(differences[~held], labels[~held]),
            with_bias=with_bias,
            num_views=num_views,
        )
        losses[held] = fitted.compute_losses(differences[held], labels[held])
    return losses


def fit_calibration(
    differences: np.ndarray,
    labels: np.ndarray,
    *,
    with_bias: bool = False,
    num_views: int = 1,
) -> Calibration:
    """Fit the temperature, and a bias if wanted, that make the labels most likely.

    Args:
        differences: (N,) fake's logit minus real's.
        with_bias: fit a bias too; else it is 0.
        num_views: rows of an image, which count as one.

    Returns:
        The most probable calibration, the temperature within [0.05, 20].

    Source:
        Guo et al. 2017, section 4.2 (temperature), Platt 1999 (with a bias). Deviation:
        both use Platt's targets, so n images never claim more certainty than about
        1 - 1 / n, and one image on the other side hardly changes the fit.
    """
    targets = compute_platt_targets(labels, np.full(labels.size, 1 / num_views))

    def compute_loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = differences * np.exp(-line[0])
        log_odds = scaled + line[1]
        loss = np.mean(np.logaddexp(0, log_odds) - targets * log_odds)
        residuals = (special.expit(log_odds) - targets) / targets.size
        return float(loss), np.array([-residuals @ scaled, residuals.sum()])

    bounds = [_LOG_TEMPERATURES, (None, None) if with_bias else (0.0, 0.0)]
    fitted = scipy.optimize.minimize(
        compute_loss,
        [0.0, 0.0],
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-12, "gtol": 1e-9},
    )
    return Calibration(float(np.exp(fitted.x[0])), float(fitted.x[1]))


def _compute_temperature_interval(
    fitted: Calibration, differences: np.ndarray, num_views: int
) -> tuple[float, float]:
    """Return the normal interval of the log temperature, by the curvature there."""
    scaled = differences / fitted.temperature
    scores = special.expit(scaled + fitted.bias)
    slopes = np.stack([-scaled, np.ones_like(scaled)])
    curvature = slopes * (scores * (1 - scores)) @ slopes.T / num_views
    # If the scores tell nothing there is no curvature, and anything is possible.
    variance = np.linalg.pinv(curvature)[0, 0] or np.inf
    margin = min(1.96 * float(np.sqrt(variance)), 50.0)  # more overflows below
    low, high = fitted.temperature * np.exp([-margin, margin])
    return max(float(low), _TEMPERATURES[0]), min(float(high), _TEMPERATURES[1])


def _explain_bound(fitted: Calibration, *, is_used: bool) -> tuple[str, ...]:
    if np.abs(np.log(fitted.temperature) - _LOG_TEMPERATURES).min() > 1e-6:
        return ()
    what = "" if is_used else ", and is not used"
    return (
        f"the temperature fitted on validation is at its bound, "
        f"{fitted.temperature:g}{what}: look at the logits before trusting P(fake)",
    )
