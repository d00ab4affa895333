"""Which kinds of map are shown as a reason: those that passed the checks.

At the end of a training a few kinds are checked on validation images, for this network
and these images, and the checkpoint records what was found.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from explaining.cams import build_cam_method, suggest_layers
from explaining.checks import (
    CHECKS,
    GRID,
    MOST_LEFT,
    RANKINGS,
    Numbers,
    Removal,
    check_masks,
    compare_areas,
    compute_areas,
    compute_mean,
    compute_rank_correlations,
    judge_correlation,
    order_cells,
    randomise_from_the_top,
)
from explaining.explanation import Method
from explaining.gradients import build_gradient_method, compute_attribution_maps
from faces_dataset import FacesDataset, choose_random
from files.classes import FAKE
from hardware import Compute, Precision, show_progress
from judging.detector import Detector
from judging.qualifying import Policy, qualify
from loading import ImageFile
from loading.disturbances import AS_IT_IS
from records.checkpoint import CheckpointRecord

NUM_IMAGES = 32  # that are looked at, half of each class
LEAST_IMAGES = 8  # with fewer every interval is too wide to pass
NUM_STEPS = 8  # of deletion and insertion: half of what --checks takes
BATCH_SIZE = 8  # Grad-CAM holds a layer's activations
MOST_SHOWN = 2

# Cheap ones alone: SmoothGrad and integrated gradients take 25 and 32 times as long as
# a gradient, for every picture on the page too, and pass no more.
GRADIENTS = ("gradient", "input-x-gradient")
AT_OWN_LAYER = ("grad-cam", "hires-cam", "layer-cam")
AT_EARLIER_LAYER = "layer-cam"

NONE_PASSED = (
    "no kind of map passed the checks for this detector, so none is shown as a reason"
)


class Candidate(NamedTuple):
    """A kind of map: its method, and the layer of a class activation map, or ''."""

    method: str
    layer: str

    def __str__(self) -> str:
        return f"{self.method} at {self.layer}" if self.layer else self.method

    def build(self, detector: Detector, precision: Precision) -> Method:
        """Return how its maps are computed and called."""
        if self.layer:
            return build_cam_method(detector, method=self.method, layer=self.layer)
        options = {"method": self.method, "precision": precision}
        compute = partial(compute_attribution_maps, **options)
        return build_gradient_method(self.method, compute)


class MapCheck(NamedTuple):
    """What a check says of a kind of map.

    Attributes:
        sentence: what was found.
        sureness: distance of the closest number from its bound, in half widths of its
            95 % interval; above 1 where the check is passed.
    """

    passed: bool
    sentence: str
    sureness: float


def list_candidates(detector: Detector) -> list[Candidate]:
    """List the kinds of map that may be shown, if they pass."""
    candidates = [Candidate(method, "") for method in GRADIENTS]
    layers = suggest_layers(detector)
    if detector.layer in layers:
        candidates += [Candidate(method, detector.layer) for method in AT_OWN_LAYER]
        place = layers.index(detector.layer)
        earlier = layers[max(0, place - 1) : place]
        candidates += [Candidate(AT_EARLIER_LAYER, layer) for layer in earlier]
    return candidates


def qualify_with_maps(
    detector: Detector,
    datasets: Mapping[str, FacesDataset],
    policy: Policy,
    compute: Compute,
) -> CheckpointRecord:
    """Measure a detector as `qualify` does, then check maps of what it calls images.

    Returns its record, with what was found. Raises ValueError as `qualify`.
    """
    record = qualify(detector, datasets, policy, compute)
    qualified = replace(detector, record=record)
    maps = check_candidates(qualified, datasets["val"], policy, compute)
    return replace(record, maps=maps)


def check_candidates(
    detector: Detector, images: FacesDataset, policy: Policy, compute: Compute
) -> list[dict[str, Any]] | None:
    """Check all candidates on some validation images, behind a progress bar.

    The checks are those of `explaining.checks`, made cheaper: of randomisation only
    its end, deletion and insertion in fewer steps, their rivals once for all, and no
    further check of a map that has failed one. Maps explain what an image is called.

    Args:
        detector: with its threshold.
        policy: by which it is qualified: its seed, and what makes fakes.

    Returns:
        For each candidate whose maps can be computed plain values for the record:
        `method`, `layer` ('' for the image), `passed`, `sureness` (that of the least
        sure check), and `checks`: by name whether each that was made was passed, and a
        sentence. None where there are too few images.
    """
    chosen = np.concatenate(choose_random(images, NUM_IMAGES // 2, policy.seed))
    if len(chosen) < LEAST_IMAGES:
        return None
    others = np.setdiff1d(np.arange(len(images)), chosen)
    trial = MapTrial.of(detector, images.drop(others.tolist()), policy, compute)
    candidates = show_progress(list_candidates(detector), "check maps")
    entries = [trial.check(candidate) for candidate in candidates]
    return [entry for entry in entries if entry]


@dataclass(frozen=True)
class MapTrial:
    """Images on which kinds of map are checked.

    Attributes:
        samples: uint8 (N, 3, S, S).
        targets: int64 (N,), what the detector calls them, which the maps explain.
        masks: which pixels of a fake are planted, if that is known.
        seed: of random layers and rankings.
    """

    samples: Tensor
    targets: Tensor
    masks: Sequence[ImageFile | None]
    detector: Detector
    precision: Precision
    seed: int
    _rivals: dict[bool, dict[str, np.ndarray]] = field(default_factory=dict, init=False)

    @classmethod
    def of(
        cls, detector: Detector, images: FacesDataset, policy: Policy, compute: Compute
    ) -> "MapTrial":
        """Read images as they are, and let the detector judge them."""
        seen = replace(policy, conditions=(AS_IT_IS,)).disturb(images)
        samples = torch.stack([seen[index][0] for index in range(len(seen))])
        scored = [
            detector.score_samples(batch.numpy(), compute.precision).fake_scores
            for batch in samples.permute(0, 2, 3, 1).split(compute.batch_size)
        ]
        targets = (np.concatenate(scored) >= detector.threshold).astype(np.int64)
        is_own = not policy.augmentation.self_blend  # else a blend may be in its place
        masks = [
            images.get_mask(index) if target == FAKE and is_own else None
            for index, target in enumerate(targets)
        ]
        targets = torch.from_numpy(targets)
        return cls(samples, targets, masks, detector, compute.precision, policy.seed)

    def check(self, candidate: Candidate) -> dict[str, Any] | None:
        """Check a kind of map, up to the first check that it does not pass.

        Returns:
            An entry of the record; None if its layer has no such maps.
        """
        method = candidate.build(self.detector, self.precision)
        try:
            maps = self._compute_maps(method, self.detector)
        except ValueError:
            return None
        found: dict[str, MapCheck] = {}
        for name, finding in self._check_in_turn(method, maps):
            found[name] = finding
            if not finding.passed:
                break
        return {
            **candidate._asdict(),
            "passed": all(finding.passed for finding in found.values()),
            "sureness": min(finding.sureness for finding in found.values()),
            "checks": {
                name: {"passed": finding.passed, "sentence": finding.sentence}
                for name, finding in found.items()
            },
        }

    def _check_in_turn(
        self, method: Method, maps: np.ndarray
    ) -> Iterator[tuple[str, MapCheck]]:
        """Make the checks that can be made, the cheapest first."""
        others = self._compute_maps(method, self._random_detector)
        yield "randomisation", judge_randomisation(maps, others)
        if mask := judge_masks(maps, self.masks):
            yield "mask", mask
        ranks = order_cells(maps, self.seed)["map"]
        yield "deletion", self._judge_removal(ranks, insert=False)
        yield "insertion", self._judge_removal(ranks, insert=True)

    def _compute_maps(self, method: Method, detector: Detector) -> np.ndarray:
        parts = self.samples.split(BATCH_SIZE), self.targets.split(BATCH_SIZE)
        batches = zip(*parts, strict=True)
        return torch.cat([method.compute(*b, detector).cpu() for b in batches]).numpy()

    @cached_property
    def _random_detector(self) -> Detector:
        """The detector with all layers random."""
        *_, (_, network) = randomise_from_the_top(self.detector.network, self.seed)
        return replace(self.detector, network=network)

    @cached_property
    def _removals(self) -> tuple[Removal, Removal]:
        """Deletion, and insertion."""
        shown = self.samples, self.targets, self.detector, self.precision
        deletion = Removal(*shown, insert=False, num_steps=NUM_STEPS)
        return deletion, replace(deletion, insert=True)

    def _judge_removal(self, ranks: np.ndarray, *, insert: bool) -> MapCheck:
        """Follow the scores while cells in a map's order are taken away, or put in."""
        removal = self._removals[insert]
        if insert not in self._rivals:  # the same for every kind of map
            even = np.ones((len(self.samples), GRID, GRID), np.float32)
            orders = order_cells(even, self.seed)
            self._rivals[insert] = {
                n: compute_areas(removal.follow(orders[n])) for n in RANKINGS[1:]
            }
        areas = {"map": compute_areas(removal.follow(ranks)), **self._rivals[insert]}
        numbers = compare_areas(areas, insert)
        sign = 1 if insert else -1
        differences = [numbers[f"map_minus_{name}"] for name in RANKINGS[1:]]
        sureness = min(count_widths(d, sign * d["mean"]) for d in differences)
        return MapCheck(numbers["passed"], numbers["sentence"], sureness)


def judge_randomisation(maps: np.ndarray, others: np.ndarray) -> MapCheck:
    """Compare maps (N, H, W) with those of the same detector, all its layers random."""
    left = compute_mean(compute_rank_correlations(maps, others))
    sureness = count_widths(left, MOST_LEFT - abs(left["mean"]))
    return MapCheck(**judge_correlation(left), sureness=sureness)


def judge_masks(maps: np.ndarray, masks: Sequence[ImageFile | None]) -> MapCheck | None:
    """Say whether maps (N, H, W) point at what is planted; None if nobody knows."""
    numbers = check_masks(maps, masks)
    if numbers is None:
        return None
    difference = numbers["inside"]["difference"]
    sureness = count_widths(difference, difference["mean"])
    return MapCheck(numbers["passed"], numbers["sentence"], sureness)


def count_widths(mean: Numbers, distance: float) -> float:
    """Return a distance in half widths of a mean's interval."""
    low, high = mean["interval"]
    return distance / max((high - low) / 2, 1e-9)


def choose_shown(detector: Detector, precision: Precision) -> list[Method] | None:
    """Return the kinds of map that passed for a detector, at most two, surest first.

    The record says what was found; what this suite does not know of it is not shown.
    The precision is that of gradients. Empty where none has passed; None where nobody
    has checked.
    """
    if detector.record.maps is None:
        return None
    candidates = list_candidates(detector)
    passed = [entry for entry in detector.record.maps if _has_passed(entry, candidates)]
    passed.sort(key=lambda entry: -entry["sureness"])
    return [
        replace(
            Candidate(entry["method"], entry["layer"]).build(detector, precision),
            checked=describe_passed(entry["checks"]),
        )
        for entry in passed[:MOST_SHOWN]
    ]


def _has_passed(entry: Any, candidates: Sequence[Candidate]) -> bool:
    """Say whether a file's entry is what this suite writes of a map that passed."""
    return (
        isinstance(entry, dict)
        and (entry.get("method"), entry.get("layer")) in candidates
        and entry.get("passed") is True
        and isinstance(entry.get("sureness"), float)
        and isinstance(entry.get("checks"), dict)
    )


def describe_check(record: CheckpointRecord, candidate: Candidate) -> str:
    """Say what a record, which is not trusted, knows of a kind of map; '' for nothing.

    It has failed a check, or has passed those that were made.
    """
    for entry in filter(_is_dict, record.maps or ()):
        if (entry.get("method"), entry.get("layer")) == candidate:
            checks = entry.get("checks")
            found = checks if _is_dict(checks) else {}
            made = {n: found[n] for n in CHECKS if _is_dict(found.get(n))}
            if made and all(type(of.get("passed")) is bool for of in made.values()):
                return _describe_outcome(made)
    return ""


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _describe_outcome(checks: Mapping[str, Any]) -> str:
    """Say which check was failed first, or that those that were made were passed."""
    failed = [name for name, check in checks.items() if not check["passed"]]
    return f"failed: {failed[0]}" if failed else describe_passed(checks)


def describe_passed(checks: Mapping[str, Any]) -> str:
    """Say which checks were passed, by those that were made."""
    return f"passed: {', '.join(name for name in CHECKS if name in checks)}"


def describe_checked(entries: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Say by `check_candidates` which kinds of map passed, and what others failed."""
    if entries is None:
        return [f"maps are not checked: that takes {LEAST_IMAGES} validation images"]
    lines = []
    for entry in entries:
        name = Candidate(entry["method"], entry["layer"])
        lines.append(f"checks of map {name} {_describe_outcome(entry['checks'])}")
    return lines if any(entry["passed"] for entry in entries) else [*lines, NONE_PASSED]
