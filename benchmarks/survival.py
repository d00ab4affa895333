"""Kill trainings at random moments, and compare how they end with an undisturbed one.

    python benchmarks/survival.py --kills 1000

A training is killed again and again, more than half of the time while it writes a file,
and resumed until it is done; it must end with the same bits as an undisturbed one. Half
of the trainings read with two worker processes.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line

from killed_trainings import (
    SNAPSHOT,
    finish,
    list_temporary_files,
    make_argv,
    make_noise_dataset,
    read_results,
    start,
)
from machine import describe_machine
from tqdm import tqdm

from files.bounds import COUNT

POLL_S = 0.002
LONGEST_WRITE_S = 0.2  # a kill comes at most this long after a write has begun
WRITE_SHARE = 0.6  # of the kills are meant to hit a write; some come too late
MOST_KILLS_EACH = 20  # of a training, so that each comes to its end
MINUTES = 0.005  # between two snapshots


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    count = command_line.take(COUNT)
    parser.add_argument("--kills", type=count, default=1000, metavar="N")
    command_line.add_seed_flag(parser)
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where to train; needs 1 GB"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 if a training ended differently, else 0."""
    args = parse_args(argv)
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        counts, problems = kill_trainings(Path(name), args.kills, args.seed)
    minutes, machine = (time.monotonic() - start_s) / 60, describe_machine()
    command_line.say(
        f"{counts['kills']} kills: {counts['within_write']} within a write, "
        f"{counts['before_snapshot']} before a snapshot; {counts['trainings']} "
        f"trainings in {minutes:.0f} minutes on {machine['cores']} cores of a "
        f"{machine['processor']}, {machine['system']}, torch {machine['torch']}",
        *(problems or ["each ended with the same bits as an undisturbed one"]),
    )
    return 1 if problems else 0


def kill_trainings(folder: Path, kills: int, seed: int) -> tuple[Counter, list[str]]:
    """Kill trainings until there are enough kills, or one ends differently.

    Returns:
        The sums of what `kill_until_done` counts, and what was different.
    """
    make_noise_dataset(folder)
    process = start(make_argv(folder, minutes=MINUTES), folder / "whole")
    start_s = time.monotonic()
    if finish(process):
        raise ValueError((folder / "whole" / "stderr").read_text())
    latest_s = (time.monotonic() - start_s) / 4
    expected = read_results(folder / "whole")
    rng, counts, problems = random.Random(seed), Counter(), []
    with tqdm(total=kills) as bar:
        while counts["kills"] < kills and not problems:
            most = min(MOST_KILLS_EACH, kills - counts["kills"])
            workers = (0, 2)[counts["trainings"] % 2]
            argv = make_argv(folder, workers=workers, minutes=MINUTES)
            killed = folder / "killed"
            counts += kill_until_done(argv, killed, rng, most, latest_s)
            bar.update(counts["kills"] - bar.n)
            problems = find_problems(killed, expected)
            shutil.rmtree(killed)
    return counts, problems


def kill_until_done(
    argv: list[str], folder: Path, rng: random.Random, most: int, latest_s: float
) -> Counter:
    """Start a training, kill it at most `most` times, and resume it each time.

    Returns:
        kills; within_write: those that left a temporary file; before_snapshot: those
        that left nothing to resume from; trainings: 1.

    Raises:
        ValueError: a process failed.
    """
    counts, status = Counter(trainings=1), None
    while status != 0:
        resume = ["--resume"] * (folder / SNAPSHOT).exists()
        process = start([*argv, *resume], folder)
        if counts["kills"] < most:
            before = list_temporary_files(folder)
            kill_at_random(process, folder, rng, latest_s)
            if finish(process) == -signal.SIGKILL:
                counts["kills"] += 1
                counts["within_write"] += bool(list_temporary_files(folder) - before)
                counts["before_snapshot"] += not (folder / SNAPSHOT).exists()
        status = finish(process)
        if status not in (0, -signal.SIGKILL):
            raise ValueError(f"status {status}: {(folder / 'stderr').read_text()}")
    return counts


def kill_at_random(
    process: BaseProcess, folder: Path, rng: random.Random, latest_s: float
) -> None:
    """Kill a process within `latest_s`, or soon after its next write has begun."""
    process.join(rng.uniform(0, latest_s))
    if rng.random() < WRITE_SHARE:
        before = list_temporary_files(folder)
        while process.is_alive() and not list_temporary_files(folder) - before:
            time.sleep(POLL_S)
        process.join(rng.uniform(0, LONGEST_WRITE_S))
    process.kill()


def find_problems(folder: Path, expected: dict[str, object]) -> list[str]:
    """List what an ended training has left that it should not."""
    results = read_results(folder)
    places = results.keys() | expected.keys()
    problems = [f"{p} differs" for p in places if results.get(p) != expected.get(p)]
    return problems[:3] + [f"left {path}" for path, _ in list_temporary_files(folder)]


if __name__ == "__main__":
    command_line.run(main)
