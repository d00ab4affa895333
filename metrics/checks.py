"""What is taken for scores, labels and groups."""

import numpy as np
from numpy.typing import ArrayLike

from files.names import FAKE, REAL


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
    names = groups.tolist() if isinstance(groups, np.ndarray) else list(groups)
    if len(names) != num_samples:
        raise ValueError(
            f"one group a sample is needed: {num_samples} scores, {len(names)} groups"
        )
    # Not np.unique: of a million texts it takes seconds, a table takes a tenth.
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.fromiter(map(numbers.__getitem__, names), dtype=np.intp, count=len(names))
