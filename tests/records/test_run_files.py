"""A run's files: what is written when, signals, and snapshots from strangers."""

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from script_helpers import PROJECT

from files.atomic import name_temporary
from files.names import name_run_files
from files.tensors import load_tensors, save_tensors
from records import run_files
from records.checkpoint import CheckpointRecord
from records.checkpoint_files import read_checkpoint
from records.history import load_history
from records.run_files import InterruptedRunError, RunFiles, load_snapshot
from trainer import Trainer

FLAGS = {"lr": 0.1, "batch_size": 2, "warmup": None}


def make_files(folder: Path, run_id: str = "a", **changes: Any) -> RunFiles:
    paths = name_run_files("d", "m", "o", out_dir=folder, checkpoints_dir=folder)
    entries = {"flags": FLAGS, "data_fingerprint": "abc", **changes}
    return RunFiles(paths, {"run_id": run_id}, CheckpointRecord(**entries), calibrate)


def calibrate(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    return {"threshold": len(labels) / 10, "llr_intercept": float(logits[0, 0])}


def run(trainer: Trainer, num_epochs: int, files: RunFiles, minutes: float = 0) -> None:
    with files.watch(minutes):
        trainer.run(num_epochs, files.at_safe_point, files.after_epoch)


def test_run_writes_after_every_epoch_and_keeps_the_best(
    make_trainer, tmp_path, capsys
):
    files, trainer = make_files(tmp_path), make_trainer(50.0, 90.0, 60.0)
    left = [name_temporary(p) for p in (files.paths.checkpoint, files.paths.snapshot)]
    for path in left:
        path.touch()  # by a run that was killed
    models, files.run["seconds"] = [], 1000.0  # of epochs before a resumption
    for epoch, best in ((1, 1), (2, 2), (3, 2)):
        run(trainer, epoch, files)
        models.append(copy.deepcopy(trainer.model.state_dict()))
        (entry,) = load_history(files.paths.history)
        assert entry["val_acc"] == [50.0, 90.0, 60.0][:epoch]
        assert (entry["best_epoch"], entry["run_id"]) == (best, "a")
        assert entry["best_val_acc"] == max(entry["val_acc"])
        assert entry["seconds"] >= 1000
        assert load_snapshot(files.paths.snapshot)["trainer"]["epoch"] == epoch
    state, record = read_checkpoint(files.paths.checkpoint)
    assert (record.epoch, record.val_acc, record.run_id) == (2, 90.0, "a")
    assert record.test_acc == trainer.history["test_acc"][1]
    assert (record.flags, record.threshold) == (FLAGS, 0.5)
    assert all(torch.equal(state[name], value) for name, value in models[1].items())
    assert not any(path.exists() for path in left)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3"]
    assert ["best so far" in line for line in lines] == [True, True, False]


@pytest.mark.parametrize(("minutes", "num_snapshots"), [(1.0, 9 + 1), (0, 1)])
def test_run_writes_what_it_can_restore_after_the_snapshot(
    make_trainer, tmp_path, monkeypatch, minutes, num_snapshots
):
    now = iter(range(0, 100_000, 61))  # each look at the clock is a minute later
    monkeypatch.setattr(run_files.time, "monotonic", lambda: next(now))
    written, seconds, files = [], [], make_files(tmp_path)

    def note(*of: Any) -> None:
        written.append(of[-1])
        seconds.append(files.run["seconds"])  # those before a snapshot count, too

    for save in ("save_tensors", "save_checkpoint", "save_run"):
        monkeypatch.setattr(run_files, save, note)
    run(make_trainer(), 1, files, minutes)
    assert written[:num_snapshots] == [files.paths.snapshot] * num_snapshots
    assert written[num_snapshots:] == [files.paths.checkpoint, files.paths.history]
    assert seconds[0] > 0 and sorted(set(seconds)) == seconds[:num_snapshots]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_stopped_by_a_signal_goes_on_as_if_undisturbed(
    make_trainer, tmp_path, number, capfd
):
    files, trainer = make_files(tmp_path), make_trainer()

    def interrupt(*args: Any) -> None:
        if trainer.loaders["train"].batch == 2:
            os.kill(os.getpid(), number)

    trainer.model.register_forward_hook(interrupt)
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRunError) as error:
        run(trainer, 2, files)
    assert error.value.status == 128 + number
    assert str(error.value) == signal.Signals(number).name
    assert f"{signal.Signals(number).name}: saving" in capfd.readouterr().err
    assert signal.getsignal(number) is before
    snapshot = load_snapshot(files.paths.snapshot)["trainer"]
    assert snapshot["batches"] == {"epoch": 0, "batch": 2}

    undisturbed, resumed = make_trainer(), make_trainer()
    undisturbed.run(2)
    again = make_files(tmp_path, run_id="b")
    again.resume(resumed)
    run(resumed, 2, again)
    assert resumed.history == undisturbed.history
    for name, value in undisturbed.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    (entry,) = load_history(files.paths.history)
    assert entry["run_id"] == "a"
    names = sorted(path.name for path in tmp_path.glob("*.pt"))
    assert names == ["d_m_o.pt", "d_m_o_last.pt"]


def test_after_epoch_weights_that_are_not_finite_are_not_saved(make_trainer, tmp_path):
    files, trainer = make_files(tmp_path), make_trainer()
    run(trainer, 1, files)
    before = files.paths.snapshot.read_bytes()
    trainer.model.fc.weight.data[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="a weight became NaN or infinite"):
        files.after_epoch(trainer)
    assert files.paths.snapshot.read_bytes() == before


def test_watch_under_torchrun_the_same_signal_again_still_saves(
    make_trainer, tmp_path, monkeypatch
):
    monkeypatch.setenv("LOCAL_RANK", "0")  # which passes on what Slurm has sent to all
    files, trainer = make_files(tmp_path), make_trainer()
    with pytest.raises(InterruptedRunError), files.watch():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        files.at_safe_point(trainer)
    assert load_snapshot(files.paths.snapshot)


def test_watch_the_same_signal_again_stops_at_once(tmp_path):
    with pytest.raises(InterruptedRunError) as error, make_files(tmp_path).watch():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert error.value.status == 143


def test_signal_after_the_last_epoch_says_that_all_is_saved(tmp_path, capfd):
    with pytest.raises(InterruptedRunError) as error, make_files(tmp_path).watch():
        run_files.let_signals_stop()
        os.kill(os.getpid(), signal.SIGINT)
    assert error.value.status == 130
    said = capfd.readouterr().err
    assert said.startswith("\nSIGINT: stopped before the best epoch was measured")
    assert said.endswith("repeat the command with --resume\n")


@pytest.mark.parametrize(
    ("was", "now", "reason"),
    [
        ({"lr": 0.1}, {"lr": 0.2}, "--lr was 0.1, is now 0.2"),
        ({"lr": 1}, {"lr": True}, "--lr was 1, is now True"),
        ({"epochs": 5}, {"epochs": 2}, "--epochs was 5, is now 2"),
        ({"warmup": None}, {"warmup": 0}, "--warmup was not given, is now 0"),
        ({}, {"young_flag": 1}, "--young-flag was not given, is now 1"),
        ({"old": True}, {}, "--old was True, is now not given"),
    ],
)
def test_check_same_flags_names_those_that_differ(was, now, reason, refused):
    same = {"seed": 0, "name": None}
    run_files.check_same_flags({**same, "epochs": 1, "gone": 0}, same, Path("x"))
    run_files.check_same_flags(same, {**same, "epochs": 1, "young": 0}, Path("x"))
    with refused(f"other flags: {reason}; repeat"):
        run_files.check_same_flags({**same, **was}, {**same, **now}, Path("x"))


def put(*path: str | int, value: Any) -> Callable[[dict], dict]:
    """Makes a damage that puts a value in a place."""

    def damage(snapshot: dict[str, Any]) -> dict[str, Any]:
        reduce(lambda place, name: place[name], path[:-1], snapshot)[path[-1]] = value
        return snapshot

    return damage


OPTIMIZER = ("trainer", "optimizer")
DAMAGES = {
    "list": lambda snapshot: [snapshot],
    "keys": lambda snapshot: {"model": {}},
    "version": put("format_version", value=99),
    "flags' type": put("flags", value=3),
    "other flags": put("flags", "lr", value=0.2),
    "other data": put("data_fingerprint", value="x"),
    "nothing of the trainer": put("trainer", value={}),
    "weights": put("trainer", "model", value={}),
    "settings": put(*OPTIMIZER, "param_groups", 0, "momentum", value=-3.0),
    "rate": put(*OPTIMIZER, "param_groups", 0, "lr", value="x"),
    # A fused step would write beyond a moment of another shape.
    "moments": put(*OPTIMIZER, "state", 0, "momentum_buffer", value=torch.zeros(1)),
    "moment": put(*OPTIMIZER, "state", 0, "momentum_buffer", value=()),
    "schedule": put("trainer", "scheduler", "base_lrs", value=["x"]),
    "totals": put("trainer", "totals", "a\nb", value=1),
    "random": put("trainer", "random", value=[]),
    "batch": put("trainer", "batches", "batch", value=4),
    "place": put("trainer", "batches", "epoch", value=[]),
    "epoch": put("trainer", "epoch", value=7),
    "history's values": put("trainer", "history", "val_acc", value=["x"]),
    "history's lengths": put("trainer", "history", "val_acc", value=[50.0, 50.0]),
    "run": put("run", "x", value=float("inf")),
    "run's name": put("run", "run_id", value=3),
    "best": put("best", value=3),
    "best epoch": put("trainer", "best", value=[9, True, 50.0]),
    "best's types": put("best", "threshold", value="x"),
    "best's names": put("best", value={"epoch": 1}),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_resume_damaged_snapshot_is_refused(make_trainer, tmp_path, name, refused):
    files = make_files(tmp_path)
    run(make_trainer(), 1, files)
    snapshot = load_tensors(files.paths.snapshot)
    save_tensors(DAMAGES[name](snapshot), files.paths.snapshot)
    with refused(r"d_m_o_last\.pt"):
        make_files(tmp_path).resume(make_trainer())


def test_resume_rebuilds_what_was_lost_from_the_last_snapshot(
    make_trainer, tmp_path, refused
):
    files = make_files(tmp_path)
    run(make_trainer(50.0), 1, files)
    path, history = files.paths.checkpoint, files.paths.history
    expected, text = load_tensors(path), history.read_bytes()
    foreign = {**expected, "run_id": "other"}
    losses = (path.unlink, partial(save_tensors, foreign, path), history.unlink)
    for lose in (*losses, partial(path.write_bytes, b"")):
        lose()
        make_files(tmp_path, "b").resume(make_trainer())
        rebuilt = load_tensors(path)
        assert history.read_bytes() == text
        assert {**rebuilt, "model": 0} == {**expected, "model": 0}
        for name, value in expected["model"].items():
            assert torch.equal(rebuilt["model"][name], value)
    trainer, files = make_trainer(40.0), make_files(tmp_path, "b")
    files.resume(trainer)
    run(trainer, 2, files)  # whose snapshot no longer holds the best model
    save_tensors({"model": {}, "epoch": 1}, path)
    with refused(r"not the best checkpoint.*epoch 1"):
        make_files(tmp_path).resume(make_trainer())


HOLD_LOCK = """
import os, sys, time
from records.run_files import hold_lock
with hold_lock(sys.argv[1]):
    worker = os.fork()
    if worker:
        print(worker, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_watch_second_run_is_refused_until_the_first_is_killed(tmp_path, refused):
    files = make_files(tmp_path)
    command = [sys.executable, "-c", HOLD_LOCK, str(files.paths.lock)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as holder:
        worker = int(holder.stdout.readline())
        with refused("another training holds"), files.watch():
            pass
        holder.kill()
        holder.wait()
        with files.watch():  # although the first run's worker process lives on
            pass
        os.kill(worker, signal.SIGKILL)
    assert not files.paths.lock.exists()


def test_start_anew_keeps_earlier_runs_under_other_names(tmp_path, capsys):
    for number in (1, 2):
        files = make_files(tmp_path)
        for path in (files.paths.checkpoint, files.paths.snapshot):
            path.write_text(f"{path.stem} of run {number}")
        files.start_anew()
        kept = [tmp_path / f"{stem}.{number}.pt" for stem in ("d_m_o", "d_m_o_last")]
        assert list(files.kept.values()) == kept
        printed = capsys.readouterr().out
        assert all(f"kept an earlier run's file as {path}" in printed for path in kept)
    for stem in ("d_m_o", "d_m_o_last"):
        for number in (1, 2):
            text = (tmp_path / f"{stem}.{number}.pt").read_text()
            assert text == f"{stem} of run {number}"
