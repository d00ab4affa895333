"""Pictures read for detectors, in batches, from a stream of paths."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from files.provenance import describe_file
from judging.detector import Detector
from loading import ImageFile, Preprocessing, ResizeToTensor
from loading.batches import build_data_loader, fit_into_shared_memory
from loading.face_finding import Face, crop_face, find_faces
from loading.image_files import map_in_threads, naming, read_image_and_size

ADDRESS = re.compile(r"[a-z]{2,}:/", re.IGNORECASE)  # a `Path` keeps one slash of two
# Longer side over shorter, at which a picture is plainly not a crop to a face. Crops of
# public datasets have 1 to 1.22 (CelebA), a passport's photo 1.29; cameras take 1.5
# (3:2) and 1.78 (16:9). Telephones' 4:3 cannot be told apart in this way.
LEAST_ELONGATED = 1.5
# Of faces that are found. Those that detectors are trained on are upright and whole,
# and extract_faces.py leaves smaller ones out.
LEAST_HEIGHT, MOST_TILT, MOST_BEYOND = 64, 45, 0.1  # pixels, degrees, share of the crop


class Picture(NamedTuple):
    """What is known of a picture before it is judged.

    Attributes:
        name: its path, or what it is called.
        width, height: in pixels, upright; None where it cannot be read.
        sha256: of the file; None where it is not wanted, or cannot be had.
        error: why it cannot be read, and what to do; None where it can.
        face: what of it is judged; None where all of it is.
        beyond: share of the face's crop that is beyond the picture's edge.
    """

    name: str
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    error: str | None = None
    face: Face | None = None
    beyond: float = 0.0

    @property
    def warning(self) -> str | None:
        """Why no verdict on the picture can be trusted; None where nothing says so."""
        if self.width is None or self.height is None:
            return None
        if self.face is not None:
            return "; ".join(_list_faults(self.face, self.beyond)) or None
        long, short = sorted((self.width, self.height), reverse=True)
        if long < LEAST_ELONGATED * short:
            return None
        return f"not a face crop: {self.width} x {self.height}"


def _list_faults(face: Face, beyond: float) -> Iterator[str]:
    """Yield what speaks against judging a face."""
    if face.height < LEAST_HEIGHT:
        yield f"small face: {face.height:.0f} pixels high"
    if face.landmarks and face.tilt > MOST_TILT:
        yield f"tilted face: by {face.tilt:.0f} degrees"
    if beyond > MOST_BEYOND:
        yield f"cut face: {beyond:.0%} of its crop is beyond the picture's edge"


class View(NamedTuple):
    """How a network sees a picture; networks that agree share what is read.

    Attributes:
        size: height and width, pixels.
        full_decoding: of large JPEGs.
        margin: side of a face's crop, in heights of its box.
    """

    size: int
    full_decoding: bool
    margin: float

    @classmethod
    def of(cls, detector: Detector, margin: float | None = None) -> "View":
        """Return a detector's view; with another margin where one is given."""
        known = detector.preprocessing
        return cls(known.size, known.full_decoding, margin or known.crop_margin)

    def make_transform(self) -> ResizeToTensor:
        """Return what brings an image to this size."""
        any_mean = (0.0,) * 3, (1.0,) * 3
        return ResizeToTensor(Preprocessing(*any_mean, self.size, self.full_decoding))


Samples = dict[View, Tensor]  # of a picture (3, S, S), of a batch (n, 3, S, S)
Read = tuple[Picture, Samples | None]  # None where it cannot be read


def read_picture(
    file: ImageFile, views: Iterable[View], *, hashed: bool = False
) -> Read:
    """Read a picture as a dataset's are read.

    Args:
        file: the picture.
        views: who wants to see it.
        hashed: also compute the SHA-256 of a file on the disk.
    """
    samples: Samples = {}
    picture, size = _identify(file, hashed=hashed), ()
    try:
        with naming(file):
            for view in views:
                to_tensor = view.make_transform()
                image, size = read_image_and_size(file, at_least=to_tensor.at_least)
                samples[view] = to_tensor(image)
    except ValueError as error:
        return _fail(picture, error)
    return Picture(file.name, *size, picture.sha256), samples


def read_faces(
    file: ImageFile, views: Iterable[View], *, hashed: bool = False
) -> list[Read]:
    """Read a picture, always whole, and cut its faces out of it.

    Args: as for `read_picture`.

    Returns:
        For each face, the largest first, what `read_picture` returns of a picture;
        where none is found, one that says so.
    """
    picture = _identify(file, hashed=hashed)
    try:
        with naming(file):
            image, size = read_image_and_size(file)
            found = Picture(file.name, *size, picture.sha256)
            read = [_cut_out(found, image, face, views) for face in find_faces(image)]
    except ValueError as error:
        return [_fail(picture, error)]
    return read or [_fail(found, f"no face was found in {file.name}")]


def _cut_out(
    picture: Picture, image: Image.Image, face: Face, views: Iterable[View]
) -> Read:
    """Return a picture's face as each view shows it."""
    samples = {
        view: view.make_transform()(crop_face(image, face, margin=view.margin))
        for view in views
    }
    beyond = max(face.find_share_beyond(image.size, view.margin) for view in views)
    return picture._replace(face=face, beyond=beyond), samples


def _identify(file: ImageFile, *, hashed: bool) -> Picture:
    """Return what is known of a picture before it is read."""
    sha256 = None
    with suppress(OSError):  # reading it will say why
        if hashed and Path(file.name).is_file():  # a pipe would be waited for for ever
            sha256 = describe_file(file.name)["sha256"]
    return Picture(file.name, sha256=sha256)


def _fail(picture: Picture, error: object) -> Read:
    """Return a picture with the reason why it is not judged."""
    return picture._replace(error=advise(Path(picture.name)) or str(error)), None


def advise(path: Path) -> str | None:
    """Say what to do with an address in place of an image."""
    if ADDRESS.match(str(path)):
        address = str(path).replace(":/", "://", 1)
        return f"{address} is an address: download the image first and give its path"
    return None


Batch = tuple[list[Picture], Samples]  # samples of the readable ones


def load_pictures(
    paths: Iterable[Path],
    views: Sequence[View],
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    workers: int | None = None,
    hashed: bool = False,
    with_faces: bool = False,
) -> Iterator[Batch]:
    """Read image files in batches, in order, while the paths still come.

    Args:
        paths: as many as there are; few more are taken than are being read.
        views: who wants to see them.
        batch_size: files in a batch.
        device: of the networks, by which the number of workers is chosen.
        workers: processes that read images; None chooses what suits the device.
        hashed: also compute the files' SHA-256.
        with_faces: find the faces, and judge each; else judge whole pictures.

    Yields:
        For each batch what is known of its files, and for each view the samples uint8
        (n, 3, S, S) of those that can be read, on the CPU, channels last.

    Raises:
        ValueError: the workers need more shared memory than there is.
    """
    sample_bytes = sum(3 * view.size**2 for view in views)
    workers = fit_into_shared_memory(
        workers, lambda: batch_size * sample_bytes, torch.device(device)
    )
    reader = _Reader(read_faces if with_faces else _read_whole, tuple(views), hashed)
    batches, collate = _cut(paths, batch_size), partial(_collate, batch_size)
    loader = build_data_loader(reader, batches, collate, workers=workers)
    return chain.from_iterable(loader)


def _read_whole(file: ImageFile, views: Iterable[View], *, hashed: bool) -> list[Read]:
    return [read_picture(file, views, hashed=hashed)]


class _Reader(Dataset):
    """A dataset whose indices are paths."""

    def __init__(
        self, read: Callable[..., list[Read]], views: tuple[View, ...], hashed: bool
    ) -> None:
        self._read = read
        self._views = views
        self._hashed = hashed

    def __getitem__(self, path: Path) -> list[Read]:
        return self._read(ImageFile(path), self._views, hashed=self._hashed)

    def __getitems__(self, paths: list[Path]) -> list[Read]:
        return [one for read in map_in_threads(self.__getitem__, paths) for one in read]


def _cut(paths: Iterable[Path], batch_size: int) -> Iterator[list[Path]]:
    """Cut a stream into batches."""
    paths = iter(paths)
    while batch := list(islice(paths, batch_size)):
        yield batch


def _collate(batch_size: int, read: Sequence[Read]) -> list[Batch]:
    """Return batches of at most so many samples: a picture may show many faces."""
    starts = range(0, len(read), batch_size)
    return [collate_pictures(read[start : start + batch_size]) for start in starts]


def collate_pictures(read: Sequence[Read]) -> Batch:
    """Put pictures together, the samples of unreadable ones left out.

    The samples keep the channels-last memory that the decoder wrote.
    """
    readable = [samples for _, samples in read if samples is not None]
    batch = {}
    try:
        for view in readable[0] if readable else ():
            # NumPy, unlike torch, has an error of its own for too little memory.
            pixels = np.stack([samples[view].permute(1, 2, 0) for samples in readable])
            batch[view] = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    except MemoryError:
        reason = "there is not enough memory for its batch; give a smaller -b"
        read = [
            _fail(p, p.error or f"cannot judge {p.name}: {reason}") for p, _ in read
        ]
        batch = {}
    return [picture for picture, _ in read], batch
