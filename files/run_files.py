"""The files of a training run: history, best checkpoint, and snapshot to go on from."""

from __future__ import annotations

import platform
import reprlib
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from files.history import save_run
from files.layout import RunPaths
from files.tensors import load_tensors, save_tensors
from hardware import distributed
from trainer import Listener, Trainer

FORMAT_VERSION = 1


class InterruptedRunError(Exception):
    """A signal asked the run to stop; it stopped after saving a snapshot.

    Attributes:
        status: the exit status that the system's convention asks for.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.status = 128 + signal_number


class RunFiles(Listener):
    """Write a run's files while it trains, and stop it cleanly on a signal.

    Args:
        paths: where the files go.
        run: the run's entries in the history beside the curves; `run_id` names it.
        details: the entries of its checkpoints beside the model and its results.
        minutes: how often a snapshot is saved within an epoch; 0 only at its end.
    """

    def __init__(
        self,
        paths: RunPaths,
        run: dict[str, Any],
        details: dict[str, Any],
        *,
        minutes: float = 10.0,
    ) -> None:
        self.paths = paths
        self.run = run
        self.details = {"format_version": FORMAT_VERSION, **details}
        self._interval_s = 60 * minutes
        self._saved_at = self._epoch_began = time.monotonic()
        self._signal = 0

    @contextmanager
    def watch_signals(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM instead of dying of them; a second one kills."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def resume(self, trainer: Trainer) -> None:
        """Bring a new trainer to where the snapshot's run stopped.

        Raises:
            FileNotFoundError: there is no snapshot.
            ValueError: it is damaged, or of a run with other flags or data.
        """
        snapshot = load_snapshot(self.paths.snapshot)
        check_same_flags(snapshot["flags"], self.details["flags"])
        if snapshot.get("data_fingerprint") != self.details["data_fingerprint"]:
            raise ValueError(
                f"cannot resume from {self.paths.snapshot}: the dataset's files are "
                "not those that the run started with"
            )
        try:
            trainer.load_state_dict(snapshot["trainer"])
        # torch's loaders answer a damaged state with nearly any built-in error.
        except Exception as error:
            raise ValueError(
                f"cannot resume from {self.paths.snapshot}: it is damaged ({error})"
            ) from error
        self.run = snapshot["run"]
        self.save_history(trainer)  # if the run was killed before it could

    def on_batch(self, trainer: Trainer) -> None:
        """Save a snapshot when it is time to, or when a signal came, and stop then.

        Raises:
            InterruptedRunError: a signal came.
        """
        is_due = time.monotonic() - self._saved_at >= self._interval_s > 0
        stop, is_due = distributed.maximum([self._signal, int(is_due)])
        if stop or is_due:
            self.save_snapshot(trainer)
        if stop:
            raise InterruptedRunError(stop)

    def on_improvement(self, trainer: Trainer) -> None:
        """Save the model as the best checkpoint."""
        checkpoint = {
            "model": trainer.model.state_dict(),
            "val_acc": trainer.history["val_acc"][-1],
            "test_acc": trainer.history["test_acc"][-1],
            "epoch": trainer.epoch,
            **self.details,
        }
        if distributed.is_main():
            save_tensors(checkpoint, self.paths.checkpoint)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Save the snapshot, then the history; killed in between, nothing is lost."""
        self.save_snapshot(trainer)
        self.save_history(trainer)
        seconds = time.monotonic() - self._epoch_began
        self._epoch_began = time.monotonic()
        if distributed.is_main():
            print(f"{_describe_epoch(trainer)} ({seconds:.0f} s)", flush=True)

    def save_snapshot(self, trainer: Trainer) -> None:
        """Save all that is needed to go on from here."""
        self._saved_at = time.monotonic()
        state = trainer.state_dict()  # every process takes part
        if not all(p.isfinite().all() for p in trainer.model.parameters()):
            raise FloatingPointError(
                f"a weight became NaN or infinite in epoch {trainer.epoch + 1}; the "
                "last checkpoints are kept; try a lower learning rate or --grad-clip 1"
            )
        if distributed.is_main():
            snapshot = {**self.details, "run": self.run, "trainer": state}
            save_tensors(snapshot, self.paths.snapshot)

    def save_history(self, trainer: Trainer) -> None:
        """Save the run's record, in its place in the history file."""
        best_epoch = trainer.get_best_epoch()
        if distributed.is_main() and best_epoch:
            best = {
                "best_epoch": best_epoch,
                "best_val_acc": trainer.history["val_acc"][best_epoch - 1],
            }
            save_run({**self.run, **trainer.history, **best}, self.paths.history)

    def _note(self, number: int, frame: object) -> None:
        """Remember a signal; let a second one act as it would."""
        self._signal = number
        signal.signal(number, signal.default_int_handler)


def set_aside_unfinished(paths: RunPaths) -> list[Path]:
    """Rename the files of an unfinished run, so that a new one does not replace them.

    A run is finished when its checkpoint is newer than its snapshot: the last thing
    that a training does is to put the threshold into the checkpoint.

    Returns:
        The new names of snapshot and, where there is one, checkpoint; or nothing.
    """
    snapshot, checkpoint = paths.snapshot, paths.checkpoint
    if not snapshot.exists():
        return []
    saved_at = snapshot.stat().st_mtime
    if checkpoint.exists() and checkpoint.stat().st_mtime >= saved_at:
        return []
    mark = f"aside-{datetime.fromtimestamp(saved_at):%Y%m%d-%H%M%S}"
    return [
        path.rename(path.with_name(f"{path.stem}.{mark}{path.suffix}"))
        for path in (snapshot, checkpoint)
        if path.exists()
    ]


def load_snapshot(path: Path) -> dict[str, Any]:
    """Load a snapshot that `RunFiles` saved.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged or is no snapshot.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"there is no snapshot {path} to go on from; leave --resume out to start"
        )
    snapshot = load_tensors(path)
    parts = snapshot if isinstance(snapshot, dict) else {}
    if not all(isinstance(parts.get(n), dict) for n in ("run", "trainer", "flags")):
        raise ValueError(f"{path} is no snapshot of a training run")
    if snapshot.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"the snapshot {path} has format version "
            f"{reprlib.repr(snapshot.get('format_version'))}, not {FORMAT_VERSION}"
        )
    return snapshot


def check_same_flags(stored: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise ValueError when a run is to be resumed with other flags than it had."""
    different = [
        f"--{name.replace('_', '-')} was {reprlib.repr(stored.get(name))}, "
        f"is now {value!r}"
        for name, value in given.items()
        if stored.get(name) != value
    ]
    if different:
        raise ValueError(
            f"cannot resume with other flags: {'; '.join(different)}; "
            "repeat the flags of the first call (only --epochs may grow)"
        )


def _describe_epoch(trainer: Trainer) -> str:
    """Return an epoch's results as a line."""
    last = {curve: values[-1] for curve, values in trainer.history.items()}
    parts = [
        f"{split} loss {last[f'{split}_loss']:.4f} acc {last[f'{split}_acc']:5.2f} %"
        for split in ("train", "val", "test")
    ]
    mark = " | best so far" if trainer.get_best_epoch() == trainer.epoch else ""
    return f"epoch {trainer.epoch}: {' | '.join(parts)}{mark}"


def get_versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
    }
