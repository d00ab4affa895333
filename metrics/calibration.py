"""Are the scores probabilities? Reliability, its noise, and the temperature.

A detector is calibrated when, of the images with a score of 0.8, eight in ten are fake.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from files.names import FAKE
from metrics.cells import number_folds
from metrics.checks import check_scores_and_labels
from metrics.likelihood_ratios import draw_in_targets

NUM_ECE_BINS = 15
_MAX_BINS, _LEAST_IN_BIN = 15, 10  # of the reliability diagram
_TEMPERATURES = (0.05, 20.0)
_LOG_TEMPERATURES = np.log(_TEMPERATURES)
_MAX_DRAWN_LABELS = 20_000  # of more samples, a bin's errors are drawn as normal


class ReliabilityBins(NamedTuple):
    """Bins of the scores, lowest first, each field of shape (bins,)."""

    mean_scores: np.ndarray
    fake_fractions: np.ndarray
    counts: np.ndarray


def compute_reliability_bins(
    fake_scores: ArrayLike, labels: ArrayLike
) -> ReliabilityBins:
    """Bin P(fake) and compare each bin's mean score with its share of fakes.

    Args:
        fake_scores: (N,) probabilities of 'fake'.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        Up to 15 bins of about equally many samples, at least ten each (one bin of
        fewer than twenty samples). Equal scores share a bin.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels, probabilities=True)
    order = np.argsort(scores, kind="stable")
    ends = _find_bin_ends(scores[order])
    starts = [0, *ends[:-1]]
    counts = np.diff(ends, prepend=0)
    fakes = np.add.reduceat((labels[order] == FAKE).astype(float), starts)
    score_sums = np.add.reduceat(scores[order], starts)
    return ReliabilityBins(score_sums / counts, fakes / counts, counts)


class ScoreNeighbours(NamedTuple):
    """What is known of validation images with scores alike.

    Attributes:
        lowest, highest: P(fake) of the first and the last of them.
        num_fake: how many of them are fake.
        num_samples: how many they are.
    """

    lowest: float
    highest: float
    num_fake: int
    num_samples: int


def count_neighbours(
    fake_scores: ArrayLike, labels: ArrayLike
) -> list[ScoreNeighbours]:
    """Count the fakes among samples with scores alike, in the reliability's bins.

    Args:
        fake_scores: (N,) probabilities of 'fake'.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        A row for each bin of `compute_reliability_bins`, lowest first.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    scores, labels = check_scores_and_labels(fake_scores, labels, probabilities=True)
    order = np.argsort(scores, kind="stable")
    scores, labels = scores[order], labels[order]
    ends = _find_bin_ends(scores)
    return [
        ScoreNeighbours(
            float(scores[start]),
            float(scores[end - 1]),
            int(np.count_nonzero(labels[start:end] == FAKE)),
            end - start,
        )
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


def check_neighbours(rows: object) -> list[ScoreNeighbours]:
    """Take the rows of `count_neighbours` from an untrusted file.

    Raises:
        ValueError: they are none.
    """
    if not isinstance(rows, list):
        raise ValueError(f"its reliability is a {type(rows).__name__}, no list")
    lowest_next = 0.0
    for row in rows:
        is_row = isinstance(row, list) and len(row) == 4
        if not is_row or [type(v) for v in row] != [float, float, int, int]:
            raise ValueError("its reliability holds something other than rows of 4")
        low, high, num_fake, num_samples = row
        if not (lowest_next <= low <= high <= 1 and 0 <= num_fake <= num_samples != 0):
            raise ValueError(f"its reliability holds the row {row}")
        lowest_next = high
    return [ScoreNeighbours(*row) for row in rows]


def find_neighbours(
    rows: Sequence[ScoreNeighbours], fake_score: float
) -> ScoreNeighbours:
    """Return the row that a score belongs to, or else the nearest."""
    return min(
        rows,
        key=lambda row: max(row.lowest - fake_score, fake_score - row.highest, 0.0),
    )


def _find_bin_ends(ordered: np.ndarray) -> list[int]:
    """Return where each bin ends, a run of equal scores never cut."""
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
    return [*ends[1:-1], size]  # fewer than ten left over join the last bin


def compute_ece(fake_scores: np.ndarray, labels: np.ndarray) -> float:
    """Compute the expected calibration error over 15 equal bins of P(fake).

    Source: Guo et al. 2017, eq. 3. Deviation: bins of P(fake), the score itself, not
    of the confidence in whichever class was predicted.
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
    p_value: float  # how often it is at least as large as the one that was found


def compute_calibration_test(
    fake_scores: ArrayLike,
    labels: ArrayLike,
    *,
    group_index: np.ndarray | None = None,
    num_draws: int = 1000,
    seed: int = 0,
) -> CalibrationTest:
    """Test whether the scores could be the probabilities by which labels were drawn.

    The ECE is never 0: each bin has its share of chance. So it is drawn anew, many
    times, for a detector with these scores that is calibrated.

    Args:
        fake_scores: (N,) probabilities of 'fake'.
        labels: (N,) 0 (real) or 1 (fake).
        group_index: (N,) the number of each sample's group. The bins' errors then vary
            as the groups' sums of them do among groups of one class.
        num_draws: how many times.
        seed: the same seed draws the same labels.

    Returns:
        The mean of the drawn ECEs and the one-sided p-value, (1 + draws at least as
        large) / (1 + draws).

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.

    Source:
        Bröcker & Smith 2007, consistency resampling. Deviation: the scores are kept
        as they are, only labels are drawn; beyond 20,000 samples the bins' sums of
        errors, as normal. With groups, which the paper does not have, these are drawn
        as Student's t with the covariance that the groups show.
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
        drawn = np.stack([_draw_errors(scores, bins, rng) for _ in range(num_draws)])
    else:
        deviations = np.sqrt(np.bincount(bins, scores * (1 - scores)))
        drawn = rng.normal(size=(num_draws, deviations.size)) * deviations
    eces = np.abs(drawn).sum(axis=1) / labels.size
    found = compute_ece(scores, labels)
    p_value = (1 + np.count_nonzero(eces >= found - 1e-12)) / (1 + num_draws)
    return CalibrationTest(float(eces.mean()), float(p_value))


def _draw_errors(
    scores: np.ndarray, bins: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw labels, and sum the errors in each bin."""
    return np.bincount(bins, scores - (rng.random(scores.size) < scores))


def _draw_group_errors(
    sums: np.ndarray, kinds: np.ndarray, num_draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the bins' sums of errors, (draws, bins), as groups of each kind vary.

    Args:
        sums: (G, bins) the errors of each group.
        kinds: (G,) what its labels are.
        num_draws, rng: how many, by what chance.
    """
    spreads = np.empty_like(sums)
    for kind in np.unique(kinds):
        # How many groups there are of a kind is no chance, nor what these lean to.
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
    """The calibration to use, and what speaks for it.

    Attributes:
        calibration: temperature and bias, 1 and 0 unless others gain beyond chance.
        temperature_interval: 95 % interval of the temperature that fits best, whether
            it is used or not.
        notes: sentences for the user.
    """

    calibration: Calibration
    temperature_interval: tuple[float, float]
    notes: tuple[str, ...]


def choose_calibration(differences: ArrayLike, labels: ArrayLike) -> CalibrationChoice:
    """Fit temperature, and bias, and take them if they gain on images left out.

    Args:
        differences: (N,) by how much fake's logit exceeds real's.
        labels: (N,) 0 (real) or 1 (fake).

    Returns:
        The simplest of temperature 1, a temperature, a temperature with a bias that no
        richer one beats: in ten folds, each judged with what the others give, the mean
        log loss must fall by more than 1.64 standard errors (one-sided 5 %). A class of
        one sample leaves it at 1.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses.
    """
    differences, labels = check_scores_and_labels(differences, labels)
    chosen = Calibration()
    losses = chosen.compute_losses(differences, labels)
    for biased in (False, True) if np.bincount(labels).min() > 1 else ():
        left_out_losses = _cross_validate(differences, labels, with_bias=biased)
        gains = losses - left_out_losses
        if np.mean(gains) > 1.645 * np.std(gains) / np.sqrt(gains.size):
            chosen = fit_calibration(differences, labels, with_bias=biased)
            losses = left_out_losses
    fitted = fit_calibration(differences, labels, with_bias=True)
    interval = _compute_temperature_interval(fitted, differences)
    return CalibrationChoice(chosen, interval, _explain_bound(fitted))


def _cross_validate(
    differences: np.ndarray, labels: np.ndarray, *, with_bias: bool
) -> np.ndarray:
    """Return each sample's loss by what the other folds give, (N,)."""
    folds = number_folds(labels)
    losses = np.empty(labels.size)
    for fold in np.unique(folds):
        held = folds == fold
        fitted = fit_calibration(differences[~held], labels[~held], with_bias=with_bias)
        losses[held] = fitted.compute_losses(differences[held], labels[held])
    return losses


def fit_calibration(
    differences: np.ndarray, labels: np.ndarray, *, with_bias: bool = False
) -> Calibration:
    """Fit the temperature, and the bias, that make the labels most likely.

    Args:
        differences: (N,) by how much fake's logit exceeds real's.
        labels: (N,) 0 (real) or 1 (fake).
        with_bias: fit a bias too; else it is 0.

    Returns:
        The most probable calibration, the temperature within [0.05, 20].

    Source:
        Guo et al. 2017, section 4.2 (temperature), Platt 1999 (with a bias). Deviation:
        in both the labels are drawn in as Platt does, so n images never vouch for more
        certainty than about 1 - 1 / n, and classes that are just, or not quite,
        separable give about the same.
    """
    targets = draw_in_targets(labels)

    def compute_loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = differences * np.exp(-line[0])
        log_odds = scaled + line[1]
        loss = np.mean(np.logaddexp(0, log_odds) - targets * log_odds)
        residuals = (special.expit(log_odds) - targets) / targets.size
        return float(loss), np.array([-residuals @ scaled, residuals.sum()])

    bounds = [_LOG_TEMPERATURES, (None, None) if with_bias else (0.0, 0.0)]
    fitted = optimize.minimize(
        compute_loss,
        [0.0, 0.0],
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-12, "gtol": 1e-9},
    )
    return Calibration(float(np.exp(fitted.x[0])), float(fitted.x[1]))


def _compute_temperature_interval(
    fitted: Calibration, differences: np.ndarray
) -> tuple[float, float]:
    """Return the normal interval of log temperature, by the curvature at its best."""
    scaled = differences / fitted.temperature
    scores = special.expit(scaled + fitted.bias)
    slopes = np.stack([-scaled, np.ones_like(scaled)])
    curvature = slopes * (scores * (1 - scores)) @ slopes.T
    # Where the scores tell nothing there is no curvature: anything is possible.
    variance = np.linalg.pinv(curvature)[0, 0] or np.inf
    margin = min(1.96 * float(np.sqrt(variance)), 50.0)  # more overflows below
    low, high = fitted.temperature * np.exp([-margin, margin])
    return max(float(low), _TEMPERATURES[0]), min(float(high), _TEMPERATURES[1])


def _explain_bound(fitted: Calibration) -> tuple[str, ...]:
    if np.abs(np.log(fitted.temperature) - _LOG_TEMPERATURES).min() > 1e-6:
        return ()
    return (
        f"the temperature fitted on validation is at its bound, "
        f"{fitted.temperature:g}: look at the logits before trusting P(fake)",
    )
