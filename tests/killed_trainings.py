"""Train in processes that are killed or stopped, and compare what they leave behind.

Importing torch takes seconds. A fork server does it once and then forks a process for
each training: with its own exit status, killed as if it had been started from a shell.
"""

import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import command_line

import numpy as np
import torch
from PIL import Image
from script_helpers import replace_simple_net

import train_main
from files.tensors import load_tensors
from records.run_log import load_table

Moment = tuple[type, str, int]  # just before the n-th call of a class's method

# What a training imports, at the latest with its first optimizer.
PRELOADED = ["torch._dynamo", "scipy.optimize", "sklearn.metrics", __name__]
SEARCHED = (Path(train_main.__file__).parent, Path(__file__).parent)
NAME = "faces_SimpleNet_Adam"
SNAPSHOT = Path("checkpoints", f"{NAME}_last.pt")
CHECKPOINT = Path("checkpoints", f"{NAME}.pt")
HISTORY = Path("out", f"{NAME}.json")
LOGS = [Path("out", f"{NAME}_{rows}.csv") for rows in ("steps", "epochs")]
TIMES = ("images_per_s", "step_s", "epoch_s", "elapsed_s")


def make_noise_dataset(data_root: Path) -> None:
    """Write the dataset `faces`: noise, from which nothing can be learnt.

    The loss stays high, so every step changes the weights.
    """
    generator = np.random.default_rng(0)
    for split, size in (("train", 4), ("val", 2), ("test", 1)):
        for label in ("real", "fake"):
            folder = data_root / "faces" / split / label
            folder.mkdir(parents=True)
            for number in range(size):
                pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")


def make_argv(data_root: Path, *, workers: int = 0, minutes: float = 0) -> list[str]:
    """Return the command line of two epochs, four steps each, of SimpleNet."""
    return [
        *("-d", "faces", "--data-root", str(data_root), "-b", "2", "-e", "2"),
        *("--workers", str(workers), "--checkpoint-minutes", str(minutes)),
        *("--device", "cpu", "--precision", "fp32"),
        *("--warmup", "2", "--grad-clip", "5", "-lr", "0.0002", "--log", "csv"),
    ]


def start(
    argv: Sequence[str],
    folder: Path,
    *,
    kill_at: Moment | None = None,
    interrupt_at: Moment | None = None,
    file_size: int | None = None,
    small: bool = False,
) -> BaseProcess:
    """Start train_main.py in a folder, where stdout and stderr become files.

    SIGKILL ends it; SIGINT goes to its workers, too, as from a terminal. It cannot
    write files of more than `file_size` bytes, as if the disk were full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    options = {"kill_at": kill_at, "interrupt_at": interrupt_at, "small": small}
    options["file_size"] = file_size
    process = context.Process(target=_train, args=(argv, folder), kwargs=options)
    searched = os.pathsep.join(map(str, SEARCHED))
    with mock.patch.dict(os.environ, PYTHONPATH=searched, OMP_NUM_THREADS="1"):
        process.start()  # the first one starts the server
    return process


def finish(process: BaseProcess) -> int:
    """Wait for a process, end what it started, and return its exit status."""
    process.join()
    with contextlib.suppress(ProcessLookupError):  # workers live on for seconds
        os.killpg(process.pid, signal.SIGKILL)
    return process.exitcode


def _train(
    argv: Sequence[str],
    folder: Path,
    *,
    kill_at: Moment | None,
    interrupt_at: Moment | None,
    file_size: int | None,
    small: bool,
) -> None:
    """Turn this process into `train_main.py` in a session of its own."""
    multiprocessing.set_start_method(None, force=True)  # not as this process began
    os.setsid()
    os.chdir(folder)
    for name, descriptor in ((os.devnull, 0), ("stdout", 1), ("stderr", 2)):
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name, flags, 0o644), descriptor)
    if file_size is not None:
        import resource  # Windows has none

        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    if kill_at is not None:
        _signal_at(kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    if interrupt_at is not None:
        _signal_at(interrupt_at, lambda: os.killpg(0, signal.SIGINT))
    sys.argv = ["train_main.py", *argv]
    with replace_simple_net() if small else contextlib.nullcontext():
        command_line.run(train_main.main)


def _signal_at(moment: Moment, send: Callable[[], None]) -> None:
    """Send this process a signal when the moment has come."""
    owner, method, number = moment
    calls, original = itertools.count(1), getattr(owner, method)

    def call(*args: Any, **options: Any) -> Any:
        if next(calls) == number:
            send()
        return original(*args, **options)

    setattr(owner, method, call)


def list_temporary_files(folder: Path) -> set[tuple[Path, int]]:
    """List what is being written, or killed writers have left, each with its time."""
    found = set()
    for path in folder.glob("*/.*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # it has got its name by now
            found.add((path, path.stat().st_mtime_ns))
    return found


def read_results(folder: Path) -> dict[str, Any]:
    """Return all values that a run leaves by their places, but for its name and times.

    A tensor's value is its type, shape and SHA-256.
    """
    results = {
        "snapshot": load_tensors(folder / SNAPSHOT),
        "checkpoint": load_tensors(folder / CHECKPOINT),
        "history": json.loads((folder / HISTORY).read_text()),
    }
    for path in LOGS:
        columns = load_table(folder / path)
        results[path.stem] = {n: c for n, c in columns.items() if n not in TIMES}
    values, own = _list_values(results), ("/run_id", "/started", "/seconds")
    return {place: value for place, value in values.items() if not place.endswith(own)}


def _list_values(value: Any, place: str = "") -> dict[str, Any]:
    """Return the values within a nested value by their places."""
    if isinstance(value, torch.Tensor):
        digest = hashlib.sha256(value.numpy().tobytes()).hexdigest()
        return {place: (value.dtype, value.shape, digest)}
    if not isinstance(value, (dict, list, tuple)):
        return {place: value}
    values = {place: type(value)}
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        values |= _list_values(inner, f"{place}/{key}")
    return values
