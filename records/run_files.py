"""A training run's files: its history, best checkpoint, and snapshot to resume from."""

import contextlib
import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from files.atomic import remove_leftovers, set_aside
from files.locks import take_lock
from files.names import RunPaths, show
from files.tensors import load_tensors, save_tensors
from hardware import distributed
from records.checkpoint import FORMAT_VERSION, CheckpointRecord
from records.checkpoint_files import read_checkpoint, save_checkpoint
from records.history import check_run, load_history, save_run
from records.recipe import Recipe, spell
from records.run_log import RunLog

MAY_CHANGE = ("epochs",)  # flags of a run that is resumed


class InterruptedRunError(KeyboardInterrupt):
    """A signal stopped the run.

    Attributes:
        status: the exit status that the system's convention asks for.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.status = 128 + signal_number


class RunFiles:
    """Write a run's files while it trains, and stop it cleanly on a signal.

    `Trainer.run` calls `at_safe_point` and `after_epoch`. A checkpoint holds `model`
    (the state dict) and the entries of its record. A snapshot holds the record, `run`,
    the best epoch's record and the trainer's state.

    Args:
        paths: where the files go.
        run: the run's entries in the history beside the curves.
        record: what is known at the start; a run is resumed only if `flags` and
            `data_fingerprint` are still the same.
        calibrate: from validation's logits (N, 2) and labels (N,) to the entries of the
            record that follow from them, such as a threshold.
        say: prints a line.
        left_out: names of the tensors that checkpoints do not hold, but the hash of.

    Attributes:
        best: the record of the best epoch; None before the first.
        kept: from the old to the new names of an earlier run's files.
        log: notes the steps and the epochs; unless it is replaced, it does nothing.
    """

    def __init__(
        self,
        paths: RunPaths,
        run: dict[str, Any],
        record: CheckpointRecord,
        calibrate: Callable[[torch.Tensor, torch.Tensor], dict[str, Any]],
        say: Callable[[str], None] = print,
        left_out: Collection[str] = (),
    ) -> None:
        self.paths = paths
        self.run = {"run_id": uuid.uuid4().hex, **run}
        self.record = record
        self.best: CheckpointRecord | None = None
        self.kept: dict[Path, Path] = {}
        self.log = RunLog(paths)
        self._calibrate = calibrate
        self._say = say
        self._left_out = left_out
        self._interval_s = 0.0
        self._saved_at = self._epoch_began = self._counted_at = time.monotonic()
        self._signal = 0
        self._shared_wishes = distributed.PacedMaximum()

    @contextlib.contextmanager
    def watch(self, minutes: float = 10.0) -> Iterator[None]:
        """Hold the run's name, and on SIGINT or SIGTERM save before stopping.

        The same signal again stops at once, unless torchrun started this process.

        Args:
            minutes: between snapshots within an epoch; 0 saves only at its end.

        Raises:
            ValueError: another run of this name is alive.
        """
        self._interval_s = 60 * minutes
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            with hold_lock(self.paths.lock), contextlib.closing(self.log):
                if distributed.is_main():
                    remove_leftovers(self.paths.checkpoint)
                    remove_leftovers(self.paths.snapshot)
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def start_anew(self) -> None:
        """Rename an earlier run's files, whatever became of it, and say so.

        The checkpoint goes first, so that a kill in between never leaves it beside the
        snapshot of another run.

        Raises:
            ValueError: the file of the history is not one.
        """
        if self.paths.history.exists():
            load_history(self.paths.history)
        if distributed.is_main():
            paths = (self.paths.checkpoint, self.paths.snapshot, *self.paths.logs)
            self.kept = set_aside(paths)
        for path in self.kept.values():
            self._say(f"kept an earlier run's file as {path}")
        self.log.begin()

    def resume(self, trainer: Any) -> None:
        """Bring a new trainer to where the snapshot's run stopped.

        Raises:
            FileNotFoundError: there is no snapshot.
            ValueError: it is damaged, its run had other flags or data, or the
                checkpoint or the log beside it is not this run's.
        """
        path = self.paths.snapshot
        snapshot = load_snapshot(path)
        check_same_flags(snapshot["flags"], self.record.flags, path)
        if snapshot.get("data_fingerprint") != self.record.data_fingerprint:
            raise ValueError(
                f"cannot resume from {path}: the dataset's files are not those with "
                "which the run started: some were added, removed or renamed, or it is "
                "another --data-root; restore them, or start a run of another --name"
            )
        if snapshot.get("backbone_sha256", "") != self.record.backbone_sha256:
            raise ValueError(
                f"cannot resume from {path}: the run started from other weights; "
                "repeat its --weights"
            )
        try:
            self._take_over(snapshot, trainer)
            has_checkpoint = self.best is None or self._has_checkpoint()
        # torch answers a damaged state with nearly any built-in error.
        except Exception as error:
            if isinstance(error, FloatingPointError):  # not damaged: it diverges here
                raise
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ValueError(
                f"cannot resume from {path}: it is damaged ({reason})"
            ) from error
        if not has_checkpoint and snapshot.get("holds_best") is not True:
            raise ValueError(
                f"cannot resume from {path}: {self.paths.checkpoint} is not the best "
                f"checkpoint of this run (epoch {self.best.epoch}); put that back, "
                "or start over without --resume"
            )
        self.log.resume(trainer)
        if not has_checkpoint:
            self._save_checkpoint(trainer)
        self._save_history(trainer)  # if the run was killed before it could
        batch = trainer.loaders["train"].state_dict().get("batch", 0)
        self._say(f"resumed after epoch {trainer.epoch}, batch {batch} of the next")
        self._saved_at = self._epoch_began = self._counted_at = time.monotonic()

    def _take_over(self, snapshot: dict[str, Any], trainer: Any) -> None:
        """Load a snapshot; if it is damaged, any error may come of it."""
        check_run(snapshot["trainer"]["history"], "its history")
        self.run = snapshot["run"]
        CheckpointRecord.from_untrusted({"run_id": self.run["run_id"]})
        if snapshot["best"]:
            entries = {**snapshot, **snapshot["best"]}
            self.best = CheckpointRecord.from_untrusted(entries)
            if None in (self.best.val_acc, self.best.test_acc):
                raise ValueError("its best epoch has no results")
        json.dumps(self.run, allow_nan=False)  # as the history will hold it
        trainer.load_state_dict(snapshot["trainer"])
        trainer.rehearse()
        trainer.load_state_dict(load_snapshot(self.paths.snapshot)["trainer"])

    def at_safe_point(self, trainer: Any) -> None:
        """Save a snapshot if it is time to, or if a signal came, and then stop.

        Raises:
            InterruptedRunError: a signal came.
        """
        self.log.note_step(trainer)
        is_due = time.monotonic() - self._saved_at >= self._interval_s > 0
        wishes = [self._signal, int(is_due), int(self.log.is_due())]
        stop, is_due, is_log_due = self._shared_wishes.maximum(wishes)
        if is_log_due:
            self.log.flush()
        if stop or is_due:
            self._save_snapshot(trainer)
        if stop:
            self._say(
                f"stopped by {signal.Signals(stop).name}; saved {self.paths.snapshot}; "
                "to go on, repeat the command with --resume"
            )
            raise InterruptedRunError(stop)
        self.log.await_step()

    def after_epoch(self, trainer: Any) -> None:
        """Save the snapshot, the checkpoint if the epoch was the best, and the history.

        A kill in between loses nothing: the snapshot at an epoch's end holds the model
        and all that the checkpoint and the history would say.
        """
        now = time.monotonic()
        seconds, self._epoch_began = now - self._epoch_began, now
        self.log.note_epoch(trainer, seconds)
        if trainer.is_best():
            self.best = replace(
                self.record,
                val_acc=trainer.history["val_acc"][-1],
                test_acc=trainer.history["test_acc"][-1],
                epoch=trainer.epoch,
                run_id=self.run["run_id"],
                **self._calibrate(trainer.val_logits, trainer.val_labels),
            )
        self._save_snapshot(trainer, holds_best=trainer.is_best())
        if trainer.is_best():
            self._save_checkpoint(trainer)
        self._save_history(trainer)
        self._say(f"{_describe_epoch(trainer)} ({seconds:.0f} s)")
        self.log.await_step()

    def _save_snapshot(self, trainer: Any, *, holds_best: bool = False) -> None:
        """Save all that is needed to go on; `holds_best`: its model is the best one."""
        self._saved_at = now = time.monotonic()
        seconds, self._counted_at = now - self._counted_at, now
        self.run["seconds"] = round(self.run.get("seconds", 0) + seconds, 3)
        self.log.flush(sync=True)  # a resumed run needs all rows up to its snapshot
        state = trainer.state_dict()  # every process takes part
        if not all(p.isfinite().all() for p in trainer.model.parameters()):
            raise FloatingPointError(
                f"a weight became NaN or infinite in epoch {trainer.epoch + 1}; the "
                "last checkpoints are kept; try a lower learning rate or --grad-clip 1"
            )
        if distributed.is_main():
            best = {} if self.best is None else self.best.to_dict()
            snapshot = {"run": self.run, "best": best, "holds_best": holds_best}
            snapshot |= {**self.record.to_dict(), "trainer": state}
            save_tensors(snapshot, self.paths.snapshot)

    def _save_checkpoint(self, trainer: Any) -> None:
        """Save the model as the best checkpoint."""
        if distributed.is_main():
            state = trainer.model.state_dict()
            kept = {n: value for n, value in state.items() if n not in self._left_out}
            save_checkpoint(kept, self.best, self.paths.checkpoint)

    def _save_history(self, trainer: Any) -> None:
        """Save the run in its place in the history file."""
        epoch = trainer.best_epoch
        if distributed.is_main() and epoch:
            accuracy = trainer.history["val_acc"][epoch - 1]
            best = {"best_epoch": epoch, "best_val_acc": accuracy}
            save_run({**self.run, **trainer.history, **best}, self.paths.history)

    def _has_checkpoint(self) -> bool:
        """Say whether the checkpoint is the last one that this run wrote."""
        wanted = {"run_id": self.best.run_id, "epoch": self.best.epoch}
        try:
            content = load_tensors(self.paths.checkpoint)
        except (FileNotFoundError, ValueError):  # lost or damaged
            return False
        return isinstance(content, dict) and wanted.items() <= content.items()

    def _note(self, number: int, frame: object) -> None:
        """Remember a signal and say so; the same again stops at once.

        Not in processes that torchrun started: it passes on what they may have got from
        Slurm already, and kills them if they take too long.
        """
        self._signal = number
        launched = "LOCAL_RANK" in os.environ
        signal.signal(number, signal.SIG_IGN if launched else stop_at_once)
        if distributed.is_main():
            again = "" if launched else "; again stops now"
            name = signal.Signals(number).name
            # A handler must not use the buffered streams.
            os.write(2, f"\n{name}: saving after this step{again}\n".encode())


def let_signals_stop() -> None:
    """Let SIGINT and SIGTERM stop the run at once: all is saved that can be lost."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_after_the_last_epoch)


def _stop_after_the_last_epoch(number: int, frame: object) -> None:
    """Handle a signal by saying what there is, and stopping."""
    if distributed.is_main():
        said = "stopped before the best epoch was measured; all epochs are saved; "
        said += "to go on, repeat the command with --resume"
        os.write(2, f"\n{signal.Signals(number).name}: {said}\n".encode())
    stop_at_once(number, frame)


def stop_at_once(number: int, frame: object) -> None:
    """Handle a signal by raising InterruptedRunError."""
    raise InterruptedRunError(number)


@contextlib.contextmanager
def hold_lock(path: str | Path) -> Iterator[None]:
    """Keep a file locked; the system releases the lock when the process dies.

    Raises:
        ValueError: another process holds it.
    """
    with contextlib.ExitStack() as stack:
        is_held = not distributed.is_main() or take_lock(Path(path), stack)
        if distributed.maximum([int(not is_held)])[0]:  # all processes refuse together
            raise ValueError(
                f"another training holds {path}: wait for its end, or give this one "
                "another --name"
            )
        yield


def is_complete(paths: RunPaths, flags: dict[str, Any]) -> bool:
    """Say whether a run has all its epochs, and what is chosen at its end.

    Raises:
        FileNotFoundError: there is no snapshot.
        ValueError: the snapshot is damaged, or its run had other flags.
    """
    snapshot = load_snapshot(paths.snapshot)
    check_same_flags(snapshot["flags"], flags, paths.snapshot)
    try:
        num_epochs = len(snapshot["trainer"]["history"]["val_acc"])
        record = read_checkpoint(paths.checkpoint)[1]
        is_its_own = record.run_id == snapshot["run"]["run_id"]
    except (KeyError, TypeError, FileNotFoundError, ValueError):
        return False  # to resume it says what is wrong
    return num_epochs >= flags["epochs"] and is_its_own and bool(record.errors)


def load_snapshot(path: Path) -> dict[str, Any]:
    """Load a snapshot that `RunFiles` saved.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged, or not a snapshot.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"there is no snapshot {path} to go on from; start without --resume"
        )
    snapshot = load_tensors(path)
    parts = snapshot if isinstance(snapshot, dict) else {}
    format_version = parts.get("format_version")
    if not all(isinstance(parts.get(n), dict) for n in ("run", "trainer", "flags")):
        raise ValueError(f"{path} is not a snapshot of a training run")
    if type(format_version) is not int or format_version != FORMAT_VERSION:
        raise ValueError(
            f"the snapshot {path} has format version {show(format_version)}, "
            f"not {FORMAT_VERSION}; start over without --resume"
        )
    return snapshot


def check_same_flags(stored: dict[str, Any], given: dict[str, Any], path: Path) -> None:
    """Raise ValueError if a run is to be resumed with other flags than it had.

    A flag that one of both does not know is younger or older than it, and has its
    default there, or is off.
    """
    different, defaults = [], Recipe().to_dict()
    for name in dict.fromkeys([*given, *map(str, stored)]):
        was, now = (flags.get(name, defaults.get(name)) for flags in (stored, given))
        is_on = was or now or (name in stored and name in given)
        is_same = type(was) is type(now) and was == now
        shrinks = name == "epochs" and type(stored.get(name)) is int and now < was
        if shrinks or (name not in MAY_CHANGE and is_on and not is_same):
            before, after = ("not given" if v is None else show(v) for v in (was, now))
            different.append(f"{spell(name)} was {before}, is now {after}")
    if different:
        raise ValueError(
            f"cannot resume from {path} with other flags: {'; '.join(different)}; "
            "repeat the flags of the first call (only --epochs may grow)"
        )


def _describe_epoch(trainer: Any) -> str:
    """Return an epoch's results as a line."""
    last = {curve: values[-1] for curve, values in trainer.history.items()}
    parts = [
        f"{split} loss {last[f'{split}_loss']:.4f} acc {last[f'{split}_acc']:5.2f} %"
        for split in ("train", "val", "test")
    ]
    mark = " | best so far" if trainer.is_best() else ""
    return f"epoch {trainer.epoch}: {' | '.join(parts)}{mark}"
