"""What a detector's calibration images are like, learnt for its guard."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from judging.guarding.guard import Guard, Likeness

MOST_REFUSED = 0.02  # of the calibration images, by all kinds of numbers together
MOST_COMPONENTS = 128  # of features, beside what lies outside of them
LEAST_DEVIATION = 0.01  # of a feature, as a share of the features' median
LEAST_IMAGES = 20  # of which a spread can be told


def fit_likeness(
    fitted: np.ndarray, conditions: np.ndarray, held: np.ndarray, most_refused: float
) -> Likeness:
    """Learn what the numbers of images are like, and how far others may be from them.

    Args:
        fitted: (M, F), of training images.
        conditions: int (M,), under which condition each was seen, of C.
        held: (N, C, F), of N validation images under all conditions.
        most_refused: share of the validation images that may count as unlike: of those
            nearest to each condition, where they are enough to tell, else of all.

    Source: Lee et al., NeurIPS 2018, eq. 2 (one covariance for all classes, here
        conditions, and the distance from the nearest); the covariance is shrunk after
        Ledoit & Wolf 2004. Many numbers are first reduced to their principal
        components, and the length of the rest is one more number (Wang et al., ViM,
        CVPR 2022, section 4).
    """
    likeness = _fit(fitted, conditions, held.shape[1])
    distances = likeness.compute_distances(held.reshape(-1, held.shape[2]))
    nearest, least = distances.argmin(axis=1), distances.min(axis=1)
    limits = [_find_limit(least, most_refused)] * held.shape[1]
    for condition, count in enumerate(np.bincount(nearest)):
        if count * most_refused >= 1:  # of fewer the largest would be the limit
            own = least[nearest == condition]
            limits[condition] = _find_limit(own, most_refused)
    return replace(likeness, limit=np.maximum(limits, 1e-9).astype(np.float32))


def _find_limit(distances: np.ndarray, most_refused: float) -> float:
    """Return what at most this share of the distances exceeds."""
    ordered = np.sort(distances, axis=None)
    allowed = int(most_refused * ordered.size)
    return float(ordered[len(ordered) - 1 - allowed])


def _fit(rows: np.ndarray, conditions: np.ndarray, num_conditions: int) -> Likeness:
    from sklearn.covariance import LedoitWolf  # a second, at the end of trainings alone
    from sklearn.decomposition import PCA

    num = rows.shape[1]
    center = rows.mean(axis=0)
    deviations = rows.std(axis=0)
    # A feature that hardly varies here would drown the others where it does.
    least = max(1e-6, LEAST_DEVIATION * float(np.median(deviations)))
    scales = 1 / np.maximum(deviations, least)
    scaled = (rows - center) * scales
    directions, outside = np.eye(num), np.zeros(2)
    if num > MOST_COMPONENTS:
        most = min(MOST_COMPONENTS, len(scaled) // 4)
        pca = PCA(most, svd_solver="randomized", random_state=0).fit(scaled)
        directions = pca.components_.T
        residual = scaled - scaled @ directions @ directions.T
        lengths = np.linalg.norm(residual, axis=1)
        outside = np.array([lengths.mean(), 1 / max(lengths.std(), 1e-6)])
    places = scaled @ directions
    means = np.stack(
        [places[conditions == number].mean(axis=0) for number in range(num_conditions)]
    )
    covariance = LedoitWolf(assume_centered=True).fit(places - means[conditions])
    spreads, axes = np.linalg.eigh(covariance.covariance_)
    whitening = axes / np.sqrt(np.maximum(spreads, 1e-9))
    weights = scales[:, None] * (directions @ whitening)
    arrays = (center, weights, means @ whitening, outside, scales)
    arrays = [array.astype(np.float32) for array in arrays]
    return Likeness(*arrays, np.ones(num_conditions, np.float32))


def fit_guard(
    fitted: Mapping[str, np.ndarray],
    conditions: np.ndarray,
    held: Mapping[str, np.ndarray],
    names: Sequence[str],
    least_side: int,
) -> Guard | None:
    """Learn what a detector's images are like.

    Args:
        fitted, conditions, held: by kind of numbers, as for `fit_likeness`.
        names: of the C conditions.

    Returns:
        None where there are too few images to tell.
    """
    counts = np.bincount(conditions, minlength=len(names))
    num_held = min(map(len, held.values()))
    if counts.min() < 2 or min(len(conditions), num_held) < LEAST_IMAGES:
        return None
    share = MOST_REFUSED / len(held)
    likenesses = {
        name: fit_likeness(fitted[name], conditions, values, share)
        for name, values in held.items()
    }
    return Guard(tuple(names), likenesses, least_side)
