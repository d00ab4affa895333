"""Measure each image file: traits that need no look at the face."""

import hashlib
import itertools
import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, JpegImagePlugin
from scipy import fft

from hardware import processes, show_progress
from loading import ImageFile
from loading.image_files import ADVICE, scale_early, to_upright_rgb, use_image

EDGE = 256  # pixels; traits of the content are measured at this size
BORDER = 2  # pixels
NUM_BANDS = 8  # rings of the power spectrum, of equal width up to the finest waves
SKETCH = 24  # frequencies in each direction
FEWEST_FOR_A_POOL = 2000  # with fewer images, starting processes does not pay
CHUNK = 32  # images handed to a process at once
TELLING_FORMATS = ("JPEG", "MPO", "PNG", "BMP", "PPM", "GIF")
# Means of the standard tables of JPEG (ITU T.81, annex K), of brightness and colour.
STANDARD_STEPS = (57.625, 86.016)

_BAND_NAMES = [f"log_power_in_band_{band}" for band in range(1, NUM_BANDS + 1)]
# Property -> its numbers, in the order in which they are measured.
_NUMBERS = {
    "file type": "format",
    "file size": "bytes",
    "width and height": "width height aspect",
    "JPEG compression": "quality chroma_quality first_step subsampling progressive",
    "metadata": "exif_bytes profile_bytes other_bytes dots_per_inch orientation",
    "colour": "red_less_green blue_less_green saturation saturation_spread",
    "brightness and contrast": "brightness contrast darkest brightest",
    "sharpness": "sharpness",
    "border pixels": "border_jump border_spread border_clipped",
    "power spectrum": " ".join(_BAND_NAMES),
}
COLUMNS_OF = {name: tuple(numbers.split()) for name, numbers in _NUMBERS.items()}
COLUMNS = tuple(itertools.chain(*COLUMNS_OF.values()))
Item = TypeVar("Item")
Result = TypeVar("Result")

_ROWS = np.arange(EDGE)[:, None]
_WINDOW = np.hanning(EDGE).astype(np.float32)
_WINDOW_2D = _WINDOW[:, None] * _WINDOW
_FREQUENCIES = np.hypot(np.minimum(_ROWS, EDGE - _ROWS), np.arange(EDGE // 2 + 1))
_BANDS = np.minimum(_FREQUENCIES * 2 * NUM_BANDS // EDGE, NUM_BANDS).astype(int)
_BAND_SIZES = np.bincount(_BANDS.ravel())[:NUM_BANDS]


class Traits(NamedTuple):
    """What is kept of an image.

    Attributes:
        numbers: float64 (len(COLUMNS),); `inspect` fills in `format`.
        format: Pillow's name of the file's format, and its mode, such as `JPEG RGB`.
        tells_encoding: the header says how the file was compressed: a JPEG's or a
            lossless format's does, WebP's does not.
        file_hash: of the bytes.
        pixel_hash: of the upright pixels and the size.
        sketch: float16 (24, 24), from `compute_sketch`.
    """

    numbers: np.ndarray
    format: str
    tells_encoding: bool
    file_hash: bytes
    pixel_hash: bytes
    sketch: np.ndarray


class Unreadable(NamedTuple):
    """A file that cannot be read, and why."""

    file: ImageFile
    reason: str


@dataclass(frozen=True)
class Inspection:
    """What is known of the N readable images of a dataset, and of the other files.

    Attributes:
        files: the readable ones.
        splits: (N,) names.
        labels: (N,) 0 (real) or 1 (fake).
        numbers: float64 (N, len(COLUMNS)).
        formats: (N,) format and mode.
        tell_encoding: (N,) bool, see `Traits`.
        file_hashes, pixel_hashes: one for each image.
        sketches: float16 (N, 24, 24).
        unreadable: the files that cannot be read.
    """

    files: list[ImageFile]
    splits: np.ndarray
    labels: np.ndarray
    numbers: np.ndarray
    formats: np.ndarray
    tell_encoding: np.ndarray
    file_hashes: list[bytes]
    pixel_hashes: list[bytes]
    sketches: np.ndarray
    unreadable: list[Unreadable]

    def get_columns(self, names: Sequence[str]) -> np.ndarray:
        """Return some numbers of every image: (N, len(names))."""
        return self.numbers[:, [COLUMNS.index(name) for name in names]]


def inspect(
    files: Sequence[ImageFile], splits: Sequence[str], labels: Sequence[int]
) -> Inspection:
    """Measure N images, decoding each once.

    `splits` (train, val or test) and `labels` (0 real, 1 fake) are (N,).
    """
    found = map_files(measure, files, "audit")
    readable = [i for i, traits in enumerate(found) if isinstance(traits, Traits)]
    traits = [found[i] for i in readable]
    formats = np.array([t.format for t in traits], dtype=np.str_)
    numbers = np.array([t.numbers for t in traits]).reshape(-1, len(COLUMNS))
    numbers[:, 0] = np.unique(formats, return_inverse=True)[1]
    return Inspection(
        [files[i] for i in readable],
        np.array(splits)[readable],
        np.array(labels)[readable],
        numbers,
        formats,
        np.array([t.tells_encoding for t in traits], dtype=bool),
        [t.file_hash for t in traits],
        [t.pixel_hash for t in traits],
        np.array([t.sketch for t in traits]).reshape(-1, SKETCH, SKETCH),
        [entry for entry in found if isinstance(entry, Unreadable)],
    )


def map_files(
    function: Callable[[Item], Result], items: Sequence[Item], description: str
) -> list[Result]:
    """Apply a function to each item, in several processes if there are many.

    The function and the items must be picklable. Results are in the order of the items.
    """
    workers = processes.count_cores()
    if workers == 1 or len(items) < FEWEST_FOR_A_POOL:
        return list(map(function, show_progress(items, description)))
    context = multiprocessing.get_context("spawn")  # the same on every platform
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        results = pool.map(function, items, chunksize=CHUNK)
        return list(show_progress(results, description, total=len(items)))


def measure(file: ImageFile) -> Traits | Unreadable:
    """Measure one picture; large JPEGs are decoded at a reduced size."""
    try:
        return use_image(file, partial(_measure_image, file))
    except ValueError as error:
        reason = str(error).removeprefix(f"cannot read the image {file.name}: ")
        return Unreadable(file, reason.removesuffix(ADVICE))


def _measure_image(file: ImageFile, image: Image.Image) -> Traits:
    """Measure an opened image: its header first, then its pixels."""
    content = file.read()
    header = _measure_header(len(content), image)
    name, size = f"{image.format} {image.mode}", image.size
    scale_early(image, EDGE)
    pixels = to_upright_rgb(image)
    digest = hashlib.blake2b(repr(size).encode(), digest_size=16)
    digest.update(pixels.tobytes())
    if pixels.size != (EDGE, EDGE):
        size = (EDGE, EDGE)
        pixels = pixels.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    numbers = np.array([0, *header, *_measure_pixels(pixels)], dtype=np.float64)
    return Traits(
        np.nan_to_num(numbers, posinf=0, neginf=0),  # a density of 0/0
        name,
        image.format in TELLING_FORMATS,
        hashlib.sha256(content).digest(),
        digest.digest(),
        compute_sketch(pixels),
    )


def _measure_header(num_bytes: int, image: Image.Image) -> list[float]:
    """Return the numbers that need no pixels."""
    width, height = image.size
    info = image.info
    quality, chroma_quality, first_step, subsampling = 0, 0, 0, -1
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        tables = [table for _, table in sorted(image.quantization.items())]
        quality = _estimate_quality(tables[0], STANDARD_STEPS[0])
        chroma_quality = _estimate_quality(tables[-1], STANDARD_STEPS[len(tables) > 1])
        first_step, subsampling = tables[0][0], JpegImagePlugin.get_sampling(image)
    exif, profile = (len(info.get(name) or b"") for name in ("exif", "icc_profile"))
    texts = sum(len(v) for v in info.values() if isinstance(v, str | bytes))
    return [
        *(num_bytes, width, height, width / height),
        *(quality, chroma_quality, first_step, subsampling, "progressive" in info),
        *(exif, profile, texts - exif - profile, float(max(info.get("dpi", (0,))))),
        float(image.getexif().get(0x0112, 0)),
    ]


def _estimate_quality(table: Sequence[int], standard: float) -> float:
    """Return the quality, 1 to 100, for which libjpeg makes a JPEG's table."""
    scale = 100 * float(np.mean(table)) / standard  # in percent of the standard table
    return round(100 - scale / 2 if scale <= 100 else 5000 / scale, 1)


def _measure_pixels(pixels: Image.Image) -> Iterator[float]:
    """Yield the numbers of the content of an RGB image, 256 x 256."""
    small = pixels.reduce(4)
    red, green, blue = np.moveaxis(np.asarray(small, np.float32), 2, 0)
    yield from ((red - green).mean(), (blue - green).mean())
    saturation = np.asarray(small.convert("HSV"))[..., 1]
    yield from (saturation.mean(), saturation.std())
    grey = np.asarray(pixels.convert("L"), np.float32)
    yield from (grey.mean(), grey.std(), *np.quantile(grey[::4, ::4], (0.01, 0.99)))
    inner = grey[1:-1, 1:-1]
    ring = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    yield math.log10((4 * inner - ring).var() + 1e-3)
    yield from _measure_border(grey)
    yield from _measure_spectrum(grey)


def _measure_border(grey: np.ndarray) -> Iterator[float]:
    """Yield the border's step to the pixels inside, its spread and clipped share."""
    sides = [np.rot90(grey, turns)[: 3 * BORDER] for turns in range(4)]
    edge = np.concatenate([side[:BORDER] for side in sides], axis=1)
    beside = np.concatenate([side[2 * BORDER :] for side in sides], axis=1)
    yield np.abs(edge.mean(axis=0) - beside.mean(axis=0)).mean()
    yield edge.std()
    yield ((edge < 8) | (edge > 247)).mean()


def _measure_spectrum(grey: np.ndarray) -> np.ndarray:
    """Return the mean power in each ring, as decimal logarithms."""
    waves = fft.rfft2((grey - grey.mean()) * _WINDOW_2D)
    power = waves.real**2 + waves.imag**2
    rings = np.bincount(_BANDS.ravel(), power.ravel())[:NUM_BANDS] / _BAND_SIZES
    return np.log10(rings + 1e-3)


def compute_sketch(pixels: Image.Image) -> np.ndarray:
    """Compute the lowest frequencies of an image's brightness, float16 (24, 24)."""
    grey = np.asarray(pixels.resize((64, 64), Image.Resampling.BOX).convert("L"))
    waves = fft.dctn(grey.astype(np.float32), norm="ortho")[:SKETCH, :SKETCH]
    return waves.astype(np.float16)
