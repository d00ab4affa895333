"""A training's log: a row a step and a row an epoch, in tables that others can watch.

A run that was stopped or killed and then resumed has each row once: what is noted is
written before a snapshot is saved, and what was noted later is dropped on resumption.
The tables are a CSV file, and TensorBoard's (an extra: `requirements-log.txt`).
"""

import contextlib
import itertools
import math
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from files.atomic import open_atomically
from files.names import LOG_KINDS, RunPaths
from hardware import distributed
from records.history import CURVES

STEP_COLUMNS = (
    *("epoch", "step", "images", "loss", "learning_rate", "gradient_norm"),
    *("images_per_s", "step_s", "elapsed_s"),
)
EPOCH_COLUMNS = ("epoch", *CURVES, "learning_rate", "epoch_s", "elapsed_s")
NOT_DRAWN = ("epoch", "step", "images", "elapsed_s")  # TensorBoard has its own axes
FLUSH_S = 1.0
LogRow = Mapping[str, float | None]


class RunLog:
    """Note each step and epoch of a training; without kinds do nothing.

    All processes that train together note and flush the same; the main one writes.

    Args:
        paths: where the files go.
        kinds: some of `LOG_KINDS`.

    Raises:
        ValueError: there is no such kind, or its package is not installed.
    """

    def __init__(self, paths: RunPaths, kinds: Collection[str] = ()) -> None:
        if unknown := [kind for kind in kinds if kind not in LOG_KINDS]:
            allowed = " and ".join(LOG_KINDS)
            raise ValueError(f"--log takes {allowed}, got {unknown[0]!r:.60}")
        self.is_on = bool(kinds)
        written = kinds if distributed.is_main() else ()
        steps, epochs = paths.events / "step", paths.events / "epoch"
        self._steps = _build_tables(written, paths.steps, steps, STEP_COLUMNS)
        self._epochs = _build_tables(written, paths.epochs, epochs, EPOCH_COLUMNS)
        self._rows: list[dict[str, Any]] = []
        self._flushed_at = time.monotonic()
        self.begin()

    def begin(self, elapsed_s: float = 0.0) -> None:
        """Start the clock, at what it showed when the run was stopped."""
        self._began = time.monotonic() - elapsed_s
        self.await_step()

    def resume(self, trainer: Any) -> None:
        """Drop what was noted after the state from which a trainer goes on.

        Raises:
            ValueError: a file there is not such a log.
        """
        batches = trainer.loaders["train"]
        position = batches.state_dict()
        num_steps = position["epoch"] * len(batches) + position["batch"]
        num_epochs = len(trainer.history["val_acc"])
        rows = [table.cut(num_steps) for table in self._steps]
        rows += [table.cut(num_epochs) for table in self._epochs]
        self.begin(max((float(row["elapsed_s"]) for row in rows if row), default=0.0))

    def await_step(self) -> None:
        """Let the time of the next step count from now."""
        self._step_began = time.monotonic()

    def note_step(self, trainer: Any) -> None:
        """Note a training step; the numbers on a GPU stay there for now."""
        if not self.is_on or trainer.last_loss is None:
            return
        now, batches = time.monotonic(), trainer.loaders["train"]
        seconds = max(now - self._step_began, 1e-6)  # by a coarse clock it may be 0
        epoch, batch = (batches.state_dict()[name] for name in ("epoch", "batch"))
        size, num_images = batches.batch_size, len(batches.dataset)
        before, after = (batch - 1) * size, min(batch * size, num_images)
        row = {
            "epoch": epoch + 1,
            "step": epoch * len(batches) + batch,
            "images": epoch * num_images + after,
            "loss": trainer.last_loss * batches.share,
            "learning_rate": trainer.last_rate,
            "gradient_norm": trainer.last_norm,
            "images_per_s": round((after - before) / seconds, 1),
            "step_s": round(seconds, 6),
            "elapsed_s": round(now - self._began, 3),
        }
        self._rows.append(row)

    def note_epoch(self, trainer: Any, seconds: float) -> None:
        """Note an epoch's results; `seconds`: that it took, since a resumption."""
        row = {name: trainer.history[name][-1] for name in CURVES} | {
            "epoch": trainer.epoch,
            "learning_rate": trainer.get_rate(),
            "epoch_s": round(seconds, 3),
            "elapsed_s": round(time.monotonic() - self._began, 3),
        }
        for table in self._epochs:
            table.write([row], sync=True)

    def is_due(self) -> bool:
        """Say whether steps were noted so long ago that they should be written."""
        return bool(self._rows) and time.monotonic() - self._flushed_at >= FLUSH_S

    def flush(self, *, sync: bool = False) -> None:
        """Write the steps noted; `sync`: so that they survive a power cut, too.

        Processes that train together must call it together: each knows the loss of its
        part of a batch.
        """
        rows, self._rows = self._rows, []
        if rows:
            losses = distributed.sum_over_processes([row["loss"] for row in rows])
            for row, loss in zip(rows, losses, strict=True):
                row["loss"] = loss / distributed.get_world_size()
                row["gradient_norm"] = float(row["gradient_norm"])
        for table in self._steps:
            table.write(rows, sync=sync)
        self._flushed_at = time.monotonic()

    def close(self) -> None:
        """Write what is left, unless another process is needed for it, and end."""
        if distributed.get_world_size() == 1:
            self.flush()
        for table in (*self._steps, *self._epochs):
            table.close()


def _build_tables(
    kinds: Collection[str], path: Path, folder: Path, columns: Sequence[str]
) -> "list[CsvTable | TensorBoardTable]":
    """Return the tables of a kind of row, whose key names the folder."""
    tables: list[CsvTable | TensorBoardTable] = []
    if "csv" in kinds:
        tables.append(CsvTable(path, columns, folder.name))
    if "tensorboard" in kinds:
        drawn = [name for name in columns if name not in NOT_DRAWN]
        tables.append(TensorBoardTable(folder, drawn, folder.name))
    return tables


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
