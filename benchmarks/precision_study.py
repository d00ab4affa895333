"""Does bfloat16 cost accuracy? Train with every arithmetic and several seeds.

Each run is `train_main.py` with the flags given after `--`. Its test accuracy is that
of its best validation epoch. Started again, the study goes on where it was stopped.

    python benchmarks/precision_study.py -m SimpleNet -- --warmup 100 -e 5
"""

import argparse
import itertools
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line
from files.atomic import check_writable, save_json
from files.history import get_best_epoch, load_history
from files.names import MODEL_NAMES

PROJECT = Path(__file__).resolve().parents[1]
DATASETS = ("fakes_dataset", "synthetic_dataset")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    add = parser.add_argument
    add("-d", "--datasets", nargs="+", default=list(DATASETS), metavar="NAME")
    add("--data-root", type=Path, default=Path("datasets"), metavar="DIR")
    add("-m", "--model", choices=MODEL_NAMES, default="SimpleNet")
    add(
        "--precisions",
        nargs="+",
        choices=command_line.PRECISIONS,
        default=["fp32", "bf16"],
        metavar="NAME",
        help="arithmetics to compare, the reference first",
    )
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    add(
        "--folder",
        type=Path,
        default=Path("out/precision_study"),
        metavar="DIR",
        help="keeps the runs and the table",
    )
    add("flags", nargs="*", help="flags for train_main.py, after --")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.folder)
    rows = []
    for dataset in args.datasets:
        runs = [
            train(args, dataset, precision, seed)
            for seed, precision in itertools.product(args.seeds, args.precisions)
        ]
        rows += summarise(runs, args.precisions)
    path = args.folder / f"{args.model}.json"
    save_json({"model": args.model, "flags": args.flags, "rows": rows}, path)
    print_table(rows)
    print(f"\nsaved {path}")
    return 0


def train(
    args: argparse.Namespace, dataset: str, precision: str, seed: int
) -> dict[str, Any]:
    """Train once, or finish what was begun, and return what the best epoch reached.

    Raises:
        ValueError: the training failed; the message ends with the reason.
    """
    folder = args.folder / f"{dataset}_{args.model}_{precision}_{seed}"
    print(f"{dataset}, {args.model}, {precision}, seed {seed}", flush=True)
    command = [
        *(sys.executable, str(PROJECT / "train_main.py")),
        *("-d", dataset, "--data-root", str(args.data_root), "-m", args.model),
        *("--precision", precision, "--seed", str(seed)),
        *("--out-dir", str(folder), "--checkpoints-dir", str(folder)),
        *args.flags,
        *["--resume"] * any(folder.glob("*_last.pt")),
    ]
    status, errors = run_to_its_end(command)
    if status:
        reason = (errors.strip().splitlines() or ["no message"])[-1]
        raise ValueError(f"the training in {folder} failed: {reason}")
    (path,) = folder.glob("*.json")
    record = load_history(path)[-1]
    best = get_best_epoch(record) - 1
    return {
        "dataset": dataset,
        "precision": precision,
        "seed": seed,
        "val_acc": record["val_acc"][best],
        "test_acc": record["test_acc"][best],
    }


def run_to_its_end(command: list[str]) -> tuple[int, str]:
    """Run a program; interrupted, let it save what it has before the interrupt goes on.

    Returns:
        Its exit status and what it wrote on stderr.
    """
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, errors = process.communicate()
        except KeyboardInterrupt:  # the program got it, too
            process.communicate()
            raise
    return process.returncode, errors


def summarise(runs: list[dict[str, Any]], precisions: list[str]) -> list[dict]:
    """Make a row for each arithmetic: accuracies, their mean and spread over seeds.

    The difference is paired: the same seed gives the same start and the same batches.
    """
    accuracies = {
        precision: [run["test_acc"] for run in runs if run["precision"] == precision]
        for precision in precisions
    }
    reference = accuracies[precisions[0]]
    return [
        {
            "dataset": runs[0]["dataset"],
            "precision": precision,
            "runs": [run for run in runs if run["precision"] == precision],
            "mean": statistics.mean(values),
            "deviation": statistics.stdev(values) if len(values) > 1 else None,
            "mean_difference": statistics.mean(
                value - other for value, other in zip(values, reference, strict=True)
            ),
        }
        for precision, values in accuracies.items()
    ]


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the rows: test accuracies in percent."""
    header = ("dataset", "precision", "mean", "sd", "difference", "test accuracies, %")
    print("\n{:20}{:>10}{:>8}{:>7}{:>12}  {}".format(*header))
    for row in rows:
        deviation = "-" if row["deviation"] is None else f"{row['deviation']:.1f}"
        values = " ".join(f"{run['test_acc']:.1f}" for run in row["runs"])
        print(
            f"{row['dataset']:20}{row['precision']:>10}{row['mean']:8.1f}"
            f"{deviation:>7}{row['mean_difference']:+12.1f}  {values}"
        )


if __name__ == "__main__":
    command_line.run(main)
