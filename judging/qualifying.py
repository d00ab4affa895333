"""What a detector is told at the end of its training, by validation images.

Threshold, calibration and ratios, under the conditions that its pictures will have been
through; what these images are like; which versions of an image its verdicts bear; and
how often it errs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from faces_dataset import FacesDataset
from files.checkpoint import CheckpointRecord
from files.names import FAKE, REAL
from hardware import Compute, show_progress
from judging.detector import Detector
from judging.guard import FEATURES, fit_guard
from judging.stability import VERSIONS, choose_versions, is_flipped, make_versions
from loading import BatchLoader
from loading.disturbances import AS_IT_IS, Condition
from loading.disturbed_faces import DisturbedFaces
from loading.image_files import use_image
from metrics import choose_operating_point
from metrics.calibration import count_neighbours
from metrics.operating_point import OperatingPoint

MOST_TIMES = 2  # the promised false alarms, in a condition in which verdicts are given
MOST_KEPT = 200  # real images whose scores are stored


@dataclass(frozen=True)
class Policy:
    """How an operating point is chosen.

    Attributes:
        conditions: under which validation images are seen; the first one is as they
            are.
        max_fpr, fpr_confidence, max_fnr: as for `choose_operating_point`.
        seed: of what is drawn in the conditions.
    """

    conditions: tuple[Condition, ...] = (AS_IT_IS,)
    max_fpr: float | None = None
    fpr_confidence: float | None = None
    max_fnr: float | None = None
    seed: int = 0

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


@dataclass(frozen=True)
class Views:
    """What a detector makes of N images under C conditions.

    Attributes:
        logits: float32 (N, C, 2).
        labels: int64 (N,).
        numbers: by kind (N, C, F), as `fit_guard` takes them.
        version_logits: float32 (N, V, 2), of the versions of the images as they are.
    """

    logits: np.ndarray
    labels: np.ndarray
    numbers: Mapping[str, np.ndarray]
    version_logits: np.ndarray


def qualify(
    detector: Detector,
    validation: FacesDataset,
    test: FacesDataset,
    policy: Policy,
    compute: Compute,
) -> CheckpointRecord:
    """Measure a detector on validation images, and choose what its scores mean.

    Args:
        detector: as its training left it.
        validation: on which everything is chosen.
        test: which chooses nothing: it says how many pictures with a score were fake.
        policy: how it is chosen.
        compute: how the network runs.

    Returns:
        Its record, with what was found.

    Raises:
        ValueError: an image cannot be read, or has no finite score; or there are too
            few for the policy.
    """
    views = see(detector, validation, policy, compute)
    kept, point, errors = choose_conditions(views, policy)
    most = policy.max_fpr
    if most is None:
        most = errors[0][1] / errors[0][0]
    names = list(map(str, policy.conditions))
    guard = fit_guard(views.numbers, names, find_least_side(validation))
    record = replace(
        detector.record,
        **point.to_entries(),
        errors=dict(zip(names, errors, strict=True)),
        most_false_alarms=most,
        kept_conditions=[names[number] for number in kept],
        real_differences=_thin_out(views),
        guard=guard.to_dict() if guard else {},
    )
    qualified = replace(detector, record=record)
    record = replace(record, stable_versions=_choose_versions(qualified, views))
    qualified = replace(detector, record=record)
    scored = qualified.score(test, compute)
    rows = count_neighbours(scored.fake_scores, scored.labels)
    return replace(
        record, reliability=[list(row) for row in rows], reliability_split="test"
    )


def see(
    detector: Detector, images: FacesDataset, policy: Policy, compute: Compute
) -> Views:
    """Show a detector images under all conditions, behind a progress bar."""
    conditions = policy.conditions
    disturbed = DisturbedFaces(images, conditions, policy.seed)
    batches = BatchLoader(
        disturbed, compute.batch_size, device="cpu", workers=compute.workers
    )
    logits, numbers, versions = [], [], []
    number = 0
    for samples, _ in show_progress(batches, f"calibrate {detector.title}"):
        samples = samples.contiguous()
        logits.append(detector.score_samples(samples, compute.precision).logits)
        numbers.append(detector.measure(samples, compute.precision))
        as_they_are = np.arange(number, number + len(samples)) % len(conditions) == 0
        number += len(samples)
        if as_they_are.any():
            whole = samples[torch.from_numpy(as_they_are)]
            versions.append(_score_versions(detector, whole, compute))
    shape = (len(images), len(conditions), -1)
    found = np.concatenate(logits)
    if not np.isfinite(found).all():
        broken = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise ValueError(
            f"the network gives no finite score to {disturbed.get_name(broken)}: its "
            "weights are of no use"
        )
    return Views(
        found.reshape(shape),
        images.get_labels(),
        {k: np.concatenate([n[k] for n in numbers]).reshape(shape) for k in numbers[0]},
        np.concatenate(versions),
    )


def _score_versions(
    detector: Detector, samples: Tensor, compute: Compute
) -> np.ndarray:
    """Return the logits (n, V, 2) of all versions of samples."""
    versions = make_versions(samples, list(VERSIONS))
    scored = detector.score_samples(versions.flatten(0, 1), compute.precision)
    return scored.logits.reshape(len(samples), len(VERSIONS), 2)


def choose_conditions(
    views: Views, policy: Policy
) -> tuple[list[int], OperatingPoint, list[list[int]]]:
    """Choose an operating point for as many conditions as keep its promise.

    While the false alarms in some condition are more than twice those that are allowed,
    the worst condition is left out, and the point is chosen anew; the images as they
    are stay.

    Returns:
        The numbers of the conditions that are kept, the operating point, and for each
        condition, kept or not, its row of `CheckpointRecord.errors`.
    """
    kept = list(range(len(policy.conditions)))
    while True:
        point = policy.choose(views.logits[:, kept], views.labels)
        errors = count_errors(views, point)
        alarms = np.array([row[1] / row[0] for row in errors])
        allowed = alarms[0] if policy.max_fpr is None else policy.max_fpr
        allowed = MOST_TIMES * max(allowed, 1 / errors[0][0])
        worst = max(kept, key=lambda number: alarms[number])
        if worst == 0 or alarms[worst] <= allowed:
            return kept, point, errors
        kept.remove(worst)


def count_errors(views: Views, point: OperatingPoint) -> list[list[int]]:
    """Count, in each condition, real images, those called fake, fakes, those missed."""
    differences = views.logits[..., 1].astype(np.float64) - views.logits[..., 0]
    scores = 1 / (1 + np.exp(-(differences / point.temperature + point.bias)))
    least = point.threshold if point.real_below is None else point.real_below
    is_real, is_fake = views.labels == REAL, views.labels == FAKE
    return [
        [
            int(is_real.sum()),
            int((column[is_real] >= point.threshold).sum()),
            int(is_fake.sum()),
            int((column[is_fake] < least).sum()),
        ]
        for column in scores.T
    ]


def _choose_versions(detector: Detector, views: Views) -> list[str]:
    """Return the names of the versions that the detector's verdicts bear."""
    labels = torch.zeros(len(views.labels), dtype=torch.int64)
    as_they_are = torch.from_numpy(views.logits[:, 0])
    before = detector.decide(detector.calibrate(as_they_are, labels).fake_scores)
    flips = []
    for number in range(len(VERSIONS)):
        logits = torch.from_numpy(views.version_logits[:, number])
        after = detector.decide(detector.calibrate(logits, labels).fake_scores)
        flips.append(is_flipped(before, after))
    names = list(VERSIONS)
    return [names[number] for number in choose_versions(np.stack(flips, axis=1))]


def _thin_out(views: Views) -> list[float]:
    """Return sorted differences of real images, at most `MOST_KEPT` evenly chosen."""
    logits = views.logits[views.labels == REAL, 0].astype(np.float64)
    ordered = np.sort(logits[:, 1] - logits[:, 0])
    places = np.linspace(0, len(ordered) - 1, min(MOST_KEPT, len(ordered)))
    return ordered[np.rint(places).astype(int)].tolist()


def find_least_side(images: FacesDataset) -> int:
    """Return the shorter side of the smallest image, pixels."""
    files = [images.get_file(index) for index in range(len(images))]
    return min(min(use_image(file, lambda image: image.size)) for file in files)
