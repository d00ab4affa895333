"""Is a picture like those that a detector was calibrated on? If not, nobody knows.

Two things are compared: what can be measured of the picture itself (`traits.py`), and
the features that the network computes of it. What they are like is learnt in
`fitting.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from judging.guarding.traits import GROUPS

FEATURES = "features"
# How many numbers a kind may have: up to version 1.0.0 the first eight of detail.
_SIZES = {name: {len(traits)} for name, traits in GROUPS.items()}
_SIZES["detail"].add(8)


class Unlikeness(NamedTuple):
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
        limit: float32 (C,), the largest squared distance that counts as like, for what
            is nearest to each condition.
    """

    center: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    outside: np.ndarray
    scales: np.ndarray
    limit: np.ndarray

    def __post_init__(self) -> None:
        shapes = {t: tuple(getattr(self, t).shape) for t in _ARRAYS}
        (num, k), conditions = shapes["weights"], shapes["means"][0]
        wanted = {"center": (num,), "weights": (num, k), "means": (conditions, k)}
        wanted |= {"outside": (2,), "scales": (num,)}
        if shapes != {name: wanted[name] for name in _ARRAYS}:
            raise ValueError(f"a guard has tensors of the shapes {shapes}")

    def compute_distances(self, values: np.ndarray) -> np.ndarray:
        """Return the squared distance of numbers (n, F) from each condition, (n, C)."""
        centred = values - self.center.astype(np.float64)
        weights, means = self.weights.astype(np.float64), self.means.astype(np.float64)
        places = centred @ weights
        squares = ((places[:, None] - means) ** 2).sum(axis=2)
        mean, inverse = self.outside.tolist()
        if inverse:
            scaled = centred * self.scales
            # The directions are orthonormal in the features' spreads.
            directions = weights / self.scales.astype(np.float64)[:, None]
            lengths = 1 / np.linalg.norm(directions, axis=0)
            whole = (scaled**2).sum(axis=1)
            inside = ((places * lengths) ** 2).sum(axis=1)
            length = np.sqrt(np.maximum(whole - inside, 0))
            squares += (np.maximum((length - mean) * inverse, 0) ** 2)[:, None]
        return squares

    def compare(self, values: np.ndarray) -> list[Unlikeness]:
        """Compare numbers (n, F) with the calibration images."""
        squares = self.compute_distances(values)
        nearest = squares.argmin(axis=1)
        rows = zip(values, nearest, squares, strict=True)
        return [self._compare(row, int(n), s[n]) for row, n, s in rows]

    def _compare(self, row: np.ndarray, nearest: int, square: float) -> Unlikeness:
        excess = float(np.sqrt(square / self.limit[nearest]))
        if self.outside[1]:  # single features have no names
            return Unlikeness(excess, nearest, 0, True)
        weights = self.weights.astype(np.float64)
        mean = np.linalg.solve(weights.T, self.means[nearest].astype(np.float64))
        differences = (row - self.center.astype(np.float64) - mean) * self.scales
        trait = int(np.abs(differences).argmax())
        return Unlikeness(excess, nearest, trait, bool(differences[trait] > 0))


_DAMAGE = (KeyError, TypeError, AttributeError, IndexError, OverflowError, RuntimeError)
_ARRAYS = ("center", "weights", "means", "outside", "scales")


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

    def compare(self, numbers: Mapping[str, np.ndarray]) -> list[dict[str, Unlikeness]]:
        """Compare n pictures with the calibration images, by kind of numbers (n, F)."""
        columns = {
            name: like.compare(numbers[name][:, : len(like.center)])
            for name, like in self.likenesses.items()
        }
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def to_dict(self) -> dict[str, Any]:
        """Return arrays and plain values, for a file."""
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
        """Take a guard out of a file, whose arrays may be tensors or lists of numbers.

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
        for kind, sizes in _SIZES.items():
            weights = likenesses[kind].weights
            is_square = weights.shape == (len(weights),) * 2
            is_whole = is_square and len(weights) in sizes and np.linalg.det(weights)
            if not is_whole or likenesses[kind].outside.any():
                raise ValueError(f"its guard is damaged: its {kind} has another size")
        return guard


def _check_likeness(value: Mapping[str, Any], num_conditions: int) -> Likeness:
    arrays = [_take_numbers(value[name]) for name in _ARRAYS]
    limit = _take_numbers(value["limit"])
    if not limit.ndim:  # up to version 1.0.0: one for all conditions
        limit = np.full(num_conditions, limit)
    like = Likeness(*arrays, limit)
    is_whole = limit.shape == (num_conditions,) == like.means.shape[:1]
    if not is_whole or not ((limit > 0) & (limit < 1e30)).all():
        raise ValueError("its guard holds numbers that are of no use")
    return like


def _take_numbers(value: Any) -> np.ndarray:
    """Return floating-point numbers of any kind as float32, finite."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of several lengths
        raise ValueError("its guard holds rows that differ in length") from error
    is_float = array.dtype.kind == "f"
    with np.errstate(over="ignore"):
        array = array.astype(np.float32) if is_float else array
    if not (is_float and np.isfinite(array).all()):
        raise ValueError("its guard holds numbers that are of no use")
    return array


def describe_unlike(kind: str, comparison: Unlikeness) -> str:
    """Say in what way a picture is unlike the calibration images."""
    if kind == FEATURES:
        return "what the network makes of it is unlike any face that it knows"
    less, more = GROUPS[kind][comparison.trait]
    return f"it has {more if comparison.is_high else less} than they have"
