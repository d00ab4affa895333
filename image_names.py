"""List a folder's images, and hold a million names in little memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from image_reading import get_extensions


def list_images(folder: Path) -> tuple[list[str], int]:
    """List a folder's images by their names, without opening them.

    Returns:
        The sorted names of the entries whose extension is of a format that Pillow
        reads, and how many entries were passed over: hidden ones and others.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    extensions = get_extensions()
    names, num_skipped = [], 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                extension = name[name.rfind(".") :].lower()
                if name[0] != "." and "." in name and extension in extensions:
                    names.append(name)
                else:
                    num_skipped += 1
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"there is no folder {folder}; a dataset holds train, val and test, each "
            "with the folders real and fake (make_demo_datasets.py makes an example)"
        ) from error
    names.sort()
    return names, num_skipped


class CompactNames(Sequence[str]):
    """A read-only list of file names in two arrays rather than a million objects.

    Worker processes that are forked read it without copying it: no reference counts
    are touched.
    """

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        self._ends = np.cumsum(lengths)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        start = self._ends[position - 1] if position else 0
        return os.fsdecode(self._bytes[start : self._ends[position]].tobytes())

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def tobytes(self) -> bytes:
        """Return all names and where each ends, as bytes: equal names, equal bytes."""
        return self._ends.tobytes() + self._bytes.tobytes()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None

    def __repr__(self) -> str:
        ends = f", {self[0]!r} ... {self[-1]!r}" if len(self) else ""
        return f"<{len(self)} names{ends}>"
