"""Is a picture like those that a detector was calibrated on? If not, nobody knows.

Two things are compared: what can be measured of the picture itself (`traits.py`), and
the features that the network computes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from torch import Tensor

from judging.traits import GROUPS

FEATURES = "features"
MOST_REFUSED = 0.02  # of the calibration images, by all kinds of numbers together
MOST_COMPONENTS = 16  # of features, beside what lies outside of them
LEAST_DEVIATION = 0.01  # of a feature, as a share of the features' median
LEAST_IMAGES = 20  # of which a spread can be told


class Comparison(NamedTuple):
    """How a picture compares with the calibration images, by one kind of numbers.

    Attributes:
        excess: its distance over the largest that counts as like them; above 1: unlike.
        nearest: the number of the condition whose images it is most like.
        trait: the number of the trait in which it differs most.
        is_high: whether it has more of that.
    """

    excess: float
    nearest: int
    trait: int
    is_high: bool


@dataclass(frozen=True)
class Likeness:
    """How far numbers of a picture are from those of calibration images.

    Attributes:
        center: float32 (F,).
        weights: float32 (F, k): what differences are multiplied by, so that the
            calibration images spread by 1 within a condition, in every direction.
        means: float32 (C, k): of each condition, so multiplied.
        outside: mean and inverse deviation of the length, in spreads of each feature,
            of what lies outside of the k directions; zeros where they hold all.
        scales: float32 (F,), one over each number's spread.
        limit: the largest squared distance that counts as like.
    """

    center: Tensor
    weights: Tensor
    means: Tensor
    outside: Tensor
    scales: Tensor
    limit: float

    def __post_init__(self) -> None:
        shapes = {t: tuple(getattr(self, t).shape) for t in _TENSORS}
        (num, k), conditions = shapes["weights"], shapes["means"][0]
        wanted = {"center": (num,), "weights": (num, k), "means": (conditions, k)}
        wanted |= {"outside": (2,), "scales": (num,)}
        if shapes != {name: wanted[name] for name in _TENSORS}:
            raise ValueError(f"a guard has tensors of the shapes {shapes}")

    def compute_distances(self, values: np.ndarray) -> np.ndarray:
        """Return the squared distance of numbers (n, F) from each condition, (n, C)."""
        centred = values - self.center.double().numpy()
        weights, means = self.weights.double().numpy(), self.means.double().numpy()
        places = centred @ weights
        squares = ((places[:, None] - means) ** 2).sum(axis=2)
        mean, inverse = self.outside.tolist()
        if inverse:
            scaled = centred * self.scales.double().numpy()
            # The directions are orthonormal in the features' spreads.
            whole = (scaled**2).sum(axis=1)
            inside = ((places * _lengths(weights, self.scales)) ** 2).sum(axis=1)
            length = np.sqrt(np.maximum(whole - inside, 0))
            squares += (np.maximum((length - mean) * inverse, 0) ** 2)[:, None]
        return squares

    def compare(self, values: np.ndarray) -> list[Comparison]:
        """Compare numbers (n, F) with the calibration images."""
        squares = self.compute_distances(values)
        nearest = squares.argmin(axis=1)
        rows = zip(values, nearest, squares, strict=True)
        return [self._compare(row, int(n), s[n]) for row, n, s in rows]

    def _compare(self, row: np.ndarray, nearest: int, square: float) -> Comparison:
        excess = float(np.sqrt(square / self.limit))
        if self.outside[1]:  # single features have no names
            return Comparison(excess, nearest, 0, True)
        weights = self.weights.double().numpy()
        mean = np.linalg.solve(weights.T, self.means[nearest].double().numpy())
        differences = (row - self.center.double().numpy() - mean) * self.scales.numpy()
        trait = int(np.abs(differences).argmax())
        return Comparison(excess, nearest, trait, bool(differences[trait] > 0))


_DAMAGE = (KeyError, TypeError, AttributeError, IndexError, OverflowError, RuntimeError)
_TENSORS = ("center", "weights", "means", "outside", "scales")


def _lengths(weights: np.ndarray, scales: Tensor) -> np.ndarray:
    """Return by what a place along each direction is a length in spreads, (k,)."""
    directions = weights / scales.double().numpy()[:, None]
    return 1 / np.linalg.norm(directions, axis=0)


def fit_likeness(
    fitted: np.ndarray, conditions: np.ndarray, held: np.ndarray, most_refused: float
) -> Likeness:
    """Learn what the numbers of images are like, and how far others may be from them.

    Args:
        fitted: (M, F), of training images.
        conditions: int (M,), under which condition each was seen, of C.
        held: (N, C, F), of N validation images under all conditions.
        most_refused: share of the validation images that may count as unlike.

    Source: Lee et al., NeurIPS 2018, eq. 2 (one covariance for all classes, here
        conditions, and the distance from the nearest); the covariance is shrunk after
        Ledoit & Wolf 2004. Many numbers are first reduced to their principal
        components, and the length of the rest is one more number (Wang et al., ViM,
        CVPR 2022, section 4).
    """
    likeness = _fit(fitted, conditions, held.shape[1])
    distances = likeness.compute_distances(held.reshape(-1, held.shape[2])).min(axis=1)
    distances = distances.reshape(held.shape[:2])
    limit = max(_find_limit(d, most_refused) for d in (distances, distances[:, 0]))
    return replace(likeness, limit=max(limit, 1e-9))


def _find_limit(distances: np.ndarray, most_refused: float) -> float:
    """Return what at most this share of the distances exceeds."""
    ordered = np.sort(distances, axis=None)
    allowed = int(most_refused * ordered.size)
    return float(ordered[len(ordered) - 1 - allowed])


def _fit(rows: np.ndarray, conditions: np.ndarray, num_conditions: int) -> Likeness:
    num = rows.shape[1]
    center = rows.mean(axis=0)
    deviations = rows.std(axis=0)
    # A feature that hardly varies here would drown the others where it does.
    least = max(1e-6, LEAST_DEVIATION * float(np.median(deviations)))
    scales = 1 / np.maximum(deviations, least)
    scaled = (rows - center) * scales
    directions, outside = np.eye(num), np.zeros(2)
    if num > MOST_COMPONENTS:
        most = min(MOST_COMPONENTS, min(scaled.shape) - 1)
        pca = PCA(most, svd_solver="randomized", random_state=0).fit(scaled)
        directions = pca.components_.T
        rest = scaled - scaled @ directions @ directions.T
        lengths = np.linalg.norm(rest, axis=1)
        outside = np.array([lengths.mean(), 1 / max(lengths.std(), 1e-6)])
    places = scaled @ directions
    means = np.stack(
        [places[conditions == number].mean(axis=0) for number in range(num_conditions)]
    )
    covariance = LedoitWolf(assume_centered=True).fit(places - means[conditions])
    spreads, axes = np.linalg.eigh(covariance.covariance_)
    whitening = axes / np.sqrt(np.maximum(spreads, 1e-9))
    weights = scales[:, None] * (directions @ whitening)
    tensors = (center, weights, means @ whitening, outside, scales)
    return Likeness(*(torch.from_numpy(t).float() for t in tensors), 1.0)


@dataclass(frozen=True)
class Guard:
    """What a detector's calibration images were like, by several kinds of numbers.

    Attributes:
        conditions: under which they were seen, as `Condition` spells them.
        likenesses: by 'detail', 'colour' and 'features'.
        least_side: of their files, pixels of the shorter side.
    """

    conditions: tuple[str, ...]
    likenesses: Mapping[str, Likeness]
    least_side: int

    def compare(self, numbers: Mapping[str, np.ndarray]) -> list[dict[str, Comparison]]:
        """Compare n pictures with the calibration images.

        Args:
            numbers: by kind (n, F), as `fit_guard` has them.
        """
        kinds = self.likenesses.items()
        columns = {name: like.compare(numbers[name]) for name, like in kinds}
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain values for a checkpoint."""
        return {
            "conditions": list(self.conditions),
            "least_side": self.least_side,
            "likenesses": {
                name: {f.name: getattr(like, f.name) for f in fields(like)}
                for name, like in self.likenesses.items()
            },
        }

    @classmethod
    def from_untrusted(cls, value: Mapping[str, Any]) -> "Guard":
        """Take a guard out of a checkpoint.

        Raises:
            ValueError: it is not as `to_dict` writes one.
        """
        try:
            conditions = tuple(map(str, value["conditions"]))
            likenesses = {
                name: _check_likeness(like, len(conditions))
                for name, like in value["likenesses"].items()
                if name in (*GROUPS, FEATURES)
            }
            guard = cls(conditions, likenesses, int(value["least_side"]))
        except _DAMAGE as error:
            raise ValueError(f"its guard is damaged ({error})") from error
        if not likenesses.keys() >= GROUPS.keys() or not conditions:
            raise ValueError("its guard is damaged: it lacks what pictures are like")
        for kind, traits in GROUPS.items():
            weights = likenesses[kind].weights
            is_whole = weights.shape == (len(traits),) * 2 and torch.linalg.det(weights)
            if not is_whole or likenesses[kind].outside.any():
                raise ValueError(f"its guard is damaged: its {kind} has another size")
        return guard


def _check_likeness(value: Mapping[str, Any], num_conditions: int) -> Likeness:
    like = Likeness(*(value[f.name] for f in fields(Likeness)))
    tensors = [getattr(like, name) for name in _TENSORS]
    is_whole = all(t.is_floating_point() and t.isfinite().all() for t in tensors)
    if not is_whole or len(like.means) != num_conditions or not 0 < like.limit < 1e30:
        raise ValueError("its guard holds numbers that are of no use")
    return like


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
        least_side: as `Guard` has it.

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


def describe_unlike(kind: str, comparison: Comparison) -> str:
    """Say in what way a picture is unlike the calibration images."""
    if kind == FEATURES:
        return "what the network makes of it is unlike any face that it knows"
    more = "more" if comparison.is_high else "less"
    return f"it has {more} {GROUPS[kind][comparison.trait]} than they have"
