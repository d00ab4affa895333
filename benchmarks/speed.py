"""How fast is the suite? The textbook loop, each lever, the defaults and the limit.

Every measurement runs in a fresh process; the settings take turns, so that whatever
else the machine does affects all of them alike. Times are medians over the turns.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line

from machine import describe_machine
from measure import TASKS, list_settings
from processes import run_command
from sample_images import PHOTOGRAPH, make_sample_images

from files.atomic import check_writable, save_json
from files.bounds import COUNT
from hardware import show_progress

BATCHES = {"SimpleNet": 8, "XceptionBased": 2}  # timed in a turn
NUM_PHOTOGRAPHS = 4  # of each class
MEASURE = Path(__file__).with_name("measure.py")
HEADER = ("setting", "ms/image", "x textbook", "range", "% of matmul", "peak MB", "in")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    add = parser.add_argument
    number = {"type": command_line.take(COUNT), "metavar": "N"}
    add(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder that holds real/ and fake/ (default: images made for the purpose)",
    )
    tasks = [*TASKS, "read"]
    for flag, names, text in (
        ("--models", list(BATCHES), ""),
        ("--tasks", tasks, "; read: large photographs"),
    ):
        options = {"nargs": "+", "choices": names, "default": names, "metavar": "NAME"}
        add(flag, help=f"of {names}{text}", **options)
    add("--repeats", default=3, help="turns of each setting", **number)
    add("--batch-size", default=32, help="images in a batch", **number)
    most = max(1, min(4, os.cpu_count() or 1))
    add("--workers", default=most, help="in the rows with workers", **number)
    text = f"batches that are timed in a turn (default: {BATCHES})"
    add("--batches", help=text, **number)
    add("--quick", action="store_true", help="leave out each lever alone")
    add("--compile", action="store_true", help="also measure torch.compile")
    add("--json", type=Path, default=Path("out/benchmark.json"), metavar="FILE")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.json.parent)
    report = {"machine": describe_machine(), "repeats": args.repeats}
    report["batches"] = {m: args.batches or BATCHES[m] for m in args.models}
    report["batch_size"] = args.batch_size
    print("; ".join(f"{k} {v}" for k, v in report["machine"].items()))
    with tempfile.TemporaryDirectory() as temporary:
        if "read" in args.tasks:
            report["read"] = time_photographs(Path(temporary), args.repeats)
            print(describe_reading(report["read"]), flush=True)
            save_json(report, args.json)
        folder = args.data_root
        if folder is None:
            folder = Path(temporary) / "images"
            most = max(report["batches"].values()) * args.batch_size
            make_sample_images(folder, -(-most // 2))
        report |= {"folder": str(folder.absolute()), "matmul": [], "rows": []}
        tasks = [task for task in args.tasks if task in TASKS]
        for model, task in itertools.product(args.models, tasks):
            jobs = list_jobs(args, model, task, report)
            turns = list(take_turns(jobs, args.repeats, report["matmul"]))
            rows = summarise(jobs, turns, report["matmul"])
            report["rows"] += rows
            print_table(f"{model}, {task}", rows)
            save_json(report, args.json)
    print(f"\nsaved {args.json}")


def list_jobs(
    args: argparse.Namespace, model: str, task: str, report: dict[str, Any]
) -> list[dict[str, Any]]:
    """List a job for `measure.py` for each setting of a model and a task."""
    settings = list_settings(
        task,
        workers=args.workers,
        quick=args.quick or task == "saliency",
        compiled=args.compile,
        on_gpu="gpu" in report["machine"],
    )
    job = {"model": model, "task": task, "folder": report["folder"]}
    job["batch_size"] = args.batch_size
    job["limit"] = -(-report["batches"][model] * args.batch_size // 2)  # of each class
    return [{**job, "setting": asdict(setting)} for setting in settings]


def time_photographs(folder: Path, repeats: int) -> list[dict[str, float]]:
    """Return the seconds for a photograph decoded whole and small, in each turn."""
    folder /= "photographs"
    make_sample_images(folder, NUM_PHOTOGRAPHS, PHOTOGRAPH)
    job = {"task": "read", "folder": str(folder)}
    whole_or_small = {"whole": True, "small": False}
    return [
        {
            name: run_job({**job, "full": f})["seconds"]
            for name, f in whole_or_small.items()
        }
        for _ in range(repeats)
    ]


def describe_reading(turns: list[dict[str, float]]) -> str:
    """Say how long a photograph takes, in medians."""
    whole, small = (
        1000 * statistics.median(turn[name] for turn in turns)
        for name in ("whole", "small")
    )
    ratio = statistics.median(turn["whole"] / turn["small"] for turn in turns)
    width, height = PHOTOGRAPH
    return (
        f"\nreading a photograph of {width} x {height}, one thread: decoded whole "
        f"{whole:.1f} ms, small {small:.1f} ms ({ratio:.1f} times as fast)"
    )


def take_turns(
    jobs: list[dict], repeats: int, matmul: list[dict[str, float]]
) -> Iterator[list[dict]]:
    """Run all jobs once in each turn; add the matrix-product speeds of each turn."""
    for _ in range(repeats):
        matmul.append(run_job({"task": "matmul"}))
        yield [run_job(job) for job in show_progress(jobs, "settings")]


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """Do one measurement in a fresh process.

    Raises:
        ValueError: it failed; the message ends with the reason.
    """
    setting = job.get("setting", {})
    command = [sys.executable]
    if setting.get("processes"):
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={setting['processes']}"]
    command += [str(MEASURE), json.dumps(job)]
    done = run_command(command, f"{job['task']} {setting.get('label', '')}")
    return json.loads(done.output.splitlines()[-1])  # gloo may speak before


def summarise(
    jobs: list[dict], turns: list[list[dict]], matmul: list[dict[str, float]]
) -> list[dict[str, Any]]:
    """Make a row for each setting; ratios are medians of the ratios within a turn."""
    best = {name: max(turn[name] for turn in matmul) for name in matmul[0]}
    rows = []
    for position, job in enumerate(jobs):
        results = [turn[position] for turn in turns]
        seconds = statistics.median(result["seconds"] for result in results)
        speedups = [turn[0]["seconds"] / turn[position]["seconds"] for turn in turns]
        speed = results[0]["flops"] / seconds
        rows.append(
            {
                "model": job["model"],
                "task": job["task"],
                "setting": job["setting"]["label"],
                "ms_an_image": 1000 * seconds,
                "all_ms": [1000 * result["seconds"] for result in results],
                "times_textbook": statistics.median(speedups),
                "range": [min(speedups), max(speedups)],
                "share_of_matmul": speed / best[results[0]["precision"]],
                "gflop_an_image": results[0]["flops"] / 1e9,
                "peak_mb": max(result["peak_bytes"] for result in results) / 1e6,
                "precision": results[0]["precision"],
            }
        )
    return rows


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print one task's rows."""
    print(f"\n{title}: {rows[0]['gflop_an_image']:.2f} GFLOP an image", flush=True)
    print("{:32}{:>10}{:>12}{:>14}{:>13}{:>9}{:>6}".format(*HEADER))
    for row in rows:
        least, most = row["range"]
        print(
            f"{row['setting']:32}{row['ms_an_image']:10.2f}{row['times_textbook']:12.2f}"
            f"{f'{least:.2f}-{most:.2f}':>14}{100 * row['share_of_matmul']:13.1f}"
            f"{row['peak_mb']:9.0f}{row['precision']:>6}",
            flush=True,
        )


if __name__ == "__main__":
    command_line.run(main)
