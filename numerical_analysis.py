"""Measure trained detectors: curves, metrics with intervals, comparisons."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cli
from analysis_flags import add_analysis_flags, add_scores_flags, check_combination
from files import check_writable

if TYPE_CHECKING:
    from analysis import ScoreSet

EPILOG = """examples:
  python numerical_analysis.py -m SimpleNet -d fakes_dataset \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt
  python numerical_analysis.py -cpp A.pt B.pt -d fakes_dataset synthetic_dataset
  python numerical_analysis.py --from-scores scores.csv --group-column video

writes to --figures-dir, for each detector and dataset:
  DATASET_MODEL_{roc_curve,det_curve,precision_recall,score_histogram,reliability,
                 confusion_matrix}.png
  DATASET_MODEL_metrics.json    every number, with its interval
  DATASET_MODEL_scores.csv      path, label, score, group
and for several comparison_{roc_curve,det_curve,precision_recall}.png and
comparison_metrics.json."""


def __getattr__(name: str) -> Any:
    """Hand out `get_soft_scores_and_true_labels`, importing torch only then."""
    if name == "get_soft_scores_and_true_labels":
        import utils

        return utils.get_soft_scores_and_true_labels
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.Parser(__doc__, epilog=EPILOG)
    cli.add_data_flags(parser, several=True)
    parser.set_defaults(dataset=None)  # scores from elsewhere are named by their file
    parser.add_argument(
        "-m",
        "--model",
        choices=cli.MODEL_NAMES,
        help="architecture that the checkpoints must be of (default: what they say)",
    )
    cli.add_checkpoint_flag(parser, several=True)
    cli.add_compute_flags(parser)
    cli.add_figures_flag(parser)
    add_analysis_flags(parser)
    add_scores_flags(parser)
    args = parser.parse_args(argv)
    check_combination(parser, args)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.figures_dir)

    from analysis import analyse
    from analysis_output import save_all
    from score_sets import apply_threshold, tell_apart

    score_sets = _load_scores(args) if args.from_scores else _compute_scores(args)
    analyses = [
        analyse(
            apply_threshold(scores, args.threshold),
            num_resamples=args.resamples,
            seed=args.seed,
        )
        for scores in cli.progress(tell_apart(score_sets), "analyse")
    ]
    for path in save_all(analyses, args.figures_dir, keep=args.from_scores or ()):
        print(f"wrote {path}")
    return 0


def _load_scores(args: argparse.Namespace) -> list[ScoreSet]:
    from score_sets import load_score_set

    names = args.dataset or [None]
    return [
        load_score_set(
            path,
            dataset=names[index % len(names)],
            model=args.model or "",
            score_column=args.score_column,
            label_column=args.label_column,
            group_column=args.group_column,
            group_pattern=args.group_by,
        )
        for index, path in enumerate(args.from_scores)
    ]


def _compute_scores(args: argparse.Namespace) -> list[ScoreSet]:
    from checkpoint_scores import (
        ScoringOptions,
        compute_score_sets,
        describe_leaks,
    )

    options = ScoringOptions(
        data_root=args.data_root,
        split=args.split,
        limit=args.limit,
        group_pattern=args.group_by,
        batch_size=args.batch_size,
        device=args.device,
        precision=args.precision,
        workers=args.workers,
    )
    datasets = args.dataset or ["fakes_dataset"]
    model = args.model
    if args.checkpoint_path:
        pairs = [(path, datasets) for path in args.checkpoint_path]
    else:
        model = model or cli.MODEL_NAMES[0]
        pairs = [(cli.default_checkpoint_path(d, model), [d]) for d in datasets]
    score_sets = compute_score_sets(pairs, model, options)
    if args.group_by:
        for dataset in datasets:
            print(describe_leaks(dataset, options))
    return score_sets


if __name__ == "__main__":
    cli.run(main)
