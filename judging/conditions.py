"""What users are told of a split's images after what pictures go through."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from files.classes import NEITHER
from hardware import Compute, show_progress
from judging.detector import Detector
from judging.pictures import Batch, InputSpec, Picture, Read, collate_pictures
from judging.verdicts import Verdict, judge_batches
from loading.batches import SteadyLoader, fit_into_shared_memory
from loading.disturbed_faces import DisturbedFaces
from loading.image_files import map_in_threads


@dataclass(frozen=True)
class JudgedConditions:
    """What a detector says of N images under each of C conditions.

    Attributes:
        labels: int (N,).
        differences: float64 (C, N), fake's logit less real's.
        fake_scores: float64 (C, N), P(fake).
        verdicts: int (C, N), told to users: real, fake or `NEITHER`, inconclusive.
    """

    labels: np.ndarray
    differences: np.ndarray
    fake_scores: np.ndarray
    verdicts: np.ndarray


def judge_conditions(
    detector: Detector,
    images: DisturbedFaces,
    compute: Compute,
    *,
    stability: bool = False,
) -> JudgedConditions:
    """Judge every image under every condition as a user's pictures are judged.

    Args:
        images: N images under C conditions.
        compute: how the network runs. Processes that share the work all get all of it.
        stability: also judge harmless versions, as predict.py does.

    Raises:
        ValueError: an image cannot be read, or gets no finite score; the message names
            it.
    """
    dealt = compute.deal(len(images))
    batches = _load(images, InputSpec.of(detector), dealt, compute)
    judged = judge_batches(
        show_progress(batches, f"judge with {detector.title}"),
        [detector],
        compute.precision,
        stability=stability,
    )
    rows = np.array([_take(verdict) for _, (verdict,) in judged]).reshape(-1, 3)
    rows = compute.collect(torch.from_numpy(rows), dealt).numpy()
    columns = rows.reshape(-1, len(images.conditions), 3).T  # (3, C, N)
    return JudgedConditions(
        images.faces.get_labels(), columns[0], columns[1], columns[2].astype(int)
    )


def _take(verdict: Verdict) -> tuple[float, float, int]:
    """Return difference, P(fake), and what a user is told."""
    if verdict.error:
        raise ValueError(f"{verdict.error}: its weights are of no use")
    called = NEITHER if verdict.reasons else verdict.decision
    return verdict.difference, verdict.fake_score, called


class _Pictures(Dataset):
    """Disturbed images as they are when a user gives them to a detector."""

    def __init__(self, images: DisturbedFaces, spec: InputSpec) -> None:
        self._images = images
        self._spec = spec

    def __getitem__(self, index: int) -> Read:
        sample, size = self._images.read(index)
        seen = {self._spec: sample.permute(1, 2, 0).numpy()}
        return Picture(self._images.get_name(index), *size), seen

    def __getitems__(self, indices: Sequence[int]) -> list[Read]:
        return map_in_threads(self.__getitem__, indices)


def _load(
    images: DisturbedFaces, spec: InputSpec, dealt: Sequence[range], compute: Compute
) -> Iterable[Batch]:
    """Return what yields pictures in the batches that were dealt."""
    workers = fit_into_shared_memory(
        compute.workers, lambda: compute.batch_size * 3 * spec.size**2, compute.device
    )
    pictures = _Pictures(images, spec)
    return SteadyLoader(pictures, dealt, collate_pictures, workers=workers)
