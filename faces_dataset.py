"""A map-style dataset of real and fake face images in `ROOT/{real,fake}/` folders."""

from __future__ import annotations

import copy
import csv
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from files.names import (
    CLASS_NAMES,
    FAKE,
    MASKS,
    REAL,
    SPLITS,
    name_mask,
    shorten,
)
from loading import ImageFile, ResizeToTensor, list_images, read_image, read_samples
from loading.image_files import Listing, naming
from loading.preprocessing import MARGINS

NUM_SHOWN = 5  # names of what is found in a folder, in a message
FACES_TABLE = "faces.csv"  # in a dataset that extract_faces.py made


class FacesDataset(Dataset):
    """Real and fake face images: real ones first by index, each class sorted by name.

    Only the file names are held, in one block of memory, so that a million images cost
    some tens of megabytes and worker processes share them.

    Args:
        root_path: folder of one split, which holds the folders `real` and `fake`.
        transform: called with an upright RGB `PIL.Image`; what it returns is the
            sample. Without it the sample is the image itself.
        limit: use only the first `limit` images of each class.
        real_only: take the real images a second time, as fakes, and do without the
            folder `fake`: for a training whose fakes are blended from real images.

    Attributes:
        num_skipped_files: hidden files, folders, and files that do not have an image's
            name.

    Raises:
        FileNotFoundError: a folder is missing; the message says what there is.
        ValueError: a class has no image; likewise.
    """

    def __init__(
        self,
        root_path: str | os.PathLike[str],
        transform: Callable[[Image.Image], Any] | None = None,
        *,
        limit: int | None = None,
        real_only: bool = False,
    ) -> None:
        self.root_path = Path(root_path)
        self.transform = transform
        self._folders = [CLASS_NAMES[REAL]] * 2 if real_only else CLASS_NAMES
        listed = [_list_class(self.root_path / name) for name in self._folders]
        self.num_skipped_files = sum(len(x.others) + len(x.folders) for x in listed)
        names = [listing.images[:limit] for listing in listed]
        self._labels = np.repeat([REAL, FAKE], [len(names[REAL]), len(names[FAKE])])
        encoded = [os.fsencode(name) for name in names[REAL] + names[FAKE]]
        self._names = np.array(encoded, dtype=np.bytes_)  # no name ends in a NUL
        self._refuse_empty_class()

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in count_classes(self).items())
        return f"FacesDataset({str(self.root_path)!r}: {counts})"

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return the sample at `index` and its label (0 real, 1 fake).

        Args:
            index: from 0, or from -1 backwards, as in a list.

        Raises:
            IndexError: `index` is out of range.
            ValueError: the file cannot be read as an image; the message names it.
        """
        at_least = getattr(self.transform, "at_least", None)
        with naming(self.get_file(index)) as file:
            image = read_image(file, at_least=at_least)
            sample = self.transform(image) if self.transform else image
        return sample, self.get_label(index)

    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    @property
    def reads_in_threads(self) -> bool:
        """Whether threads may read images: `ResizeToTensor` keeps no state."""
        return isinstance(self.transform, ResizeToTensor)

    @property
    def real_image_names(self) -> list[str]:
        """The file names in `real/` that are in use, sorted; made anew when asked."""
        return self._list_names(REAL)

    @property
    def fake_image_names(self) -> list[str]:
        """The file names in `fake/` that are in use, sorted; made anew when asked."""
        return self._list_names(FAKE)

    def get_file(self, index: int) -> ImageFile:
        """Return the picture at `index`: its name, from which it can be read."""
        folder = self.root_path / self._folders[self.get_label(index)]
        return ImageFile(folder / os.fsdecode(self._names[index]))

    def get_name(self, index: int) -> str:
        """Return what the picture at `index` is called: its path."""
        return self.get_file(index).name

    def get_mask(self, index: int) -> ImageFile | None:
        """Return which pixels of the fake at `index` are planted, if that is known.

        They are white in ROOT/masks/SPLIT/NAME.png beside the splits.
        """
        path = name_mask(self.get_file(index).name)
        is_there = self.get_label(index) == FAKE and path.is_file()
        return ImageFile(path) if is_there else None

    def get_label(self, index: int) -> int:
        """Return the label of the image at `index`, without reading it."""
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"index {index} is not in {-len(self)} ... {len(self) - 1}"
            )
        return int(self._labels[index])

    def get_labels(self) -> np.ndarray:
        """Return all labels: int64 (N,)."""
        return self._labels.copy()

    def drop(self, indices: Sequence[int]) -> FacesDataset:
        """Return a copy without the images at `indices`.

        Raises:
            ValueError: a class has no image left.
        """
        rest = copy.copy(self)
        rest._names = np.delete(self._names, indices)
        rest._labels = np.delete(self._labels, indices)
        rest._refuse_empty_class()
        return rest

    def _list_names(self, label: int) -> list[str]:
        """Return one class's file names."""
        return [os.fsdecode(name) for name in self._names[self._labels == label]]

    def _refuse_empty_class(self) -> None:
        """Raise ValueError if a class has no image."""
        for label in (REAL, FAKE):
            if label not in self._labels:
                folder = self.root_path / self._folders[label]
                readable = "readable " * bool(list_images(folder).images)
                raise ValueError(
                    f"no {readable}images in {folder}, which "
                    f"{describe_content(folder)}; put at least one image file "
                    "(.jpg, .png, ...) directly there"
                )


def _list_class(folder: Path) -> Listing:
    """List a class's folder; say what there is where it is missing."""
    try:
        return list_images(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        there = next(path for path in folder.absolute().parents if path.is_dir())
        raise FileNotFoundError(
            f"there is no folder {folder}; {there} {describe_content(there)}, and a "
            "dataset holds train, val and test, each with the folders real and fake "
            "(make_demo_datasets.py makes an example)"
        ) from error


def describe_content(folder: Path) -> str:
    """Say what a folder holds, as what follows its name in a sentence."""
    images, others, folders = list_images(folder)
    parts = [
        f"{len(names)} {what}{'s' * (len(names) > 1)} ({_shorten_list(names)})"
        for what, names in (("folder", folders), ("image", images), ("file", others))
        if names
    ]
    return f"holds {' and '.join(parts) or 'nothing'}"


def _shorten_list(names: Sequence[str]) -> str:
    """Return the first five names."""
    return ", ".join(names[:NUM_SHOWN]) + ", ..." * (len(names) > NUM_SHOWN)


def compute_fingerprint(datasets: Mapping[str, FacesDataset]) -> str:
    """Return a hash of all file names: others give another one."""
    digest = hashlib.sha256()
    for split, dataset in datasets.items():
        for names in (dataset.real_image_names, dataset.fake_image_names):
            digest.update(f"{split} {len(names)} ".encode())
            digest.update(b"\0".join(map(os.fsencode, names)))
    return digest.hexdigest()


def count_classes(dataset: FacesDataset) -> dict[str, int]:
    """Return the number of images of each class."""
    labels = dataset.get_labels()
    counts = np.bincount(labels, minlength=len(CLASS_NAMES)).tolist()
    return dict(zip(CLASS_NAMES, counts, strict=True))


def describe_split(split: str, dataset: FacesDataset) -> str:
    """Return a split's size and class proportion as a line."""
    counts = count_classes(dataset)
    num_real, num_fake = counts[CLASS_NAMES[REAL]], counts[CLASS_NAMES[FAKE]]
    line = (
        f"{split}: {len(dataset)} images, {num_real} real and {num_fake} fake "
        f"({100 * num_fake / len(dataset):.1f} % fake)"
    )
    if skipped := dataset.num_skipped_files:
        line = f"{line}; {skipped} other files or folders passed over"
    folders = list_images(dataset.root_path).folders
    used = {*CLASS_NAMES, *SPLITS, MASKS}
    if unused := [f for f in folders if f not in used and f[0] != "."]:
        line = f"{line}; folders that are not used: {_shorten_list(unused)}"
    return line


def join(datasets: Sequence[FacesDataset]) -> FacesDataset:
    """Return the images of several splits of one dataset as one, real ones first."""
    whole = copy.copy(datasets[0])
    names = [shorten(name) for dataset in datasets for name in list_names(dataset)]
    labels = np.concatenate([dataset.get_labels() for dataset in datasets])
    order = np.argsort(labels, kind="stable")
    whole.root_path, whole._folders = datasets[0].root_path.parent, ("", "")
    whole._names = np.array([os.fsencode(n) for n in names], dtype=np.bytes_)[order]
    whole._labels = labels[order]
    whole.num_skipped_files = sum(d.num_skipped_files for d in datasets)
    return whole


def list_names(dataset: FacesDataset) -> list[str]:
    """Return the names of a dataset's images, in order."""
    return [dataset.get_name(index) for index in range(len(dataset))]


def read_crop_margin(folder: Path) -> float | None:
    """Return the margin with which extract_faces.py cut a dataset's faces, if it did.

    Args:
        folder: of the dataset.
    """
    table = folder / FACES_TABLE
    if not table.is_file():
        return None
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        row = next(csv.DictReader(file), {})
    try:
        return MARGINS.parse(row.get("margin") or "")
    except ValueError:  # of an earlier version, or of somebody else
        return None


def choose_random(
    dataset: FacesDataset, num: int, seed: int | Sequence[int]
) -> list[list[int]]:
    """Choose random images of each class.

    Args:
        dataset: of N images.
        num: of each class, if it has so many.
        seed: the choice depends on it, and on how many images each class has.

    Returns:
        For each label the images' indices, sorted.
    """
    generator, chosen = np.random.default_rng(seed), []
    for label in range(len(CLASS_NAMES)):
        indices = np.flatnonzero(dataset.get_labels() == label)
        size = min(num, len(indices))
        chosen.append(np.sort(generator.choice(indices, size, replace=False)).tolist())
    return chosen
