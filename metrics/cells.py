"""Samples in order of their scores, pooled into cells where there are very many.

A metric is computed from counts of real and fake samples in cells of falling score,
and from means of a few quantities over them. A cell is one sample; of more than
`MAX_CELLS` samples, neighbours whose scores differ by next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from files.names import FAKE, REAL
from metrics.checks import check_scores_and_labels
from metrics.likelihood_ratios import compute_llr_costs

# 20 times as many samples as this are resampled in the time that these few take.
MAX_CELLS = 10_000
_MAX_FOLDS = 10


@dataclass(frozen=True)
class Samples:
    """What a detector said of N samples, and what is true: checked arrays.

    Attributes:
        scores: (N,) what samples are ranked by, higher is more fake.
        labels: (N,) 0 real, 1 fake.
        threshold: of `fake_scores` where there are some, else of `scores`.
        fake_scores: (N,) P(fake), or None.
        llrs: (N,) log-likelihood ratios of fake over real, or None.
    """

    scores: np.ndarray
    labels: np.ndarray
    threshold: float = 0.5
    fake_scores: np.ndarray | None = None
    llrs: np.ndarray | None = None

    @property
    def judged(self) -> np.ndarray:
        """What the threshold is compared with, (N,)."""
        return self.scores if self.fake_scores is None else self.fake_scores

    @cached_property
    def in_order(self) -> SortedSamples:
        """The samples sorted by `scores`."""
        return sort_samples(self.scores, self.labels)

    @property
    def called_fake(self) -> np.ndarray:
        """Which samples are called fake, bool (N,)."""
        return self.judged >= self.threshold


def check_samples(
    scores: ArrayLike,
    labels: ArrayLike,
    threshold: float = 0.5,
    *,
    fake_scores: ArrayLike | None = None,
    llrs: ArrayLike | None = None,
) -> Samples:
    """Return checked samples.

    Args: as `Samples` has them.

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses, P(fake) outside
            [0, 1], or a threshold that is not a number.
    """
    checked, checked_labels = check_scores_and_labels(scores, labels)
    if np.isnan(threshold):
        raise ValueError("the threshold is not a number")
    if fake_scores is not None:
        fake_scores, _ = check_scores_and_labels(
            fake_scores, labels, probabilities=True
        )
    if llrs is not None:
        llrs, _ = check_scores_and_labels(llrs, labels)
    return Samples(checked, checked_labels, float(threshold), fake_scores, llrs)


@dataclass(frozen=True)
class SortedSamples:
    """Scores from the most to the least fake, and what is true of each."""

    order: np.ndarray  # (N,) which sample stands at each place
    scores: np.ndarray  # (N,) descending
    is_fake: np.ndarray  # bool (N,)
    block_ends: np.ndarray  # (B,) last place of each run of equal scores

    @property
    def thresholds(self) -> np.ndarray:
        """The distinct scores, (B,), descending."""
        return self.scores[self.block_ends]

    def get_middle(self, index: int) -> float:
        """Return the threshold half-way from distinct score `index` to the next."""
        upper = self.thresholds[index]
        lower = self.thresholds[min(index + 1, self.thresholds.size - 1)]
        middle = upper / 2 + lower / 2
        return float(middle if middle > lower else upper)  # none between neighbours

    def count_positives(self) -> tuple[np.ndarray, np.ndarray]:
        """Count false and true positives at each distinct score, float64 (B,) each."""
        tp = np.cumsum(self.is_fake)[self.block_ends]
        return (self.block_ends + 1.0) - tp, tp.astype(np.float64)


def sort_samples(scores: np.ndarray, labels: np.ndarray) -> SortedSamples:
    """Sort checked scores."""
    order = np.argsort(-scores, kind="stable")
    return SortedSamples(
        order=order,
        scores=scores[order],
        is_fake=labels[order] == FAKE,
        block_ends=np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1),
    )


@dataclass(frozen=True)
class Cells:
    """What metrics are computed from: C cells, from the most to the least fake.

    Attributes:
        index: (N,) the cell of each sample, in the samples' own order.
        counts: (2, C) real and fake samples in each cell.
        block_ends: (B,) last cell of each run of equal scores.
        means: of each quantity (2, C), over a cell's real and its fake samples.
        median_gap: by how much the fakes' median scaled score exceeds the reals'.
    """

    index: np.ndarray
    counts: np.ndarray
    block_ends: np.ndarray
    means: dict[str, np.ndarray]
    median_gap: float

    def count(self, labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Count some of the samples: how many real and fake in each cell, (2, C)."""
        size = self.counts.shape[1]
        return np.stack(
            [
                np.bincount(self.index[chosen & (labels == c)], minlength=size)
                for c in (REAL, FAKE)
            ]
        )


def build_cells(samples: Samples, max_cells: int | None = None) -> Cells:
    """Sort samples into cells.

    Args:
        samples: N samples.
        max_cells: pool the samples where there are more, into about as many cells of
            equal share, both classes weighing alike; ties stay together.
    """
    index, block_ends, num_cells = _place_in_cells(samples.in_order, max_cells)
    # d' does not depend on the scale, but squares of huge scores would overflow.
    scaled = samples.scores / (np.abs(samples.scores).max() or 1.0)
    medians = [np.median(scaled[samples.labels == c]) for c in (REAL, FAKE)]
    shape, places = (2, num_cells), samples.labels * num_cells + index
    counts = np.bincount(places, minlength=2 * num_cells).reshape(shape)
    means = {}
    for name, values in compute_quantities(samples, scaled, medians):
        sums = np.bincount(places, values, minlength=2 * num_cells)
        means[name] = sums.reshape(shape) / np.maximum(counts, 1)
    return Cells(
        index=index,
        counts=counts,
        block_ends=block_ends,
        means=means,
        median_gap=float(medians[FAKE] - medians[REAL]),
    )


def _place_in_cells(
    in_order: SortedSamples, max_cells: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return each sample's cell, the last cells of equal scores, how many there are."""
    num_samples = in_order.scores.size
    place_ends, block_ends = np.arange(num_samples), in_order.block_ends
    if max_cells is not None and num_samples > max_cells:
        place_ends = _find_cell_ends(in_order, max_cells)
        block_ends = np.arange(place_ends.size)
    index = np.empty(num_samples, dtype=np.intp)
    index[in_order.order] = np.repeat(
        np.arange(place_ends.size), np.diff(place_ends, prepend=-1)
    )
    return index, block_ends, place_ends.size


def _find_cell_ends(in_order: SortedSamples, max_cells: int) -> np.ndarray:
    """Return the last place of each cell: always the end of a run of equal scores."""
    num_fake = in_order.is_fake.sum()
    shares = np.where(in_order.is_fake, 1 / num_fake, 1 / (~in_order.is_fake).sum())
    levels = np.cumsum(shares)[in_order.block_ends] * max_cells / 2
    is_last = np.append(np.diff(np.floor(levels)) > 0, True)
    return in_order.block_ends[is_last]


def compute_quantities(
    samples: Samples, scaled: np.ndarray, medians: Sequence[float]
) -> Iterator[tuple[str, np.ndarray]]:
    """Compute of each sample, (N,), what metrics are means of within each class.

    Args:
        samples: N samples.
        scaled: (N,) the scores over the largest of them.
        medians: the real and the fake samples' median of these.

    Yields:
        One after the other, as many samples' are large: `called_fake`; `offset` and
        `squared_offset` of the scaled score from its class's median; with P(fake) also
        `log_loss` and `squared_error`; with log-likelihood ratios `llr_cost`, in bits.
    """
    is_fake = samples.labels == FAKE
    # Taken from a score of the class itself, mean and variance cannot cancel badly.
    offsets = scaled - np.where(is_fake, medians[FAKE], medians[REAL])
    yield "called_fake", samples.called_fake.astype(np.float64)
    yield "offset", offsets
    yield "squared_offset", offsets**2
    if samples.fake_scores is not None:
        # As scikit-learn's log_loss: certain and wrong costs -log(2.2e-16) = 36.
        eps = np.finfo(np.float64).eps
        clipped = np.clip(samples.fake_scores, eps, 1 - eps)
        yield "log_loss", -np.log(np.where(is_fake, clipped, 1 - clipped))
        yield "squared_error", (samples.fake_scores - is_fake) ** 2
    if samples.llrs is not None:
        yield "llr_cost", compute_llr_costs(samples.llrs, samples.labels)


def number_folds(
    labels: np.ndarray, group_index: np.ndarray | None = None
) -> np.ndarray:
    """Number the fold of each sample, (N,), for cross-fitting: up to ten folds.

    Args:
        labels: (N,) 0 (real) or 1 (fake).
        group_index: (N,) the number of each sample's group; a fold holds whole groups.
            Without them it holds runs of neighbours within each class, as the frames
            of one video are in a sorted listing.
    """
    num_folds = min(_MAX_FOLDS, *np.bincount(labels, minlength=2))
    if group_index is not None:
        return group_index % num_folds
    folds = np.empty(labels.size, dtype=np.intp)
    for label in (REAL, FAKE):
        places = np.flatnonzero(labels == label)
        folds[places] = np.arange(places.size) * num_folds // places.size
    return folds
