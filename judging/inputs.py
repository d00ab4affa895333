"""Which images and videos are meant: files, folders, and lists of them in turn."""

import codecs
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from judging.words import count
from loading import list_images
from loading.image_files import Listing
from loading.videos.frames import is_video

STANDARD_INPUT = "-"
_CHUNK_BYTES = 1 << 16
_MARKS = {  # how a list begins, with its mark or with an ASCII letter
    rb"\xef\xbb\xbf": "utf-8",
    rb"\xff\xfe|[^\0]\0": "utf-16-le",
    rb"\xfe\xff|\0[^\0]": "utf-16-be",
}


def read_path_list(stream: BinaryIO, *, separator: bytes = b"\n") -> Iterator[Path]:
    """Read paths from a stream, each as soon as it is there.

    Lines may be as Windows writes them: in UTF-16, after a byte order mark, ending with
    a carriage return and a line feed. A line that is not the name of a file may be
    spelt otherwise: see `_find_paths`.

    The separator is a line break, or NUL, which no path holds; empty paths
    are left out.

    Raises:
        ValueError: lines hold NULs, or are not in the encoding that they begin with.
    """
    tail, decode = b"", None
    while chunk := stream.read1(_CHUNK_BYTES):
        if decode is None:
            decode = _choose_decoding(chunk, separator)
        *whole, tail = (tail + decode(chunk)).split(separator)
        yield from _read_names(whole, separator)
    yield from _read_names([tail], separator)


def _choose_decoding(start: bytes, separator: bytes) -> Callable[[bytes], bytes]:
    """Return what turns a list's bytes into those of paths, by how it begins."""
    for mark, encoding in _MARKS.items():
        if re.match(mark, start, re.DOTALL) and separator == b"\n":
            decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
            return lambda chunk: os.fsencode(decoder.decode(chunk).lstrip("\ufeff"))
    return bytes


def _read_names(names: Iterable[bytes], separator: bytes) -> Iterator[Path]:
    """Return the paths of some names; a line has no carriage return at its end."""
    for name in names:
        if separator == b"\n":
            name = name.removesuffix(b"\r")
            if b"\0" in name:
                raise ValueError("the list of paths holds NULs: give -0 to read it")
            yield from _find_paths(os.fsdecode(name))
        elif name:
            yield Path(os.fsdecode(name))


def _find_paths(line: str) -> Iterator[Path]:
    """Yield the file that a line names, or what it means to other programs.

    They end lines with a carriage return alone, put blanks or quotes around a name, or
    write file://. What then names no file either stays as it is.
    """
    whole = os.path.lexists(line)
    for given in [line] if whole else filter(str.strip, line.split("\r")):
        name = re.sub(r"""^(["'])(.+)\1$""", r"\2", given.strip())
        if name.startswith("file://"):
            name = unquote(name[len("file://") :], errors="surrogateescape")
        yield Path(next(filter(os.path.lexists, (given, name)), given))


@dataclass
class ImageFinder:
    """Replace folders by their images, sorted by name, one folder at a time.

    Only the names of the folder that is being read, and of those above it, are held.

    Args:
        paths: files and folders; a file is passed on, whatever it is.
        recursive: enter subfolders, after the folder's own images; links to folders
            are not followed.
        excluded: a folder that is not entered: where results are written.
        videos: pass on a folder's videos, too.
        on_failure: functions, each called with a sentence on each folder that cannot
            be listed or that gives no image.
        on_passed_over: functions, each called with each file of a folder that is not
            meant by its name, and each subfolder that is not entered.

    Attributes:
        num_failures: how many folders could not be listed, or gave no image.
        num_files, num_folders: how many files and subfolders were passed over.

    Yields:
        The image files; to be asked for once, since the numbers add up.
    """

    paths: Iterable[str | Path]
    _: KW_ONLY
    recursive: bool = False
    excluded: Path | None = None
    videos: bool = False
    on_failure: list[Callable[[str], object]] = field(default_factory=list)
    on_passed_over: list[Callable[[Path], object]] = field(default_factory=list)
    num_failures: int = field(default=0, init=False)
    num_files: int = field(default=0, init=False)
    num_folders: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[Path]:
        for path in map(Path, self.paths):
            if _ask(path.is_dir):
                yield from self._enter(path)
            else:
                yield path

    def _enter(self, top: Path) -> Iterator[Path]:
        """Yield what is in a folder that was named, or say that it gives nothing."""
        num_images, num_failures = 0, self.num_failures
        for path in self._walk(top):
            num_images += 1
            yield path
        if not num_images and self.num_failures == num_failures:
            or_video = " or video" if self.videos else ""
            self._fail(f"there is no image{or_video} in the folder {top}")

    def _walk(self, top: Path) -> Iterator[Path]:
        """Yield a folder's images, then those of its subfolders."""
        folders = [top]  # the next one is the last
        while folders:
            folder = folders.pop()
            try:
                listing = list_images(folder)
            except OSError as error:
                self._fail(f"cannot list {folder}: {error.strerror}")
                continue
            if self.videos:
                listing = _take_videos(listing)
            below = [folder / name for name in listing.folders]
            entered = list(filter(self._is_entered, below))
            passed_over = sorted(set(below) - set(entered))
            self.num_folders += len(passed_over)
            self.num_files += len(listing.others)
            for path in [*passed_over, *(folder / name for name in listing.others)]:
                for note in self.on_passed_over:
                    note(path)
            yield from (folder / name for name in listing.images)
            folders += reversed(entered)

    def _is_entered(self, path: Path) -> bool:
        if not self.recursive or path.name.startswith(".") or _ask(path.is_symlink):
            return False
        return self.excluded is None or path.resolve() != self.excluded.resolve()

    def _fail(self, sentence: str) -> None:
        self.num_failures += 1
        for note in self.on_failure:
            note(sentence)


def _take_videos(listing: Listing) -> Listing:
    """Count a folder's videos as images."""
    videos = {n for n in listing.others if n[0] != "." and is_video(Path(n))}
    others = [name for name in listing.others if name not in videos]
    return Listing(sorted([*listing.images, *videos]), others, listing.folders)


def _ask(question: Callable[[], bool]) -> bool:
    """Return an answer about a path: no, where its name is too long to be asked for."""
    try:
        return question()
    except OSError:
        return False


def describe_passed_over(num_files: int, num_folders: int) -> str | None:
    """Return how much in the folders is not judged, None where that is nothing."""
    numbers = {"file": num_files, "subfolder": num_folders}
    counts = [count(number, noun) for noun, number in numbers.items() if number]
    return f"passed over: {' and '.join(counts)} (-v names them)" if counts else None


def refuse_outputs(paths: Iterable[Path], outputs: Sequence[Path]) -> Iterator[Path]:
    """Pass paths on; raise ValueError at one that is an output, not to be replaced."""
    before = [path.stat() for path in outputs if path.exists()]
    for path in paths:
        if before and _ask(path.exists):
            status = path.stat()
            if any(os.path.samestat(status, other) for other in before):
                raise ValueError(
                    f"{path} is an input, not to be written over: name another"
                )
        yield path
