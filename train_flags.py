"""The flags of train_main.py, in groups, and which of them define a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cli

# Two runs with the same of these (and the same data) give the same weights.
DEFINING_FLAGS = (
    *("dataset", "model", "optimizer", "lr", "momentum", "weight_decay"),
    *("batch_size", "seed", "limit", "lr_schedule", "warmup", "class_weights"),
    *("grad_clip", "recalibrate_bn", "early_stop"),
)


def _threshold_policy(text: str) -> str:
    """Take a policy that `calibration.parse_threshold_policy` can read."""
    if text != "eer":
        name, _, rate = text.partition("=")
        if name != "fpr":
            raise argparse.ArgumentTypeError(f"expected eer or fpr=RATE, got {text!r}")
        cli.fraction(rate)
    return text


def get_defining_flags(args: argparse.Namespace) -> dict[str, Any]:
    """Return the flags that a resumed run must repeat, as plain values."""
    return {name: getattr(args, name) for name in DEFINING_FLAGS}


def add_recipe_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the published recipe."""
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "-lr",
        "--lr",
        type=cli.positive_float,
        default=0.001,
        metavar="RATE",
        help="learning rate",
    )
    group.add_argument(
        "-e",
        "--epochs",
        type=cli.positive_int,
        default=5,
        metavar="N",
        help="passes over the training split, those before --resume included",
    )
    group.add_argument(
        "-o", "--optimizer", choices=("Adam", "SGD"), default="Adam", help="optimizer"
    )
    group.add_argument(
        "--momentum",
        type=cli.fraction,
        default=0.0,
        metavar="M",
        help="momentum of SGD; Adam has its own",
    )
    group.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="ImageNet weights of Xception; else the cache, else a download",
    )
    group.add_argument(
        "--from-scratch",
        action="store_true",
        help="start XceptionBased from random weights",
    )


def add_small_set_flags(parser: argparse.ArgumentParser) -> None:
    """Add what goes beyond the published recipe; by default nothing does."""
    group = parser.add_argument_group("beyond the published recipe")
    group.add_argument(
        "--lr-schedule",
        choices=("constant", "cosine", "step"),
        default="constant",
        help="how the learning rate changes over the training",
    )
    group.add_argument(
        "--warmup",
        type=cli.non_negative_int,
        default=0,
        metavar="STEPS",
        help="optimizer steps in which the learning rate first grows to --lr",
    )
    group.add_argument(
        "--weight-decay",
        type=cli.non_negative_float,
        default=0.0,
        metavar="W",
        help="L2 penalty on the weights",
    )
    group.add_argument(
        "--recalibrate-bn",
        type=cli.non_negative_int,
        default=0,
        metavar="BATCHES",
        help="after each epoch measure the batch-norm statistics anew on so many "
        "training batches; helps XceptionBased where an epoch has few steps",
    )
    group.add_argument(
        "--class-weights",
        choices=("none", "balanced"),
        default="none",
        help="balanced: real and fake weigh the same in the loss",
    )
    group.add_argument(
        "--grad-clip",
        type=cli.positive_float,
        metavar="NORM",
        help="largest norm of the gradient",
    )
    group.add_argument(
        "--early-stop",
        type=cli.positive_int,
        metavar="N",
        help="stop after N epochs without a better validation accuracy",
    )
    group.add_argument(
        "--cache",
        type=cli.non_negative_float,
        default=1.0,
        metavar="GIB",
        help="memory for decoded images, so that each is decoded once; 0 keeps none",
    )
    group.add_argument(
        "--compile",
        action="store_true",
        help="compile the model with torch.compile; meant for GPUs: on a CPU it "
        "replaces XceptionBased's own kernels, which are faster",
    )
    group.add_argument(
        "--threshold-policy",
        type=_threshold_policy,
        default="eer",
        metavar="POLICY",
        help="how the checkpoint's threshold is chosen on the validation split: eer, "
        "or fpr=0.01 for at most so many real images called fake",
    )


def add_file_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags on what is written, and on going on from it."""
    group = parser.add_argument_group("files")
    group.add_argument(
        "--check-images",
        choices=("auto", "none", "header", "full"),
        default="auto",
        help="before training open every image: its header only, or decode all of it; "
        "auto reads the headers of up to 100,000 images",
    )
    group.add_argument(
        "--skip-bad-images",
        action="store_true",
        help="leave unreadable images out and record them, rather than stop",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last snapshot of the same command",
    )
    group.add_argument(
        "--checkpoint-minutes",
        type=cli.non_negative_float,
        default=10.0,
        metavar="M",
        help="how often a snapshot is saved within an epoch; 0 saves at its end only",
    )
    group.add_argument(
        "--out-dir",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help="folder of the histories",
    )
    group.add_argument(
        "--checkpoints-dir",
        type=Path,
        default=Path("checkpoints"),
        metavar="DIR",
        help="folder of the checkpoints",
    )
