"""The flags that saliency_map.py and grad_cam_analysis.py share, and what they name."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from command_line.compute import take_compute, take_network, take_source
from command_line.flags import (
    add_checkpoint_flag,
    add_compute_flags,
    add_dataset_flag,
    add_figures_flag,
    add_model_flag,
)
from command_line.parser import Parser, say, take

from explaining import run
from explaining.explanation import Method
from explaining.judged_images import (
    ExplainFunction,
    GivenPictures,
    JudgedImages,
    judge_images,
)
from explaining.shown import Candidate, describe_check
from files.atomic import check_writable
from files.bounds import VERY_MANY, Bounds
from files.classes import CLASS_NAMES
from files.names import default_checkpoint_path, spell_dataset
from judging.detector import Detector
from loading import ImageFile
from utils import load_checkpoint, open_for

NUM_CHECKED = 32  # images, by default
SPLIT = "test"


def build_parser(description: str, epilog: str, batch_size: int = 32) -> Parser:
    """Return a parser with the flags that both scripts share."""
    parser = Parser(description, epilog=epilog)
    add_dataset_flag(parser)
    add_model_flag(parser, take_network, from_checkpoint=True)
    add_checkpoint_flag(parser)
    _add_choice_flags(parser)
    parser.add_argument(
        "--checks",
        type=take(Bounds(4, VERY_MANY, int)),
        nargs="?",
        const=NUM_CHECKED,
        metavar="N",
        help="also test the maps of N random test images (without N: "
        f"{NUM_CHECKED}): do they change when the detector's layers are made random, "
        "does the score follow where they point, do they point at a planted face",
    )
    add_compute_flags(parser, batch_size=batch_size)
    add_figures_flag(parser)
    return parser


def _add_choice_flags(parser: Parser) -> None:
    """Add --image, --choose and --class."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--image",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="explain these pictures, read as predict.py reads them, instead of a "
        "dataset's; each gets a figure of its own",
    )
    group.add_argument(
        "--choose",
        choices=("telling", "random"),
        default="telling",
        help="which test images are shown; telling: of each class the worst errors, "
        "the surest hits and typical ones; random: as --seed draws them",
    )
    parser.add_argument(
        "--class",
        dest="target",
        choices=("true", "predicted", *CLASS_NAMES),
        help="the class whose score is explained: each image's true one; the "
        "predicted one, by the checkpoint's threshold; or always real, or fake "
        "(default: true; predicted with --image)",
    )


def check_flags(parser: Parser, args: argparse.Namespace) -> argparse.Namespace:
    """Return the flags; end with a usage error if --image does not go with others."""
    if not args.image:
        return args
    if not args.checkpoint_path:
        parser.error(
            "--image goes with -cpp CHECKPOINT: which detector is to judge it?"
        )
    if args.target == "true":
        parser.error(
            "--class true needs a dataset, whose folders say it; with --image give "
            "predicted, real or fake"
        )
    for flag in ("checks", "whole_set"):
        if getattr(args, flag, None):
            name = flag.replace("_", "-")
            parser.error(f"--{name} needs a dataset: leave out --image")
    return args


def take_judged_images(args: argparse.Namespace) -> JudgedImages:
    """Load the detector and judge the images that the flags name.

    Raises ValueError or OSError if a file or a folder is not there, or of no use.
    """
    compute = take_compute(args)
    path = args.checkpoint_path or default_checkpoint_path(args.dataset, args.model)
    detector = load_checkpoint(path, args.model, compute.device)
    say(f"checkpoint: {path}")
    options = {"target": args.target}
    if args.image:
        files = [ImageFile(path) for path in args.image]
        images = GivenPictures(files, detector.preprocessing)
    else:
        images = open_for(detector, args.dataset, take_source(args, SPLIT))
        options["source"] = {"dataset": args.dataset, "split": SPLIT}
    check_writable(
        args.figures_dir, f"{spell_dataset(args.dataset)}_{detector.file_name}"
    )
    return judge_images(images, detector, compute, **options)


def take_checked(detector: Detector, method: Method) -> Method:
    """Return a kind of map with what checks at the end of the training said of it.

    If it failed one, say so on stderr.
    """
    kind = Candidate(method.settings["method"], method.settings.get("layer", ""))
    checked = describe_check(detector.record, kind)
    if checked.startswith("failed"):
        say(
            f"note: for this detector {kind} {checked}, on validation images: do not "
            "take it as a reason (docs/explanations.md)",
            file=sys.stderr,
        )
    return replace(method, checked=checked)


def draw_maps(
    args: argparse.Namespace,
    judged: JudgedImages,
    method: Method,
    explain: ExplainFunction,
    figures: Mapping[str, Sequence[int]],
    *,
    num: int,
    with_means: bool,
) -> None:
    """Draw the maps that the flags ask for, and say which files were written.

    `figures` are the ends of the names of a dataset's figures, each with the classes
    that it shows: of both together at most `num` images.
    """
    if args.image:
        _say_written(run.explain_pictures(judged, method, explain, args.figures_dir))
        return
    names = spell_dataset(args.dataset), judged.detector.file_name
    start = args.figures_dir / "_".join(names)
    named = {f"{start}_{ending}": labels for ending, labels in figures.items()}
    choice = {"num": num, "choose": args.choose, "seed": args.seed}
    _say_written(run.explain_dataset(judged, method, explain, named, **choice))
    if with_means:
        _say_written(run.average_dataset(judged, method, start))
    if args.checks:
        options = {"num": args.checks, "seed": args.seed}
        found, written = run.check_dataset(judged, method, start, **options)
        say(*found)
        _say_written(written)


def _say_written(paths: Iterable[Path]) -> None:
    say(*(f"wrote {path}" for path in paths))
