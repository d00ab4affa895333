"""Pixels of pictures that were decoded and resized, in files that outlive the run."""

import hashlib
import math
import os
import shutil
import zlib
from collections.abc import Callable, Collection
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from hardware import write_beside_progress
from loading.image_files import ImageFile
from loading.preprocessing import Resize

FORMAT = 1  # another one where the same picture is read as other pixels
MOST_BYTES = 10e9  # in a folder: 50,000 images of 256 x 256
MOST_OF_FREE = 0.5  # of the space on the disk
_DECODERS = ("pillow", "pillow-heif", "pillow-jxl-plugin")
_SUM_BYTES = 4
_PAGE = 4096  # bytes, up to a multiple of which pixels are filled with zeros


class KeptPixels:
    """Pixels in a folder, a file for each picture, for whoever reads the same picture.

    The file's name is a hash of all on which the pixels depend, and its last bytes are
    a checksum of both. So processes need not agree: what another one has half written,
    or what is damaged, is not used, and the picture is read.

    The folder is made if files are to be written.

    Attributes:
        writes: whether pixels are added; `make_room` decides it.
    """

    def __init__(self, folder: Path, resize: Resize) -> None:
        self._folder, self._size = folder, resize.size
        self._num_bytes = -(-3 * resize.size**2 // _PAGE) * _PAGE + _SUM_BYTES
        self._about = (FORMAT, resize.size, resize.at_least, _list_decoders())
        self.writes = False

    def make_room(self, datasets: Collection[Dataset]) -> str:
        """Let the pixels of all pictures be written if they fit, and say so in a line.

        Each dataset has a length and `get_file(index)`.
        """
        missing = sum(map(len, datasets))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            sizes = {e.name: e.stat().st_size for e in os.scandir(self._folder)}
            if missing * self._num_bytes <= MOST_BYTES:
                files = (d.get_file(i) for d in datasets for i in range(len(d)))
                missing = sum(self._hash(file) not in sizes for file in files)
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            return f"note: pixels are not kept: {error}"
        needed, used = missing * self._num_bytes, sum(sizes.values())
        self.writes = needed <= min(MOST_BYTES - used, MOST_OF_FREE * free)
        if self.writes:
            return f"pixels are kept in {self._folder}: {needed / 1e6:.0f} MB to come"
        return (
            f"note: no more pixels are kept: {needed / 1e6:.0f} MB of them beside "
            f"{used / 1e6:.0f} MB in {self._folder} are more than half of what is free "
            f"({free / 1e6:.0f} MB), or than {MOST_BYTES / 1e6:.0f} MB in all; delete "
            "the folder, or choose another --features-dir"
        )

    def read(self, file: ImageFile, decode: Callable[[ImageFile], Tensor]) -> Tensor:
        """Return a picture's pixels, uint8 (3, S, S): those kept, or from `decode`."""
        try:
            name = self._hash(file)
        except OSError:  # of which `decode` says more
            return decode(file)
        pixels = self._load(name)
        if pixels is None:
            pixels = decode(file)
            if self.writes:
                self._save(name, pixels)
        return pixels

    def _hash(self, file: ImageFile) -> str:
        """Return the name of the file with a picture's pixels."""
        about = (str(Path(file.name).absolute()), file.identify(), self._about)
        return hashlib.sha256(repr(about).encode()).hexdigest()[:32]

    def _load(self, name: str) -> Tensor | None:
        """Return the pixels in a file; None where it is missing or not whole."""
        content = np.empty(self._num_bytes, np.uint8)
        try:
            with (self._folder / name).open("rb", buffering=0) as file:
                is_whole = file.readinto(content) == len(content) and not file.read(1)
        except OSError:
            return None
        if not is_whole or _sum(name, content) != content[-_SUM_BYTES:].tobytes():
            return None
        shape = (self._size, self._size, 3)
        pixels = content[: math.prod(shape)].reshape(shape)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _save(self, name: str, pixels: Tensor) -> None:
        """Write a file; where that fails, say so and write no more."""
        content = np.zeros(self._num_bytes, np.uint8)
        content[: pixels.nbytes] = pixels.permute(1, 2, 0).flatten()
        content[-_SUM_BYTES:] = bytearray(_sum(name, content))
        path = self._folder / name
        try:
            path.write_bytes(content)
        except OSError as error:
            self.writes = False
            with suppress(OSError):
                path.unlink()
            worker = get_worker_info()
            if worker is None or not worker.id:
                write_beside_progress(f"note: no more pixels are kept: {error}")


def _sum(name: str, content: np.ndarray) -> bytes:
    """Return a checksum of a file's name and of the sum of each page of its pixels.

    It takes a quarter of the time that one of all bytes does, 0.01 ms at 256 pixels.
    """
    words = content[:-_SUM_BYTES].view(np.uint64)
    sums = words.reshape(-1, _PAGE // words.itemsize).sum(axis=1)
    return zlib.crc32(sums, zlib.crc32(name.encode())).to_bytes(_SUM_BYTES, "big")


def _list_decoders() -> list[str]:
    """Return the versions of what decodes pictures."""
    found = []
    for package in _DECODERS:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return found
