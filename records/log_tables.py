"""Tables that grow row by row: as a CSV file, and for TensorBoard (an extra; no torch).

An optional extra (`requirements-log.txt`): the package tensorboard.
"""

import contextlib
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from files.atomic import open_atomically

LogRow = Mapping[str, float | None]


class CsvTable:
    """Append rows of numbers to a CSV file.

    The file grows in place, because to replace it would take longer with each row. A
    kill can leave part of a row at its end: `load_table` skips that, `cut` drops it.

    Args:
        path: of the file, which the first row makes.
        columns: its header.
        key: the column that counts, from 1, and by which rows are dropped.
    """

    def __init__(self, path: Path, columns: Sequence[str], key: str) -> None:
        self.path = path
        self._columns, self._key = tuple(columns), columns.index(key)
        self._header = ",".join(columns) + "\n"

    def write(self, rows: Sequence[LogRow], *, sync: bool = False) -> None:
        """Append rows; `sync`: all rows so far survive a power cut, too.

        Raises:
            OSError: the file cannot be written.
        """
        if not rows and not self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _named_in_errors(self.path), self.path.open("a", newline="") as handle:
            handle.write("" if handle.tell() else self._header)
            handle.writelines(map(self._format, rows))
            if sync:
                handle.flush()
                os.fsync(handle.fileno())

    def cut(self, last: int) -> dict[str, str]:
        """Drop the rows whose key is above `last`.

        Returns:
            The last row that is left, by column; nothing if there is none.

        Raises:
            ValueError: the file has other columns.
        """
        row: list[str] = []
        if not self.path.exists():
            return {}
        # On Windows an open file cannot be replaced: the old one is closed first.
        with open_atomically(self.path) as new, self.path.open("rb") as old:
            header = old.readline()
            if header.endswith(b"\n"):  # else a kill left part of it
                if header.decode(errors="replace") != self._header:
                    raise ValueError(
                        f"cannot go on with the log {self.path}: its columns are not "
                        f"{self._header.rstrip()}; move it elsewhere"
                    )
                new.write(header)
            for line in itertools.takewhile(lambda line: self._keeps(line, last), old):
                new.write(line)
                row = line.decode().rstrip("\n").split(",")
        return dict(zip(self._columns, row, strict=True)) if row else {}

    def close(self) -> None:
        """Do nothing: the file is open only while it is written."""

    def _format(self, row: LogRow) -> str:
        values = (row[name] for name in self._columns)
        return ",".join("" if v is None else str(v) for v in values) + "\n"

    def _keeps(self, line: bytes, last: int) -> bool:
        """Say whether a line is a whole row with a key up to `last`."""
        cells = line.split(b",")
        is_whole = line.endswith(b"\n") and len(cells) == len(self._columns)
        return is_whole and cells[self._key].isdigit() and int(cells[self._key]) <= last


class TensorBoardTable:
    """Write rows of numbers as curves for TensorBoard.

    Args:
        path: the folder of its event files, made with the first row.
        columns: those to draw; of a row that has no value for one there is no point.
        key: the column that is the curves' horizontal axis.

    Raises:
        ValueError: the package tensorboard is not installed.
    """

    def __init__(self, path: Path, columns: Sequence[str], key: str) -> None:
        self.path = path
        self._tags, self._key = {name: f"{key}/{name}" for name in columns}, key
        try:
            from torch.utils.tensorboard import SummaryWriter  # which takes a second
        except ImportError as error:
            raise ValueError(
                "--log tensorboard needs the package tensorboard: pip install -r "
                "requirements-log.txt"
            ) from error
        self._writer_type, self._writer = SummaryWriter, None
        self._hidden_from: int | None = None

    def write(self, rows: Sequence[LogRow], *, sync: bool = False) -> None:
        """Write rows, at once; `sync` changes nothing.

        Raises:
            OSError: the file cannot be written.
        """
        if not rows:
            return
        points = (
            (tag, row[name], row[self._key])
            for row in rows
            for name, tag in self._tags.items()
            if row[name] is not None
        )
        with _named_in_errors(self.path):
            if self._writer is None:
                options = {"purge_step": self._hidden_from}
                self._writer = self._writer_type(str(self.path), **options)
            for point in points:
                self._writer.add_scalar(*point)
            self._writer.flush()

    def cut(self, last: int) -> dict[str, str]:
        """Let TensorBoard hide the points after `last`, once more are written."""
        self._hidden_from = last + 1
        return {}

    def close(self) -> None:
        """Let go of the file; the next row would open another."""
        if self._writer is not None:
            self._writer.close()
        self._writer = self._hidden_from = None


@contextlib.contextmanager
def _named_in_errors(path: Path) -> Iterator[None]:
    """Let a full disk's error say which file could not be written."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def load_table(path: Path) -> dict[str, list[float]]:
    """Load the columns of a file that a `CsvTable` wrote, or is still writing.

    Returns:
        By name the column's numbers, NaN where there is none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a table, or holds no row yet.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no log {path}; train_main.py --log csv writes one"
        )
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    names, *rows = [line.split(",") for line in lines] or [[]]
    try:
        numbers = [[float(cell or math.nan) for cell in row] for row in rows]
        columns = list(zip(*numbers, strict=True))
        return {n: list(c) for n, c in zip(names, columns, strict=True)}
    except ValueError as error:
        raise ValueError(
            f"{path} is not a log of train_main.py --log csv with a finished row"
        ) from error
