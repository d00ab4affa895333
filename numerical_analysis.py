"""Measure trained detectors: curves, metrics with intervals, comparisons."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import Dataset

import command_line
from faces_dataset import FacesDataset
from files.atomic import check_writable
from files.names import MODEL_NAMES, SPLITS, default_checkpoint_path
from files.provenance import describe_call
from files.run_files import get_versions
from hardware import Precision, choose_precision, prepare_device, show_progress
from judging.datasets import compute_dataset_logits, list_paths, score_dataset
from metrics import compute_fake_scores
from plots.save_analysis import save_all
from scores import (
    ScoreFormat,
    ScoreSet,
    calibrate_on,
    find_leaks,
    groups_from_names,
    load_score_set,
    tell_apart,
)
from scores.analysis import analyse
from utils import load_checkpoint, load_dataset

EPILOG = """examples:
  python numerical_analysis.py -m SimpleNet -d fakes_dataset \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt
  python numerical_analysis.py -cpp A.pt B.pt -d fakes_dataset synthetic_dataset
  python numerical_analysis.py --from-scores scores.csv --group-column video
  python numerical_analysis.py --from-scores test.csv --calibrate-on val.csv

writes to --figures-dir, for each detector and dataset:
  DATASET_MODEL_{roc_curve,det_curve,precision_recall,score_histogram,reliability,
                 confusion_matrix,tippett}.png
  DATASET_MODEL_metrics.json    every number, with its interval, and where it is from
  DATASET_MODEL_scores.csv      path, label, P(fake), group, logit difference,
                                log-likelihood ratio, subset
  DATASET_MODEL_subsets_det_curve.png, with --subset-by or --subset-column
and for several comparison_{roc_curve,det_curve,precision_recall}.png and
comparison_metrics.{json,csv,md,tex}; for several detectors on several datasets
comparison_auc_matrix.{csv,png} as well."""

# Flags that say how files of scores are to be read.
SCORE_FLAGS = [flag.name for flag in fields(ScoreFormat)]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser, several=True)
    parser.set_defaults(dataset=None)  # scores from elsewhere are named by their file
    command_line.add_model_flag(parser, from_checkpoint=True)
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
        type=command_line.number_type(float, math.isfinite, "a number"),
        metavar="T",
        help="P(fake), or score where that is not known, from which on a sample is "
        "called fake (default: the checkpoint's or that of --calibrate-on, chosen on "
        "validation; else 0.5, or 0 for scores that are not P(fake))",
    )
    group.add_argument(
        "--prevalence",
        type=command_line.inner_fraction,
        metavar="SHARE",
        help="share of fakes where the detector is to be used: also say how many of "
        "those called fake are, and called real (PPV, NPV)",
    )
    group.add_argument(
        "--group-by",
        metavar="REGEX",
        help="video or identity in the file name: the first parentheses, or the whole "
        "match; 'prefix' for what stands before '_' or the ending",
    )
    group.add_argument(
        "--subset-by",
        metavar="REGEX",
        help="part of the data, such as the forgery method, in the path, folders "
        "included: the first parentheses, or the whole match; each is measured by "
        "itself, against all real samples where it has none",
    )
    command_line.add_resamples_flag(group)


def _add_scores_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scores from elsewhere")
    for flag, text in (
        ("--from-scores", "CSV of scores to analyse instead of a checkpoint"),
        (
            "--calibrate-on",
            "CSV of the same detector's scores of other samples, one for each of "
            "--from-scores: chooses threshold, P(fake) and likelihood ratios",
        ),
    ):
        group.add_argument(flag, type=Path, nargs="+", metavar="FILE", help=text)
    group.add_argument(
        "--max-fpr",
        type=command_line.fraction,
        metavar="RATE",
        help="with --calibrate-on: threshold at which at most this share of its real "
        "samples is called fake (default: where both errors are equally frequent)",
    )
    group.add_argument(
        "--fpr-confidence",
        type=command_line.inner_fraction,
        metavar="C",
        help="with --max-fpr: be so sure that other real samples keep to it as well",
    )
    for name, default, text in (
        ("score", "score", "scores; P(fake) where all are from 0 to 1"),
        ("label", "label", "labels"),
        ("path", None, "names of samples, '' for none (default: a usual one)"),
        ("group", None, "video or identity"),
        ("subset", None, "forgery method, compression or another part of the data"),
    ):
        group.add_argument(
            f"--{name}-column", default=default, metavar="NAME", help=f"column: {text}"
        )
    group.add_argument(
        "--positive-label",
        metavar="WORD",
        help="label that means fake, the other one being real (default: 1, true, fake, "
        "spoof and the like are fake; 0, false, real, bonafide, genuine are real)",
    )
    group.add_argument(
        "--lower-is-fake",
        action="store_true",
        help="scores are higher for real samples: P(real), where all are from 0 to 1, "
        "or turned round by a minus sign, which --threshold then counts with",
    )


def _check_combination(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
    """End with one line and status 2 where flags exclude or need each other."""
    for what in ("group", "subset"):
        if getattr(args, f"{what}_by") and getattr(args, f"{what}_column"):
            parser.error(f"--{what}-by and --{what}-column exclude each other")
    if not args.from_scores:
        for name in ("calibrate_on", *SCORE_FLAGS):
            if getattr(args, name) != parser.get_default(name):
                flag = f"--{name.replace('_', '-')}"
                parser.error(f"{flag} goes with --from-scores")
    elif args.checkpoint_path or args.limit or args.full_decoding:
        parser.error(
            "--from-scores goes without --checkpoint-path, --limit and --full-decoding"
        )
    num_files = len(args.from_scores or ())
    if num_files and args.dataset and len(args.dataset) not in (1, num_files):
        parser.error("-d names one dataset, or one for each file of --from-scores")
    if args.calibrate_on and len(args.calibrate_on) != num_files:
        parser.error("--calibrate-on takes one file for each of --from-scores")
    if args.max_fpr is not None and not args.calibrate_on:
        parser.error("--max-fpr goes with --calibrate-on")
    if args.fpr_confidence is not None and not args.max_fpr:
        parser.error("--fpr-confidence goes with --max-fpr above 0")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.figures_dir)
    patterns = {"group_pattern": args.group_by, "subset_pattern": args.subset_by}
    if args.from_scores:
        score_sets = _load_score_sets(
            args.from_scores,
            args.calibrate_on,
            ScoreFormat(**{name: getattr(args, name) for name in SCORE_FLAGS}),
            datasets=args.dataset,
            policy={"max_fpr": args.max_fpr, "confidence": args.fpr_confidence},
            model=args.model or "",
            **patterns,
        )
    else:
        names = args.dataset or ["fakes_dataset"]
        options = {
            "data_root": args.data_root,
            "limit": args.limit,
            "full_decoding": args.full_decoding,
        }
        score_sets = _score_datasets(
            {name: load_dataset(name, args.split, **options) for name in names},
            args.checkpoint_path,
            args.model,
            **patterns,
            split=args.split,
            batch_size=args.batch_size,
            precision=choose_precision(args.precision, prepare_device(args.device)),
            workers=args.workers,
        )
        if args.group_by:
            _print_leaks([args.data_root / name for name in names], args.group_by)
    score_sets = _set_threshold(tell_apart(score_sets), args.threshold)
    options = {"num_resamples": args.resamples, "seed": args.seed}
    analyses = [
        analyse(scores, prevalence=args.prevalence, **options)
        for scores in show_progress(score_sets, "analyse")
    ]
    call = _describe_call(sys.argv[1:] if argv is None else argv)
    paths, text = save_all(analyses, args.figures_dir, call)
    command_line.say(*text.split("\n"), "", *(f"wrote {path}" for path in paths))


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
        Real scores, fake scores (float64 (N,), the softmax of the logits, calibrated
        as the model says; they sum to 1) and true labels (int64 (N,)), in the
        dataset's order.

    Raises:
        ValueError: a score is not finite; the message names the image.
    """
    logits, labels = compute_dataset_logits(
        dataset, model, batch_size=batch_size, precision=precision, workers=workers
    )
    temperature = getattr(model, "temperature", 1.0)  # an untrained model has none
    bias = getattr(model, "logit_bias", 0.0)
    fake_scores = compute_fake_scores(logits, temperature, bias)
    real_scores = compute_fake_scores(logits.flip(1), temperature, -bias)
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
        command_line.say(f"checkpoint: {path}")
        score_sets += [
            score_dataset(name, datasets[name], model, precision=precision, **options)
            for name in names
        ]
    return score_sets


def _print_leaks(folders: Sequence[Path], group_pattern: str) -> None:
    """Say which groups the splits in each folder share, by the names of all files."""
    for folder in folders:
        splits = [split for split in SPLITS if (folder / split).is_dir()]
        paths = {split: list_paths(FacesDataset(folder / split)) for split in splits}
        leaks = find_leaks(
            {split: groups_from_names(paths[split], group_pattern) for split in splits}
        )
        for leak in leaks:
            command_line.say(f"{folder.name}: LEAK, {leak}")
        if not leaks:
            command_line.say(f"{folder.name}: no group is in more than one split")


def _load_score_sets(
    paths: Sequence[Path],
    validation_paths: Sequence[Path] | None,
    score_format: ScoreFormat,
    *,
    datasets: Sequence[str] | None,
    policy: Mapping[str, float | None],
    **options: Any,
) -> list[ScoreSet]:
    """Load files of scores of one dataset, or of one each, and calibrate them."""
    score_sets = [
        load_score_set(path, score_format, dataset=name, **options)
        for path, name in zip(paths, cycle(datasets or [None]), strict=False)
    ]
    if validation_paths is None:
        return score_sets
    score_format = replace(score_format, group_column=None, subset_column=None)
    calibrated = []
    for scores, path in zip(score_sets, validation_paths, strict=True):
        validation = load_score_set(path, score_format)
        _check_other_samples(scores, validation)
        calibrated.append(calibrate_on(scores, validation, **policy))
    return calibrated


def _check_other_samples(scores: ScoreSet, validation: ScoreSet) -> None:
    """Refuse (ValueError) to calibrate on the same file, and say what is in both."""
    (judged,), (given,) = scores.provenance["inputs"], validation.provenance["inputs"]
    if judged["sha256"] == given["sha256"]:
        raise ValueError(
            f"{given['path']} holds the scores to be analysed: calibrate on other "
            "samples"
        )
    num_common = len(set(scores.paths or ()) & set(validation.paths or ()))
    if num_common:
        command_line.say(
            f"LEAK: {num_common} samples of {judged['path']} are in {given['path']} "
            "too, by their names: what is calibrated on them looks better than it is"
        )


def _set_threshold(
    score_sets: Sequence[ScoreSet], threshold: float | None
) -> Sequence[ScoreSet]:
    if threshold is None:
        return score_sets
    if not 0 <= threshold <= 1 and any(s.fake_scores is not None for s in score_sets):
        raise ValueError(
            f"--threshold {threshold:g} is one of P(fake), which is from 0 to 1"
        )
    changes = {"threshold": threshold, "threshold_source": "given by --threshold"}
    return [replace(scores, **changes) for scores in score_sets]


def _describe_call(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what ran, when, and the versions that numbers may depend on."""
    packages = ("scipy", "scikit-learn", "matplotlib")
    versions = {**get_versions(), **{name: version(name) for name in packages}}
    return describe_call(Path(__file__).name, arguments, versions)


if __name__ == "__main__":
    command_line.run(main)
