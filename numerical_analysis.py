"""The command-line flags of numerical_analysis.py that no other script has."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import Dataset

import command_line
import utils
from faces_dataset import FacesDataset
from files.atomic import check_writable, save_figure, save_json
from files.layout import MODEL_NAMES, SPLITS, default_checkpoint_path
from hardware import choose_precision, prepare_device
from metrics import (
    Analysis,
    Leak,
    ScoreColumns,
    ScoreSet,
    analyse,
    apply_threshold,
    compare_detectors,
    compute_scores,
    find_leaks,
    groups_from_names,
    load_score_set,
    save_scores,
    tell_apart,
)
from plots.curves import plot_det, plot_precision_recall, plot_roc
from plots.scores import plot_confusion_matrix, plot_reliability, plot_score_histogram
from plots.tables import Comparisons, format_comparison, format_report
from trainer import compute_logits


def add_analysis_flags(parser: argparse.ArgumentParser) -> None:
    """Add --split, --threshold, --group-by and --resamples."""
    group = parser.add_argument_group("analysis")
    group.add_argument(
        "--split", choices=("val", "test"), default="test", help="what is scored"
    )
    group.add_argument(
        "--threshold",
        type=command_line.fraction,
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
        type=command_line.positive_int,
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


def save_all(
    analyses: Sequence[Analysis], folder: Path, *, keep: Sequence[Path] = ()
) -> list[Path]:
    """Print the tables and save numbers, scores and figures.

    Args:
        analyses: one detector, or several to compare as well.
        folder: where everything goes.
        keep: files that were read and must not be written over.

    Returns:
        What was written, in that order.

    Raises:
        ValueError: an output would replace one of `keep`.
        OSError: a file cannot be written.
    """
    kept = {Path(path).resolve() for path in keep}
    for analysis in analyses:
        path = folder / f"{analysis.scores.name}_scores.csv"
        if path.resolve() in kept:
            raise ValueError(
                f"{path} was read and would be written over: "
                "choose another --figures-dir"
            )
    paths = []
    for analysis in analyses:
        print(format_report(analysis), end="\n\n")
        paths += save_analysis(analysis, folder)
        paths += save_figures(build_figures(analysis), analysis.scores.name, folder)
    if len(analyses) > 1:
        comparisons = compare_detectors(analyses)
        print(format_comparison(analyses, comparisons), end="\n\n")
        paths += save_comparison(analyses, comparisons, folder)
        paths += save_figures(build_comparison_figures(analyses), "comparison", folder)
    return paths


def save_analysis(analysis: Analysis, folder: Path) -> list[Path]:
    """Save the report and the scores of one detector and return the paths.

    Raises:
        OSError: a file cannot be written.
    """
    scores = analysis.scores
    json_path = folder / f"{scores.name}_metrics.json"
    csv_path = folder / f"{scores.name}_scores.csv"
    save_json(analysis.report, json_path)
    columns = ScoreColumns(
        list(scores.paths), scores.labels, scores.fake_scores, scores.groups
    )
    save_scores(columns, csv_path)
    return [json_path, csv_path]


def save_comparison(
    analyses: Sequence[Analysis], comparisons: Comparisons, folder: Path
) -> list[Path]:
    """Save the comparison's numbers and return the path.

    Raises:
        OSError: the file cannot be written.
    """
    path = folder / "comparison_metrics.json"
    tests = [
        {
            "first": first.scores.title,
            "second": second.scores.title,
            **{
                name: None if value != value else value  # NaN: no variance to test by
                for name, value in test._asdict().items()
            },
        }
        for first, second, test in comparisons
    ]
    reports = [{"title": a.scores.title, **a.report} for a in analyses]
    save_json({"detectors": reports, "paired_delong_tests": tests}, path)
    return [path]


def save_figures(figures: dict[str, Figure], name: str, folder: Path) -> list[Path]:
    """Save figures as {name}_{what}.png and return the paths.

    Raises:
        OSError: a file cannot be written.
    """
    paths = [folder / f"{name}_{what}.png" for what in figures]
    for figure, path in zip(figures.values(), paths, strict=True):
        save_figure(figure, path)
    return paths


def get_soft_scores_and_true_labels(
    dataset: Dataset, model: nn.Module, **options: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score every image of a dataset.

    Args:
        dataset: map-style, of images and labels.
        model: as `load_checkpoint` or `load_model` return it.
        options: those of `compute_logits`.

    Returns:
        Real scores, fake scores (float64 (N,), the softmax of the logits divided by
        the model's temperature; they sum to 1) and true labels (int64 (N,)).
    """
    logits, labels = compute_logits(dataset, model, **options)
    real_scores, fake_scores = compute_scores(
        logits, getattr(model, "temperature", 1.0)
    )
    return real_scores, fake_scores, labels


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


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser, several=True)
    parser.set_defaults(dataset=None)  # scores from elsewhere are named by their file
    parser.add_argument(
        "-m",
        "--model",
        choices=MODEL_NAMES,
        help="architecture that the checkpoints must be of (default: what they say)",
    )
    command_line.add_checkpoint_flag(parser, several=True)
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
    add_analysis_flags(parser)
    add_scores_flags(parser)
    args = parser.parse_args(argv)
    check_combination(parser, args)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.figures_dir)

    score_sets = _load_scores(args) if args.from_scores else _compute_scores(args)
    analyses = [
        analyse(
            apply_threshold(scores, args.threshold),
            num_resamples=args.resamples,
            seed=args.seed,
        )
        for scores in command_line.progress(tell_apart(score_sets), "analyse")
    ]
    for path in save_all(analyses, args.figures_dir, keep=args.from_scores or ()):
        print(f"wrote {path}")
    return 0


def _load_scores(args: argparse.Namespace) -> list[ScoreSet]:

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
        model = model or MODEL_NAMES[0]
        pairs = [(default_checkpoint_path(d, model), [d]) for d in datasets]
    score_sets = compute_score_sets(pairs, model, options)
    if args.group_by:
        for dataset in datasets:
            print(describe_leaks(dataset, options))
    return score_sets


@dataclass(frozen=True)
class ScoringOptions:
    """How images are read and scored."""

    data_root: Path
    split: str = "test"
    limit: int | None = None
    group_pattern: str | None = None
    batch_size: int = 32
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None


def compute_score_set(
    detector: utils.Detector, dataset_name: str, options: ScoringOptions
) -> ScoreSet:
    """Score one split of a dataset with a trained detector.

    Args:
        detector: as `utils.load_checkpoint` returns it.
        dataset_name: folder under `options.data_root`.
        options: how to read and score.

    Returns:
        The scores, with the threshold that the checkpoint holds.

    Raises:
        FileNotFoundError: there is no such dataset.
        ValueError: an image cannot be read, or the pattern finds no group in a name.
    """
    model = detector.model
    dataset = utils.load_dataset(
        dataset_name,
        options.split,
        data_root=options.data_root,
        size=model.preprocessing.size,
        limit=options.limit,
    )
    groups = groups_from_names(_list_names(dataset), options.group_pattern)
    device = next(model.parameters()).device
    _, fake_scores, labels = utils.get_soft_scores_and_true_labels(
        dataset,
        model,
        batch_size=options.batch_size,
        precision=choose_precision(options.precision, device),
        workers=options.workers,
    )
    is_stored = "threshold" in detector.details
    return ScoreSet(
        dataset=dataset_name,
        model=detector.name,
        fake_scores=fake_scores,
        labels=labels,
        paths=[str(dataset.get_path(index)) for index in range(len(dataset))],
        groups=groups,
        threshold=detector.threshold,
        threshold_source="chosen on validation, in the checkpoint"
        if is_stored
        else "default, the checkpoint holds none",
        detector=detector.path.stem,
    )


def compute_score_sets(
    pairs: Sequence[tuple[Path, Sequence[str]]],
    model_name: str | None,
    options: ScoringOptions,
) -> list[ScoreSet]:
    """Score datasets with checkpoints, each checkpoint loaded once.

    Args:
        pairs: a checkpoint's path and the names of the datasets that it scores.
        model_name: what each checkpoint has to be; None takes what it says.
        options: how to read and score.

    Returns:
        A score set for each checkpoint and dataset, in that order.

    Raises:
        OSError, ValueError: as `utils.load_checkpoint` and `compute_score_set`.
    """
    device = prepare_device(options.device)
    score_sets = []
    for path, dataset_names in pairs:
        detector = utils.load_checkpoint(path, model_name, device)
        score_sets += [
            compute_score_set(detector, name, options) for name in dataset_names
        ]
    return score_sets


def find_dataset_leaks(dataset_name: str, options: ScoringOptions) -> list[Leak]:
    """Find groups that the splits of a dataset share, by the names of all files."""
    folder = options.data_root / dataset_name
    datasets = {
        split: FacesDataset(folder / split)
        for split in SPLITS
        if (folder / split).is_dir()
    }
    return find_leaks(
        {
            split: groups_from_names(_list_names(dataset), options.group_pattern) or []
            for split, dataset in datasets.items()
        }
    )


def describe_leaks(dataset_name: str, options: ScoringOptions) -> str:
    """Say which groups the splits of a dataset share, in a line for each pair."""
    leaks = find_dataset_leaks(dataset_name, options)
    if not leaks:
        return f"{dataset_name}: no group is in more than one split"
    return "\n".join(
        f"{dataset_name}: LEAK, {len(leak.groups)} groups are in both {leak.split_a} "
        f"and {leak.split_b}: {', '.join(leak.groups[:5])}"
        f"{', ...' if len(leak.groups) > 5 else ''}"
        for leak in leaks
    )


def _list_names(dataset: FacesDataset) -> list[str]:
    return [*dataset.real_image_names, *dataset.fake_image_names]


def build_figures(analysis: Analysis) -> dict[str, Figure]:
    """Draw every figure of one detector: the end of its file name -> figure."""
    drawings: dict[str, Callable[[Axes], Axes]] = {
        "roc_curve": lambda axes: plot_roc(axes, [analysis]),
        "det_curve": lambda axes: plot_det(axes, [analysis]),
        "precision_recall": lambda axes: plot_precision_recall(axes, [analysis]),
        "score_histogram": lambda axes: plot_score_histogram(axes, analysis),
        "reliability": lambda axes: plot_reliability(axes, analysis),
        "confusion_matrix": lambda axes: plot_confusion_matrix(axes, analysis),
    }
    return {name: _draw(plot) for name, plot in drawings.items()}


def build_comparison_figures(analyses: Sequence[Analysis]) -> dict[str, Figure]:
    """Draw the curves of several detectors over each other."""
    plots = {
        "roc_curve": plot_roc,
        "det_curve": plot_det,
        "precision_recall": plot_precision_recall,
    }
    return {
        name: _draw(lambda axes, plot=plot: plot(axes, analyses))
        for name, plot in plots.items()
    }


def _draw(plot: Callable[[Axes], Axes]) -> Figure:
    # Not pyplot: no global list keeps the figure alive, no display is looked for.
    figure = Figure(figsize=(6.8, 6.8), layout="constrained")
    plot(figure.add_subplot())
    return figure


if __name__ == "__main__":
    command_line.run(main)
