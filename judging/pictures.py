"""Image files read for a detector, in batches, from a stream of paths."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from faces_dataset import ResizeToTensor
from files.names import VIDEO_SUFFIXES
from files.provenance import describe_file
from loading import IMAGE_SIZE
from loading.batches import (
    PATIENCE_S,
    PREFETCHED,
    fit_into_shared_memory,
    leave_process_group,
)
from loading.face_finding import Face, crop_face, find_faces
from loading.image_files import map_in_threads, read_image_and_size

ADDRESS = re.compile(r"[a-z]{2,}:/", re.IGNORECASE)  # a `Path` keeps one slash of two
# Longer side over shorter, from which on a picture is plainly no crop to a face. Crops
# of public datasets have 1 to 1.22 (CelebA), a passport's photo 1.29; cameras take 1.5
# (3:2) and 1.78 (16:9). Telephones' 4:3 is not told apart by it.
LEAST_ELONGATED = 1.5
_TRANSFORM = ResizeToTensor()


class Picture(NamedTuple):
    """What is known of an image file before it is judged.

    Attributes:
        path: the file.
        width, height: in pixels, upright; None where it cannot be read.
        sha256: of the file; None where it is not asked for, or cannot be had.
        error: why it cannot be read, and what to do; None where it can.
        face: what of it is judged; None where all of it is.
    """

    path: Path
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    error: str | None = None
    face: Face | None = None

    @property
    def warning(self) -> str | None:
        """Why no verdict on the picture can be trusted; None where nothing is seen."""
        if self.width is None or self.height is None or self.face is not None:
            return None
        long, short = sorted((self.width, self.height), reverse=True)
        if long < LEAST_ELONGATED * short:
            return None
        return f"no face crop: {self.width} x {self.height}"


def read_picture(
    path: Path,
    *,
    data: bytes | None = None,
    hashed: bool = False,
    transform: ResizeToTensor = _TRANSFORM,
) -> tuple[Picture, Tensor | None]:
    """Read an image file as a dataset's are read.

    Args:
        path: the file.
        data: its content, where it is not on the disk.
        hashed: also compute the file's SHA-256.
        transform: says whether a large JPEG is decoded whole.

    Returns:
        What is known of it, and uint8 (3, 256, 256), None where it cannot be read.
    """
    picture, image = _open(path, data=data, hashed=hashed, at_least=transform.at_least)
    return picture, None if image is None else transform(image)


def read_faces(
    path: Path, *, side: float, data: bytes | None = None, hashed: bool = False
) -> list[tuple[Picture, Tensor | None]]:
    """Read an image file, and cut its faces out of it.

    Args:
        path: the file.
        side: of a crop, in heights of the face's box.
        data: its content, where it is not on the disk.
        hashed: also compute the file's SHA-256.

    Returns:
        For each face, the largest first, what `read_picture` returns of a file; where
        none is found, one that says so.
    """
    picture, image = _open(path, data=data, hashed=hashed)
    if image is None:
        return [(picture, None)]
    faces = find_faces(image)
    if not faces:
        return [(picture._replace(error=f"no face was found in {path}"), None)]
    return [
        (picture._replace(face=face), _TRANSFORM(crop_face(image, face, side=side)))
        for face in faces
    ]


def _open(
    path: Path, *, data: bytes | None, hashed: bool, at_least: int | None = None
) -> tuple[Picture, Image.Image | None]:
    """Read an image file; where it cannot be read, say why and give no image."""
    sha256 = None
    try:
        if hashed and path.is_file():  # a pipe would be waited for for ever
            sha256 = describe_file(path)["sha256"]
        image, (width, height) = read_image_and_size(path, at_least=at_least, data=data)
    except (ValueError, OSError) as error:
        reason = advise(path) or str(error)
        return Picture(path, sha256=sha256, error=reason), None
    return Picture(path, width, height, sha256), image


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


Batch = tuple[list[Picture], Tensor]  # the readable ones' samples (n, 3, 256, 256)


def load_pictures(
    paths: Iterable[Path],
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    workers: int | None = None,
    hashed: bool = False,
    face_side: float | None = None,
    full_decoding: bool = False,
) -> Iterator[Batch]:
    """Read image files in batches, in order, while the paths still come.

    Args:
        paths: as many as there are; few more are taken than are being read.
        batch_size: files in a batch.
        device: of the model, by which the number of workers is chosen.
        workers: processes that read images; None chooses what suits the device.
        hashed: also compute the files' SHA-256.
        face_side: find the faces, and judge each, cut out with this side in heights of
            its box; None judges whole pictures.
        full_decoding: of large JPEGs, as `ResizeToTensor` takes it; a picture in which
            faces are looked for always is.

    Yields:
        For each batch what is known of its files, and the samples uint8
        (n, 3, 256, 256) of those that can be read, on the CPU, channels last.

    Raises:
        ValueError: the workers need more shared memory than there is.
    """
    sample_bytes = 3 * IMAGE_SIZE * IMAGE_SIZE
    workers = fit_into_shared_memory(
        workers, lambda: batch_size * sample_bytes, torch.device(device)
    )
    return iter(
        DataLoader(
            _Reader(hashed, face_side, ResizeToTensor(full_decoding=full_decoding)),
            batch_sampler=_cut(paths, batch_size),
            collate_fn=collate_pictures,
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            timeout=PATIENCE_S if workers else 0,
            worker_init_fn=leave_process_group,
            generator=torch.Generator(),  # leave the global random state alone
        )
    )


class _Reader(Dataset):
    """A dataset whose indices are paths."""

    def __init__(
        self, hashed: bool, face_side: float | None, transform: ResizeToTensor
    ) -> None:
        self.hashed = hashed
        self.face_side = face_side
        self.transform = transform

    def __getitem__(self, path: Path) -> list[tuple[Picture, Tensor | None]]:
        if self.face_side is None:
            read = read_picture(path, hashed=self.hashed, transform=self.transform)
            return [read]
        return read_faces(path, side=self.face_side, hashed=self.hashed)

    def __getitems__(self, paths: list[Path]) -> list[tuple[Picture, Tensor | None]]:
        return [one for read in map_in_threads(self.__getitem__, paths) for one in read]


def _cut(paths: Iterable[Path], batch_size: int) -> Iterator[list[Path]]:
    """Cut a stream into batches."""
    paths = iter(paths)
    while batch := list(islice(paths, batch_size)):
        yield batch


def collate_pictures(read: Sequence[tuple[Picture, Tensor | None]]) -> Batch:
    """Put what `read_picture` returned together, samples of unreadable files left out.

    The samples keep the channels-last memory that the decoder wrote.
    """
    samples = [sample.permute(1, 2, 0) for _, sample in read if sample is not None]
    shape = (0, IMAGE_SIZE, IMAGE_SIZE, 3)
    stacked = torch.stack(samples) if samples else torch.empty(shape, dtype=torch.uint8)
    return [picture for picture, _ in read], stacked.permute(0, 3, 1, 2)
