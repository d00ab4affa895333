"""Say what ran: the trainings of all histories, the best on validation first."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import command_line

from files.atomic import check_writable
from files.names import OUT_DIR
from plots.trainings import format_trainings, save_trainings
from records.trainings import group_trainings, list_trainings

EPILOG = """example:
  python compare_runs.py --out-dir out

writes, to the folder of figures:
  trainings.csv   a row for each run: what ran, its flags, accuracies, how long it took
  trainings.md    the same as a table to paste, and runs of one recipe together

Accuracies are those of the epoch that validation chose, by the larger logit. Of 200
images one is 0.5 %: to tell recipes apart, take several runs (train_main.py --seeds)
and numerical_analysis.py --runs."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    parser.add_argument(
        "--out-dir",
        type=Path,
        default=OUT_DIR,
        metavar="DIR",
        help="folder of the histories that train_main.py wrote",
    )
    command_line.add_figures_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.figures_dir)
    trainings, broken = list_trainings(args.out_dir)
    if not trainings:
        raise ValueError(f"no history in {args.out_dir} can be used: {broken[0]}")
    sets = group_trainings(trainings)
    paths = save_trainings(trainings, sets, args.figures_dir)
    command_line.say(*format_trainings(trainings, sets), "")
    command_line.say(*(f"left out: {line}" for line in broken))
    command_line.say(*(f"wrote {path}" for path in paths))


if __name__ == "__main__":
    command_line.run(main)
