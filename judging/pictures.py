"""Pictures read for detectors, in batches, from a stream of paths."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from files.provenance import format_now
from judging.base import BaseDetector
from judging.tracks import Clip, Reason
from loading import CROP_MARGIN, ImageFile, Preprocessing, Resize
from loading.face_finding import Face, can_find_faces, crop_face, find_faces
from loading.image_files import ADVICE, map_in_threads, naming, read_image_and_size
from loading.origin.traces import Origin, read_origin
from loading.videos.frames import Sampling, is_video

T = TypeVar("T")
SAMPLING = Sampling(every=1.0, most_frames=300)  # of a video that is judged
ADDRESS = re.compile(r"[a-z]{2,}:/", re.IGNORECASE)  # a `Path` keeps one slash of two
# Longer side over shorter, at which a picture is plainly not a crop to a face. Crops of
# public datasets have 1 to 1.22 (CelebA), a passport's photo 1.29; cameras take 1.5
# (3:2) and 1.78 (16:9). Telephones' 4:3 cannot be told apart in this way.
LEAST_ELONGATED = 1.5
# Of faces that are found. Those that detectors are trained on are upright and whole,
# and extract_faces.py leaves smaller ones out.
LEAST_HEIGHT, MOST_TILT, MOST_BEYOND = 64, 45, 0.1  # pixels, degrees, share of the crop
# A picture whose largest face's crop has this many of its shorter sides is a crop.
CROP_SIDES = (0.8, 1.25)
MOST_OFF = 0.2  # of the shorter side, that such a crop may be off the middle


class Picture(NamedTuple):
    """What is known of a picture before it is judged.

    Attributes:
        name: its path, or what it is called.
        width, height: in pixels, upright; None where it cannot be read.
        origin: what its file says of itself; None where that is not wanted, or cannot
            be had.
        error: why it cannot be read, and what to do; None where it can.
        num_faces: how many faces were found; None where nobody looked.
        number: of its faces from the left, which one is judged, from 1.
        face: what of it is judged; None where all of it is.
        beyond: share of the face's crop that is beyond the picture's edge.
        margin: side of the face's crop, in heights of its box.
        least_height: of a face that is judged, pixels.
        examined: when it was read, UTC; None where that is not known.
        clip: of a video, what was looked at.
        seconds: of a video's frame, when it is shown.
        person: in a video, whose face it is, from 1.
    """

    name: str
    width: int | None = None
    height: int | None = None
    origin: Origin | None = None
    error: str | None = None
    num_faces: int | None = None
    number: int | None = None
    face: Face | None = None
    beyond: float = 0.0
    margin: float = CROP_MARGIN
    least_height: int = LEAST_HEIGHT
    examined: str | None = None
    clip: Clip | None = None
    seconds: float | None = None
    person: int | None = None

    @property
    def side(self) -> int | None:
        """The shorter side of what is judged, in pixels of the picture."""
        if self.face is not None:
            return max(1, round(self.margin * self.face.height))
        return None if self.width is None else min(self.width, self.height)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the picture itself gets no verdict; empty where nothing says so."""
        is_known = self.width is not None and self.clip is None
        return tuple(self._list_faults()) if is_known else ()

    def _list_faults(self) -> Iterator[Reason]:
        face = self.face
        if face is None:
            long, short = sorted((self.width, self.height), reverse=True)
            if self.num_faces == 0:
                yield Reason("no face was found in it")
            elif long >= LEAST_ELONGATED * short:
                yield Reason("not a face crop", f"{self.width} x {self.height}")
            return
        if face.height < self.least_height:
            yield Reason("small face", f"{face.height:.0f} pixels high")
        if face.landmarks and face.tilt > MOST_TILT:
            yield Reason("tilted face", f"by {face.tilt:.0f} degrees")
        if self.beyond > MOST_BEYOND:
            extent = f"{self.beyond:.0%} of its crop is beyond the edge"
            yield Reason("cut face", extent)


class InputSpec(NamedTuple):
    """How a network wants a picture; networks that agree share what is read.

    Attributes:
        size: height and width, pixels.
        full_decoding: of large JPEGs.
        margin: side of a face's crop, in heights of its box.
    """

    size: int
    full_decoding: bool
    margin: float

    @classmethod
    def of(cls, detector: BaseDetector) -> "InputSpec":
        """Return what a detector wants."""
        wanted = detector.preprocessing
        return cls(wanted.size, wanted.full_decoding, wanted.crop_margin)

    def make_transform(self) -> Resize:
        """Return what brings an image to this size."""
        any_mean = (0.0,) * 3, (1.0,) * 3
        return Resize(Preprocessing(*any_mean, self.size, self.full_decoding))


def list_input_specs(detectors: Iterable[BaseDetector]) -> list[InputSpec]:
    """Return what detectors want, each once."""
    return list(dict.fromkeys(map(InputSpec.of, detectors)))


# uint8: of a picture (S, S, 3), of a batch (n, S, S, 3).
Samples = dict[InputSpec, np.ndarray]
Read = tuple[Picture, Samples | None]  # None where it cannot be read


@dataclass(frozen=True)
class Reading:
    """How pictures are read.

    Attributes:
        faces: whether the faces in each are looked for: always, never, or None where
            that is possible.
        margin: of found faces' crops; None: that which each network wants.
        least_height: of a face that is judged, pixels.
        with_origin: also read what the file says of itself.
        trusted: certificates of whose credentials are trusted, as `read_origin` has it.
        sampling: which frames of videos are looked at.
    """

    faces: bool | None = None
    margin: float | None = None
    least_height: int = LEAST_HEIGHT
    with_origin: bool = False
    trusted: Path | None = None
    sampling: Sampling = SAMPLING

    @property
    def looks(self) -> bool:
        """Whether faces are looked for."""
        return can_find_faces() if self.faces is None else self.faces


def read_picture(
    file: ImageFile, specs: Sequence[InputSpec], reading: Reading = Reading()
) -> list[Read]:
    """Read a picture, and cut its faces out of it if it is larger than a face's crop.

    Returns:
        For each face, from the left, what is known of the picture and each network's
        sample; one of the whole picture where it is a crop already, where no face is
        found in it, or where nobody looks.
    """
    picture = identify(file, reading)
    try:
        with naming(file):
            if not reading.looks:
                return [_read_whole(picture, file, specs)]
            image, size = read_image_and_size(file)
            picture = picture._replace(width=size[0], height=size[1])
            faces = find_faces(image)
            picture = picture._replace(num_faces=len(faces))
            margins = [reading.margin or spec.margin for spec in specs]
            if not faces or is_crop(faces[0], size, margins):
                return [_read_whole(picture, file, specs)]
            faces.sort(key=lambda face: face.box[0])
            return [
                cut_out(picture._replace(number=n), image, face, specs, margins)
                for n, face in enumerate(faces, start=1)
            ]
    except ValueError as error:
        return [fail(picture, error)]


def _read_whole(picture: Picture, file: ImageFile, specs: Iterable[InputSpec]) -> Read:
    """Read all of a picture as a dataset's are read."""
    samples: Samples = {}
    for spec in specs:
        resize = spec.make_transform()
        image, size = read_image_and_size(file, at_least=resize.at_least)
        samples[spec] = resize(image)
    return picture._replace(width=size[0], height=size[1]), samples


def is_crop(face: Face, size: tuple[int, int], margins: Iterable[float]) -> bool:
    """Say whether a picture of a size is a crop to its largest face already."""
    short = min(size)
    if max(size) >= LEAST_ELONGATED * short:
        return False
    for margin in margins:
        *start, side = face.place_crop(margin)
        off = [
            abs(first + side / 2 - whole / 2)
            for first, whole in zip(start, size, strict=True)
        ]
        low, high = CROP_SIDES
        if not (low <= side / short <= high and max(off) <= MOST_OFF * short):
            return False
    return True


def cut_out(
    picture: Picture,
    image: Image.Image,
    face: Face,
    specs: Sequence[InputSpec],
    margins: Sequence[float],
) -> Read:
    """Return a picture's face as each network wants it, cropped with its margin."""
    samples = {
        spec: spec.make_transform()(crop_face(image, face, margin=margin))
        for spec, margin in zip(specs, margins, strict=True)
    }
    beyond = max(face.find_share_beyond(image.size, margin) for margin in margins)
    return picture._replace(face=face, beyond=beyond, margin=min(margins)), samples


def identify(file: ImageFile, reading: Reading) -> Picture:
    """Return what is known of a picture before it is read."""
    origin = None
    with suppress(ValueError):  # reading it will say why
        if reading.with_origin and file.is_regular:
            origin = read_origin(file, trusted=reading.trusted)
    return Picture(
        file.name,
        origin=origin,
        least_height=reading.least_height,
        examined=format_now(),
    )


def fail(picture: Picture, error: object) -> Read:
    """Return a picture with the reason why it is not judged.

    What to do with a dataset's image is left out: evidence is not replaced or removed.
    """
    path, reason = str(Path(picture.name)), str(error).removesuffix(ADVICE)
    if ADDRESS.match(path):
        address = path.replace(":/", "://", 1)
        reason = f"{address} is an address: download the image first and give its path"
    return picture._replace(error=reason), None


Batch = tuple[list[Picture], Samples]  # samples of the readable ones


def load_pictures(
    paths: Iterable[Path],
    specs: Sequence[InputSpec],
    *,
    batch_size: int = 32,
    device: object = "cpu",
    workers: int | None = None,
    reading: Reading = Reading(),
) -> Iterator[Batch]:
    """Read image files in batches, in order, while the paths still come.

    Args:
        paths: as many as there are; few more are taken than are being read.
        device: of the networks, by which the number of workers is chosen.
        workers: processes that read images; None chooses what suits the device.

    Returns:
        For each batch what is known of its files, and for each network samples uint8
        (n, S, S, 3) of those that can be read.

    Raises:
        ValueError: the workers need more shared memory than there is.
    """
    dataset = PathDataset(tuple(specs), reading, batch_size)
    batches = cut_stream(paths, batch_size)
    if not workers and str(device) == "cpu":
        read = (dataset.collate(dataset.__getitems__(batch)) for batch in batches)
        return chain.from_iterable(read)
    from loading.batches import SteadyLoader, fit_into_shared_memory  # PyTorch's

    num_bytes = batch_size * sum(3 * spec.size**2 for spec in specs)
    workers = fit_into_shared_memory(workers, lambda: num_bytes, device)
    loader = SteadyLoader(dataset, batches, dataset.collate, workers=workers)
    return chain.from_iterable(loader)


@dataclass(frozen=True)
class PathDataset:
    """A dataset whose indices are paths, as PyTorch's `DataLoader` takes it.

    Args:
        batch_size: the most samples in a batch.
    """

    specs: tuple[InputSpec, ...]
    reading: Reading
    batch_size: int

    def __getitem__(self, path: Path) -> list[Read]:
        if is_video(path):
            return [set_aside(path)]
        return read_picture(ImageFile(path), self.specs, self.reading)

    def __getitems__(self, paths: list[Path]) -> list[Read]:
        return [one for read in map_in_threads(self.__getitem__, paths) for one in read]

    def collate(self, read: Sequence[Read]) -> list[Batch]:
        """Return batches of at most so many samples: a picture may show many faces."""
        num = self.batch_size
        starts = range(0, len(read), num)
        return [collate_pictures(read[start : start + num]) for start in starts]


def set_aside(path: Path) -> Read:
    """Return what stands for a video among pictures, until it is judged by itself."""
    error = (
        f"cannot judge the video {path}: its faces must be found, which takes pip "
        "install -r requirements-faces.txt, and no --no-find-faces"
    )
    named = {"error": error, "examined": format_now(), "clip": Clip()}
    return Picture(ImageFile(path).name, **named), None


def cut_stream(items: Iterable[T], batch_size: int) -> Iterator[list[T]]:
    """Cut a stream into batches."""
    items = iter(items)
    while batch := list(islice(items, batch_size)):
        yield batch


def collate_pictures(read: Sequence[Read]) -> Batch:
    """Put pictures together, the samples of unreadable ones left out."""
    readable = [samples for _, samples in read if samples is not None]
    batch = {}
    try:
        for spec in readable[0] if readable else ():
            batch[spec] = np.stack([samples[spec] for samples in readable])
    except MemoryError:
        reason = "there is not enough memory for its batch; give a smaller -b"
        read = [fail(p, p.error or f"cannot judge {p.name}: {reason}") for p, _ in read]
        batch = {}
    return [picture for picture, _ in read], batch
