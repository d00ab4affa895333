"""The images that can be explained, judged by a detector, the most telling first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from explaining.explanation import UNKNOWN, Explanation, Method
from faces_dataset import FacesDataset
from files.classes import CLASS_NAMES, FAKE, REAL
from hardware import Compute
from judging.detector import Detector
from loading import (
    BatchLoader,
    ImageFile,
    Preprocessing,
    ResizeToTensor,
    naming,
    read_image,
    read_samples,
)

# From the keywords `index` and `target_class` to the explanation of an image.
ExplainFunction = Callable[..., Explanation]


class GivenPictures(Dataset):
    """The user's pictures as a dataset whose true classes are not known.

    Each sample is uint8 (3, S, S), as a split's are.
    """

    reads_in_threads = True
    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    def __init__(
        self, files: Sequence[ImageFile], preprocessing: Preprocessing | None
    ) -> None:
        self.files = files
        self.transform = ResizeToTensor(preprocessing)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with naming(self.files[index]) as file:
            image = read_image(file, at_least=self.transform.at_least)
            return self.transform(image), UNKNOWN

    def get_name(self, index: int) -> str:
        """Return the name of the picture at `index`."""
        return self.files[index].name


def load_batches(images: Dataset, detector: Detector, compute: Compute) -> BatchLoader:
    """Return images in batches as the detector expects them, in order."""
    return BatchLoader(
        images,
        compute.batch_size,
        detector.preprocessing,
        device=compute.device,
        workers=compute.workers,
    )


@dataclass(frozen=True)
class JudgedImages:
    """Images that can be explained, and what a detector says of them.

    Attributes:
        images: samples uint8 (3, S, S).
        labels: int (N,), the true classes, or `UNKNOWN`.
        fake_scores: float64 (N,), P(fake).
        verdicts: int (N,), what the images are called at the detector's threshold.
        target: whose scores the maps explain: true, predicted, real or fake.
        source: the images' dataset and split by name, if any.
    """

    images: FacesDataset | GivenPictures
    detector: Detector
    compute: Compute
    labels: np.ndarray
    fake_scores: np.ndarray
    verdicts: np.ndarray
    target: str
    source: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def targets(self) -> np.ndarray:
        """The class that each image's map explains, int (N,)."""
        if self.target in CLASS_NAMES:
            return np.full_like(self.labels, CLASS_NAMES.index(self.target))
        return self.labels if self.target == "true" else self.verdicts

    @property
    def target_name(self) -> str:
        """Whose scores the maps explain, in titles."""
        is_fixed = self.target in CLASS_NAMES
        return f"'{self.target}'" if is_fixed else f"the {self.target} class"

    def get_details(self, method: Method) -> dict[str, object]:
        """Return what titles, and the JSON beside every figure, say of its maps."""
        return {
            **self.source,
            "model": self.detector.title,
            "checkpoint": str(self.detector.path),
            "precision": self.compute.precision.name,
            "threshold": self.detector.threshold,
            "class": self.target,
            **method.settings,
            "checked": method.checked or None,
        }

    def rate_as(self, label: int) -> np.ndarray:
        """Return scores (N,), higher for more of the class `label`."""
        return self.fake_scores if label == FAKE else -self.fake_scores

    def explain(self, compute: ExplainFunction, index: int) -> Explanation:
        """Let `compute` explain the image at `index`, and add what is known of it."""
        return replace(
            compute(index=index, target_class=int(self.targets[index])),
            name=self.images.get_name(index),
            verdict=int(self.verdicts[index]),
            fake_score=float(self.fake_scores[index]),
        )


def judge_images(
    images: FacesDataset | GivenPictures,
    detector: Detector,
    compute: Compute,
    *,
    target: str | None = None,
    source: Mapping[str, str] | None = None,
) -> JudgedImages:
    """Score the images of a split, or the user's, at the detector's threshold.

    Args: as `JudgedImages` has them; `target` is by default the true class where it is
        known, else the predicted one.

    Raises:
        ValueError: an image cannot be read, or has no finite score.
    """
    _, fake_scores, labels = detector.score(images, compute)
    verdicts = np.where(fake_scores >= detector.threshold, FAKE, REAL)
    target = target or ("predicted" if UNKNOWN in labels else "true")
    judged = labels, fake_scores, verdicts
    return JudgedImages(images, detector, compute, *judged, target, source or {})


class Group(NamedTuple):
    """Images of one class, put forward for a reason, the most telling first."""

    reason: str
    label: int
    indices: np.ndarray  # int (n,)


def rank_telling(judged: JudgedImages) -> list[Group]:
    """Rank each class's errors, its hits, and all of it by how typical it is.

    Hits begin with the surest; typical is what scores near the class's median.
    """
    groups = []
    for label, name in enumerate(CLASS_NAMES):
        of_class = judged.labels == label
        is_hit = of_class & (judged.verdicts == label)
        hits = _sort(is_hit, -judged.rate_as(label))
        distances = np.abs(judged.fake_scores - np.median(judged.fake_scores[of_class]))
        typical = _sort(of_class, distances)
        groups += [
            rank_errors(judged, label),
            Group(f"{name} called {name}, surest hits", label, hits),
            Group(f"{name}, typical (nearest the median score)", label, typical),
        ]
    return groups


def rank_errors(judged: JudgedImages, label: int) -> Group:
    """Rank the errors on a class, the score furthest on the wrong side first."""
    is_error = (judged.labels == label) & (judged.verdicts != label)
    name, other = CLASS_NAMES[label], CLASS_NAMES[1 - label]
    worst_first = _sort(is_error, judged.rate_as(label))
    return Group(f"{name} called {other}, worst errors", label, worst_first)


def rank_random(judged: JudgedImages, seed: int) -> list[Group]:
    """Put each class into a random order."""
    order = np.random.default_rng(seed).permutation(len(judged.labels))
    return [
        Group(f"{name}, random", label, order[judged.labels[order] == label])
        for label, name in enumerate(CLASS_NAMES)
    ]


def _sort(is_chosen: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the indices that are chosen, the least key first."""
    indices = np.flatnonzero(is_chosen)
    return indices[np.argsort(keys[indices], kind="stable")]
