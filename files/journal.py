"""What a long run has made so far, a line an entry: an ended run goes on from it.

The first line says what the entries depend on. Lines are appended: a
killed writer leaves at most a torn last line, which is cut off.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from files.atomic import write_atomically
from files.locks import take_lock
from files.names import show

_KIND = "journal"  # the first line's entry that holds the settings


class Journal:
    """Entries of plain values in a file that grows, which holds `num_entries` now."""

    def __init__(self, path: Path, num_entries: int) -> None:
        self.path = path
        self.num_entries = num_entries
        self._handle = path.open("ab", buffering=0)

    def append(self, entry: Any) -> None:
        """Add an entry; a kill after that does not lose it.

        Raises OSError if the disk is full.
        """
        line = _write_line(entry)
        try:
            while line:  # a disk that fills up takes a part, and refuses the rest
                line = line[self._handle.write(line) :]
        except OSError as error:
            error.filename = str(self.path)  # for the message
            raise
        self.num_entries += 1

    def __iter__(self) -> Iterator[Any]:
        """Yield the entries that there are now."""
        with self.path.open("rb") as lines:
            for line in islice(lines, 1, 1 + self.num_entries):
                yield json.loads(line)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


@contextmanager
def open_journal(
    path: Path, settings: Mapping[str, Any], *, resume: bool, unit: int = 1
) -> Iterator[Journal]:
    """Lend a journal, and remove it if all went well or it holds nothing.

    Args:
        path: the file; missing parent folders are made.
        settings: what the entries depend on, plain values by name.
        resume: go on from the entries that an ended run left, if there are any.
        unit: of these a multiple of this number is kept.

    Raises:
        ValueError: another run writes the file, or it is not a journal; entries are
            there and are not to be gone on from, or depend on other settings.
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if not take_lock(path.with_name(f".{path.name}.lock"), stack):
            raise ValueError(f"another run is writing {path}: wait for its end")
        settings = json.loads(json.dumps(settings))
        num_entries = 0
        if path.exists():
            num_entries = _take_up(path, settings, resume=resume, unit=unit)
        if not num_entries:
            line = _write_line({_KIND: settings})
            write_atomically(path, lambda handle: handle.write(line))
        journal = Journal(path, num_entries)
        is_done = False
        try:
            yield journal
            is_done = True
        finally:
            journal.close()
            if is_done or not journal.num_entries:
                path.unlink()


def _take_up(path: Path, settings: dict[str, Any], *, resume: bool, unit: int) -> int:
    """Cut a file after the last entry to keep, and return how many these are."""
    with path.open("rb") as lines:
        first = _read_line(lines.readline())
        if not (isinstance(first, dict) and isinstance(first.get(_KIND), dict)):
            raise ValueError(
                f"{path} is not what an ended run left: rename it, or the output"
            )
        ends = [lines.tell()]
        for line in lines:
            if _read_line(line) is None:
                break
            ends.append(ends[-1] + len(line))
    num_entries = len(ends) - 1
    if num_entries and not resume:
        raise ValueError(
            f"{path} holds {num_entries} entries of a run that was ended: go on from "
            "it with --resume, or delete it to start anew"
        )
    if num_entries:
        _check_same(first[_KIND], settings, path)
    num_entries -= num_entries % unit
    with path.open("r+b") as handle:
        handle.truncate(ends[num_entries])
    return num_entries


def _check_same(stored: dict[str, Any], given: dict[str, Any], path: Path) -> None:
    """Raise ValueError if entries depend on other settings than those given."""
    different = [
        f"{name} was {show(stored.get(name))}, is now {show(given.get(name))}"
        for name in dict.fromkeys([*given, *stored])
        if stored.get(name) != given.get(name)
    ]
    if different:
        raise ValueError(
            f"cannot go on from {path}: {'; '.join(different)}; repeat the first call, "
            "or delete the file to start anew"
        )


def _write_line(value: Any) -> bytes:
    return f"{json.dumps(value)}\n".encode()


def _read_line(line: bytes) -> Any:
    """Return a line's value; None where it is torn."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
