"""Write a run as one page: data, numbers, figures, mistakes, limits."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import command_line
from command_line.compute import take_compute, take_source

from reporting import Settings, name_report, write_report

EPILOG = """examples:
  python report.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt
  python report.py -cpp A.pt B.pt -d fakes_dataset -o figures/both.html

writes one HTML file that needs no other and no network:
  figures/CHECKPOINT_report.html     of one run
  figures/comparison_report.html     of several, side by side

The numbers are those of numerical_analysis.py with the same flags."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_checkpoint_flag(
        parser,
        "checkpoint written by train_main.py; several are compared",
        nargs="+",
        required=True,
    )
    command_line.add_dataset_flag(
        parser, None, default_words="that which the detector was trained on"
    )
    command_line.add_split_flag(parser)
    parser.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help="the run's history (default: the one with the checkpoint's name in out/, "
        "beside the checkpoint's folder or here)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the page (default: figures/CHECKPOINT_report.html)",
    )
    command_line.add_compute_flags(parser)
    command_line.add_resamples_flag(parser)
    command_line.add_group_flags(parser)
    args = parser.parse_args(argv)
    if args.history and len(args.checkpoint_path) > 1:
        parser.error("--history goes with one checkpoint")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    output = args.output or name_report(args.checkpoint_path)
    settings = Settings(
        source=take_source(args),
        compute=take_compute(args),
        dataset=args.dataset,
        history_path=args.history,
        seed=args.seed,
        num_resamples=args.resamples,
        group_by=args.group_by,
        group_score=args.group_score,
    )
    write_report(args.checkpoint_path, output, settings, call=(__file__, argv))
    command_line.say(f"wrote {output}")


if __name__ == "__main__":
    command_line.run(main)
