"""From image files to a detector's verdicts; unreadable files do not stop the rest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from faces_dataset import CLASS_NAMES, FAKE, REAL, ResizeToTensor
from image_names import list_images
from image_reading import read_image
from precision import Precision
from threads import read_samples
from utils import Detector, get_soft_scores_and_true_labels


@dataclass(frozen=True)
class Verdict:
    """What a detector says of an image.

    Attributes:
        path: the image.
        name: real or fake.
        fake_score: P(fake).
    """

    path: Path
    name: str
    fake_score: float


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that could not be judged, and why, in a sentence."""

    path: Path
    reason: str


def find_images(paths: Sequence[Path]) -> tuple[list[Path], list[Unreadable]]:
    """Replace folders by the images that are directly in them, sorted by name.

    Returns:
        The image files, in the order given, and the folders that hold none.
    """
    files, empty = [], []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        try:
            names, _ = list_images(path)
        except OSError as error:
            empty.append(Unreadable(path, f"cannot list {path}: {error.strerror}"))
            continue
        files += [path / name for name in names]
        if not names:
            empty.append(Unreadable(path, f"there is no image in the folder {path}"))
    return files, empty


def judge_images(
    paths: Sequence[Path],
    detector: Detector,
    *,
    batch_size: int = 32,
    precision: Precision | None = None,
    workers: int = 0,
) -> Iterator[Verdict | Unreadable]:
    """Judge image files in batches, as `utils.get_soft_scores_and_true_labels` does.

    Args:
        paths: image files.
        detector: as `utils.load_checkpoint` returns it.
        batch_size: images in a batch.
        precision: arithmetic of the model; default as suits its device.
        workers: processes that read images.

    Yields:
        For each path a verdict or why there is none, batch by batch in the order of
        `paths`; a batch's unreadable images come first.
    """
    remaining = iter(paths)
    files = ImageFiles(paths, detector.model.preprocessing.size)
    for samples in _read_in_batches(files, batch_size, workers):
        readable: list[tuple[Path, Tensor]] = []
        for sample, path in zip(samples, remaining, strict=False):
            if isinstance(sample, str):
                yield Unreadable(path, sample)
            else:
                readable.append((path, sample))
        yield from _judge_batch(readable, detector, precision)


class ImageFiles(Dataset):
    """Image files as uint8 tensors (3, size, size), or as a sentence on what is wrong.

    Args:
        paths: the files.
        size: height and width of the tensors.
    """

    reads_in_threads = True

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        self.paths = paths
        self.transform = ResizeToTensor(size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            return self.transform(read_image(self.paths[index]))
        except ValueError as error:
            return str(error)


def _read_in_batches(
    files: ImageFiles, batch_size: int, workers: int
) -> Iterator[list[Tensor | str]]:
    """Read files in order: each by the next free process, or here, in threads."""
    if workers:
        samples = iter(DataLoader(files, batch_size=None, num_workers=workers))
        while batch := list(itertools.islice(samples, batch_size)):
            yield batch
        return
    for start in range(0, len(files), batch_size):
        indices = range(start, min(start + batch_size, len(files)))
        yield read_samples(files, indices)


def _judge_batch(
    batch: Sequence[tuple[Path, Tensor]],
    detector: Detector,
    precision: Precision | None,
) -> Iterator[Verdict]:
    """Judge images that could be read."""
    if not batch:
        return
    samples = [(sample, REAL) for _, sample in batch]  # the labels are not looked at
    _, fake_scores, _ = get_soft_scores_and_true_labels(
        samples, detector.model, batch_size=len(batch), precision=precision
    )
    for (path, _), score in zip(batch, fake_scores.tolist(), strict=True):
        label = FAKE if score >= detector.threshold else REAL
        yield Verdict(path, CLASS_NAMES[label], score)
