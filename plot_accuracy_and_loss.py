"""Draw a training run's losses and accuracies by epoch, or its losses by step."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import command_line

from files.atomic import check_writable, save_csv
from files.bounds import COUNT, DATASET_NAME
from files.names import name_detector, name_run_files, spell_dataset, spell_for_files
from plots.learning import TrainingRun, plot_accuracies, plot_losses, plot_steps
from plots.style import save_plot
from records.history import CURVES, check_run, load_history
from records.run_log import load_table

EPILOG = """example:
  python plot_accuracy_and_loss.py -m SimpleNet -d fakes_dataset \\
      -j out/fakes_dataset_SimpleNet_Adam.json

writes, to the folder of figures:
  DATASET_MODEL_losses_plot.png           mean loss an epoch, on each split
  DATASET_MODEL_accuracies_plot.png       accuracy an epoch, on each split
  DATASET_MODEL_losses_and_accuracies.csv the numbers behind both
  NAME.png                                of --steps NAME.csv: loss, learning rate"""

STEP_CURVES = ("step", "loss", "learning_rate")
MOST = 1e39  # beyond float32, of which training's numbers are


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_model_flag(parser)
    parser.add_argument(
        "-d",
        "--dataset",
        type=command_line.take(DATASET_NAME),
        default="fakes_dataset",
        metavar="NAME",
        help="the dataset that was trained on",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "-j",
        "--train-details-json",
        type=Path,
        metavar="FILE",
        help="history written by train_main.py; by default the one that it writes for "
        "this dataset and model with Adam",
    )
    source.add_argument(
        "--steps",
        type=Path,
        metavar="FILE",
        help="draw this table of steps instead, which train_main.py --log csv writes "
        "while it trains",
    )
    parser.add_argument(
        "--run",
        type=command_line.take(COUNT),
        metavar="N",
        help="which run of the history, 1 the oldest (default: the newest)",
    )
    command_line.add_figures_flag(parser)
    args = parser.parse_args(argv)
    if args.steps and args.run:
        parser.error("--run chooses a run of a history; --steps draws a single one")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    if args.steps:
        draw_steps(args.steps, args.figures_dir)
        return
    default_path = name_run_files(args.dataset, args.model).history
    path = args.train_details_json or default_path
    run = choose_run(load_history(path), args.run, path)
    check_origin(run, args.dataset, args.model, path)
    check_writable(args.figures_dir)

    detector = name_detector(args.model, run.get("flags"))
    start = f"{spell_dataset(args.dataset)}_{spell_for_files(detector)}"
    title = f"{detector} on {args.dataset}"
    ends = ("losses_plot.png", "accuracies_plot.png", "losses_and_accuracies.csv")
    losses, accuracies, numbers = (args.figures_dir / f"{start}_{end}" for end in ends)
    save_plot(lambda axes: plot_losses(axes, run, title), losses)
    save_plot(lambda axes: plot_accuracies(axes, run, title), accuracies)
    epochs = range(1, len(run["train_loss"]) + 1)
    rows = zip(epochs, *(run[curve] for curve in CURVES), strict=True)
    save_csv(rows, numbers, header=["epoch", *CURVES])
    command_line.say(*(f"wrote {path}" for path in (losses, accuracies, numbers)))


def draw_steps(path: Path, figures_dir: Path) -> None:
    """Draw a table of steps, and print where."""
    steps = load_table(path)
    if not set(STEP_CURVES) <= steps.keys():
        raise ValueError(
            f"{path} has no columns step, loss and learning_rate; give a "
            "RUN_steps.csv of train_main.py --log csv"
        )
    for name in STEP_CURVES:
        if odd := [v for v in steps[name] if MOST < abs(v) < math.inf]:
            raise ValueError(
                f"{path} has the {name} {odd[0]:g}; expected at most {MOST:g}"
            )
    check_writable(figures_dir, path.stem)
    figure = figures_dir / f"{path.stem}.png"
    save_plot(lambda axes: plot_steps(axes, steps, path.stem), figure)
    command_line.say(f"wrote {figure}")


def choose_run(
    runs: Sequence[TrainingRun], number: int | None, path: Path
) -> TrainingRun:
    """Return run `number` (1 the oldest, None the newest) of the history at `path`.

    Raises ValueError if there is no such run, its curves cannot be read (it may have
    diverged), or it has no finished epoch.
    """
    number = len(runs) if number is None else number
    if number > len(runs):
        raise ValueError(f"{path} has no run {number}; --run takes 1 to {len(runs)}")
    run = runs[number - 1]
    check_run(run, f"run {number} of {path}")
    if not run["train_loss"]:
        raise ValueError(f"run {number} of {path} has no finished epoch to draw yet")
    return run


def check_origin(run: TrainingRun, dataset: str, model: str, path: Path) -> None:
    """Raise ValueError when a run says that it is of another dataset or model."""
    # The original exercise, which stored no flags, may have recorded a class's name.
    has_flags = isinstance(run.get("flags"), dict)
    asked = {"-d": ("dataset", dataset), "-m": ("model", model if has_flags else None)}
    for flag, (name, value) in asked.items():
        recorded = run.get(name)
        if isinstance(recorded, str) and value not in (None, Path(recorded).name):
            raise ValueError(
                f"{path} is the history of the {name} {recorded!r}, not {value!r}; "
                f"give {flag} {Path(recorded).name}"
            )


if __name__ == "__main__":
    command_line.run(main)
