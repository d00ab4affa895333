"""Checked, sorted scores with what each sample adds to the metrics that are sums.

A score is P(fake): higher is more fake. A sample is called fake when its score is
at least the threshold. Rates and accuracies are fractions in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

REAL = 0
FAKE = 1
CLASS_NAMES = ("real", "fake")
NUM_CALIBRATION_BINS = 15

# Columns of `ScoreTable.linear` before the calibration bins.
NUM_SUMS = 10


@dataclass(frozen=True)
class ScoreTable:
    """Samples sorted from most to least fake, with what each one adds to a sum."""

    order: np.ndarray  # (N,) indices of the samples, descending score
    thresholds: np.ndarray  # (B,) distinct scores, descending
    block_ends: np.ndarray  # (B,) last sorted sample of each run of equal scores
    is_fake: np.ndarray  # (N,) 1.0 for fake, sorted
    linear: np.ndarray  # (N, 10 + bins) summands of the metrics that are sums
    median_gap: float  # median fake minus median real score


def check_scores_and_labels(
    fake_scores: ArrayLike, labels: ArrayLike, *, probabilities: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels as checked arrays.

    Args:
        fake_scores: (N,) numbers, higher is more fake.
        labels: (N,) 0 (real) or 1 (fake), both present.
        probabilities: also ask for scores in [0, 1].

    Returns:
        Scores float64 (N,) and labels int64 (N,).

    Raises:
        ValueError: for anything else, naming what was given.
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
    names = np.asarray(groups)
    if names.shape != (num_samples,):
        raise ValueError(
            f"one group a sample is needed: {num_samples} scores, "
            f"groups of shape {names.shape}"
        )
    return np.unique(names, return_inverse=True)[1]


def build_score_table(
    scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5
) -> ScoreTable:
    """Sort checked scores and precompute each sample's summands."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores, sorted_labels = scores[order], labels[order]
    block_ends = np.append(np.flatnonzero(np.diff(sorted_scores)), scores.size - 1)
    return ScoreTable(
        order=order,
        thresholds=sorted_scores[block_ends],
        block_ends=block_ends,
        is_fake=(sorted_labels == FAKE).astype(np.float64),
        linear=_build_summands(sorted_scores, sorted_labels, threshold),
        median_gap=float(
            np.median(scores[labels == FAKE]) - np.median(scores[labels == REAL])
        ),
    )


def _build_summands(
    scores: np.ndarray, labels: np.ndarray, threshold: float
) -> np.ndarray:
    fake = (labels == FAKE).astype(np.float64)
    real = 1.0 - fake
    called_fake = (scores >= threshold).astype(np.float64)
    # As scikit-learn's log_loss: a certain and wrong score costs -log(2.2e-16) = 36.
    eps = np.finfo(np.float64).eps
    clipped = np.clip(scores, eps, 1 - eps)
    losses = -np.log(np.where(labels == FAKE, clipped, 1 - clipped))
    # Deviations from a score of the class itself: its variance cannot cancel badly.
    fake_offsets = fake * (scores - np.median(scores[labels == FAKE]))
    real_offsets = real * (scores - np.median(scores[labels == REAL]))
    fake_columns = [fake, fake * called_fake, fake_offsets, fake_offsets**2]
    real_columns = [real, real * called_fake, real_offsets, real_offsets**2]
    sums = np.column_stack([*fake_columns, *real_columns, losses, (scores - fake) ** 2])
    in_bin = assign_bins(scores)[:, None] == np.arange(NUM_CALIBRATION_BINS)
    return np.hstack([sums, in_bin * (scores - fake)[:, None]])


def assign_bins(scores: np.ndarray, num_bins: int = NUM_CALIBRATION_BINS) -> np.ndarray:
    """Number the equal-width bin of each score: [0, 1/n), ..., [1 - 1/n, 1]."""
    # Divided, not spaced: 3 / 15 is the same number as the literal 0.2.
    inner_edges = np.arange(1, num_bins) / num_bins
    return np.searchsorted(inner_edges, scores, side="right")
