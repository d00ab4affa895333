"""Pictures read for detectors, in batches, from a stream of paths."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from files.names import VIDEO_SUFFIXES
from files.provenance import describe_file
from judging.detector import Detector
from loading import ImageFile, Preprocessing, ResizeToTensor
from loading.batches import build_data_loader, fit_into_shared_memory
from loading.face_finding import Face, crop_face, find_faces
from loading.image_files import map_in_threads, read_image_and_size

ADDRESS = re.compile(r"[a-z]{2,}:/", re.IGNORECASE)  # a `Path` keeps one slash of two
# Longer side over shorter, at which a picture is plainly not a crop to a face. Crops of
# public datasets have 1 to 1.22 (CelebA), a passport's photo 1.29; cameras take 1.5
# (3:2) and 1.78 (16:9). Telephones' 4:3 cannot be told apart in this way.
LEAST_ELONGATED = 1.5


class Picture(NamedTuple):
    """What is known of a picture before it is judged.

    Attributes:
        name: its path, or what it is called.
        width, height: in pixels, upright; None where it cannot be read.
        sha256: of the file; None where it is not wanted, or cannot be had.
        error: why it cannot be read, and what to do; None where it can.
        face: what of it is judged; None where all of it is.
    """

    name: str
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    error: str | None = None
    face: Face | None = None

    @property
    def warning(self) -> str | None:
        """Why no verdict on the picture can be trusted; None where nothing says so."""
        if self.width is None or self.height is None or self.face is not None:
            return None
        long, short = sorted((self.width, self.height), reverse=True)
        if long < LEAST_ELONGATED * short:
            return None
        return f"not a face crop: {self.width} x {self.height}"


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
    picture = None
    for view in views:
        to_tensor = view.make_transform()
        picture, image = _open(file, hashed=hashed, at_least=to_tensor.at_least)
        if image is None:
            return picture, None
        samples[view] = to_tensor(image)
    return picture, samples


def read_faces(
    file: ImageFile, views: Iterable[View], *, hashed: bool = False
) -> list[Read]:
    """Read a picture, always whole, and cut its faces out of it.

    Args: as for `read_picture`.

    Returns:
        For each face, the largest first, what `read_picture` returns of a picture;
        where none is found, one that says so.
    """
    picture, image = _open(file, hashed=hashed)
    if image is None:
        return [(picture, None)]
    faces = find_faces(image)
    if not faces:
        return [(picture._replace(error=f"no face was found in {file.name}"), None)]
    return [
        (
            picture._replace(face=face),
            {
                v: v.make_transform()(crop_face(image, face, margin=v.margin))
                for v in views
            },
        )
        for face in faces
    ]


def _open(
    file: ImageFile, *, hashed: bool, at_least: int | None = None
) -> tuple[Picture, Image.Image | None]:
    """Read a picture; where it cannot be read, say why and give no image."""
    sha256, path = None, Path(file.name)
    try:
        if hashed and path.is_file():  # a pipe would be waited for for ever
            sha256 = describe_file(path)["sha256"]
        image, (width, height) = read_image_and_size(file, at_least=at_least)
    except (ValueError, OSError) as error:
        reason = advise(path) or str(error)
        return Picture(file.name, sha256=sha256, error=reason), None
    return Picture(file.name, width, height, sha256), image


def advise(path: Path) -> str | None:
    """Say what to do with what is often named in place of an image."""
    suffix = path.suffix.lower()
    if ADDRESS.match(str(path)):
        address = str(path).replace(":/", "://", 1)
        return f"{address} is an address: download the image first and give its path"
    if suffix in VIDEO_SUFFIXES:
        return (
            f"{path} is a video: save its frames as images first, for instance with "
            "ffmpeg -i VIDEO -vf fps=1 frame_%04d.png"
        )
    if suffix == ".pdf":
        return (
            f"{path} is a PDF: take the images out of it first, for instance with "
            "pdfimages -png PDF image"
        )
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
    batches = _cut(paths, batch_size)
    return iter(build_data_loader(reader, batches, collate_pictures, workers=workers))


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


def collate_pictures(read: Sequence[Read]) -> Batch:
    """Put pictures together, the samples of unreadable ones left out.

    The samples keep the channels-last memory that the decoder wrote.
    """
    readable = [samples for _, samples in read if samples is not None]
    views = readable[0] if readable else ()
    stacked = {
        view: torch.stack([samples[view].permute(1, 2, 0) for samples in readable])
        for view in views
    }
    batch = {view: pixels.permute(0, 3, 1, 2) for view, pixels in stacked.items()}
    return [picture for picture, _ in read], batch
