"""What likelihood ratios are worth, whatever share of fakes was expected beforehand."""

from typing import NamedTuple

import numpy as np
from scipy import special

from files.classes import FAKE, REAL
from metrics.likelihood_ratios import fit_order_keeping
from metrics.samples import sort_samples

LOG10_ODDS = np.arange(-50, 51) / 20  # of the prior, fake to real; 0 is among them


class CrossEntropies(NamedTuple):
    """Empirical cross-entropies in bits at each prior, (P,) each.

    Attributes:
        log10_odds: of the prior, fake to real.
        system: of the likelihood ratios; at log odds 0 it is Cllr.
        minimal: of the best ratios that keep the scores' order; at 0 it is minCllr.
        neutral: of ratios that are all 1: of the prior alone.
    """

    log10_odds: np.ndarray
    system: np.ndarray
    minimal: np.ndarray
    neutral: np.ndarray

    @property
    def harmful(self) -> np.ndarray:
        """Where the ratios are worse than none, bool (P,)."""
        return self.system > self.neutral * (1 + 1e-9)


def compute_cross_entropies(
    scores: np.ndarray, labels: np.ndarray, llrs: np.ndarray
) -> CrossEntropies:
    """Compute the mean cost of what one believes after hearing each ratio.

    At each prior, a sample costs -log2 of the probability that prior and ratio give to
    its true class. The classes are weighted by the prior, not by their numbers.

    Args:
        scores: (N,) what samples are ranked by, higher is more fake.
        llrs: (N,) log-likelihood ratios, fake over real, natural logarithm.

    Source:
        Ramos, Franco-Pedroso, Lozano-Diez & Gonzalez-Rodriguez 2018, "Deconstructing
        cross-entropy for probabilistic binary classifiers", Entropy 20, 208; minimal by
        pool adjacent violators, as minCllr.
    """
    odds = LOG10_ODDS * np.log(10)
    classes = [np.equal(labels, c).astype(np.float64) for c in (REAL, FAKE)]
    system = _pool(llrs, *classes)
    fitted = fit_order_keeping(*sort_samples(scores, labels).count_positives())
    posteriors, *shares = _pool(fitted.posteriors, *fitted[:2])
    minimal = special.logit(posteriors), *shares
    curves = (system, minimal, (np.zeros(1), np.ones(1), np.ones(1)))
    return CrossEntropies(LOG10_ODDS, *(_weigh_costs(*of, odds) for of in curves))


def _pool(values: np.ndarray, *weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the distinct values, and which share of all weights each value has."""
    distinct, places = np.unique(values, return_inverse=True)
    sums = (np.bincount(places, of, distinct.size) for of in weights)
    return distinct, *(of / of.sum() for of in sums)


def _weigh_costs(
    llrs: np.ndarray, real_shares: np.ndarray, fake_shares: np.ndarray, odds: np.ndarray
) -> np.ndarray:
    """Return the cross-entropy at each prior, (P,), of ratios that classes share."""
    real_costs = _average_costs(llrs, real_shares, odds)
    fake_costs = _average_costs(-llrs, fake_shares, -odds)
    return special.expit(-odds) * real_costs + special.expit(odds) * fake_costs


def _average_costs(
    llrs: np.ndarray, shares: np.ndarray, odds: np.ndarray
) -> np.ndarray:
    """Return the mean bits of a class whose ratios should be small, (P,)."""
    # Without the others, whose ratios may be infinite. A prior at a time: memory.
    llrs, shares = llrs[shares > 0], shares[shares > 0]
    return np.array([shares @ np.logaddexp(0, llrs + o) for o in odds]) / np.log(2)
