"""What a detector is told at the end of its training, by validation images.

Threshold, calibration and ratios, under the conditions that its pictures will have been
through; what these images are like; which versions of an image its verdicts survive;
and how often it errs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from faces_dataset import FacesDataset, choose_random, count_classes, list_names
from files.classes import CLASS_NAMES, FAKE, REAL
from files.tensors import to_tensors
from hardware import Compute, show_progress
from judging.base import decide
from judging.detector import Detector
from judging.guarding.fitting import LEAST_IMAGES, fit_guard
from judging.guarding.guard import Guard
from judging.guarding.stability import (
    VERSIONS,
    choose_versions,
    is_flipped,
    make_versions,
)
from loading import BatchLoader
from loading.augmentation import UNCHANGED, Augmentation
from loading.disturbances import AS_IT_IS, Condition, parse_conditions
from loading.disturbed_faces import DisturbedFaces
from loading.image_files import use_image
from metrics import choose_operating_point
from metrics.calibration import count_neighbours
from metrics.error_rates import compute_proportion_interval
from metrics.operating_point import (
    OperatingPoint,
    choose_threshold,
    count_allowed_false_positives,
    describe_policy,
)
from records.checkpoint import CheckpointRecord, ErrorCounts
from records.recipe import Recipe
from scores.groups import choose_groups, find_groups

NO_GUARD = (
    "pictures unlike the calibration images will not be recognised: that takes "
    f"at least {LEAST_IMAGES} training and {LEAST_IMAGES} validation images"
)
MOST_TIMES = 2  # the promised false alarms, in a condition in which verdicts are given
MOST_KEPT = 5000  # real images whose scores are stored
MOST_HELD = 1000  # validation images that say how far others may be from them
LEAST_GROUPS = 10  # of validation in each class, that stand for persons in videos
MOST_FITTED = 3200  # training images that say what pictures are like
LEAST_TOLD = 0.25  # of a condition's images, on which there is a verdict


def augment_validation(recipe: Recipe) -> Augmentation:
    """Return how validation images are changed: into self-blends alone."""
    landmarks = recipe.face_landmarks
    return Augmentation("none", recipe.self_blend, face_landmarks=landmarks)


def split_calibration(
    recipe: Recipe, validation: FacesDataset
) -> tuple[FacesDataset, FacesDataset]:
    """Return the images that choose the epoch, and those that choose all else.

    Without `calibration_share` all are both.

    Raises:
        ValueError: the pattern finds no group, a part lacks a class, or there are too
            few real images for the confidence asked for.
    """
    choosing = calibrating = validation
    if recipe.calibration_share:
        groups = find_groups(validation, recipe.group_by) or list_names(validation)
        chosen = choose_groups(groups, recipe.calibration_share, recipe.seed)
        others = sorted(set(range(len(validation))).difference(chosen))
        choosing, calibrating = validation.drop(chosen), validation.drop(others)
    if recipe.fpr_confidence is not None:
        num_real = count_classes(calibrating)[CLASS_NAMES[REAL]]
        count_allowed_false_positives(num_real, recipe.max_fpr, recipe.fpr_confidence)
    return choosing, calibrating


@dataclass(frozen=True)
class Policy:
    """How an operating point is chosen.

    Attributes:
        conditions: under which validation images are seen; the first one is as they
            are.
        max_fpr, fpr_confidence, max_fnr: as for `choose_operating_point`.
        seed: of what is drawn in the conditions.
        augmentation: what makes fakes of validation's real images.
        group_by: how groups are read from names, as `groups_from_names` has it.
    """

    conditions: tuple[Condition, ...] = (AS_IT_IS,)
    max_fpr: float | None = None
    fpr_confidence: float | None = None
    max_fnr: float | None = None
    seed: int = 0
    augmentation: Augmentation = UNCHANGED
    group_by: str | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> "Policy":
        """Return how a recipe chooses.

        Raises:
            ValueError: there is no such condition, or it needs a package that is not
                installed.
        """
        conditions = parse_conditions(recipe.calibrate_under or ())
        return cls(
            conditions,
            max_fpr=recipe.max_fpr,
            fpr_confidence=recipe.fpr_confidence,
            max_fnr=recipe.max_fnr,
            seed=recipe.seed,
            augmentation=augment_validation(recipe),
            group_by=recipe.group_by,
        )

    def choose(self, logits: np.ndarray, labels: np.ndarray) -> OperatingPoint:
        """Choose by logits (N, C, 2) of N images under C conditions."""
        num_views = logits.shape[1]
        return choose_operating_point(
            logits.reshape(-1, 2),
            labels.repeat(num_views),
            self.max_fpr,
            fpr_confidence=self.fpr_confidence,
            max_fnr=self.max_fnr,
            num_views=num_views,
        )

    def calibrate(self, logits: ArrayLike, labels: ArrayLike) -> dict[str, Any]:
        """Choose by logits (N, 2) of images as they are; return a record's entries."""
        logits, labels = np.asarray(logits), np.asarray(labels)
        return self.choose(logits[:, None], labels).to_entries()

    def disturb(self, images: FacesDataset, *, once: bool = False) -> DisturbedFaces:
        """Return images under all conditions, or under one after another."""
        options = self.conditions, self.seed, self.augmentation
        return DisturbedFaces(images, *options, once=once)


@dataclass(frozen=True)
class ValScores:
    """What a detector makes of N images under C conditions.

    Attributes:
        logits: float32 (N, C, 2).
        labels: int64 (N,).
        numbers: by kind (n, C, F), of at most `MOST_HELD` of them, as `fit_guard` takes
            them.
        version_logits: float32 (N, V, 2), of the versions of the images as they are.
    """

    logits: np.ndarray
    labels: np.ndarray
    numbers: Mapping[str, np.ndarray]
    version_logits: np.ndarray


def qualify(
    detector: Detector,
    datasets: Mapping[str, FacesDataset],
    policy: Policy,
    compute: Compute,
) -> CheckpointRecord:
    """Return a detector's record, with what its scores mean by validation images.

    Args:
        detector: as its training left it.
        datasets: `val`, on which everything is chosen; `train`, whose images say what
            its pictures are like; `test`, which chooses nothing, and says how many
            images with a score were fake.

    Raises:
        ValueError: an image cannot be read, or has no finite score; or there are too
            few for the policy.
    """
    val = see(detector, datasets["val"], policy, compute)
    point, entries = choose_entries(val, policy)
    guard = _fit_guard(detector, datasets, val, policy, compute)
    if guard is None:
        entries["calibration_notes"] = [*entries["calibration_notes"], NO_GUARD]
    record = replace(
        detector.record,
        **entries,
        track_calibration=calibrate_tracks(val, datasets["val"], policy),
        guard=to_tensors(guard.to_dict()) if guard else {},
        stable_versions=_choose_versions(val, point),
    )
    scored = replace(detector, record=record).score(datasets["test"], compute)
    rows = count_neighbours(scored.fake_scores, scored.labels)
    return replace(
        record, reliability=[list(row) for row in rows], reliability_split="test"
    )


def choose_entries(
    val: ValScores, policy: Policy
) -> tuple[OperatingPoint, dict[str, Any]]:
    """Return an operating point, and all that a record says of it, by names."""
    kept, point = choose_conditions(val, policy)
    names = list(map(str, policy.conditions))
    most = find_most_false_alarms(val, point, policy)
    zones = choose_zones(val, point, kept, most)
    ends = [zones.get(n, point.zone) for n in range(len(names))]
    errors = map(list, count_errors(val, point, ends))
    return point, {
        **point.to_entries(),
        "errors": dict(zip(names, errors, strict=True)),
        "most_false_alarms": most,
        "zones": {names[number]: list(zone) for number, zone in zones.items()},
        "kept_conditions": [names[number] for number in kept],
        "real_differences": list_real_differences(val, kept),
    }


def calibrate_tracks(
    val: ValScores, images: FacesDataset, policy: Policy
) -> dict[str, Any]:
    """Choose the same for persons in videos, by the mean logits of validation's groups.

    Of a group that holds real and fake images, such as a video and its forgery, each
    class is one of its own.

    Returns:
        What differs in the record for them; nothing where there are no groups of
        several images, or too few for the policy.
    """
    try:
        groups = find_groups(images, policy.group_by)
        tracks = None if groups is None else _pool(val, groups)
        if tracks is None:
            return {}
        _, entries = choose_entries(tracks, policy)
    except ValueError:  # no name has a group, or there are too few for the promise
        return {}
    del entries["reliability"], entries["calibration_notes"]
    words = describe_policy(policy.max_fpr, policy.fpr_confidence, policy.max_fnr)
    entries["threshold_policy"] = f"{words} on {len(tracks.labels)} validation groups"
    return {name: value for name, value in entries.items() if value is not None}


def _pool(val: ValScores, groups: Sequence[str]) -> ValScores | None:
    """Return groups as images are; None where they are too few, or single images."""
    keys = [f"{label} {name}" for label, name in zip(val.labels, groups, strict=True)]
    _, first, index, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    labels = val.labels[first]
    if counts.max() == 1 or np.bincount(labels, minlength=2).min() < LEAST_GROUPS:
        return None
    order, ends = np.argsort(index, kind="stable"), np.cumsum(counts)[:-1]
    means = [part.mean(axis=0) for part in np.split(val.logits[order], ends)]
    return replace(val, logits=np.stack(means), labels=labels)


def see(
    detector: Detector, images: FacesDataset, policy: Policy, compute: Compute
) -> ValScores:
    """Show a detector images under all conditions, behind a progress bar."""
    conditions = policy.conditions
    disturbed = policy.disturb(images)
    logits, numbers, versions, number = [], [], [], 0
    step = max(1, -(-len(images) // MOST_HELD))  # every so many images are held
    for samples in _load(disturbed, f"calibrate {detector.title}", compute):
        scored, measured = detector.examine(samples, compute.precision)
        logits.append(scored.logits)
        places = np.arange(number, number + len(samples))
        is_held = places // len(conditions) % step == 0
        numbers.append({k: v[is_held].astype(np.float32) for k, v in measured.items()})
        as_they_are = places % len(conditions) == 0
        number += len(samples)
        if as_they_are.any():
            whole = samples[as_they_are]
            versions.append(_score_versions(detector, whole, compute))
    shape = (len(images), len(conditions), -1)
    found = np.concatenate(logits)
    if not np.isfinite(found).all():
        broken = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise ValueError(
            f"the network gives no finite score to {disturbed.get_name(broken)}: its "
            "weights are of no use"
        )
    return ValScores(
        found.reshape(shape),
        images.get_labels(),
        {
            kind: v.reshape(-1, len(conditions), v.shape[1])
            for kind, v in _join(numbers).items()
        },
        np.concatenate(versions),
    )


def _load(images: DisturbedFaces, title: str, compute: Compute) -> Iterator[np.ndarray]:
    """Yield batches of samples, uint8 (n, S, S, 3), behind a progress bar."""
    batches = BatchLoader(
        images, compute.batch_size, device="cpu", workers=compute.workers, alone=True
    )
    for samples, _ in show_progress(batches, title):
        yield samples.permute(0, 2, 3, 1).contiguous().numpy()


def _join(numbers: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {kind: np.concatenate([n[kind] for n in numbers]) for kind in numbers[0]}


def _fit_guard(
    detector: Detector,
    datasets: Mapping[str, FacesDataset],
    val: ValScores,
    policy: Policy,
    compute: Compute,
) -> Guard | None:
    """Learn what the detector's images are like, of some for training."""
    train = datasets["train"]
    chosen = np.concatenate(choose_random(train, MOST_FITTED // 2, policy.seed))
    if min(len(chosen), len(val.labels)) < LEAST_IMAGES:
        return None
    others = np.setdiff1d(np.arange(len(train)), chosen)
    some = policy.disturb(train.drop(others.tolist()), once=True)
    batches = _load(some, f"learn what images of {detector.title} are like", compute)
    numbers = _join([detector.examine(s, compute.precision)[1] for s in batches])
    num_conditions = len(policy.conditions)
    return fit_guard(
        numbers,
        np.arange(len(some)) % num_conditions,
        val.numbers,
        list(map(str, policy.conditions)),
        find_least_side(datasets["val"]),
    )


def _score_versions(
    detector: Detector, samples: np.ndarray, compute: Compute
) -> np.ndarray:
    """Return the logits (n, V, 2) of all versions of samples."""
    versions = make_versions(samples, list(VERSIONS)).reshape(-1, *samples.shape[1:])
    scored = [
        detector.score_samples(versions[n : n + compute.batch_size], compute.precision)
        for n in range(0, len(versions), compute.batch_size)
    ]
    logits = np.concatenate([of.logits for of in scored])
    return logits.reshape(len(samples), len(VERSIONS), 2)


def choose_conditions(
    val: ValScores, policy: Policy
) -> tuple[list[int], OperatingPoint]:
    """Choose an operating point for as many conditions as keep its promise.

    While the false alarms in some condition are more than twice those that are allowed,
    the worst condition is left out, and the point is chosen anew. The images as they
    are stay: if they have too many, the condition with the fewest goes, which pulls the
    threshold down.

    Return the numbers of the conditions that are kept, and the operating point.
    """
    kept = list(range(len(policy.conditions)))
    while True:
        point = policy.choose(val.logits[:, kept], val.labels)
        errors = count_errors(val, point, [point.zone] * len(policy.conditions))
        alarms = [row.num_alarms / row.num_real for row in errors]
        allowed = MOST_TIMES * find_most_false_alarms(val, point, policy)
        others = [number for number in kept if number]
        if not others or max(alarms[number] for number in kept) <= allowed:
            return kept, point
        choose = min if alarms[0] > allowed else max
        kept.remove(choose(others, key=lambda number: alarms[number]))


def find_most_false_alarms(
    val: ValScores, point: OperatingPoint, policy: Policy
) -> float:
    """Return the share of real images that may be called fake.

    Where no share was asked for it is the upper end of a one-sided 95 % interval of
    that on validation, which also chose the epoch and the threshold.
    """
    if policy.max_fpr is not None:
        return max(policy.max_fpr, 1 / int((val.labels == REAL).sum()))
    home = count_errors(val, point, [point.zone])[0]
    return compute_proportion_interval(home.num_alarms, home.num_real, 0.9)[1]


def choose_zones(
    val: ValScores, point: OperatingPoint, kept: Sequence[int], most: float
) -> dict[int, tuple[float, float]]:
    """Choose bounds of its own for each condition in which the point fails.

    Args:
        kept: the numbers of the conditions in which it keeps it.
        most: share of the real images that may be called fake.

    Returns:
        By a condition's number, P(fake) below which an image is called real, and at or
        above which it is called fake: at most `most` of the real images then are, and
        of the fakes at most twice the share called real that is when they are as they
        are. A condition in which that leaves a verdict on too few images is left out.
    """
    zones = {}
    home = count_errors(val, point, [point.zone])[0]
    most_missed = MOST_TIMES * max(home.num_misses, 1) / home.num_fake
    for number in range(val.logits.shape[1]):
        if number in kept:
            continue
        scores = point.compute_fake_scores(val.logits[:, number])
        threshold = max(point.threshold, choose_threshold(scores, val.labels, most))
        missed = choose_threshold(1 - scores, 1 - val.labels, min(most_missed, 0.99))
        real_below = min(threshold, 1 - missed)
        is_told = (scores < real_below) | (scores >= threshold)
        if is_told.mean() >= LEAST_TOLD:
            zones[number] = max(0.0, real_below), threshold
    return zones


def count_errors(
    val: ValScores, point: OperatingPoint, zones: Sequence[tuple[float, float]]
) -> list[ErrorCounts]:
    """Count the errors in each condition, by its zone as `choose_zones` returns it."""
    is_real, is_fake = val.labels == REAL, val.labels == FAKE
    rows = []
    for number, (real_below, threshold) in enumerate(zones):
        scores = point.compute_fake_scores(val.logits[:, number])
        is_called_fake, is_called_real = scores >= threshold, scores < real_below
        kinds = is_real, is_real & is_called_fake, is_fake, is_fake & is_called_real
        rows.append(ErrorCounts(*(int(kind.sum()) for kind in kinds)))
    return rows


def _choose_versions(val: ValScores, point: OperatingPoint) -> list[str]:
    """Return the names of the versions that the detector's verdicts survive."""
    before = decide(point.compute_fake_scores(val.logits[:, 0]), *point.zone)
    after = decide(point.compute_fake_scores(val.version_logits), *point.zone)
    names = list(VERSIONS)
    chosen = choose_versions(is_flipped(before[:, None], after))
    return [names[number] for number in chosen]


def list_real_differences(val: ValScores, kept: Sequence[int]) -> list[float]:
    """Return how high real images score at their highest in the kept conditions.

    A face among others has been through one of them, nobody knows which. These are
    differences of logits, sorted; at most `MOST_KEPT`, evenly chosen.
    """
    logits = val.logits[val.labels == REAL][:, kept].astype(np.float64)
    ordered = np.sort((logits[..., 1] - logits[..., 0]).max(axis=1))
    places = np.linspace(0, len(ordered) - 1, min(MOST_KEPT, len(ordered)))
    return ordered[np.rint(places).astype(int)].tolist()


def find_least_side(images: FacesDataset) -> int:
    """Return the shorter side of the smallest image, pixels."""
    files = [images.get_file(index) for index in range(len(images))]
    return min(min(use_image(file, lambda image: image.size)) for file in files)
