"""Kill trainings and feed hostile files to the readers; say what came of it in a table.

    python benchmarks/survival.py --kills 1000 --files 20000

Trainings are killed at random moments, more than half of the time while a file is
written, until they are done; each must end bit for bit as an undisturbed one. The
number of workers alternates. Files of every kind that the suite reads are damaged; each
must be read, or refused with one line.

The work is cut into parts. What is done is kept in --state: the same command goes on
from there.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

import fuzzing  # noqa: E402
import survival  # noqa: E402
from machine import describe_machine  # noqa: E402
from tqdm import tqdm  # noqa: E402

import command_line  # noqa: E402
from files.atomic import save_json  # noqa: E402
from files.run_files import get_versions  # noqa: E402

KILLS = "kills"
PART_SIZES = {KILLS: 50, **dict.fromkeys(fuzzing.TARGETS, 1000)}
MOST_KILLS_EACH = 20  # of a training, so that each comes to its end
MOST_MIB = 2048  # that reading a damaged file may take
PARTS_A_SEED = 1000  # so that the parts of two seeds have nothing in common


class Part(NamedTuple):
    """Kills, or files of a kind, that are drawn with a seed of their own."""

    kind: str
    seed: int
    count: int

    @property
    def name(self) -> str:
        """What it is called in the state."""
        return f"{self.kind} {self.seed}"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    number = command_line.non_negative_int
    parser.add_argument("--kills", type=number, default=1000, metavar="N")
    parser.add_argument("--files", type=number, default=20000, metavar="N")
    parser.add_argument("--seed", type=number, default=0, metavar="N")
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("out/survival.json"),
        metavar="FILE",
        help="where the counts are kept; remove it to begin anew",
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where it trains; needs 1 GB"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 if anything failed, else 0."""
    args = parse_args(argv)
    state = open_state(
        args.state, {"kills": args.kills, "files": args.files, "seed": args.seed}
    )
    parts = plan_parts(args.kills, args.files, args.seed)
    open_parts = [part for part in parts if part.name not in state["parts"]]
    counts = [part.count for part in parts]
    done = sum(counts) - sum(part.count for part in open_parts)
    with tqdm(total=sum(counts), initial=done) as bar:
        for part, result in run_parts(open_parts, args.folder):
            state["parts"][part.name] = {**part._asdict(), **result}
            save_json(state, args.state)
            bar.update(part.count)
    print(format_table(state))
    failures = [line for part in state["parts"].values() for line in part["failures"]]
    command_line.say(*failures)
    return 1 if failures else 0


def open_state(path: Path, arguments: dict[str, int]) -> dict[str, Any]:
    """Read what is done, or begin anew where there is nothing.

    Raises:
        ValueError: what is there was done with other arguments.
    """
    if not path.exists():
        about = {"machine": describe_machine(), "versions": get_versions()}
        return {"arguments": arguments, **about, "parts": {}}
    state = json.loads(path.read_text())
    if state["arguments"] != arguments:
        raise ValueError(
            f"{path} was begun with {state['arguments']}, not {arguments}: repeat "
            "those to go on, or name another --state"
        )
    return state


def plan_parts(kills: int, files: int, seed: int) -> list[Part]:
    """Share the files among their kinds, and cut all into parts."""
    kinds = len(fuzzing.TARGETS)
    shares = [files // kinds + (n < files % kinds) for n in range(kinds)]
    counts = {KILLS: kills, **dict(zip(fuzzing.TARGETS, shares, strict=True))}
    return [
        Part(kind, seed * PARTS_A_SEED + number, min(PART_SIZES[kind], count - start))
        for kind, count in counts.items()
        for number, start in enumerate(range(0, count, PART_SIZES[kind]))
    ]


def run_parts(
    parts: Sequence[Part], folder: Path | None
) -> Iterator[tuple[Part, dict[str, Any]]]:
    """Run parts, and give each with its counts and failures."""
    kill_parts = [part for part in parts if part.kind == KILLS]
    if kill_parts:
        with (
            tempfile.TemporaryDirectory(dir=folder) as name,
            survival.Launcher() as launcher,
        ):
            killer = Killer(launcher, Path(name))
            for part in kill_parts:
                yield part, killer.kill(part)
    for part in parts:
        if part.kind != KILLS:
            yield part, damage_files(part)


class Killer:
    """Kills trainings and compares what they leave with an undisturbed one's."""

    def __init__(self, launcher: survival.Launcher, folder: Path) -> None:
        self.launcher, self.folder = launcher, folder
        survival.make_noise_dataset(folder)
        start = time.monotonic()
        whole = launcher.run(survival.make_argv(folder), folder / "whole")
        self.duration_s = time.monotonic() - start
        if whole.status != 0:
            raise RuntimeError(whole.error)
        self.expected = survival.read_results(whole.folder)

    def kill(self, part: Part) -> dict[str, Any]:
        """Kill trainings until there are enough kills; count and compare."""
        rng = random.Random(part.seed)
        start = time.monotonic()
        total, failures = survival.Counts(), []
        while total.kills < part.count and not failures:
            workers = (0, 2)[(part.seed + total.trainings) % 2]
            kills = min(MOST_KILLS_EACH, part.count - total.kills)
            try:
                total += self._kill_one(workers, kills, rng)
            except (RuntimeError, AssertionError) as error:
                where = f"{part.name}, training {total.trainings}, {workers} workers"
                failures.append(f"{where}: {error}")
        seconds = time.monotonic() - start
        return {**asdict(total), "failures": failures, "seconds": seconds}

    def _kill_one(
        self, workers: int, kills: int, rng: random.Random
    ) -> survival.Counts:
        """Kill a training until it is done; raise unless it ends as it should."""
        folder = self.folder / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        counts = survival.go_on_until_done(
            self.launcher,
            survival.make_argv(self.folder, workers=workers),
            folder,
            rng=rng,
            kills=kills,
            duration_s=self.duration_s / 4,
        )
        results = survival.read_results(folder)
        problems = survival.find_differences(results, self.expected)
        problems += map(str, survival.list_temporary_files(folder))
        if problems:
            raise AssertionError("; ".join(problems[:3]))
        return counts


def damage_files(part: Part) -> dict[str, Any]:
    """Damage files and have them read by a process of its own; name what fails."""
    command = ["tests/fuzzing.py", part.kind, str(part.count), str(part.seed)]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
    )
    result = {"read": 0, "refused": 0, "slowest_s": 0, "max_rss_mib": 0, "failures": []}
    if done.returncode == 0:
        result = json.loads(done.stdout)
    else:
        numbers = [line for line in done.stderr.splitlines() if line.isdigit()]
        reason = f"the process ended with status {done.returncode}"
        result["failures"].append(f"{numbers[-1] if numbers else 'start'}: {reason}")
    if result["max_rss_mib"] > MOST_MIB:
        result["failures"].append(f"all: reading took {result['max_rss_mib']} MiB")
    result["failures"] = [f"{part.name}, file {line}" for line in result["failures"]]
    return {**result, "seconds": time.monotonic() - start}


def format_table(state: dict[str, Any]) -> str:
    """Return what came of it as a Markdown table, with the machine below."""
    rows = [
        "| what | number | what came of it | failures | slowest, s | peak, MiB |",
        "| --- | --: | --- | --: | --: | --: |",
    ]
    for kind in PART_SIZES:
        parts = [part for part in state["parts"].values() if part["kind"] == kind]
        if parts:
            rows.append(_format_row(kind, parts))
    minutes = sum(part["seconds"] for part in state["parts"].values()) / 60
    machine, versions = state["machine"], state["versions"]
    about = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join(
        [
            *rows,
            "",
            f"{minutes:.0f} minutes on {machine['cores']} cores of a "
            f"{machine['processor']}, {machine['system']}; {about}. To repeat a file: "
            "`PYTHONPATH=. python tests/fuzzing.py KIND 1 SEED NUMBER`.",
        ]
    )


def _format_row(kind: str, parts: Sequence[dict[str, Any]]) -> str:
    """Return a row: the sum, or the largest, over the parts of a kind."""

    def add(name: str) -> int:
        return sum(part[name] for part in parts)

    failures = sum(len(part["failures"]) for part in parts)
    if kind == KILLS:
        came = (
            f"{add('within_write')} within a write, {add('before_snapshot')} before a "
            f"snapshot; {add('trainings')} trainings ended bit for bit as undisturbed"
        )
        return f"| kills | {add('kills')} | {came} | {failures} | | |"
    came = f"{add('read')} read, {add('refused')} refused"
    slowest = max(part["slowest_s"] for part in parts)
    peak = max(part["max_rss_mib"] for part in parts)
    cells = (f"hostile {kind}", add("count"), came, failures, f"{slowest:.1f}", peak)
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    command_line.run(main)
