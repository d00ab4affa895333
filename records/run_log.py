"""A training's log: a row a step and a row an epoch, in tables that others can watch.

A run that was stopped or killed and then resumed has each row once: what is noted is
written before a snapshot is saved, and what was noted later is dropped on resumption.
"""

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from files.names import LOG_KINDS, RunPaths
from hardware import distributed
from records.history import CURVES
from records.log_tables import CsvTable, TensorBoardTable

STEP_COLUMNS = (
    *("epoch", "step", "images", "loss", "learning_rate", "gradient_norm"),
    *("images_per_s", "step_s", "elapsed_s"),
)
EPOCH_COLUMNS = ("epoch", *CURVES, "learning_rate", "epoch_s", "elapsed_s")
NOT_DRAWN = ("epoch", "step", "images", "elapsed_s")  # TensorBoard has its own axes
FLUSH_S = 1.0
Table = CsvTable | TensorBoardTable


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
) -> list[Table]:
    """Return the tables of a kind of row, whose key names the folder."""
    tables: list[Table] = []
    if "csv" in kinds:
        tables.append(CsvTable(path, columns, folder.name))
    if "tensorboard" in kinds:
        drawn = [name for name in columns if name not in NOT_DRAWN]
        tables.append(TensorBoardTable(folder, drawn, folder.name))
    return tables
