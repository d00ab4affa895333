"""Measure trained detectors: curves, metrics with intervals, comparisons."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import command_line
from command_line import say, take
from command_line.compute import take_network, take_shared_compute, take_source

from torch import nn
from torch.utils.data import Dataset

from faces_dataset import list_names
from files.atomic import check_writable
from files.bounds import INNER_SHARE, PROPER_SHARE, Bounds
from files.names import default_checkpoint_path
from files.provenance import describe_call
from hardware import Compute, distributed, show_progress
from judging.base import Scored
from judging.detector import Detector, as_detector, build_score_set
from loading.sources.datasets import Source, find_dataset, list_splits, open_pictures
from plots.runs import save_runs
from plots.save_analysis import save_all
from scores import (
    ScoreFormat,
    ScoreSet,
    calibrate_on,
    find_groups,
    find_leaks,
    groups_from_names,
    load_score_set,
    subsets_from_names,
    tell_apart,
)
from scores.analysis import analyse, compare_detectors
from scores.pairing import MATCHES, count_common, set_keys
from scores.runs import analyse_runs, find_sets
from scores.score_files import find_format
from utils import load_checkpoint, open_for

EPILOG = """examples:
  python numerical_analysis.py -m SimpleNet -d fakes_dataset \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt
  python numerical_analysis.py -cpp A.pt B.pt -d fakes_dataset synthetic_dataset
  python numerical_analysis.py --from-scores scores.csv --group-column video
  python numerical_analysis.py --from-scores test.csv --calibrate-on val.csv
  python numerical_analysis.py -cpp A_seed0.pt A_seed1.pt A_seed2.pt --runs
  python numerical_analysis.py --from-scores a1.csv a2.csv b1.csv b2.csv --runs 2 2
  python numerical_analysis.py -cpp A.pt --from-scores tool.csv:score=p_fake,label=y \\
      -d fakes_dataset --match stem

writes to --figures-dir, for each detector and dataset:
  DATASET_MODEL_{roc_curve,det_curve,precision_recall,score_histogram,reliability,
                 confusion_matrix,tippett,cross_entropy}.png
  DATASET_MODEL_metrics.json    every number, with its interval, and where it is from
  DATASET_MODEL_scores.csv      path, label, P(fake), group, logit difference,
                                log-likelihood ratio and its bound, subset
  DATASET_MODEL_subsets_det_curve.png, with --subset-by or --subset-column
and for several comparison_{roc_curve,det_curve,precision_recall}.png and
comparison_metrics.{json,csv,md,tex}; for several detectors on several datasets
comparison_auc_matrix.{csv,png} as well.

With --runs instead DATASET_MODEL_runs_{roc_curve,det_curve}.png of each recipe, and
DATASET_MODEL_runs_metrics.{json,csv,md,tex}, of several recipes called
comparison_runs_metrics."""

DEFAULT_DATASET = "fakes_dataset"
# Flags that say how files of scores are to be read, and datasets; how to pair samples.
SCORE_FLAGS = [flag.name for flag in fields(ScoreFormat)]
SOURCE_FLAGS = [flag.name for flag in fields(Source)]
COMPUTE_FLAGS = ["batch_size", "device", "precision", "workers"]
PAIR_FLAGS = ["match", "strip_path"]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_dataset_flag(
        parser, None, several=True, default_words=f"{DEFAULT_DATASET} for checkpoints"
    )
    command_line.add_model_flag(parser, take_network, from_checkpoint=True)
    command_line.add_checkpoint_flag(parser, nargs="+")
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
    _add_analysis_flags(parser)
    _add_scores_flags(parser)
    args = parser.parse_args(argv)
    _check_combination(parser, args)
    return args


def _add_analysis_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("analysis")
    command_line.add_split_flag(group)
    group.add_argument(
        "--threshold",
        type=take(Bounds(-1e300, 1e300)),
        metavar="T",
        help="P(fake), or score where that is not known, at which a sample is "
        "called fake (default: the checkpoint's or that of --calibrate-on, chosen on "
        "validation; else 0.5, or 0 for scores that are not P(fake))",
    )
    group.add_argument(
        "--prevalence",
        type=take(INNER_SHARE),
        metavar="SHARE",
        help="share of fakes where the detector is to be used: also say how many of "
        "those called fake are fake, and called real are real (PPV, NPV)",
    )
    command_line.add_group_flags(group)
    group.add_argument(
        "--subset-by",
        metavar="REGEX",
        help="part of the data, such as the forgery method, in the path, folders "
        "included: the first parentheses, or the whole match; each is measured by "
        "itself, against all real samples where it has none",
    )
    command_line.add_resamples_flag(group)
    _add_comparison_flags(group)


def _add_comparison_flags(group: argparse._ActionsContainer) -> None:
    """Add the flags on how several detectors are compared."""
    group.add_argument(
        "--runs",
        type=take(Bounds(2, 10_000, int)),
        nargs="*",
        metavar="N",
        help="take several runs of one recipe as one result: mean, spread, and an "
        "interval for other runs on other images. Checkpoints that differ in --seed, "
        "--fold and --name alone are of one recipe, files of scores are all of one; "
        "or N files, in order, are of the first recipe, N of the second, ... Several "
        "recipes are compared",
    )
    group.add_argument(
        "--match",
        choices=MATCHES,
        default=MATCHES[0],
        help="what the samples of two detectors are paired by: their paths, or the "
        "names of their files alone, without folder and ending",
    )
    group.add_argument(
        "--strip-path",
        nargs="+",
        default=(),
        metavar="FOLDER",
        help="folders to take off the front of samples' names before these are paired, "
        "such as out/faces",
    )


def _add_scores_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scores from elsewhere")
    for flag, text in (
        (
            "--from-scores",
            "CSV of scores to analyse instead of checkpoints, or beside those of "
            "--checkpoint-path on the one dataset of -d; FILE:score=p_fake,label=y "
            "where a file's columns have other names than the flags below say (also "
            "path, group, subset)",
        ),
        (
            "--calibrate-on",
            "CSV of the same detector's scores of other samples, one for each of "
            "--from-scores: chooses threshold, P(fake) and likelihood ratios",
        ),
    ):
        group.add_argument(flag, nargs="+", metavar="FILE", help=text)
    _add_threshold_flags(group)
    _add_format_flags(group)


def _add_threshold_flags(group: argparse._ActionsContainer) -> None:
    """Add the flags on what --calibrate-on is to keep to."""
    group.add_argument(
        "--max-fpr",
        type=take(PROPER_SHARE),
        metavar="RATE",
        help="with --calibrate-on: the threshold at which at most this share of its "
        "real samples is called fake (default: where both errors are equally frequent)",
    )
    group.add_argument(
        "--fpr-confidence",
        type=take(INNER_SHARE),
        metavar="C",
        help="with --max-fpr: the confidence that other real samples keep to it too",
    )


def _add_format_flags(group: argparse._ActionsContainer) -> None:
    """Add the flags that become a `ScoreFormat`."""
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
        "spoof and the like are fake; 0, false, real, bonafide, genuine are real); of "
        "more than two labels --real-labels names those that mean real",
    )
    group.add_argument(
        "--lower-is-fake",
        action="store_true",
        help="scores are higher for real samples: P(real), where all are from 0 to 1, "
        "or else negated, and then --threshold is one of the negated scores",
    )


def _check_combination(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
    """End with one line and status 2 where flags exclude or need each other."""
    for what in ("group", "subset"):
        if getattr(args, f"{what}_by") and getattr(args, f"{what}_column"):
            parser.error(f"--{what}-by and --{what}-column exclude each other")
    files = args.from_scores or ()
    if twice := [file for file in files if files.count(file) > 1]:
        parser.error(f"--from-scores: {twice[0]} is given twice")
    given = [*(args.checkpoint_path or ()), *files]
    for name, what in _find_needs(args, len(given)).items():
        if getattr(args, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} goes with {what}")
    num_files = len(args.from_scores or ())
    if num_files and args.checkpoint_path and len(args.dataset or ()) > 1:
        parser.error("-d names one dataset for --checkpoint-path and --from-scores")
    if num_files and args.dataset and len(args.dataset) not in (1, num_files):
        parser.error("-d names one dataset, or one for each file of --from-scores")
    if args.calibrate_on and len(args.calibrate_on) != num_files:
        parser.error("--calibrate-on takes one file for each of --from-scores")
    without = ("prevalence", "subset_by", "subset_column")
    if args.runs is not None and any(getattr(args, name) for name in without):
        parser.error("--runs goes without --prevalence, --subset-by, --subset-column")
    if args.positive_label and args.real_labels:
        parser.error("--positive-label and --real-labels exclude each other")
    if args.max_fpr is not None and not args.calibrate_on:
        parser.error("--max-fpr goes with --calibrate-on")
    if args.fpr_confidence is not None and not args.max_fpr:
        parser.error("--fpr-confidence goes with --max-fpr above 0")


def _find_needs(args: argparse.Namespace, num_inputs: int) -> dict[str, str]:
    """Return the flags that would do nothing, and what each needs."""
    needs = {}
    if not args.from_scores:
        of_scores = dict.fromkeys(["calibrate_on", *SCORE_FLAGS], "--from-scores")
        needs = {n: what for n, what in of_scores.items() if n not in SOURCE_FLAGS}
    elif not args.checkpoint_path:
        alone = "datasets, not with --from-scores alone"
        of_data = dict.fromkeys([*SOURCE_FLAGS, *COMPUTE_FLAGS], alone)
        needs = {n: what for n, what in of_data.items() if n not in SCORE_FLAGS}
    if num_inputs < 2:
        pairs = "two detectors or more, named, to pair samples"
        needs |= dict.fromkeys(PAIR_FLAGS, pairs)
    return needs


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.figures_dir)
    score_sets = _collect(args)
    if not distributed.is_main():
        return
    score_sets = set_keys(score_sets, args.match, args.strip_path)
    score_sets = _set_threshold(score_sets, args.threshold)
    options = {
        "num_resamples": args.resamples,
        "seed": args.seed,
        "group_score": args.group_score,
    }
    call = describe_call(__file__, argv, "scipy", "scikit-learn", "matplotlib")
    if args.runs is None:
        options["prevalence"] = args.prevalence
        named = show_progress(tell_apart(score_sets), "analyse")
        analyses = [analyse(scores, **options) for scores in named]
        comparisons = compare_detectors(analyses)
        paths, text = save_all(analyses, comparisons, args.figures_dir, call)
    else:
        sets, tests = analyse_runs(find_sets(score_sets, args.runs), **options)
        paths, text = save_runs(sets, tests, args.figures_dir, call)
    say(*text.split("\n"), "", *(f"wrote {path}" for path in paths))


def _collect(args: argparse.Namespace) -> list[ScoreSet]:
    """Return the scores of checkpoints and files, those of checkpoints first."""
    patterns = {"group_pattern": args.group_by, "subset_pattern": args.subset_by}
    score_sets, names = [], args.dataset
    if args.from_scores:
        command_line.refuse_several("--from-scores")
    if args.checkpoint_path or not args.from_scores:
        names = names or [DEFAULT_DATASET]
        source = take_source(args)
        score_sets = _score_datasets(
            _pair(args.checkpoint_path, names, args.model),
            source,
            take_shared_compute(args),
            model_name=args.model,
            **patterns,
        )
        if distributed.is_main():
            grouped = {of.dataset for of in score_sets if of.groups}
            for name in (name for name in names if name in grouped):
                _print_leaks(name, source, args.group_by)
    if args.from_scores:
        score_sets += _load_score_sets(
            args.from_scores,
            args.calibrate_on,
            ScoreFormat(**{name: getattr(args, name) for name in SCORE_FLAGS}),
            datasets=names or (None if args.runs is None else ["scores"]),
            policy={"max_fpr": args.max_fpr, "confidence": args.fpr_confidence},
            model=None if args.checkpoint_path else args.model or "",
            **patterns,
        )
    return score_sets


def get_soft_scores_and_true_labels(
    dataset: Dataset, model: Detector | nn.Module, compute: Compute | None = None
) -> Scored:
    """Score every image of a dataset.

    Args:
        dataset: samples as `loading.BatchLoader` takes them.
        model: a detector, or a network alone, which is then not calibrated; it runs on
            the device that it is on, in evaluation mode.
        compute: precision, batch size and workers; default as suits the device.

    Returns:
        What unpacks to real scores, fake scores (float64 (N,), the softmax of the
        logits, calibrated as the detector says; they sum to 1) and true labels (int64
        (N,)), in the dataset's order; it holds the logits as well.

    Raises:
        ValueError: a score is not finite; the message names the image.
    """
    return as_detector(model).score(dataset, compute)


def _pair(
    paths: Sequence[Path] | None, names: Sequence[str], model_name: str | None
) -> list[tuple[Path, list[str]]]:
    """Return each checkpoint with the datasets to test it on: its own by default."""
    if paths:
        return [(path, list(names)) for path in paths]
    return [(default_checkpoint_path(name, model_name), [name]) for name in names]


def _score_datasets(
    pairs: Sequence[tuple[Path, list[str]]],
    source: Source,
    compute: Compute,
    *,
    model_name: str | None,
    group_pattern: str | None,
    subset_pattern: str | None,
) -> list[ScoreSet]:
    """Score the datasets that each checkpoint is to be tested on."""
    score_sets = []
    for path, names in pairs:
        detector = load_checkpoint(path, model_name, compute.device)
        say(f"checkpoint: {path}")
        for name in names:
            dataset = open_for(detector, name, source)
            files, column = list_names(dataset), dataset.get_column("subset")
            labels = dataset.get_labels()
            parts = {
                "groups": find_groups(dataset, group_pattern),
                "subsets": subsets_from_names(files, labels, subset_pattern, column),
            }
            scored = get_soft_scores_and_true_labels(dataset, detector, compute)
            score_sets.append(
                build_score_set(
                    name, dataset, detector, scored, split=source.split, **parts
                )
            )
    return score_sets


def _print_leaks(name: str, source: Source, group_pattern: str | None) -> None:
    """Say which groups a dataset's splits share, by all that it holds."""
    path = find_dataset(name, source.data_root)
    splits = (path and list_splits(path, source.shares)) or [source.split]
    groups = {}
    for split in splits:
        with suppress(ValueError, OSError):  # it is empty, and was not asked for
            opened = open_pictures(name, replace(source, limit=None), [split])[split]
            names = [opened.get_name(index) for index in range(len(opened))]
            column = opened.columns.get("group")
            groups[split] = groups_from_names(names, group_pattern, column) or ()
    leaks = find_leaks(groups)
    say(*(f"{name}: LEAK, {leak}" for leak in leaks))
    if not leaks:
        say(f"{name}: no group is in more than one split")


def _load_score_sets(
    paths: Sequence[str],
    validation_paths: Sequence[str] | None,
    score_format: ScoreFormat,
    *,
    datasets: Sequence[str] | None,
    policy: Mapping[str, float | None],
    **options: Any,
) -> list[ScoreSet]:
    """Load files of scores of one dataset, or of one each, and calibrate them."""
    files = [find_format(path, score_format) for path in paths]
    score_sets = [
        load_score_set(*file, dataset=name, **options)
        for file, name in zip(files, cycle(datasets or [None]), strict=False)
    ]
    if validation_paths is None:
        return score_sets
    calibrated = []
    for scores, path, (_, own) in zip(score_sets, validation_paths, files, strict=True):
        own = replace(own, group_column=None, subset_column=None)
        validation = load_score_set(*find_format(path, own))
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
    num_common, evidence = count_common(scores, validation)
    if num_common:
        say(
            f"LEAK: {num_common} samples of {judged['path']} are in {given['path']} "
            f"too, by their {evidence}: what is calibrated on them looks better than "
            "it is"
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


if __name__ == "__main__":
    command_line.run(main, distributed.speaks_first)
