"""Samples: checked, in the order of their scores, pooled into cells if very many.

A metric is computed from the numbers of real and fake samples in cells of falling
score, and from the means of a few quantities over them. A cell holds one sample; with
more than `MAX_CELLS` samples it holds neighbours whose scores hardly differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from files.classes import FAKE, REAL

# 20 times as many samples as this are resampled in the time that these few take.
MAX_CELLS = 10_000
_MAX_FOLDS = 10


def check_scores_and_labels(
    fake_scores: ArrayLike, labels: ArrayLike, *, probabilities: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, float64 (N,), and labels, int64 (N,).

    Args:
        fake_scores: finite numbers, higher is more fake; of `probabilities` in [0, 1].
        labels: 0 (real) or 1 (fake), both present.

    Raises:
        ValueError: for anything else; the message says what was given.
    """
    scores = _as_numbers(fake_scores, "scores")
    label_values = _as_numbers(labels, "labels")
    if scores.shape != label_values.shape:
        raise ValueError(f"{scores.size} scores but {label_values.size} labels")
    bad = label_values[(label_values != REAL) & (label_values != FAKE)]
    if bad.size:
        raise ValueError(f"labels must be 0 (real) or 1 (fake), got {bad[0]:g}")
    if probabilities and (scores.min() < 0 or scores.max() > 1):
        raise ValueError(
            "scores must be probabilities of 'fake' in [0, 1], "
            f"got {scores.min():g} to {scores.max():g}"
        )
    num_fake = int(label_values.sum())
    if num_fake in (0, scores.size):
        raise ValueError(
            "both classes are needed to measure a detector, "
            f"got {scores.size - num_fake} real and {num_fake} fake samples"
        )
    return scores, label_values.astype(np.int64)


def _as_numbers(values: ArrayLike, name: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a flat list of numbers") from None
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{name} must be a non-empty 1-D array, got shape {array.shape}"
        )
    num_bad = int((~np.isfinite(array)).sum())
    if num_bad:
        raise ValueError(f"{num_bad} of {array.size} {name} are NaN or infinite")
    return array


def index_groups(groups: ArrayLike | None, num_samples: int) -> np.ndarray:
    """Number the groups 0, 1, ... (N,); without groups each sample is its own."""
    if groups is None:
        return np.arange(num_samples)
    names = groups.tolist() if isinstance(groups, np.ndarray) else list(groups)
    if len(names) != num_samples:
        raise ValueError(
            f"each sample needs a group: {num_samples} scores, {len(names)} groups"
        )
    # np.unique takes seconds for a million texts, this table a tenth of that.
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.fromiter(map(numbers.__getitem__, names), dtype=np.intp, count=len(names))


@dataclass(frozen=True)
class SortedSamples:
    """Scores from the most to the least fake, and the truth beside each."""

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
        # Adjacent floats have nothing between them.
        return float(middle if middle > lower else upper)

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


class Units(NamedTuple):
    """Numbers of independent draws: samples, or groups of samples."""

    real: int
    fake: int
    total: int

    @property
    def smaller(self) -> int:
        """The number in the smaller class."""
        return min(self.real, self.fake)


@dataclass(frozen=True)
class Samples:
    """What a detector said of N samples, and the truth: checked arrays.

    Attributes:
        scores: (N,) what samples are ranked by, higher is more fake.
        labels: (N,) 0 real, 1 fake.
        threshold: of `fake_scores` if there are any, else of `scores`.
        fake_scores: (N,) P(fake), or None.
        llrs: (N,) log-likelihood ratios of fake over real, or None.
        group_index: (N,) the number of each sample's group, such as the frames of a
            video, which count as one draw; None for independent samples.
    """

    scores: np.ndarray
    labels: np.ndarray
    threshold: float = 0.5
    fake_scores: np.ndarray | None = None
    llrs: np.ndarray | None = None
    group_index: np.ndarray | None = None

    @property
    def judged(self) -> np.ndarray:
        """What the threshold is compared with, (N,)."""
        return self.scores if self.fake_scores is None else self.fake_scores

    @property
    def called_fake(self) -> np.ndarray:
        """Which samples are called fake, bool (N,)."""
        return self.judged >= self.threshold

    @cached_property
    def in_order(self) -> SortedSamples:
        """The samples sorted by `scores`."""
        return sort_samples(self.scores, self.labels)

    @cached_property
    def units(self) -> Units:
        """The independent draws behind every interval."""
        index = index_groups(None, self.labels.size)
        if self.group_index is not None:
            index = self.group_index
        chosen = (self.labels == REAL, self.labels == FAKE, slice(None))
        return Units(*(int(np.count_nonzero(np.bincount(index[of]))) for of in chosen))

    def index_class(self, label: int) -> np.ndarray | None:
        """Return the group numbers of one class's samples, or None."""
        if self.group_index is None:
            return None
        return self.group_index[self.labels == label]


def check_samples(
    scores: ArrayLike,
    labels: ArrayLike,
    threshold: float = 0.5,
    *,
    fake_scores: ArrayLike | None = None,
    llrs: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Samples:
    """Return checked samples.

    Args: as for `Samples`; `groups` holds names, (N,).

    Raises:
        ValueError: for input that `check_scores_and_labels` refuses, P(fake) outside
            [0, 1], a threshold that is not a number, or a wrong number of groups.
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
    index = None if groups is None else index_groups(groups, checked.size)
    return Samples(checked, checked_labels, float(threshold), fake_scores, llrs, index)


@dataclass(frozen=True)
class Cells:
    """What metrics are computed from: C cells, from the most to the least fake.

    Attributes:
        index: (N,) the cell of each sample, in the samples' own order.
        counts: (2, C) real and fake samples in each cell.
        block_ends: (B,) last cell of each run of equal scores.
        means: of each quantity (2, C), over a cell's real and its fake samples.
        median_gap: how far the fakes' median scaled score exceeds the reals'.
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
        max_cells: pool more samples than this into about as many cells of equal share,
            both classes weighing alike; ties stay together.
    """
    index, block_ends, num_cells = _place_in_cells(samples.in_order, max_cells)
    # d' does not depend on the scale, but squares of huge scores would overflow.
    scaled = samples.scores / (np.abs(samples.scores).max() or 1.0)
    medians = [np.median(scaled[samples.labels == c]) for c in (REAL, FAKE)]
    shape, places = (2, num_cells), samples.labels * num_cells + index
    counts = np.bincount(places, minlength=2 * num_cells).reshape(shape)
    means = {}
    for name, values in _compute_quantities(samples, scaled, medians):
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
    """Return each sample's cell, the ends of equal scores, the number of cells."""
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


def _compute_quantities(
    samples: Samples, scaled: np.ndarray, medians: Sequence[float]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield by name, (N,) each, what metrics average within each class.

    One at a time, because many samples fill much memory: `called_fake`; `offset` and
    `squared_offset` of the scaled score from its class's median; with P(fake) also
    `log_loss` and `squared_error`; with log-likelihood ratios `llr_cost`, in bits.
    """
    is_fake = samples.labels == FAKE
    # Measured from a score of the class itself, mean and variance cannot cancel badly.
    offsets = scaled - np.where(is_fake, medians[FAKE], medians[REAL])
    yield "called_fake", samples.called_fake.astype(np.float64)
    yield "offset", offsets
    yield "squared_offset", offsets**2
    if samples.fake_scores is not None:
        # As in scikit-learn's log_loss, certain and wrong costs -log(2.2e-16) = 36.
        eps = np.finfo(np.float64).eps
        clipped = np.clip(samples.fake_scores, eps, 1 - eps)
        yield "log_loss", -np.log(np.where(is_fake, clipped, 1 - clipped))
        yield "squared_error", (samples.fake_scores - is_fake) ** 2
    if samples.llrs is not None:  # Brümmer & du Preez 2006, eq. 28
        away_from_truth = np.where(is_fake, -samples.llrs, samples.llrs)
        yield "llr_cost", np.logaddexp(0, away_from_truth) / np.log(2)


def number_folds(
    labels: np.ndarray, group_index: np.ndarray | None = None
) -> np.ndarray:
    """Number the fold of each sample, (N,), for cross-fitting: up to ten folds.

    A fold holds whole groups. Without groups it holds runs of neighbours within each
    class, like the frames of one video in a sorted listing.
    """
    num_folds = min(_MAX_FOLDS, *np.bincount(labels, minlength=2))
    if group_index is not None:
        return group_index % num_folds
    folds = np.empty(labels.size, dtype=np.intp)
    for label in (REAL, FAKE):
        places = np.flatnonzero(labels == label)
        folds[places] = np.arange(places.size) * num_folds // places.size
    return folds
