"""Flags that several scripts take, and those of a training."""

import argparse
from collections.abc import Collection
from pathlib import Path

from command_line.parser import (
    dataset_name,
    fraction,
    inner_fraction,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    run_name,
    seed,
)
from files.names import (
    CHECKPOINTS_DIR,
    FIGURES_DIR,
    MODEL_NAMES,
    OPTIMIZER_NAMES,
    OUT_DIR,
)

AUGMENTATION_STYLES = ("published", "robust", "none")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def add_data_flags(
    parser: argparse.ArgumentParser,
    *,
    default: str | None = "fakes_dataset",
    several: bool = False,
) -> None:
    """Add -d/--dataset, --data-root and --limit."""
    parser.add_argument(
        "-d",
        "--dataset",
        type=dataset_name,
        default=[default] if several else default,
        nargs="+" if several else None,
        metavar="NAME",
        help="folder under --data-root: fakes_dataset, synthetic_dataset or your own",
    )
    add_data_root_flag(parser)
    parser.add_argument(
        "--limit",
        type=positive_int,
        metavar="N",
        help="use only the first N images of each class and split, for a quick trial",
    )


def add_data_root_flag(parser: argparse.ArgumentParser) -> None:
    """Add --data-root."""
    parser.add_argument(
        "--data-root",
        type=Path,
        default=Path("datasets"),
        metavar="DIR",
        help="folder that holds the datasets, NAME/{train,val,test}/{real,fake}/",
    )


def add_model_flag(
    parser: argparse.ArgumentParser, *, from_checkpoint: bool = False
) -> None:
    """Add -m/--model; None, where it is not given, takes what a checkpoint says."""
    says = " (default: what the checkpoint says)" if from_checkpoint else ""
    parser.add_argument(
        "-m",
        "--model",
        choices=MODEL_NAMES,
        default=None if from_checkpoint else MODEL_NAMES[0],
        help=f"the detector's architecture{says}",
    )


def add_checkpoint_flag(
    parser: argparse.ArgumentParser, *, several: bool = False
) -> None:
    """Add -cpp/-cp/--checkpoint-path."""
    parser.add_argument(
        "-cpp",
        "-cp",
        "--checkpoint-path",
        type=Path,
        nargs="+" if several else None,
        metavar="FILE",
        help="checkpoint written by train_main.py; by default the one that "
        "train_main.py writes for this dataset and model with Adam",
    )


def add_compute_flags(
    parser: argparse.ArgumentParser, *, batch_size: int = 32, seed: bool = True
) -> None:
    """Add the flags on batches, device, precision, reading and, where used, seed."""
    parser.add_argument(
        "-b",
        "--batch-size",
        type=positive_int,
        default=batch_size,
        metavar="N",
        help="images in a batch",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="where the model runs: auto (a GPU if there is one), cpu, cuda, cuda:1, "
        "mps",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="arithmetic of the model; auto takes bf16 where the hardware has it, "
        "fp16 on older GPUs, else fp32",
    )
    parser.add_argument(
        "--workers",
        type=non_negative_int,
        metavar="N",
        help="processes that read images (default: up to 8 beside a GPU; on a CPU 0, "
        "which reads in the main process, large images in several threads)",
    )
    parser.add_argument(
        "--full-decoding",
        action="store_true",
        help="decode large JPEGs whole before they are resized, as --find-faces always "
        "does; by default their decoder scales them down first, which is faster and "
        "nearly the same (docs/speed.md); judge a detector as it was trained",
    )
    if seed:
        add_seed_flag(parser)


def add_seed_flag(parser: argparse.ArgumentParser) -> None:
    """Add --seed."""
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="seed of all randomness"
    )


def add_resamples_flag(parser: argparse._ActionsContainer) -> None:
    """Add --resamples."""
    parser.add_argument(
        "--resamples",
        type=positive_int,
        default=1000,
        metavar="N",
        help="bootstrap resamples",
    )


def add_figures_flag(parser: argparse.ArgumentParser) -> None:
    """Add --figures-dir."""
    parser.add_argument(
        "--figures-dir",
        type=Path,
        default=FIGURES_DIR,
        metavar="DIR",
        help="folder for figures and the numbers behind them",
    )


def add_recipe_flags(parser: argparse.ArgumentParser, recipes: Collection[str]) -> None:
    """Add --recipe, one of `recipes`, and the flags of the published one."""
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "--recipe",
        choices=tuple(recipes),
        default=next(iter(recipes)),
        help="flags by one name, each can still be given: small-set is the best found "
        "for 1,500 images, general for fakes of kinds not trained on (both "
        "-m XceptionBased)",
    )
    group.add_argument(
        "-lr",
        "--lr",
        type=positive_float,
        default=0.001,
        metavar="RATE",
        help="learning rate",
    )
    group.add_argument(
        "-e",
        "--epochs",
        type=positive_int,
        default=5,
        metavar="N",
        help="passes over the training split, those before --resume included",
    )
    group.add_argument(
        "-o",
        "--optimizer",
        choices=OPTIMIZER_NAMES,
        default=OPTIMIZER_NAMES[0],
        help="optimizer",
    )
    group.add_argument(
        "--momentum",
        type=fraction,
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


def add_tuning_flags(parser: argparse.ArgumentParser) -> None:
    """Add what goes beyond the published recipe."""
    group = parser.add_argument_group("beyond the published recipe")
    group.add_argument(
        "--lr-schedule",
        choices=("constant", "cosine"),
        default="constant",
        help="how the learning rate changes over the training",
    )
    group.add_argument(
        "--warmup",
        type=non_negative_int,
        metavar="STEPS",
        help="optimizer steps in which the learning rate first grows to --lr; 0 begins "
        "with all of it, as published (default: those of an epoch, at most 100)",
    )
    group.add_argument(
        "--weight-decay",
        type=non_negative_float,
        default=0.0,
        metavar="W",
        help="L2 penalty on the weights",
    )
    group.add_argument(
        "--recalibrate-bn",
        type=non_negative_int,
        default=0,
        metavar="BATCHES",
        help="after each epoch measure the batch-norm statistics anew on so many "
        "training batches; helps XceptionBased where an epoch has few steps",
    )
    group.add_argument(
        "--class-weights",
        choices=("none", "balanced"),
        default="none",
        help="balanced: real and fake weigh the same in the loss, whose mean over a "
        "batch is then weighted",
    )
    add_image_changing_flags(group)
    group.add_argument(
        "--grad-clip",
        type=positive_float,
        metavar="NORM",
        help="largest norm of the gradient",
    )
    group.add_argument(
        "--compile",
        action="store_true",
        help="compile the model with torch.compile; meant for XceptionBased on a GPU: "
        "on a CPU it replaces the suite's own kernels, which are faster",
    )
    group.add_argument(
        "--max-fpr",
        type=fraction,
        metavar="RATE",
        help="choose the checkpoint's threshold so that at most this share of the "
        "validation split's real images is called fake; of other real images it is "
        "more every second time (default: where both errors are equally frequent)",
    )
    group.add_argument(
        "--fpr-confidence",
        type=inner_fraction,
        metavar="C",
        help="with --max-fpr: keep to it, with this confidence, on all real images, "
        "not only on those of the validation split",
    )


def add_image_changing_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags on how training images are changed."""
    group.add_argument(
        "--augment",
        choices=AUGMENTATION_STYLES,
        default=AUGMENTATION_STYLES[0],
        help="how training images are changed: published crops and mirrors; robust "
        "compresses, scales, blurs, colours and adds noise besides; none does nothing",
    )
    group.add_argument(
        "--self-blend",
        type=fraction,
        nargs="?",
        const=1.0,
        default=0.0,
        metavar="SHARE",
        help="for detectors of forgeries never seen: make this share of the fakes in "
        "train and val from real images, each blended with a changed copy of itself; "
        "without a number all of them, and those folders called fake are not needed",
    )
    group.add_argument(
        "--face-landmarks",
        action="store_true",
        help="with --self-blend: find each face's landmarks, for pictures whose faces "
        "are not in the middle (needs requirements-faces.txt)",
    )
    group.add_argument(
        "--cutmix",
        type=fraction,
        default=0.0,
        metavar="SHARE",
        help="in this share of the batches, paste a part of another image into each, "
        "and mix the labels likewise; keeps a large model from learning a small set "
        "by heart",
    )


def add_file_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags on what is written, and on going on from it."""
    group = parser.add_argument_group("files")
    group.add_argument(
        "--name",
        type=run_name,
        metavar="WORD",
        help="a word at the end of the files' names, to keep several runs apart: "
        "DATASET_MODEL_OPTIMIZER_WORD.pt, ...",
    )
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
        type=non_negative_float,
        default=10.0,
        metavar="M",
        help="how often a snapshot is saved within an epoch; 0 saves at its end only",
    )
    group.add_argument(
        "--report",
        action="store_true",
        help="at the end write figures/RUN_report.html, as report.py does",
    )
    group.add_argument(
        "--out-dir",
        type=Path,
        default=OUT_DIR,
        metavar="DIR",
        help="folder of the histories",
    )
    group.add_argument(
        "--checkpoints-dir",
        type=Path,
        default=CHECKPOINTS_DIR,
        metavar="DIR",
        help="folder of the checkpoints",
    )
