"""Measure trained detectors: curves, metrics with intervals, comparisons."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import Dataset

import command_line
from faces_dataset import FacesDataset
from files.atomic import check_writable, save_json
from files.layout import MODEL_NAMES, SPLITS, default_checkpoint_path
from hardware import Precision, choose_precision, prepare_device
from loading import BatchLoader
from metrics import (
    ScoreSet,
    compute_fake_scores,
    find_leaks,
    groups_from_names,
    load_score_set,
    save_score_set,
    tell_apart,
)
from metrics.analysis import Analysis, Comparison, analyse, compare_detectors
from plots.curves import plot_det, plot_precision_recall, plot_roc
from plots.scores import plot_confusion_matrix, plot_reliability, plot_score_histogram
from plots.style import save_figure
from plots.tables import format_comparison, format_report
from trainer import compute_logits
from utils import load_checkpoint, load_dataset, refuse_broken_scores

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

# By the end of the file's name; curves are of one detector or of several.
CURVES = {
    "roc_curve": plot_roc,
    "det_curve": plot_det,
    "precision_recall": plot_precision_recall,
}
PICTURES = {
    "score_histogram": plot_score_histogram,
    "reliability": plot_reliability,
    "confusion_matrix": plot_confusion_matrix,
}


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
    _add_analysis_flags(parser)
    _add_scores_flags(parser)
    args = parser.parse_args(argv)
    _check_combination(parser, args)
    return args


def _add_analysis_flags(parser: argparse.ArgumentParser) -> None:
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


def _add_scores_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scores from elsewhere")
    group.add_argument(
        "--from-scores",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="CSV of scores to analyse instead of a checkpoint",
    )
    for name, default in (("score", "score"), ("label", "label"), ("group", None)):
        group.add_argument(
            f"--{name}-column", default=default, metavar="NAME", help=f"{name} column"
        )


def _check_combination(
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.figures_dir)
    if args.from_scores:
        score_sets = _load_score_sets(
            args.from_scores,
            args.dataset or [None],
            model=args.model or "",
            score_column=args.score_column,
            label_column=args.label_column,
            group_column=args.group_column,
            group_pattern=args.group_by,
        )
    else:
        names = args.dataset or ["fakes_dataset"]
        options = {"data_root": args.data_root, "limit": args.limit}
        score_sets = _score_datasets(
            {name: load_dataset(name, args.split, **options) for name in names},
            args.checkpoint_path,
            args.model,
            group_pattern=args.group_by,
            batch_size=args.batch_size,
            precision=choose_precision(args.precision, prepare_device(args.device)),
            workers=args.workers,
        )
        for name in names if args.group_by else ():
            print(_describe_leaks(args.data_root / name, args.group_by))
    score_sets = _set_threshold(tell_apart(score_sets), args.threshold)
    analyses = [
        analyse(scores, num_resamples=args.resamples, seed=args.seed)
        for scores in command_line.progress(score_sets, "analyse")
    ]
    for path in save_all(analyses, args.figures_dir, keep=args.from_scores or ()):
        print(f"wrote {path}")


def get_soft_scores_and_true_labels(
    dataset: Dataset,
    model: nn.Module,
    *,
    batch_size: int = 32,
    precision: Precision | None = None,
    workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score every image of a dataset.

    Args:
        dataset: samples as `loading.BatchLoader` takes them.
        model: as `load_checkpoint` or `load_model` return it; it runs on the device
            that it is on, in evaluation mode.
        batch_size: images in a batch.
        precision: arithmetic of the forward pass; default as suits the device.
        workers: processes that read images; default as suits the device.

    Returns:
        Real scores, fake scores (float64 (N,), the softmax of the logits divided by
        the model's temperature; they sum to 1) and true labels (int64 (N,)), in the
        dataset's order.

    Raises:
        ValueError: a score is not finite; the message names the image.
    """
    precision = precision or choose_precision("auto", next(model.parameters()).device)
    batches = BatchLoader(
        dataset,
        batch_size,
        getattr(model, "preprocessing", None),
        device=precision.device,
        workers=workers,
    )
    batches = command_line.progress(batches, "score")
    logits, labels = compute_logits(model, batches, precision)
    refuse_broken_scores(logits, getattr(dataset, "get_path", "image {}".format))
    temperature = getattr(model, "temperature", 1.0)  # an untrained model has none
    fake_scores = compute_fake_scores(logits, temperature)
    real_scores = compute_fake_scores(logits.flip(1), temperature)
    return real_scores, fake_scores, labels.numpy()


def _score_datasets(
    datasets: Mapping[str, FacesDataset],
    checkpoint_paths: Sequence[Path] | None,
    model_name: str | None,
    *,
    precision: Precision,
    **options: Any,
) -> list[ScoreSet]:
    """Score each dataset with each checkpoint, or with the one trained on it."""
    if checkpoint_paths:
        pairs = [(path, list(datasets)) for path in checkpoint_paths]
    else:
        model_name = model_name or MODEL_NAMES[0]
        pairs = [(default_checkpoint_path(d, model_name), [d]) for d in datasets]
    score_sets = []
    for path, names in pairs:
        model = load_checkpoint(path, model_name, precision.device)
        score_sets += [
            _score_dataset(name, datasets[name], model, precision=precision, **options)
            for name in names
        ]
    return score_sets


def _score_dataset(
    name: str,
    dataset: FacesDataset,
    model: nn.Module,
    *,
    group_pattern: str | None,
    **options: Any,
) -> ScoreSet:
    """Score one split with a detector that `load_checkpoint` returned."""
    paths = _list_paths(dataset)
    groups = groups_from_names(paths, group_pattern)
    _, fake_scores, labels = get_soft_scores_and_true_labels(dataset, model, **options)
    source = "default, the checkpoint holds none"
    if "threshold" in model.details:
        source = "chosen on validation, in the checkpoint"
    return ScoreSet(
        dataset=name,
        model=model.name,
        fake_scores=fake_scores,
        labels=labels,
        paths=paths,
        groups=groups,
        threshold=model.threshold,
        threshold_source=source,
        detector=model.checkpoint_path.stem,
    )


def _list_paths(dataset: FacesDataset) -> list[str]:
    return [str(dataset.get_path(index)) for index in range(len(dataset))]


def _describe_leaks(folder: Path, group_pattern: str) -> str:
    """Say which groups the splits in a folder share, by the names of all files."""
    splits = [split for split in SPLITS if (folder / split).is_dir()]
    paths = {split: _list_paths(FacesDataset(folder / split)) for split in splits}
    leaks = find_leaks(
        {split: groups_from_names(paths[split], group_pattern) for split in splits}
    )
    if not leaks:
        return f"{folder.name}: no group is in more than one split"
    return "\n".join(f"{folder.name}: LEAK, {leak}" for leak in leaks)


def _load_score_sets(
    paths: Sequence[Path], datasets: Sequence[str | None], **options: Any
) -> list[ScoreSet]:
    """Load files of scores of one dataset, or of one each."""
    return [
        load_score_set(path, dataset=name, **options)
        for path, name in zip(paths, cycle(datasets), strict=False)
    ]


def _set_threshold(
    score_sets: Sequence[ScoreSet], threshold: float | None
) -> Sequence[ScoreSet]:
    if threshold is None:
        return score_sets
    changes = {"threshold": threshold, "threshold_source": "given by --threshold"}
    return [replace(scores, **changes) for scores in score_sets]


def save_all(
    analyses: Sequence[Analysis],
    folder: str | Path,
    *,
    keep: Sequence[str | Path] = (),
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
    folder = Path(folder)
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
        paths += _save_analysis(analysis, folder)
    if len(analyses) > 1:
        comparisons = compare_detectors(analyses)
        print(format_comparison(analyses, comparisons), end="\n\n")
        paths += _save_comparison(analyses, comparisons, folder)
    return paths


def _save_analysis(analysis: Analysis, folder: Path) -> list[Path]:
    name = analysis.scores.name
    paths = [folder / f"{name}_metrics.json", folder / f"{name}_scores.csv"]
    save_json(analysis.report, paths[0])
    save_score_set(analysis.scores, paths[1])
    paths += _save_figures(CURVES, [analysis], folder, name)
    return paths + _save_figures(PICTURES, analysis, folder, name)


def _save_comparison(
    analyses: Sequence[Analysis], comparisons: Sequence[Comparison], folder: Path
) -> list[Path]:
    detectors = [{"title": a.scores.title, **a.report} for a in analyses]
    tests = []
    for a, b, test in comparisons:
        numbers = {  # NaN: no variance to test by
            name: None if np.isnan(value) else value
            for name, value in test._asdict().items()
        }
        tests.append({"first": a.scores.title, "second": b.scores.title, **numbers})
    path = folder / "comparison_metrics.json"
    save_json({"detectors": detectors, "paired_delong_tests": tests}, path)
    return [path, *_save_figures(CURVES, analyses, folder, "comparison")]


def _save_figures(
    plots: Mapping[str, Callable[[Axes, Any], Axes]],
    analysed: Analysis | Sequence[Analysis],
    folder: Path,
    name: str,
) -> list[Path]:
    """Save each plot as {name}_{what}.png."""
    paths = []
    for what, plot in plots.items():
        # Not pyplot: no global list keeps the figure alive, no display is looked for.
        figure = Figure(figsize=(6.8, 6.8), layout="constrained")
        plot(figure.add_subplot(), analysed)
        paths.append(folder / f"{name}_{what}.png")
        save_figure(figure, paths[-1])
    return paths


if __name__ == "__main__":
    command_line.run(main)
