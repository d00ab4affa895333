"""Pictures inside uncompressed tar files, read in place."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from loading.image_files import ImageFile

SUFFIX = ".tar"
HEADER_BYTES = 512  # before each member's content
_MAGIC = slice(257, 262)  # of a header: 'ustar'
_SIZE = slice(124, 136)


class Member(NamedTuple):
    """A file in an archive: its name, and where its content lies, in bytes."""

    name: str
    offset: int
    num_bytes: int


class ArchiveError(OSError):
    """An archive is not what it should be; the message says what to do."""


class ArchivedFile(ImageFile):
    """A picture in a tar file, and where its content lies there, in bytes."""

    def __init__(self, archive: Path, member: str, offset: int, num_bytes: int) -> None:
        super().__init__(archive / member)
        self._archive, self._place = archive, (offset, num_bytes)

    @property
    def is_regular(self) -> bool:
        return self._archive.is_file()

    def open(self) -> IO[bytes]:
        """Open it for reading; raise OSError as `read_member` does."""
        return io.BytesIO(read_member(self._archive, *self._place))

    def identify(self) -> str:
        status = self._archive.stat()
        return f"{status.st_size} {status.st_mtime_ns} {self._place} "

    def explain(self, error: Exception) -> str:
        if not self._archive.is_file():
            return f"there is no archive {self._archive}"
        if isinstance(error, ArchiveError):
            return str(error)
        return ImageFile(self.name, self.read()).explain(error)


def read_member(archive: Path, offset: int, num_bytes: int) -> bytes:
    """Return the content of a member that begins at `offset`.

    Raises:
        OSError: there is no such archive.
        ArchiveError: no such member begins there.
    """
    with archive.open("rb") as file:
        file.seek(max(offset - HEADER_BYTES, 0))
        content = file.read(HEADER_BYTES + num_bytes)
    header, data = content[:HEADER_BYTES], content[HEADER_BYTES:]
    if header[_MAGIC] != b"ustar" or _read_size(header) != num_bytes:
        raise ArchiveError(
            f"the archive {archive} is not the one that the table describes: make the "
            "table again with make_table.py"
        )
    if len(data) < num_bytes:
        raise ArchiveError(f"the archive {archive} is cut off")
    return data


def _read_size(header: bytes) -> int:
    """Return the size that a member's header states, -1 if it states none."""
    try:
        return int(header[_SIZE].strip(b"\0 ") or b"0", 8)
    except ValueError:  # a member of 8 GB and more
        return -1


def split_archive(path: Path) -> tuple[Path, str]:
    """Return the archive of SOME/ARCHIVE.tar/MEMBER, and the member's name.

    Raises:
        ValueError: the path has no such part.
    """
    text = path.as_posix()
    end = text.lower().find(f"{SUFFIX}/") + len(SUFFIX)
    if end < len(SUFFIX):
        raise ValueError(f"{path} is not in an archive ({SUFFIX})")
    return Path(text[:end]), text[end + 1 :]


def list_members(archive: Path) -> Iterator[Member]:
    """List the files in a tar file, in its order, without reading their content.

    Raises:
        ValueError: it is not a tar file, or a compressed one; the message says so.
        OSError: it cannot be read.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            for entry in tar:
                if entry.isreg():
                    yield Member(entry.name, entry.offset_data, entry.size)
                tar.members = []  # else it keeps them all
    except tarfile.TarError as error:
        raise ValueError(
            f"{archive} is not an uncompressed tar file ({error}): unpack it once "
            "(gunzip, zstd -d), so that pictures can be read in place"
        ) from error
