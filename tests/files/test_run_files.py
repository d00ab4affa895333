"""A run's files: what is written when, signals, and snapshots from strangers."""

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from files import run_files
from files.history import get_best_epoch, load_history
from files.names import name_run_files
from files.run_files import (
    InterruptedRunError,
    RunFiles,
    check_entries,
    load_snapshot,
)
from files.tensors import load_tensors, save_tensors
from loading.batches import BatchLoader
from trainer import Trainer

DETAILS = {"flags": {"lr": 0.1, "batch_size": 2}, "data_fingerprint": "abc"}


@pytest.fixture
def make_trainer(tiny_net) -> Callable[[], Trainer]:
    """Builds the same trainer, of three batches an epoch, at each call."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((5, 3, 8, 8), generator=generator)
    samples = [(image, index % 2) for index, image in enumerate(images)]

    def make() -> Trainer:
        model = tiny_net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        loaders = {
            split: BatchLoader(samples, 2, training=split == "train")
            for split in ("train", "val", "test")
        }
        return Trainer(model, optimizer, loaders)

    return make


def make_files(folder: Path, run_id: str = "a", **changes: Any) -> RunFiles:
    paths = name_run_files("d", "m", "o", out_dir=folder, checkpoints_dir=folder)
    details = {**DETAILS, **changes}
    return RunFiles(paths, {"run_id": run_id}, details, describe_best)


def describe_best(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    return {"num_val": len(labels), "first_logit": float(logits[0, 0])}


def run(trainer: Trainer, num_epochs: int, files: RunFiles, minutes: float = 0) -> None:
    with files.watch(minutes):
        trainer.run(num_epochs, files.after_batch, files.after_epoch)


def test_run_writes_history_and_snapshot_after_every_epoch(make_trainer, tmp_path):
    files = make_files(tmp_path)
    trainer = make_trainer()
    for epoch in (1, 2):
        run(trainer, epoch, files)
        (record,) = load_history(files.paths.history)
        assert len(record["val_acc"]) == epoch
        assert record["best_epoch"] == get_best_epoch(trainer.history)
        assert record["best_val_acc"] == max(record["val_acc"])
        snapshot = load_snapshot(files.paths.snapshot)
        assert snapshot["trainer"]["epoch"] == epoch


def test_run_checkpoint_is_of_the_best_epoch(make_trainer, tmp_path):
    files = make_files(tmp_path)
    trainer = make_trainer()
    accuracies = iter([50.0, 90.0, 60.0])
    validate = trainer.validate
    trainer.validate = lambda: (validate()[0], next(accuracies))
    run(trainer, 2, files)
    best = copy.deepcopy(trainer.model.state_dict())
    run(trainer, 3, files)
    checkpoint = load_tensors(files.paths.checkpoint)
    assert (checkpoint["epoch"], checkpoint["val_acc"]) == (2, 90.0)
    assert checkpoint["test_acc"] == trainer.history["test_acc"][1]
    assert checkpoint["flags"] == DETAILS["flags"]
    assert checkpoint["run_id"] == "a"
    assert checkpoint["num_val"] == 5
    for name, value in best.items():
        assert torch.equal(checkpoint["model"][name], value)


def test_run_prints_a_line_an_epoch(make_trainer, tmp_path, capsys):
    run(make_trainer(), 2, make_files(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    assert "best so far" in lines[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_signal_saves_a_snapshot_and_stops(make_trainer, tmp_path, number):
    files = make_files(tmp_path)
    trainer = make_trainer()

    def interrupt(*args: Any) -> None:
        if trainer.loaders["train"].batch == 2:
            os.kill(os.getpid(), number)

    trainer.model.register_forward_hook(interrupt)
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRunError) as error:
        run(trainer, 2, files)
    assert error.value.status == 128 + number
    assert str(error.value) == signal.Signals(number).name
    assert signal.getsignal(number) is before
    snapshot = load_snapshot(files.paths.snapshot)["trainer"]
    assert snapshot["batches"] == {"epoch": 0, "batch": 2}

    undisturbed = make_trainer()
    undisturbed.run(2)
    resumed = make_trainer()
    again = make_files(tmp_path, run_id="b")
    again.resume(resumed)
    run(resumed, 2, again)
    assert resumed.history == undisturbed.history
    for name, value in undisturbed.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    (record,) = load_history(files.paths.history)
    assert record["run_id"] == "a"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_says_that_it_heard_a_signal_and_a_second_one_stops(
    number, tmp_path, capfd
):
    with pytest.raises(InterruptedRunError) as error, make_files(tmp_path).watch():
        os.kill(os.getpid(), number)
        assert f"{signal.Signals(number).name}: saving" in capfd.readouterr().err
        os.kill(os.getpid(), number)
    assert error.value.status == 128 + number


def test_after_epoch_writes_the_snapshot_before_what_it_can_restore(
    make_trainer, tmp_path, monkeypatch
):
    files = make_files(tmp_path)
    written = []
    monkeypatch.setattr(
        run_files, "save_tensors", lambda value, path: written.append(path)
    )
    monkeypatch.setattr(run_files, "save_run", lambda run, path: written.append(path))
    run(make_trainer(), 1, files)
    paths = files.paths
    assert written == [paths.snapshot, paths.checkpoint, paths.history]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"epoch": 1.0}, "its epoch is 1.0, no int"),
        ({"epoch": True}, "its epoch is True, no int"),
        ({"val_acc": float("nan")}, "its val_acc is nan, no float"),
        ({"threshold": 10**400}, "its threshold is 1000"),
        ({"threshold_policy": torch.ones(2, 2)}, "its threshold_policy is tensor"),
        ({"flags": [1]}, r"its flags is \[1\], no dict"),
        ({"run_id": b"a"}, "its run_id is b'a', no str"),
    ],
)
def test_check_entries_another_type_is_refused(entry, complaint, one_line):
    check_entries({"epoch": 1, "val_acc": 50, "threshold": 0.5, "other": {}})
    with pytest.raises(ValueError, match=complaint) as error:
        check_entries(entry)
    one_line(error)


@pytest.mark.parametrize(("minutes", "num_snapshots"), [(1.0, 9 + 1), (0, 1)])
def test_run_snapshots_within_the_epoch_when_due(
    make_trainer, tmp_path, monkeypatch, minutes, num_snapshots
):
    now = iter(range(0, 100_000, 61))  # each look at the clock is a minute later
    monkeypatch.setattr(run_files.time, "monotonic", lambda: next(now))
    files = make_files(tmp_path)
    saved = []
    monkeypatch.setattr(
        run_files, "save_tensors", lambda value, path: saved.append(path)
    )
    run(make_trainer(), 1, files, minutes)
    assert saved.count(files.paths.snapshot) == num_snapshots


def test_resume_killed_before_the_last_history_writes_it(make_trainer, tmp_path):
    files = make_files(tmp_path)
    run(make_trainer(), 2, files)
    expected = files.paths.history.read_bytes()
    files.paths.history.unlink()
    make_files(tmp_path, "b").resume(make_trainer())
    assert files.paths.history.read_bytes() == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"flags": {"lr": 0.2, "batch_size": 2}}, "--lr was 0.1, is now 0.2"),
        ({"flags": {"lr": 0.1, "batch_size": 4}}, "--batch-size was 2, is now 4"),
        ({"data_fingerprint": "other"}, "not those that the run started with"),
    ],
)
def test_resume_other_run_is_refused(make_trainer, tmp_path, changes, reason, one_line):
    run(make_trainer(), 1, make_files(tmp_path))
    trainer = make_trainer()
    with pytest.raises(ValueError, match=reason) as error:
        make_files(tmp_path, **changes).resume(trainer)
    one_line(error)
    assert trainer.epoch == 0


def change_history(snapshot: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    history = {**snapshot["trainer"]["history"], "val_acc": values}
    return {**snapshot, "trainer": {**snapshot["trainer"], "history": history}}


def change_moments(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A moment of another shape: a fused step would write beyond it."""
    snapshot["trainer"]["optimizer"]["state"][0]["momentum_buffer"] = torch.zeros(1)
    return snapshot


def change_settings(snapshot: dict[str, Any]) -> dict[str, Any]:
    snapshot["trainer"]["optimizer"]["param_groups"][0]["momentum"] = -3.0
    return snapshot


def edit(
    snapshot: dict[str, Any], name: str, change: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Changes a part of the trainer's state in place."""
    change(snapshot["trainer"][name])
    return snapshot


DAMAGES = {
    "settings": change_settings,
    "history's values": lambda s: change_history(s, ["x"]),
    "history's lengths": lambda s: change_history(s, [50.0, 50.0]),
    "moments": change_moments,
    "list": lambda s: ["no", "dict"],
    "keys": lambda s: {"model": {}},
    "version": lambda s: {**s, "format_version": 99},
    "no trainer": lambda s: {**s, "trainer": {}},
    "trainer": lambda s: {**s, "trainer": 3},
    "weights": lambda s: {**s, "trainer": {**s["trainer"], "model": {}}},
    "optimizer": lambda s: {**s, "trainer": {**s["trainer"], "optimizer": "x"}},
    "totals": lambda s: {**s, "trainer": {**s["trainer"], "totals": {"x": 1}}},
    "flags": lambda s: {**s, "flags": 3},
    "random": lambda s: {**s, "trainer": {**s["trainer"], "random": []}},
    "batches": lambda s: {**s, "trainer": {**s["trainer"], "batches": [1]}},
    "best": lambda s: {**s, "best": 3},
    "moment": lambda s: edit(
        s, "optimizer", lambda o: o["state"][0].update(momentum_buffer=())
    ),
    "rate": lambda s: edit(s, "optimizer", lambda o: o["param_groups"][0].pop("lr")),
    "schedule": lambda s: edit(s, "scheduler", lambda d: d.update(step=5)),
    "rates": lambda s: edit(s, "scheduler", lambda d: d.update(base_lrs=["x"])),
    "place": lambda s: edit(s, "batches", lambda d: d.update(epoch=[])),
    "batch": lambda s: edit(s, "batches", lambda d: d.update(batch=4)),
    "epoch": lambda s: {**s, "trainer": {**s["trainer"], "epoch": 7}},
    "run": lambda s: {**s, "run": {**s["run"], "x": float("inf")}},
    "lines": lambda s: edit(s, "totals", lambda d: d.update({"a\nb": 1})),
    "best's types": lambda s: {**s, "best": {**s["best"], "threshold": "x"}},
    "best's names": lambda s: {**s, "best": {"epoch": 1}},
}


@pytest.mark.parametrize("name", DAMAGES)
def test_resume_damaged_snapshot_is_refused(make_trainer, tmp_path, name, one_line):
    files = make_files(tmp_path)
    run(make_trainer(), 1, files)
    snapshot = load_tensors(files.paths.snapshot)
    save_tensors(DAMAGES[name](snapshot), files.paths.snapshot)
    with pytest.raises(ValueError, match=r"d_m_o_last\.pt"):
        make_files(tmp_path).resume(make_trainer())


def test_resume_without_a_snapshot_says_so(make_trainer, tmp_path, one_line):
    with pytest.raises(FileNotFoundError, match="leave --resume out") as error:
        make_files(tmp_path).resume(make_trainer())
    one_line(error)


HOLD_LOCK = """
import os, sys, time
from pathlib import Path
from files.run_files import hold_lock
with hold_lock(Path(sys.argv[1])):
    worker = os.fork()
    if worker:
        print(worker, flush=True)
    time.sleep(60)
"""


def test_watch_second_run_is_refused_until_the_first_is_killed(tmp_path, one_line):
    files = make_files(tmp_path)
    command = [sys.executable, "-c", HOLD_LOCK, str(files.paths.lock)]
    project = Path(run_files.__file__).parents[1]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE) as holder:
        worker = int(holder.stdout.readline())
        with (
            pytest.raises(ValueError, match="another training holds") as error,
            files.watch(),
        ):
            pass
        one_line(error)
        holder.kill()
        holder.wait()
        with files.watch():  # although the first run's worker process lives on
            pass
        os.kill(worker, signal.SIGKILL)
    assert not files.paths.lock.exists()


def test_start_anew_keeps_earlier_runs_under_other_names(
    make_trainer, tmp_path, capsys
):
    run(make_trainer(), 1, make_files(tmp_path))
    before = make_files(tmp_path).paths.checkpoint.read_bytes()
    for number, run_id in ((1, "b"), (2, "c")):
        capsys.readouterr()
        files = make_files(tmp_path, run_id)
        files.start_anew()
        printed = capsys.readouterr().out
        for name in (f"d_m_o.{number}.pt", f"d_m_o_last.{number}.pt"):
            assert f"kept an earlier run's file as {tmp_path / name}" in printed
        run(make_trainer(), 1, files)
    assert (tmp_path / "d_m_o.1.pt").read_bytes() == before
    assert load_tensors(tmp_path / "d_m_o_last.2.pt")["run"]["run_id"] == "b"


def test_resume_goes_on_without_setting_aside(make_trainer, tmp_path):
    run(make_trainer(), 1, make_files(tmp_path))
    trainer, files = make_trainer(), make_files(tmp_path, "b")
    files.resume(trainer)
    run(trainer, 2, files)
    assert {path.name for path in tmp_path.glob("*.pt")} == {
        "d_m_o.pt",
        "d_m_o_last.pt",
    }


def test_resume_lost_or_foreign_best_checkpoint_is_rebuilt(make_trainer, tmp_path):
    files = make_files(tmp_path)
    run(make_trainer(), 1, files)
    path = files.paths.checkpoint
    expected = load_tensors(path)
    foreign = {**expected, "run_id": "other"}
    damage = partial(path.write_bytes, b"")
    for replace in (path.unlink, partial(save_tensors, foreign, path), damage):
        replace()
        make_files(tmp_path, "b").resume(make_trainer())
        rebuilt = load_tensors(path)
        assert rebuilt.keys() == expected.keys()
        assert rebuilt["run_id"] == "a"
        for name, value in expected["model"].items():
            assert torch.equal(rebuilt["model"][name], value)


def test_resume_without_its_best_checkpoint_later_is_refused(
    make_trainer, tmp_path, one_line
):
    files, trainer = make_files(tmp_path), make_trainer()
    accuracies = iter([90.0, 50.0])
    validate = trainer.validate
    trainer.validate = lambda: (validate()[0], next(accuracies))
    run(trainer, 2, files)
    save_tensors({"model": {}, "epoch": 1}, files.paths.checkpoint)
    with pytest.raises(ValueError, match=r"not the best checkpoint.*epoch 1") as error:
        make_files(tmp_path).resume(make_trainer())
    one_line(error)
