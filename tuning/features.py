"""Features of a dataset's images in a file that outlives the run."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from faces_dataset import FacesDataset
from files.atomic import name_temporary, save_json
from files.names import shorten

FORMAT = 1


class KeptFeatures:
    """Features of N images, mapped from a file: a million need no memory.

    A row is written whole before it counts as done, so that a run that is killed goes
    on where it was. Several processes can fill one file, if one of them makes it; of
    runs that make it at once, the file of the last one stays.

    Args:
        folder: of such files.
        about: plain values on which the features depend; others have another file.
        shape: N and the number of features F.

    Raises:
        OSError: the file cannot be written, or the disk is full.

    Attributes:
        path: of the file.
        rows: float32 (N, F).
        done: float32 (N,), 1 where the row was computed.
    """

    def __init__(
        self, folder: Path, about: Mapping[str, Any], shape: tuple[int, int]
    ) -> None:
        about = {"format": FORMAT, **about}
        content = json.dumps(about, sort_keys=True).encode()
        self.path = folder / f"{hashlib.sha256(content).hexdigest()[:24]}.npy"
        num, width = shape
        table = _open(self.path, (num, width + 1))
        if table is None:
            folder.mkdir(parents=True, exist_ok=True)
            save_json(about, self.path.with_suffix(".json"))
            table = _create(self.path, (num, width + 1))
        self.rows, self.done = table[:, :width], table[:, width]

    def put(self, indices: np.ndarray, rows: np.ndarray) -> None:
        """Keep the features, float32 (n, F), of the images at `indices`, int64 (n,)."""
        self.rows[indices] = rows
        self.done[indices] = 1

    @property
    def is_whole(self) -> bool:
        """Whether all rows are there."""
        return bool(self.done.all())


def _open(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Map a file that is there and what it should be."""
    try:
        table = np.load(path, mmap_mode="r+", allow_pickle=False)
    except (OSError, ValueError, EOFError):  # missing or damaged
        return None
    is_right = table.shape == shape and table.dtype == np.float32
    return table if is_right else None


def _create(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Make a file of zeros, and map it; all of its room on the disk is taken now."""
    temporary = name_temporary(path)
    try:
        table = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        del table  # Windows renames no file that is open
        with temporary.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk would kill later on
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r+", allow_pickle=False)


def hash_files(dataset: FacesDataset) -> str:
    """Return a hash of the images' names, sizes and times of change, in order."""
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        digest.update(os.fsencode(shorten(dataset.get_name(index))) + b"\0")
        digest.update(dataset.get_file(index).identify().encode())
    return digest.hexdigest()
