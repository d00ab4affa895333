"""Write a run as one page: data, numbers, figures, mistakes, limits."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import command_line
from files.names import FIGURES_DIR
from hardware import choose_precision, prepare_device
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
    parser.add_argument(
        "-cpp",
        "-cp",
        "--checkpoint-path",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="checkpoint written by train_main.py; several are compared",
    )
    command_line.add_data_flags(parser, default=None)
    parser.add_argument(
        "--split", choices=("val", "test"), default="test", help="what is judged"
    )
    parser.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help="the run's history (default: that of the checkpoint's name in out/, "
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
    args = parser.parse_args(argv)
    if args.history and len(args.checkpoint_path) > 1:
        parser.error("--history goes with one checkpoint")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    output = args.output or name_report(args.checkpoint_path, FIGURES_DIR)
    settings = Settings(
        dataset=args.dataset,
        data_root=args.data_root,
        split=args.split,
        limit=args.limit,
        history_path=args.history,
        batch_size=args.batch_size,
        workers=args.workers,
        full_decoding=args.full_decoding,
        seed=args.seed,
        num_resamples=args.resamples,
    )
    write_report(
        args.checkpoint_path,
        output,
        settings,
        precision=choose_precision(args.precision, prepare_device(args.device)),
        script=Path(__file__).name,
        arguments=sys.argv[1:] if argv is None else argv,
    )
    command_line.say(f"wrote {output}")


if __name__ == "__main__":
    command_line.run(main)
