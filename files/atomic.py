"""Write files whole or not at all."""

import csv
import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

_NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?([eE][-+]?[0-9]+)?")
# Between tries, where an open file cannot be replaced: a virus scanner lets go soon.
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8) if os.name == "nt" else ()
LONGEST_END = 30  # of a figure's or a run's file name, such as _last.10.pt


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file as `open_atomically` does; `write` is called with it."""
    with open_atomically(path) as handle:
        write(handle)


@contextmanager
def open_atomically(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file so that a reader, or a crash, sees the old one or the new one.

    The content goes to a temporary file of its own in the same folder, is flushed to
    the disk, and then takes the name in one step: of several writers the last one wins,
    whole. On any error the temporary file is removed and the old file stays. A killed
    writer leaves its temporary file, `.NAME.RANDOM.tmp`.

    Args:
        path: the file to write; missing parent folders are made.

    Yields:
        A binary file open for writing.

    Raises:
        OSError: the folder cannot be written, the disk is full, or a folder, a device
            or a pipe has the name.
    """
    path = Path(path)
    refuse_other_kinds(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = name_temporary(path)
    try:
        with temporary.open("xb") as handle:  # x: never through a link
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        _take_name(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)  # for the message
        raise
    _sync_folder(path.parent)


def _take_name(temporary: Path, path: Path) -> None:
    """Rename a file over another; on Windows a reader of either is waited for."""
    for pause_s in PAUSES_S:
        with suppress(PermissionError):
            temporary.replace(path)
            return
        time.sleep(pause_s)
    temporary.replace(path)


def name_temporary(path: Path) -> Path:
    """Return a new name beside `path`."""
    return path.with_name(f"{_start_temporary(path)}{secrets.token_hex(6)}.tmp")


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of a path left; nobody else may write it now."""
    start = _start_temporary(path)
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        if other.name.startswith(start) and other.name.endswith(".tmp"):
            other.unlink(missing_ok=True)


def _start_temporary(path: Path) -> str:
    """Return how a path's temporary names begin; of a long name a part and a hash."""
    name = path.name
    if len(os.fsencode(name)) > 200:  # file systems allow 255
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
        name = f"{name[:40]}.{digest}"
    return f".{name}."


def refuse_other_kinds(path: Path) -> None:
    """Raise OSError if what has the name of a file to write is not a regular file."""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise OSError(f"cannot write {path}: it is {kind}; name another file")


def save_json(value: Any, path: str | Path) -> None:
    """Save a value as indented JSON, atomically.

    Raises:
        ValueError: `value` holds NaN or an infinity, which JSON does not have.
        OSError: the file cannot be written.
    """
    try:
        text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    except ValueError as error:
        raise ValueError(f"cannot write {path}: {error}") from error
    save_text(text, path)  # an escape \udcXX is JSON's own


def save_text(text: str, path: str | Path) -> None:
    """Save a text (UTF-8), atomically.

    The bytes of a file name that is not valid UTF-8 become escapes, \\udcXX.

    Raises:
        OSError: the file cannot be written.
    """
    content = text.encode(errors="backslashreplace")
    write_atomically(path, lambda handle: handle.write(content))


def save_csv(
    rows: Iterable[Iterable[Any]], path: str | Path, *, header: Sequence[str]
) -> None:
    """Save rows under a header as `open_csv` does."""
    with open_csv(path, header=header) as write_row:
        for row in rows:
            write_row(row)


@contextmanager
def open_csv(
    path: str | Path, *, header: Sequence[str]
) -> Iterator[Callable[[Sequence[Any]], object]]:
    """Write a CSV file (UTF-8) a row at a time, atomically.

    Text that a spreadsheet would take for a formula, and not for a number, gets an
    apostrophe before it.

    Yields:
        A function that writes a row.
    """
    with open_atomically(path) as handle:
        # A file name that is not valid UTF-8 keeps its bytes.
        options = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
        text = io.TextIOWrapper(handle, **options)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        try:
            yield lambda row: writer.writerow(map(_quote_formula, row))
        finally:
            text.detach()  # flushes, and leaves the file open


@contextmanager
def open_json_lines(path: str | Path) -> Iterator[Callable[[Any], object]]:
    """Write a JSON value a line (JSON Lines, UTF-8), atomically.

    Yields:
        A function that writes a value; it raises ValueError for NaN and infinities,
        which JSON does not have.
    """
    with open_atomically(path) as handle:

        def write_value(value: Any) -> None:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False) + "\n"
            handle.write(text.encode(errors="backslashreplace"))

        yield write_value


def _quote_formula(cell: Any) -> Any:
    """Return a cell that a spreadsheet does not compute."""
    is_formula = isinstance(cell, str) and cell.startswith(tuple("=+-@\t\r"))
    return f"'{cell}" if is_formula and not _NUMBER.fullmatch(cell) else cell


def check_outputs(paths: Sequence[Path], inputs: Iterable[Path] = ()) -> None:
    """Raise if two outputs are one file, by whatever names, or as `check_output`."""
    for number, path in enumerate(paths):
        if any(_are_one_file(path, other) for other in paths[:number]):
            raise ValueError(f"two outputs are to be written to {path}: rename one")
        check_output(path, inputs)


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise if a file cannot be written, or would replace one of the inputs.

    Scripts call it before the work whose result they will save; it leaves nothing.

    Raises:
        ValueError: it is one of the inputs.
        OSError: the folder cannot be written, or the name is not a file's.
    """
    _check_names([path.name], _find_existing(path.parent))
    refuse_other_kinds(path)
    if any(_are_one_file(path, other) for other in inputs):
        raise ValueError(f"{path} is an input and would be overwritten: name another")
    check_writable(path.parent)


def _are_one_file(path: Path, other: Path) -> bool:
    """Say whether two names stand for one file, which need not be there yet."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return os.path.realpath(path) == os.path.realpath(other)  # copes with link loops


def check_writable(folder: str | Path, *starts: str) -> None:
    """Raise OSError if files cannot be written to `folder`, which may not exist yet.

    Scripts call it before the work whose result they will save; it leaves nothing.

    Args:
        folder: where files will be written.
        starts: of their names, to which at most `LONGEST_END` characters are added.
    """
    existing = _find_existing(Path(folder))
    _check_names([start + LONGEST_END * "_" for start in starts], existing)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write to the folder {folder}: {error.strerror}; "
            "name another one, or change its permissions"
        ) from error


def _find_existing(folder: Path) -> Path:
    """Return a folder, or of one to be made the nearest parent that is there."""
    folder = folder.absolute()
    # Unlike `Path.exists`, this takes a name that is too long for one that is free.
    existing = next(p for p in (folder, *folder.parents) if os.access(p, os.F_OK))
    _check_names(folder.relative_to(existing).parts, existing)
    return existing


def _check_names(names: Iterable[str], existing: Path) -> None:
    """Raise OSError if names are too long for a folder's file system."""
    for name in names:
        try:
            os.lstat(existing / name)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise OSError(
                    f"cannot write {name[:40]}... to {existing}: {error.strerror}; "
                    "choose a shorter name"
                ) from error


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where the system can open folders (not Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(paths: Sequence[Path]) -> dict[Path, Path]:
    """Rename files from NAME.pt to NAME.1.pt, with the first number free for all.

    Returns:
        From the old to the new names of the files that were there.
    """
    number = 1
    while any(_add_number(path, number).exists() for path in paths):
        number += 1
    there = [path for path in paths if path.exists()]
    return {path: path.rename(_add_number(path, number)) for path in there}


def _add_number(path: Path, number: int) -> Path:
    """Return NAME.1.pt for NAME.pt, and NAME.1 for a folder."""
    if path.is_dir():  # in its name a dot is nothing special
        return path.with_name(f"{path.name}.{number}")
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def check_free(destination: Path, flag: str) -> None:
    """Raise unless `grow_folder` can make the folder of a flag; it leaves nothing.

    Raises:
        ValueError: something is there, and not an empty folder.
        OSError: the folder cannot be made.
    """
    folder = destination.resolve()
    is_empty = folder.is_dir() and not any(folder.iterdir())
    is_in_use = folder == Path.cwd() or folder.is_mount()
    if os.path.lexists(destination) and (is_in_use or not is_empty):
        state = "in use" if is_empty else "not empty"
        raise ValueError(
            f"{flag} {destination}: it is there and {state}; name a new folder"
        )
    check_writable(destination.parent)


@contextmanager
def grow_folder(destination: Path) -> Iterator[Path]:
    """Lend a new folder that becomes the destination if all goes well.

    If several grow at once, the first to finish takes the name.

    Raises:
        OSError: the destination exists and is not an empty folder.
    """
    destination = destination.resolve()
    growing = name_temporary(destination)
    growing.mkdir(parents=True)
    try:
        yield growing
        if destination.is_dir():  # Windows replaces no folder, not even an empty one
            destination.rmdir()
        growing.replace(destination)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
