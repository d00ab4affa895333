"""How many minutes until a validation accuracy: the textbook loop, and the suite's.

Both start from the same ImageNet weights. The textbook loop trains in float32 with
plain Adam at a constant rate, image by image; the suite with the flags given after
`--`. Every training is a fresh process, and the loops take turns. What counts is
training, and measuring validation and test after each epoch, until the first epoch that
reaches the target; the suite then trains on to the end of its schedule.

    python benchmarks/time_to_accuracy.py --seeds 0 1 2 -- -e 6
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import textbook
import torch
from machine import describe_machine

import command_line
import train_main
from files.atomic import check_writable, save_json
from files.names import SPLITS
from hardware import choose_device, choose_precision, prepare_device
from models import build_model
from utils import open_splits, seed_everything

LOOPS = ("textbook", "suite")
SCHEDULE = "-lr 0.0002 -e 6 --lr-schedule cosine --warmup 20 --recalibrate-bn 12"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    add = parser.add_argument
    add("-d", "--dataset", default="synthetic_dataset", metavar="NAME")
    add("--data-root", type=Path, default=Path("datasets"), metavar="DIR")
    add("--weights", type=Path, metavar="FILE", help="ImageNet weights of Xception")
    add("--target", type=float, default=90.0, metavar="PERCENT")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    add("--loops", nargs="+", choices=LOOPS, default=list(LOOPS), metavar="NAME")
    add("--textbook-lr", type=float, default=0.001, metavar="RATE")
    add("--most-epochs", type=int, default=20, metavar="N", help="of the textbook loop")
    add("--json", type=Path, default=Path("out/time_to_accuracy.json"), metavar="FILE")
    add("--alone", action="store_true", help=argparse.SUPPRESS)  # a process of one run
    add("flags", nargs="*", help=f"flags for train_main.py (default: {SCHEDULE})")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    if args.alone:
        train = {"textbook": train_by_the_textbook, "suite": train_with_the_suite}
        for epoch in train[args.loops[0]](args, args.seeds[0]):
            print(json.dumps(epoch), flush=True)
        return
    check_writable(args.json.parent)
    report = {"machine": describe_machine(), "target": args.target, "runs": []}
    report |= {"dataset": args.dataset, "flags": args.flags or SCHEDULE.split()}
    print("; ".join(f"{k} {v}" for k, v in report["machine"].items()))
    arguments = list(sys.argv[1:] if argv is None else argv)
    for seed, loop in itertools.product(args.seeds, args.loops):
        epochs = run_alone(arguments, loop, seed)
        report["runs"].append(summarise(loop, seed, epochs, args.target))
        print(describe(report["runs"][-1]), flush=True)
        save_json(report, args.json)
    print_ratio(report["runs"])
    print(f"saved {args.json}")


def run_alone(arguments: Sequence[str], loop: str, seed: int) -> list[dict[str, float]]:
    """Train in a fresh process, printing its epochs as they come; return them.

    Raises:
        ValueError: the training failed; its own message stands on stderr.
    """
    options = ["--alone", "--loops", loop, "--seeds", str(seed)]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    command = [*arguments[:cut], *options, *arguments[cut:]]
    epochs = []
    with subprocess.Popen(
        [sys.executable, __file__, *command], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("{"):
                epochs.append(json.loads(line))
                print(describe_epoch(len(epochs), epochs[-1]), flush=True)
    if process.returncode:
        raise ValueError(f"the {loop} training of seed {seed} failed")
    return epochs


def train_by_the_textbook(
    args: argparse.Namespace, seed: int
) -> Iterator[dict[str, float]]:
    """Train until the target is reached; yield every epoch's numbers."""
    torch.manual_seed(seed)
    device = choose_device()
    model = build_model("XceptionBased", weights_path=args.weights)
    model.fuse = False
    model.to(device)
    loaders = {
        split: textbook.build_textbook_loader(
            args.data_root / args.dataset / split,
            model.preprocessing,
            batch_size=32,
            training=split == "train",
        )
        for split in SPLITS
    }
    optimizer = torch.optim.Adam(model.parameters(), lr=args.textbook_lr)
    start = time.perf_counter()
    for _ in range(args.most_epochs):
        textbook.train_one_epoch(model, loaders["train"], optimizer, device)
        accuracies = {
            f"{split}_acc": textbook.evaluate(model, loaders[split], device)
            for split in ("val", "test")
        }
        yield {"seconds": time.perf_counter() - start, **accuracies}
        if accuracies["val_acc"] >= args.target:
            return


def train_with_the_suite(
    args: argparse.Namespace, seed: int
) -> Iterator[dict[str, float]]:
    """Train as `train_main.py` does, without saving; yield every epoch's numbers."""
    flags = ["-d", args.dataset, "-m", "XceptionBased", "--seed", str(seed)]
    flags += ["--weights", str(args.weights)] if args.weights else []
    given = train_main.parse_args([*flags, *(args.flags or SCHEDULE.split())])
    names = train_main.Recipe.__dataclass_fields__
    recipe = train_main.Recipe(**{name: getattr(given, name) for name in names})
    device = prepare_device(given.device)
    seed_everything(seed)
    datasets, _ = open_splits(
        args.dataset,
        data_root=args.data_root,
        limit=given.limit,
        full_decoding=given.full_decoding,
        check=given.check_images,
        skip_bad_images=given.skip_bad_images,
    )
    model = train_main.prepare_model(recipe, device, resume=False)
    loaders = train_main.build_loaders(recipe, datasets, model, workers=given.workers)
    options = {"epochs": given.epochs}
    precision = choose_precision(given.precision, device)
    trainer = train_main.build_trainer(recipe, model, loaders, precision, **options)
    start = time.perf_counter()
    for epoch in range(1, given.epochs + 1):
        history = trainer.run(epoch)
        accuracies = {f"{s}_acc": history[f"{s}_acc"][-1] for s in ("val", "test")}
        yield {"seconds": time.perf_counter() - start, **accuracies}


def summarise(
    loop: str, seed: int, epochs: list[dict[str, float]], target: float
) -> dict[str, Any]:
    """Return when the target was reached (None: never), and what the best epoch did."""
    reached = [n for n, epoch in enumerate(epochs) if epoch["val_acc"] >= target]
    best = max(epochs, key=lambda epoch: epoch["val_acc"])
    return {
        "loop": loop,
        "seed": seed,
        "epoch": reached[0] + 1 if reached else None,
        "minutes": epochs[reached[0]]["seconds"] / 60 if reached else None,
        "minutes_an_epoch": epochs[-1]["seconds"] / 60 / len(epochs),
        "val_acc": best["val_acc"],
        "test_acc": best["test_acc"],
        "epochs": epochs,
    }


def describe_epoch(number: int, epoch: dict[str, float]) -> str:
    """Return an epoch as a line."""
    return (
        f"  epoch {number} after {epoch['seconds'] / 60:.1f} min: validation "
        f"{epoch['val_acc']:.1f} %, test {epoch['test_acc']:.1f} %"
    )


def describe(run: dict[str, Any]) -> str:
    """Return a run as a line."""
    when = f"not in {len(run['epochs'])} epochs"
    if run["epoch"]:
        when = f"{run['minutes']:.1f} min, epoch {run['epoch']}"
    return (
        f"{run['loop']:9} seed {run['seed']}: {when} "
        f"({run['minutes_an_epoch']:.2f} min each); best epoch: "
        f"validation {run['val_acc']:.1f} %, test {run['test_acc']:.1f} %"
    )


def print_ratio(runs: list[dict[str, Any]]) -> None:
    """Say how many times as long the textbook loop takes, the median over the seeds."""
    minutes = {(run["loop"], run["seed"]): run["minutes"] for run in runs}
    ratios = [
        minutes["textbook", seed] / minutes["suite", seed]
        for loop, seed in minutes
        if loop == "suite" and minutes[loop, seed] and minutes.get(("textbook", seed))
    ]
    if ratios:
        print(
            f"textbook to suite: {statistics.median(ratios):.1f} times, the median of "
            f"{len(ratios)} seeds ({min(ratios):.1f} to {max(ratios):.1f})"
        )


if __name__ == "__main__":
    command_line.run(main)
