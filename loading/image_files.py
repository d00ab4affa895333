"""List, open and check pictures: the one place that reads their bytes."""

import errno
import functools
import hashlib
import io
import itertools
import math
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from operator import attrgetter, methodcaller
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

from PIL import ExifTags, Image, ImageOps

from hardware import show_progress
from loading.foreign_files import EXTENSIONS, NUM_BYTES, RAW, describe_kind
from loading.jpeg_xl import register_jpeg_xl
from loading.rgb import to_rgb

if TYPE_CHECKING:
    from torch.utils.data import Dataset

try:  # an extra, for HEIC
    import pillow_heif
except ImportError:
    pillow_heif = None

MOST_FOR_AUTO = 100_000  # checking more headers would delay the first batch
CHUNK = 1024  # images that are handed to the checking threads at once
ADVICE = "; replace or remove it"  # of a dataset's image
NUM_SHOWN = 10  # bad images that an error names
SLOW = 0.003  # seconds; below, threads cost more than they gain
MAX_THREADS = 4  # each may hold an image of full size: 72 MB at 24 megapixels
LARGE = 24_000_000  # pixels; images of more are read one at a time
MOST_SIDE = 65_535  # pixels, as a JPEG has at most
MOST_SCANS = 20  # of a JPEG of the most pixels; a smaller one may have more
BYTES_OF_SCAN = 10  # at least
Item = TypeVar("Item")
Result = TypeVar("Result")

_large_image = threading.Lock()
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")  # but for stuffing, restarts
_LYING = (5, 6, 7, 8)  # orientations in EXIF by which width and height are exchanged
_JPEGS = ("JPEG", "MPO")
_NEW_SUBFILE_TYPE, _SUB_DIRECTORIES, _DNG_VERSION = 254, 330, 50706  # tags of TIFF
_END_OF_IMAGE, _START_OF_SCAN = b"\xd9", b"\xda"

# What Pillow only warns of either raises a clear error here or does not matter.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Listing(NamedTuple):
    """The sorted names in a folder: images by their names, others, and folders."""

    images: list[str]
    others: list[str]
    folders: list[str]


def list_images(folder: str | Path) -> Listing:
    """List what is in a folder, without opening a file.

    An image is what is not hidden and has the extension of a picture's format, be it
    one that is read or not.

    Raises:
        OSError: the folder cannot be listed.
    """
    extensions = get_extensions()
    listing = Listing([], [], [])
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            is_image = name[0] != "." and name[name.rfind(".") :].lower() in extensions
            if entry.is_dir(follow_symlinks=False):
                listing.folders.append(name)
            elif is_image:
                listing.images.append(name)
            elif _leads_to_folder(entry):
                listing.folders.append(name)
            else:
                listing.others.append(name)
    for names in listing:
        names.sort()
    return listing


def _leads_to_folder(entry: os.DirEntry) -> bool:
    """Say whether a link's target is a folder."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


class ImageFile:
    """A picture: what it is called, and where its bytes are read from.

    Pictures that lie elsewhere than in files of their own, in an archive say, have a
    class of their own with these methods.

    Args:
        name: the path of a file; or only what it is called, where `data` is given.
        data: its content, where it is not on the disk.
    """

    def __init__(self, name: str | Path, data: bytes | None = None) -> None:
        self.name = str(name)
        self._data = data

    def __repr__(self) -> str:
        return f"ImageFile({self.name!r})"

    @property
    def is_regular(self) -> bool:
        """Whether it can be read from its beginning twice, as no pipe can."""
        return self._data is not None or Path(self.name).is_file()

    def open(self) -> IO[bytes]:
        """Open it for reading.

        Raises:
            OSError: it is not a regular file (a pipe would be waited for for ever), or
                cannot be opened.
        """
        if self._data is not None:
            return io.BytesIO(self._data)
        if not Path(self.name).is_file():
            raise OSError("it is not a file")
        return Path(self.name).open("rb")

    def read(self) -> bytes:
        """Return its bytes; raise OSError as `open` does."""
        with self.open() as file:
            return file.read()

    def identify(self) -> str:
        """Return what changes when the picture does, as far as its file shows."""
        if self._data is None and Path(self.name).is_file():
            status = Path(self.name).stat()
            return f"{status.st_size} {status.st_mtime_ns} "
        return hashlib.sha256(self.read()).hexdigest()

    def explain(self, error: Exception) -> str:
        """Say in a few words why it could not be read, and what to do."""
        if self._data is not None:
            return _describe_content_error(self._data[:NUM_BYTES], error)
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            return "its name is too long for the system"
        path = Path(self.name)
        if not path.exists():
            if path.is_symlink():
                return "a broken link"
            is_pattern = re.search(r"[*?\[]", self.name)
            hint = "; the shell expands a pattern only without quotes"
            return f"there is no such file{hint if is_pattern else ''}"
        if path.is_dir():
            return "it is a folder; name the images in it"
        if not path.is_file():
            return str(error)
        if isinstance(error, PermissionError):
            return f"permission denied{ADVICE}"
        with path.open("rb") as file:
            reason = _describe_content_error(file.read(NUM_BYTES), error)
        has_advice = isinstance(error, MemoryError) or reason.startswith("it is ")
        return reason if has_advice else f"{reason}{ADVICE}"


def as_file(file: ImageFile | str | Path) -> ImageFile:
    """Return a picture, of whose path the name may be given alone."""
    return file if isinstance(file, ImageFile) else ImageFile(file)


def read_image(
    file: ImageFile | str | Path, *, at_least: int | None = None
) -> Image.Image:
    """Read an image of any format and mode as an upright RGB image.

    The first frame of an animation is taken, the camera's orientation applied, the
    colour profile converted to sRGB, 16-bit and floating-point greys scaled to 8 bits,
    and transparency laid over white. What is missing from a file is an error; but of a
    JPEG whose data are damaged, not cut off, the decoder makes what it can, and Pillow
    does not hear of it.

    Args:
        at_least: a JPEG's decoder may scale it down by 2, 4 or 8, which saves most of
            the work, while both its sides keep at least so many pixels; None decodes
            all of them.

    Raises:
        ValueError: the file cannot be read, is truncated, has more pixels than Pillow
            holds for safe (`PIL.Image.MAX_IMAGE_PIXELS`) or a side of more than
            `MOST_SIDE`, or is a JPEG that asks for hundreds of passes over them.
    """
    return read_image_and_size(file, at_least=at_least)[0]


def read_image_and_size(
    file: ImageFile | str | Path, *, at_least: int | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Read an image as `read_image` does, and the size that it has in the file.

    That is its width and height in pixels, upright, before any scaling.
    """

    def use(image: Image.Image) -> tuple[Image.Image, tuple[int, int]]:
        width, height = image.size
        scale_early(image, at_least)
        upright = to_upright_rgb(image)
        if image.getexif().get(ExifTags.Base.Orientation) in _LYING:
            width, height = height, width
        return upright, (width, height)

    return use_image(file, use)


def scale_early(image: Image.Image, at_least: int | None) -> None:
    """Let a JPEG's decoder scale an opened image down, as `read_image` has it."""
    if at_least is not None and image.format in _JPEGS:  # HEIF: another picture
        image.draft(None, (at_least, at_least))


def to_upright_rgb(image: Image.Image) -> Image.Image:
    """Bring an opened image to what `read_image` returns."""
    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if image.format == "JPEG" and orientation == 1:
        return to_rgb(image)
    # A copy of all pixels, which is not held while `to_rgb` makes its own.
    return to_rgb(ImageOps.exif_transpose(image))


def use_image(
    file: ImageFile | str | Path, use: Callable[[Image.Image], Result]
) -> Result:
    """Open an image and return what `use` makes of it, before it is closed.

    Raises:
        ValueError: as `read_image` does; whatever goes wrong, one clear line.
    """
    file = as_file(file)
    # Pillow's decoders raise nearly any of the built-in errors on a corrupt file.
    with (
        naming(file, Exception),
        file.open() as stream,
        Image.open(stream, formats=_get_formats()) as image,
    ):
        _refuse_bomb(image)
        with _large_image if math.prod(image.size) > LARGE else nullcontext():
            return use(image)


@contextmanager
def naming(file: ImageFile, kind: type[Exception] = MemoryError) -> Iterator[ImageFile]:
    """Turn errors of a kind into a ValueError that names the picture and says why."""
    try:
        yield file
    except kind as error:
        reason = file.explain(error)
        raise ValueError(f"cannot read the image {file.name}: {reason}") from error


def _refuse_bomb(image: Image.Image) -> None:
    """Refuse a file that asks for more work than its pixels deserve."""
    width, height = image.size
    most_pixels = Image.MAX_IMAGE_PIXELS or math.inf
    if width * height > most_pixels or max(width, height) > MOST_SIDE:
        raise Image.DecompressionBombError(f"{width} x {height} pixels")
    if image.format == "TIFF" and _is_raw(image):
        raise ValueError(f"it is {RAW}")
    if image.format in _JPEGS:
        most_scans = MOST_SCANS * most_pixels / (width * height)
        num_scans = _count_scans(image.fp, most_scans)
        if num_scans > most_scans:
            raise ValueError(f"{width} x {height} pixels in {num_scans} scans")


def _is_raw(image: Image.Image) -> bool:
    """Say whether a TIFF is a camera's raw file: what Pillow reads is its preview."""
    tags = image.tag_v2
    image.fp.seek(8)  # Pillow goes back itself
    if image.fp.read(2) == b"CR":  # Canon
        return True
    is_preview = _NEW_SUBFILE_TYPE in tags and tags[_NEW_SUBFILE_TYPE] & 1
    return _DNG_VERSION in tags or bool(is_preview and _SUB_DIRECTORIES in tags)


def _count_scans(file: IO[bytes], most: float) -> int:
    """Count how often a JPEG goes over its pixels, if that may be more than `most`.

    A usual one does so once or ten times; but a scan can be empty, and each makes the
    decoder pass over the whole image.
    """
    if file.seek(0, os.SEEK_END) <= BYTES_OF_SCAN * most:
        return 0
    file.seek(0)
    data = file.read()
    if data.count(b"\xff" + _START_OF_SCAN) <= most:
        return 0
    # Exactly: what looks like one may stand in a preview, or a video behind the image.
    num_scans, position = 0, 2
    while marker := _JPEG_MARKER.search(data, position):
        position = marker.end()
        if marker[1] == _END_OF_IMAGE:
            break
        num_scans += marker[1] == _START_OF_SCAN
        position += int.from_bytes(data[position : position + 2], "big")
    return num_scans


@functools.cache
def _get_formats() -> tuple[str, ...]:
    """Return the formats that Pillow reads, but for EPS: Ghostscript would run it."""
    Image.init()
    if pillow_heif:
        pillow_heif.register_heif_opener()
    register_jpeg_xl(MOST_SIDE)
    names = [name for name in Image.OPEN if name not in ("EPS", "JPEG", "PNG")]
    return ("JPEG", "PNG", *names)  # the first ones are tried first


@functools.cache
def get_extensions() -> frozenset[str]:
    """Return the file name extensions of pictures: `.jpg`, ..."""
    formats = frozenset(_get_formats())
    extensions = Image.registered_extensions()
    return EXTENSIONS.union(e for e, name in extensions.items() if name in formats)


def _describe_content_error(head: bytes, error: Exception) -> str:
    """Say in a few words what is wrong with the bytes of an image file."""
    bombs = Image.DecompressionBombError, Image.DecompressionBombWarning
    if isinstance(error, bombs):
        found = re.search(r"\d+( x \d+)? pixels", str(error))
        size, most = found[0] if found else error, Image.MAX_IMAGE_PIXELS
        return (
            f"it has too many pixels to be opened safely ({size}; at most "
            f"{MOST_SIDE:,} a side, and {most:,} in all)"
        )
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if not head:
        return "the file is empty"
    if kind := describe_kind(head):
        return f"it is {kind}"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image file that Pillow knows"
    if "truncated" in str(error).lower():  # Pillow's number of bytes misleads
        return "the file is cut off"
    return " ".join(str(error).split()) or type(error).__name__


class BadImage(NamedTuple):
    """An image that cannot be read: its index in the dataset, its name, and why."""

    index: int
    name: str
    reason: str


def check_images(
    datasets: Mapping[str, "Dataset"], check: str = "auto"
) -> dict[str, list[BadImage]]:
    """Find the unreadable images of each split.

    Args:
        datasets: by split; each has a length and `get_file(index)`.
        check: header opens every file and reads its header; full decodes all of it;
            none does nothing; auto is header for up to 100,000 images, none above.

    Returns:
        The bad images of each split that has some.
    """
    num_images = sum(map(len, datasets.values()))
    if check == "auto":
        check = "header" if num_images <= MOST_FOR_AUTO else "none"
    if check == "none":
        return {}
    use = attrgetter("size") if check == "header" else methodcaller("load")
    bad: dict[str, list[BadImage]] = {}
    with show_progress(total=num_images, desc=f"check images ({check})") as bar:
        for split, dataset in datasets.items():
            for found in _find_bad_images(dataset, use):
                bar.update()
                if found:
                    bad.setdefault(split, []).append(found)
    return bad


def describe_bad_images(bad: Mapping[str, Sequence[BadImage]]) -> str:
    """Return one line that counts the bad images and names the first of them."""
    reasons = [
        image.reason.removeprefix("cannot read the image ").removesuffix(ADVICE)
        for images in bad.values()
        for image in images
    ]
    more = len(reasons) - NUM_SHOWN
    shown = "; ".join(reasons[:NUM_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return f"{len(reasons)} of the images cannot be read: {shown}"


def _find_bad_images(
    dataset: "Dataset", use: Callable[[Image.Image], object]
) -> Iterator[BadImage | None]:
    """Open every image on a few threads; yield, in order, what is wrong with it."""

    def check(index: int) -> BadImage | None:
        file = dataset.get_file(index)
        try:
            use_image(file, use)
        except ValueError as error:
            return BadImage(index, file.name, str(error))
        return None

    indices = iter(range(len(dataset)))
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2)) as pool:
        while chunk := list(itertools.islice(indices, CHUNK)):
            yield from pool.map(check, chunk)


def map_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item]
) -> list[Result]:
    """Apply a function to each item; in threads after the first slow one.

    Pillow decodes and resizes outside Python's lock: large photographs gain, 256 x 256
    images are read faster one after another. There are at most four threads, and no
    more than PyTorch uses: one in a `DataLoader`'s worker process.

    The function must bear being called by several threads at once. The results are in
    the order of the items; the first error, in this order, is raised.
    """
    results: list[Result] = []
    num_threads = _count_threads()
    for item in items:
        start = time.perf_counter()
        results.append(function(item))
        if num_threads > 1 and time.perf_counter() - start > SLOW:
            break
    remaining = items[len(results) :]
    if len(remaining):
        with ThreadPoolExecutor(num_threads) as pool:
            results += pool.map(function, remaining)
    return results


def _count_threads() -> int:
    """Return how many threads may read: no more than PyTorch uses, where it runs."""
    torch = sys.modules.get("torch")
    usable = torch.get_num_threads() if torch else os.cpu_count() or 1
    return min(usable, MAX_THREADS)


def read_samples(dataset: "Dataset", indices: Sequence[Any]) -> list[Any]:
    """Return a dataset's samples, read in threads if it has a true `reads_in_threads`.

    Only the dataset knows: a transform of the caller's may draw random numbers, or not
    bear threads at all.
    """
    if getattr(dataset, "reads_in_threads", False):
        return map_in_threads(dataset.__getitem__, indices)
    return [dataset[index] for index in indices]
