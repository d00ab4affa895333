"""Start train_main.py many times, disturb it, and compare what it leaves behind.

Starting Python and importing torch costs seconds, so a launcher process does that once
and forks a process for every run. Each is a process of its own, with its own exit
status, which a signal hits as it would hit one from a shell.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
NAME = "faces_SimpleNet_Adam"
POLL_S = 0.002
LONGEST_WRITE_S = 0.2  # a kill comes up to so long after a write has begun
WRITE_SHARE = 0.6  # of the kills are meant to hit a write; some come too late


class Launcher:
    """Forks train_main.py processes, one at a time, in a folder of the caller's."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def start(
        self, argv: Sequence[str], folder: Path, *, file_size: int | None = None
    ) -> Run:
        """Start a run in `folder`; it can write no file above `file_size` bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        request = {"argv": list(argv), "folder": str(folder), "file_size": file_size}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Run(int(self._read()), folder, self._read)

    def run(self, argv: Sequence[str], folder: Path, **options: Any) -> Run:
        """Start a run and wait for its end."""
        run = self.start(argv, folder, **options)
        run.wait()
        return run

    def _read(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the launcher died")
        return line


class Run:
    """A train_main.py process.

    Attributes:
        status: its exit status, or minus the signal that killed it; None until
            `wait` has returned.
    """

    def __init__(self, pid: int, folder: Path, read_status: Any) -> None:
        self.pid = pid
        self.folder = folder
        self.status: int | None = None
        self._read_status = read_status

    def wait(self) -> int:
        """Wait for the end and return the status."""
        if self.status is None:
            self.status = int(self._read_status())
            self._end_group()
        return self.status

    def is_over(self) -> bool:
        """Say whether the process has ended (it may not have been waited for)."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def send(self, number: int, *, group: bool = False) -> None:
        """Send a signal, if it is not too late."""
        try:
            (os.killpg if group else os.kill)(self.pid, number)
        except ProcessLookupError:
            return

    @property
    def output(self) -> str:
        """What it has printed on stdout."""
        return (self.folder / "stdout").read_text()

    @property
    def error(self) -> str:
        """What it has printed on stderr."""
        return (self.folder / "stderr").read_text()

    def _end_group(self) -> None:
        """Kill the worker processes of a killed run; they would go in seconds."""
        self.send(signal.SIGKILL, group=True)


def make_noise_dataset(data_root: Path) -> None:
    """Write the dataset `faces`: noise, in which there is nothing to be learnt.

    The loss stays high, so every step changes the weights, as a test of resuming needs.
    """
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for split, size in (("train", 4), ("val", 2), ("test", 1)):
        for label in ("real", "fake"):
            folder = data_root / "faces" / split / label
            folder.mkdir(parents=True)
            for number in range(size):
                pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")


def make_argv(
    data_root: Path, *, workers: int = 0, epochs: int = 2, minutes: float = 0.005
) -> list[str]:
    """Return the command line of a small training of SimpleNet with Adam."""
    return [
        *("-d", "faces", "--data-root", str(data_root), "-b", "2", "-e", str(epochs)),
        *("--workers", str(workers), "--checkpoint-minutes", str(minutes)),
        *("--device", "cpu", "--precision", "fp32"),
        *("--warmup", "2", "--grad-clip", "5", "-lr", "0.0002"),
    ]


def snapshot_path(folder: Path) -> Path:
    """Return where a run in `folder` keeps its snapshot."""
    return folder / "checkpoints" / f"{NAME}_last.pt"


def checkpoint_path(folder: Path) -> Path:
    """Return where a run in `folder` keeps its best checkpoint."""
    return folder / "checkpoints" / f"{NAME}.pt"


def history_path(folder: Path) -> Path:
    """Return where a run in `folder` keeps its history."""
    return folder / "out" / f"{NAME}.json"


def list_temporary_files(folder: Path) -> set[tuple[Path, int]]:
    """List what is being written, or killed writers have left, each with its time."""
    found = set()
    for path in folder.glob("*/.*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # it has got its name by now
            found.add((path, path.stat().st_mtime_ns))
    return found


def read_results(folder: Path) -> dict[str, Any]:
    """Read all that a run leaves, but for its name and when it started."""
    from files.tensors import load_tensors

    results = {
        "snapshot": load_tensors(snapshot_path(folder)),
        "checkpoint": load_tensors(checkpoint_path(folder)),
        "history": json.loads(history_path(folder).read_text()),
    }
    for run in (results["snapshot"]["run"], *results["history"]):
        del run["run_id"], run["started"]
    for best in (results["snapshot"]["best"], results["checkpoint"]):
        del best["run_id"]
    return results


def find_differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Return where two nested values are not the same, bit for bit."""
    import torch

    if type(ours) is not type(theirs):
        return [f"{where}: {type(ours).__name__} and {type(theirs).__name__}"]
    if isinstance(ours, dict):
        if list(ours) != list(theirs):
            return [f"{where}: keys {list(ours)} and {list(theirs)}"]
        pairs = [(f"{where}/{key}", ours[key], theirs[key]) for key in ours]
    elif isinstance(ours, (list, tuple)):
        if len(ours) != len(theirs):
            return [f"{where}: lengths {len(ours)} and {len(theirs)}"]
        pairs = [
            (f"{where}/{i}", *both)
            for i, both in enumerate(zip(ours, theirs, strict=True))
        ]
    elif isinstance(ours, torch.Tensor):
        same = ours.dtype == theirs.dtype and torch.equal(ours, theirs)
        return [] if same else [f"{where}: tensors differ"]
    else:
        return [] if ours == theirs else [f"{where}: {ours!r} and {theirs!r}"]
    return [line for name, a, b in pairs for line in find_differences(a, b, name)]


def kill_at_random(run: Run, rng: random.Random, duration_s: float) -> bool:
    """Kill a run within `duration_s`; more than half of the time in the next write.

    Returns:
        Whether it was killed; else it was quicker.
    """
    wait_until(run, time.monotonic() + rng.uniform(0, duration_s))
    if rng.random() < WRITE_SHARE:
        before = list_temporary_files(run.folder)
        while not (run.is_over() or list_temporary_files(run.folder) - before):
            time.sleep(POLL_S)
        wait_until(run, time.monotonic() + rng.uniform(0, LONGEST_WRITE_S))
    run.send(signal.SIGKILL)
    return run.wait() == -signal.SIGKILL


def wait_until(run: Run, end: float) -> None:
    """Wait for a moment, or for the end of a run that is quicker."""
    while time.monotonic() < end and not run.is_over():
        time.sleep(POLL_S)


@dataclass
class Counts:
    """How often runs were killed, and when.

    Attributes:
        kills: in all.
        within_write: kills that left a temporary file.
        before_snapshot: kills after which there was nothing to go on from.
        trainings: brought to their end.
    """

    kills: int = 0
    within_write: int = 0
    before_snapshot: int = 0
    trainings: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Count both together."""
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})


def go_on_until_done(
    launcher: Launcher,
    argv: Sequence[str],
    folder: Path,
    *,
    rng: random.Random,
    kills: int,
    duration_s: float,
) -> Counts:
    """Start a training, kill it up to `kills` times, and go on each time.

    Args:
        launcher: starts the processes.
        argv: the training's flags.
        folder: an empty one, where it runs.
        rng: draws the moments.
        kills: after so many the training is left alone.
        duration_s: the latest moment of a kill.

    Raises:
        RuntimeError: a run ended otherwise than it should.
    """
    counts = Counts(trainings=1)
    status = None
    while status != 0:
        resume = ["--resume"] if snapshot_path(folder).exists() else []
        run = launcher.start([*argv, *resume], folder)
        if counts.kills < kills:
            before = list_temporary_files(folder)
            killed = kill_at_random(run, rng, duration_s)
            counts.kills += killed
            counts.within_write += bool(list_temporary_files(folder) - before)
            counts.before_snapshot += killed and not snapshot_path(folder).exists()
        status = run.wait()
        if status not in (0, -signal.SIGKILL):
            raise RuntimeError(f"exit status {status}: {run.error}")
    return counts


def serve() -> None:
    """Fork a run for each request on stdin; print its process id, then its status."""
    sys.path.insert(0, str(PROJECT))
    # All that a run imports; none of it starts a thread before the fork.
    import scipy.optimize  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import torch

    import train_main  # noqa: F401

    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # the first one imports for two seconds
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become_train_main(json.loads(line))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def become_train_main(request: dict[str, Any]) -> None:
    """Turn this process into a `train_main.py` in a session of its own."""
    import command_line
    import train_main

    os.setsid()
    os.chdir(request["folder"])
    for name, descriptor in ((os.devnull, 0), ("stdout", 1), ("stderr", 2)):
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name, flags, 0o644), descriptor)
    if request["file_size"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
    sys.argv = ["train_main.py", *request["argv"]]
    command_line.run(train_main.main)


if __name__ == "__main__":
    serve()
