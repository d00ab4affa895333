"""A map-style dataset of real and fake face images: a folder, a table, or a hub's."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from files.classes import CLASS_NAMES, FAKE, REAL
from files.names import format_percent
from loading import ImageFile, ResizeToTensor, read_image, read_samples
from loading.image_files import naming
from loading.kept_pixels import KeptPixels
from loading.preprocessing import MARGINS
from loading.sources.pictures import KNOWN, Pictures, join_pictures, list_folder


class FacesDataset(Dataset):
    """Real and fake face images: real ones first by index.

    Only names and what else is known of the images is held, in one block of memory, so
    that a million images cost some tens of megabytes and worker processes share them.

    Args:
        root_path: folder of one split, which holds the folders `real` and `fake`, whose
            images are sorted by name; or pictures that something else lists, a table
            (`loading.sources.tables`) or a hub (`loading.sources.hub`).
        transform: called with an upright RGB `PIL.Image`; what it returns is the
            sample. Without it the sample is the image itself.
        limit: use only the first `limit` images of each class.
        real_only: take the real images a second time, as fakes, and do without the
            fakes that are there: for a training whose fakes are blended from real
            images.

    Attributes:
        pictures: what the split consists of.
        kept: where pixels are kept that a `ResizeToTensor` made; None: they are not.

    Raises:
        FileNotFoundError: a folder is missing; the message says what there is.
        ValueError: a class has no image; likewise.
    """

    def __init__(
        self,
        root_path: str | os.PathLike[str] | Pictures,
        transform: Callable[[Image.Image], Any] | None = None,
        *,
        limit: int | None = None,
        real_only: bool = False,
    ) -> None:
        self.transform = transform
        self.kept: KeptPixels | None = None
        pictures = root_path
        if not isinstance(pictures, Pictures):
            pictures = list_folder(Path(root_path), CLASS_NAMES[: 2 - real_only])
        if real_only:
            pictures = pictures.call_real_fake()
        self.pictures = pictures.take_first(limit)
        self._refuse_empty_class()

    def __len__(self) -> int:
        return len(self.pictures)

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in count_classes(self).items())
        return f"FacesDataset({str(self.pictures)!r}: {counts})"

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return the sample at `index` and its label (0 real, 1 fake).

        Args:
            index: from 0, or from -1 backwards, as in a list.

        Raises:
            IndexError: `index` is out of range.
            ValueError: the file cannot be read as an image; the message names it.
        """
        with naming(self.get_file(index)) as file:
            sample = self.kept.read(file, self._read) if self.kept else self._read(file)
        return sample, self.get_label(index)

    def _read(self, file: ImageFile) -> Any:
        """Return a picture as a sample."""
        image = read_image(file, at_least=getattr(self.transform, "at_least", None))
        return self.transform(image) if self.transform else image

    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    @property
    def reads_in_threads(self) -> bool:
        """Whether threads may read images: `ResizeToTensor` keeps no state."""
        return isinstance(self.transform, ResizeToTensor)

    @property
    def real_image_names(self) -> list[str]:
        """The names of the real images that are in use, made anew when asked."""
        return list(self.pictures.names.take(self.pictures.labels == REAL))

    @property
    def fake_image_names(self) -> list[str]:
        """The names of the fake images that are in use, made anew when asked."""
        return list(self.pictures.names.take(self.pictures.labels == FAKE))

    def get_file(self, index: int) -> ImageFile:
        """Return the picture at `index`, from which it can be read."""
        return self.pictures.get_file(self._check(index))

    def get_name(self, index: int) -> str:
        """Return what the picture at `index` is called in its dataset."""
        return self.pictures.get_name(self._check(index))

    def get_mask(self, index: int) -> ImageFile | None:
        """Return which pixels of the fake at `index` are planted, if that is known."""
        return self.pictures.get_mask(self._check(index))

    def get_column(self, name: str) -> list[str] | None:
        """Return what is known of each picture, such as its `group` or `subset`.

        None where the dataset does not say so of any picture.
        """
        column = self.pictures.columns.get(name)
        return list(column) if column is not None and any(column) else None

    def list_others(self) -> dict[str, list[str]]:
        """Return those columns that mean nothing to this suite, by name."""
        names = [name for name in self.pictures.columns if name not in KNOWN]
        columns = {name: self.get_column(name) for name in names}
        return {name: column for name, column in columns.items() if column}

    @property
    def crop_margin(self) -> float | None:
        """The margin with which extract_faces.py cut the faces, if it did."""
        texts = set(self.get_column("margin") or ()) - {""}
        try:
            return MARGINS.parse(*texts) if len(texts) == 1 else None
        except ValueError:  # of an earlier version, or of somebody else
            return None

    def get_label(self, index: int) -> int:
        """Return the label of the image at `index`, without reading it."""
        return int(self.pictures.labels[self._check(index)])

    def _check(self, index: int) -> int:
        """Return an index, counted from 0; raise IndexError where there is none."""
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"index {index} is not in {-len(self)} ... {len(self) - 1}"
            )
        return index % len(self)

    def get_labels(self) -> np.ndarray:
        """Return all labels: int64 (N,)."""
        return self.pictures.labels.copy()

    def drop(self, indices: Sequence[int]) -> FacesDataset:
        """Return a copy without the images at `indices`.

        Raises:
            ValueError: a class has no image left.
        """
        fewer = copy.copy(self)
        fewer.pictures = self.pictures.take(np.delete(np.arange(len(self)), indices))
        fewer._refuse_empty_class()
        return fewer

    def _refuse_empty_class(self) -> None:
        """Raise ValueError if a class has no image."""
        for label in (REAL, FAKE):
            if label not in self.pictures.labels:
                raise ValueError(self.pictures.describe_lack(label))


def compute_fingerprint(datasets: Mapping[str, FacesDataset]) -> str:
    """Return a hash of all file names: others give another one."""
    digest = hashlib.sha256()
    for split, dataset in datasets.items():
        for names in (dataset.real_image_names, dataset.fake_image_names):
            digest.update(f"{split} {len(names)} ".encode())
            digest.update(b"\0".join(map(os.fsencode, names)))
        if weights := dataset.get_column("weight"):
            digest.update("\0".join(weights).encode())
    return digest.hexdigest()


def count_classes(dataset: FacesDataset) -> dict[str, int]:
    """Return the number of images of each class."""
    labels = dataset.get_labels()
    counts = np.bincount(labels, minlength=len(CLASS_NAMES)).tolist()
    return dict(zip(CLASS_NAMES, counts, strict=True))


def describe_split(split: str, dataset: FacesDataset) -> str:
    """Return a split's size and class proportion as a line."""
    num_real, num_fake = count_classes(dataset).values()
    line = (
        f"{split}: {len(dataset)} images, {num_real} real and {num_fake} fake "
        f"({format_percent(num_fake / len(dataset))} fake)"
    )
    if skipped := dataset.pictures.num_skipped:
        line = f"{line}; {skipped} other files or folders passed over"
    return "; ".join(filter(None, (line, dataset.pictures.describe_rest())))


def compute_weights(dataset: FacesDataset, mix: str = "size") -> np.ndarray | None:
    """Return how often each image is to be seen, float64 (N,), 1 on average.

    The column `weight` says so, if there is one; with the mix `equal`, each of the
    datasets that are joined is seen as often. None where all images count alike.

    Raises:
        ValueError: a weight is not a number from 0, or all are 0.
    """
    texts = dataset.get_column("weight")
    parts = dataset.pictures.places.get("dataset")
    if texts is None and (mix == "size" or parts is None):
        return None
    try:
        cells = [text.replace(",", ".") for text in texts or ["1"] * len(dataset)]
        weights = np.array([float(text or 1) for text in cells])
    except ValueError as error:
        raise ValueError(f"the column weight must hold numbers: {error}") from None
    if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ValueError(
            "the column weight must hold numbers from 0, not all of them 0"
        )
    if mix == "equal" and parts is not None:
        weights /= np.bincount(parts, weights)[parts]
    return weights * len(weights) / weights.sum()


def join(datasets: Mapping[str, FacesDataset]) -> FacesDataset:
    """Return the images of several splits of one dataset as one, real ones first."""
    whole = copy.copy(next(iter(datasets.values())))
    parts = {split: dataset.pictures for split, dataset in datasets.items()}
    whole.pictures = join_pictures(parts, of_one=True)
    return whole


def list_names(dataset: FacesDataset) -> list[str]:
    """Return the names of a dataset's images, in order."""
    return [dataset.get_name(index) for index in range(len(dataset))]


def choose_random(
    dataset: FacesDataset, num: int, seed: int | Sequence[int]
) -> list[list[int]]:
    """Choose `num` random images of each class, or all where it has fewer.

    The choice depends on the seed, and on how many images each class has. Returns for
    each label the images' indices, sorted.
    """
    generator, chosen = np.random.default_rng(seed), []
    for label in (REAL, FAKE):
        indices = np.flatnonzero(dataset.get_labels() == label)
        size = min(num, len(indices))
        chosen.append(np.sort(generator.choice(indices, size, replace=False)).tolist())
    return chosen
