"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import glob
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from matplotlib.figure import Figure

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FIGURE_DPI = 150


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one.

    The content goes to a temporary file in the same folder, is flushed to the disk,
    and then takes the name in one step. On any error the temporary file is removed
    and what stood under `path` before is untouched. A temporary file that a killed
    writer left is removed when `path` is written the next time.

    Args:
        path: the file to write; missing parent folders are made.
        write: called with a binary file open for writing.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    descriptor, temporary = _create_temporary(path)
    guard = os.dup(descriptor) if fcntl else None  # keeps the lock until the end
    try:
        with os.fdopen(descriptor, "wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files private
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)  # so that the message says which file
        raise
    finally:
        if guard is not None:
            os.close(guard)
    _sync_folder(path.parent)


def save_json(value: Any, path: Path) -> None:
    """Save a value as indented JSON, atomically.

    Raises:
        ValueError: `value` holds NaN or an infinity, which JSON does not have.
        OSError: the file cannot be written.
    """
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    # A file name that is not valid UTF-8 becomes JSON's own escape, \udcXX.
    content = text.encode(errors="backslashreplace")
    write_atomically(path, lambda handle: handle.write(content))


def save_csv(
    rows: Iterable[Sequence[Any]], path: Path, *, header: Sequence[str]
) -> None:
    """Save rows under a header as CSV (UTF-8), atomically."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    # A file name that is not valid UTF-8 keeps its bytes.
    content = buffer.getvalue().encode("utf-8", "surrogateescape")
    write_atomically(path, lambda handle: handle.write(content))


def save_figure(figure: Figure, path: Path) -> None:
    """Save a Matplotlib figure as PNG, atomically."""
    write_atomically(
        path, lambda handle: figure.savefig(handle, format="png", dpi=FIGURE_DPI)
    )


def check_writable(folder: Path) -> None:
    """Raise OSError if files cannot be written to `folder`, were it made or not.

    Scripts call it before the work whose result they will save; it leaves nothing.
    """
    folder = Path(folder)
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write to the folder {folder}: {error.strerror}; "
            "name another one, or change its permissions"
        ) from error


def _create_temporary(path: Path) -> tuple[int, Path]:
    """Create a temporary file beside `path`, locked to show that it is in use."""
    while True:
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        if not fcntl or _lock(descriptor):
            return descriptor, Path(name)
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock an open file and say whether it is still there."""
    with contextlib.suppress(OSError):  # not every network drive has locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.fstat(descriptor).st_nlink > 0


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of killed writers of `path`: nobody locks them."""
    if not fcntl:
        return
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError), leftover.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where the system can open folders (not Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
