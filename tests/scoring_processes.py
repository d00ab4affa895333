"""Run scripts in a process that torchrun started, with the small networks of the tests.

Its arguments: a JSON list of commands, each a script's name and its words; and after
how many scored batches the second process kills itself, 0 for never.
"""

import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import command_line

import pytest
from conftest import TINY, TinyNet, coarsen_figures
from script_helpers import PROJECT, replace_simple_net

from hardware import distributed
from judging import pictures
from judging.detector import Detector
from models import NETWORKS


def run_in_processes(
    number: int, commands: Sequence[Sequence[str]], folder: Path, kill_after: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run scripts one after another in a folder, in processes of torchrun's."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    words += [str(number), __file__, json.dumps(commands), str(kill_after)]
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def run_commands(argv: None) -> int:
    """Run the commands, and return the last one's status."""
    status = 0
    for script, *words in json.loads(sys.argv[1]):
        status = importlib.import_module(script).main(words)
    return status or 0


def kill_after(num_calls: int) -> None:
    """Let this process die in a later call of what scores a batch."""
    score, calls = Detector.score_samples, itertools.count()

    def die(*args, **options):
        if next(calls) == num_calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return score(*args, **options)

    Detector.score_samples = die


if __name__ == "__main__":
    if os.environ["RANK"] == "1" and int(sys.argv[2]):
        kill_after(int(sys.argv[2]))
    patch = pytest.MonkeyPatch()
    coarsen_figures(patch)
    patch.setitem(NETWORKS, TinyNet.__name__, TINY)
    patch.setattr(pictures, "can_find_faces", lambda: False)
    with replace_simple_net():
        command_line.run(run_commands, distributed.speaks_first)
