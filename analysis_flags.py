"""The command-line flags of numerical_analysis.py that no other script has."""

from __future__ import annotations

import argparse
from pathlib import Path

import cli


def add_analysis_flags(parser: argparse.ArgumentParser) -> None:
    """Add --split, --threshold, --group-by and --resamples."""
    group = parser.add_argument_group("analysis")
    group.add_argument(
        "--split", choices=("val", "test"), default="test", help="what is scored"
    )
    group.add_argument(
        "--threshold",
        type=cli.fraction,
        metavar="T",
        help="score from which on a sample is called fake (default: the checkpoint's, "
        "chosen on validation; else 0.5)",
    )
    group.add_argument(
        "--group-by",
        metavar="REGEX",
        help="video or identity in the file name: the first parentheses, or the whole "
        "match; 'prefix' for what stands before '_'",
    )
    group.add_argument(
        "--resamples",
        type=cli.positive_int,
        default=1000,
        metavar="N",
        help="bootstrap resamples",
    )


def add_scores_flags(parser: argparse.ArgumentParser) -> None:
    """Add --from-scores and the names of its columns."""
    group = parser.add_argument_group("scores from elsewhere")
    group.add_argument(
        "--from-scores",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="CSV of scores to analyse instead of a checkpoint; needs no torch",
    )
    for name, default in (("score", "score"), ("label", "label"), ("group", None)):
        group.add_argument(
            f"--{name}-column", default=default, metavar="NAME", help=f"{name} column"
        )


def check_combination(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
    """End with one line and status 2 where flags exclude each other."""
    if args.group_by and args.group_column:
        parser.error("--group-by and --group-column exclude each other")
    if args.group_column and not args.from_scores:
        parser.error("--group-column goes with --from-scores")
    if args.from_scores and (args.checkpoint_path or args.limit):
        parser.error("--from-scores goes without --checkpoint-path and --limit")
    num_files = len(args.from_scores or ())
    if num_files and args.dataset and len(args.dataset) not in (1, num_files):
        parser.error("-d names one dataset, or one for each file of --from-scores")
