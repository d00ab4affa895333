"""A run's files: what is written when, signals, and snapshots from strangers."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from files import tensors
from files.history import load_history
from files.layout import RunPaths
from files.run_files import (
    InterruptedRunError,
    RunFiles,
    load_snapshot,
    set_aside_unfinished,
)
from files.tensors import load_tensors, save_tensors
from loading.batches import BatchLoader
from trainer import Loaders, Trainer

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
        loaders = Loaders(
            BatchLoader(samples, 2, training=True),
            BatchLoader(samples, 2),
            BatchLoader(samples, 2),
        )
        return Trainer(model, optimizer, loaders)

    return make


def make_files(folder: Path, run_id: str = "a", **changes: Any) -> RunFiles:
    paths = RunPaths.make("run", out_dir=folder / "out", checkpoints_dir=folder)
    minutes = changes.pop("minutes", 0)
    return RunFiles(paths, {"run_id": run_id}, {**DETAILS, **changes}, minutes=minutes)


def test_run_paths_make_names_the_files():
    paths = RunPaths.make("d_m_o", out_dir=Path("out"), checkpoints_dir=Path("cp"))
    assert paths.history == Path("out/d_m_o.json")
    assert paths.checkpoint == Path("cp/d_m_o.pt")
    assert paths.snapshot == Path("cp/d_m_o_last.pt")


def test_run_writes_history_and_snapshot_after_every_epoch(make_trainer, tmp_path):
    files = make_files(tmp_path)
    trainer = make_trainer()
    for epoch in (1, 2):
        trainer.run(epoch, files)
        (run,) = load_history(files.paths.history)
        assert len(run["val_acc"]) == epoch
        assert run["best_epoch"] == trainer.get_best_epoch()
        assert run["best_val_acc"] == max(run["val_acc"])
        snapshot = load_snapshot(files.paths.snapshot)
        assert snapshot["trainer"]["epoch"] == epoch


def test_run_checkpoint_is_of_the_best_epoch(make_trainer, tmp_path):
    files = make_files(tmp_path)
    trainer = make_trainer()
    accuracies = iter([50.0, 90.0, 60.0])
    trainer.validate = lambda: (0.5, next(accuracies))
    trainer.run(2, files)
    best = copy.deepcopy(trainer.model.state_dict())
    trainer.run(3, files)
    checkpoint = load_tensors(files.paths.checkpoint)
    assert (checkpoint["epoch"], checkpoint["val_acc"]) == (2, 90.0)
    assert checkpoint["test_acc"] == trainer.history["test_acc"][1]
    assert checkpoint["flags"] == DETAILS["flags"]
    for name, value in best.items():
        assert torch.equal(checkpoint["model"][name], value)


def test_run_prints_a_line_an_epoch(make_trainer, tmp_path, capsys):
    make_trainer().run(2, make_files(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    assert "best so far" in lines[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_signal_saves_a_snapshot_and_stops(make_trainer, tmp_path, number):
    files = make_files(tmp_path)
    trainer = make_trainer()

    def interrupt(*args: Any) -> None:
        if trainer.batch == 1:
            os.kill(os.getpid(), number)

    trainer.model.register_forward_hook(interrupt)
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRunError) as error, files.watch_signals():
        trainer.run(2, files)
    assert error.value.status == 128 + number
    assert str(error.value) == signal.Signals(number).name
    assert signal.getsignal(number) is before
    snapshot = load_snapshot(files.paths.snapshot)["trainer"]
    assert (snapshot["epoch"], snapshot["batch"]) == (0, 2)

    undisturbed = make_trainer()
    undisturbed.run(2)
    resumed = make_trainer()
    again = make_files(tmp_path, run_id="b")
    again.resume(resumed)
    resumed.run(2, again)
    assert resumed.history == undisturbed.history
    for name, value in undisturbed.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    (run,) = load_history(files.paths.history)
    assert run["run_id"] == "a"


def test_watch_signals_a_second_one_kills(tmp_path):
    with pytest.raises(KeyboardInterrupt), make_files(tmp_path).watch_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("minutes", "num_snapshots"), [(1.0, 9 + 1), (0, 1)])
def test_run_snapshots_within_the_epoch_when_due(
    make_trainer, tmp_path, monkeypatch, minutes, num_snapshots
):
    now = iter(range(0, 100_000, 61))  # each look at the clock is a minute later
    monkeypatch.setattr(run_files.time, "monotonic", lambda: next(now))
    files = make_files(tmp_path, minutes=minutes)
    saved = []
    monkeypatch.setattr(tensors, "save_tensors", lambda value, path: saved.append(path))
    make_trainer().run(1, files)
    assert saved.count(files.paths.snapshot) == num_snapshots


def test_resume_killed_before_the_last_history_writes_it(make_trainer, tmp_path):
    files = make_files(tmp_path)
    make_trainer().run(2, files)
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
    make_trainer().run(1, make_files(tmp_path))
    trainer = make_trainer()
    with pytest.raises(ValueError, match=reason) as error:
        make_files(tmp_path, **changes).resume(trainer)
    one_line(error)
    assert trainer.epoch == 0


DAMAGES = {
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
}


@pytest.mark.parametrize("name", DAMAGES)
def test_resume_damaged_snapshot_is_refused(make_trainer, tmp_path, name):
    files = make_files(tmp_path)
    make_trainer().run(1, files)
    snapshot = load_tensors(files.paths.snapshot)
    save_tensors(DAMAGES[name](snapshot), files.paths.snapshot)
    with pytest.raises(ValueError, match=r"run_last\.pt"):
        make_files(tmp_path).resume(make_trainer())


def test_resume_without_a_snapshot_says_so(make_trainer, tmp_path, one_line):
    with pytest.raises(FileNotFoundError, match="leave --resume out") as error:
        make_files(tmp_path).resume(make_trainer())
    one_line(error)


def make_run(folder: Path, *, snapshot: int | None, checkpoint: int | None) -> RunPaths:
    """Files of a run that were written at these seconds."""
    paths = RunPaths.make("run", out_dir=folder, checkpoints_dir=folder)
    for path, seconds in ((paths.snapshot, snapshot), (paths.checkpoint, checkpoint)):
        if seconds is not None:
            path.write_text(path.name)
            os.utime(path, (seconds, seconds))
    return paths


@pytest.mark.parametrize(
    ("snapshot", "checkpoint", "kept"),
    [
        (None, None, []),
        (None, 5, []),
        (5, 6, []),  # the threshold came last: finished
        (6, 5, ["run_last", "run"]),
        (5, None, ["run_last"]),
    ],
)
def test_set_aside_unfinished_renames_only_unfinished_runs(
    tmp_path, snapshot, checkpoint, kept
):
    paths = make_run(tmp_path, snapshot=snapshot, checkpoint=checkpoint)
    before = {path.name for path in tmp_path.iterdir()}
    renamed = set_aside_unfinished(paths)
    assert [path.name.split(".")[0] for path in renamed] == kept
    assert all(path.read_text().startswith(path.name.split(".")[0]) for path in renamed)
    left = {path.name for path in tmp_path.iterdir()} - {path.name for path in renamed}
    assert left == (set() if kept else before)
    assert set_aside_unfinished(paths) == []
