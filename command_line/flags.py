"""Flags that several scripts take, and those of a training, made from its recipe."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, TypeVar

from command_line.parser import say, take, take_path

from files.bounds import COUNT, DATASET_NAME, FOLDS, SEED, SHARE, Bounds
from files.hub import PREFIX, find_checkpoint, get_revision
from files.names import DEFAULT_MODEL, FIGURES_DIR
from records.recipe import (
    GROUPS,
    OF_CALIBRATION,
    RECIPES,
    Keeping,
    Recipe,
    choose_defaults,
    spell,
)
from scores.pooling import GROUP_SCORES

T = TypeVar("T")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
BATCH_SIZES = Bounds(1, 65536, int)
WORKERS = Bounds(0, 1024, int)
RESAMPLES = Bounds(100, 1_000_000, int)


def add_dataset_flag(
    parser: argparse.ArgumentParser,
    default: str | None = "fakes_dataset",
    *,
    several: bool = False,
    default_words: str = "",
) -> None:
    """Add -d/--dataset and what `add_source_flags` adds.

    `default_words` say what is taken without it, where `default` is None.
    """
    says = f" (default: {default_words})" if default_words else ""
    parser.add_argument(
        "-d",
        "--dataset",
        type=take(DATASET_NAME),
        default=default,
        nargs="+" if several else None,
        metavar="NAME",
        help="folder or table (.csv, .parquet) under --data-root: fakes_dataset, "
        "synthetic_dataset or your own; hf:OWNER/NAME of the Hugging Face hub; A+B for "
        f"two together{says}",
    )
    add_source_flags(parser)


def add_source_flags(parser: argparse.ArgumentParser) -> None:
    """Add --data-root, --limit, and how a table is read."""
    parser.add_argument(
        "--data-root",
        type=Path,
        default=Path("datasets"),
        metavar="DIR",
        help="folder that holds the datasets, NAME/{train,val,test}/{real,fake}/ or "
        "tables NAME.csv with the columns path, label, split and more (docs/data.md)",
    )
    parser.add_argument(
        "--limit",
        type=take(COUNT),
        metavar="N",
        help="use only the first N images of each class and split, for a quick trial",
    )
    parser.add_argument(
        "--real-labels",
        nargs="+",
        default=(),
        metavar="WORD",
        help="for a table, a hub's dataset or a file of scores: the labels that mean "
        "real; all others mean fake (default: the usual words, such as real and fake, "
        "or 0 and 1)",
    )
    parser.add_argument(
        "--shares",
        type=take(SHARE),
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help="for a table or a hub's dataset that does not say which split a row "
        "belongs to: roughly the share of images in each; a group is never divided, "
        "and stays where it is when others are added (default: 0.6 0.2 0.2)",
    )


def add_split_flag(parser: argparse._ActionsContainer) -> None:
    """Add --split."""
    parser.add_argument(
        "--split", choices=("val", "test"), default="test", help="the split to judge"
    )


def add_model_flag(
    parser: argparse.ArgumentParser,
    take_name: Callable[[str], str] = str,
    *,
    from_checkpoint: bool = False,
) -> None:
    """Add -m/--model; without it a checkpoint decides, if there is one.

    `take_name` turns what was given into a network's name: `compute.take_network`.
    """
    says = " (default: what the checkpoint says)" if from_checkpoint else ""
    parser.add_argument(
        "-m",
        "--model",
        type=take_name,
        default=None if from_checkpoint else DEFAULT_MODEL,
        metavar="NAME",
        help=f"the detector's network{says}",
    )


def add_checkpoint_flag(
    parser: argparse.ArgumentParser, help: str | None = None, **options: Any
) -> None:
    """Add -cpp/-cp/--checkpoint-path; `options` as for `add_argument`."""
    own = "checkpoint of train_main.py (default: this dataset's and model's, with Adam)"
    if options.get("nargs"):
        options = {"action": _ExtendOnce, **options}
    parser.add_argument(
        "-cpp",
        "-cp",
        "--checkpoint-path",
        type=take_checkpoint,
        metavar="FILE",
        help=f"{help or own}; or hf:OWNER/NAME[@REVISION] of the Hugging Face hub",
        **options,
    )


class _ExtendOnce(argparse.Action):
    """-cpp A -cpp B is -cpp A B; none is given twice."""

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: Any = None
    ) -> None:
        given = [*(getattr(namespace, self.dest) or ()), *values]
        if twice := [of for of in given if given.count(of) > 1]:
            raise argparse.ArgumentError(self, f"{twice[0]} is given twice")
        setattr(namespace, self.dest, given)


def take_checkpoint(text: str) -> Path:
    """Return a checkpoint's file; fetch one of the hub, and say of which revision."""
    take_path(text)  # not empty
    try:
        path = find_checkpoint(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    name, _, wanted = text.partition("@")
    revision = get_revision(path)
    is_main = os.environ.get("RANK", "0") == "0"  # of those that torchrun started
    if name.startswith(PREFIX) and wanted != revision and is_main:
        pinned = f"{name}@{revision}"
        say(f"note: took {pinned}, which names it for good", file=sys.stderr)
    return path


def add_compute_flags(
    parser: argparse.ArgumentParser, *, batch_size: int = 32, seed: bool = True
) -> None:
    """Add the flags on batches, device, precision, workers and, if used, the seed."""
    parser.add_argument(
        "-b",
        "--batch-size",
        type=take(BATCH_SIZES),
        default=batch_size,
        metavar="N",
        help="images in a batch",
    )
    add_device_flags(parser)
    if seed:
        add_seed_flag(parser)


def add_device_flags(parser: argparse.ArgumentParser, *, workers: bool = True) -> None:
    """Add --device, --precision and, if images are read in batches, --workers."""
    parser.add_argument(
        "--device",
        default="auto",
        help="where the network runs: auto (a GPU if there is one), cpu, cuda, cuda:1, "
        "mps",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="arithmetic of the network; auto takes bf16 if the hardware has it, fp16 "
        "on older GPUs, else fp32",
    )
    if workers:
        parser.add_argument(
            "--workers",
            type=take(WORKERS),
            metavar="N",
            help="processes that read images (default: up to 8 with a GPU; on a CPU 0, "
            "which reads in the main process, large images in several threads)",
        )


def add_seed_flag(parser: argparse.ArgumentParser) -> None:
    """Add --seed."""
    parser.add_argument(
        "--seed", type=take(SEED), default=0, metavar="N", help="seed of all randomness"
    )


def add_group_flags(parser: argparse._ActionsContainer) -> None:
    """Add --group-by and --group-score."""
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        help="video or identity in the file name: the first parentheses, or the whole "
        "match; 'prefix' for what stands before '_' or the ending (default: what the "
        "dataset says)",
    )
    parser.add_argument(
        "--group-score",
        choices=tuple(GROUP_SCORES),
        default="mean-logit",
        help="what a whole group is judged by, at the threshold of its images",
    )


def add_resamples_flag(parser: argparse._ActionsContainer) -> None:
    """Add --resamples."""
    parser.add_argument(
        "--resamples",
        type=take(RESAMPLES),
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


def add_recipe_flags(
    parser: argparse.ArgumentParser, take_name: Callable[[str], str]
) -> None:
    """Add --recipe and a flag for each field of `Recipe`; `take_name` is for -m."""
    groups = {name: parser.add_argument_group(GROUPS[name]) for name in GROUPS}
    groups[""] = parser
    groups["recipe"].add_argument(
        "--recipe",
        choices=tuple(RECIPES),
        default=next(iter(RECIPES)),
        help="several flags by one name, any of which can still be given: small-set is "
        "the best found for 1,500 images, general for kinds of fakes not trained on, "
        "probe a detector in minutes, photographs one for pictures from anywhere (all "
        "four -m XceptionBased), foundation a large network of timm's of which little "
        "is trained (not measured here)",
    )
    for entry in fields(Recipe):
        options = _build_options(entry)
        if entry.name == "model":
            options["type"] = take_name
        elif entry.name == "dataset":
            options["nargs"] = "+"
        names = (*entry.metadata["flag"].short, spell(entry.name))
        # Suppressed, so that `take_recipe` sees which flags the user gave.
        groups[entry.metadata["flag"].group].add_argument(
            *names, default=argparse.SUPPRESS, **options
        )


def add_calibration_flags(parser: argparse.ArgumentParser) -> None:
    """Add those flags of a recipe that say how an operating point is chosen."""
    for entry in fields(Recipe):
        if entry.name in OF_CALIBRATION:
            parser.add_argument(spell(entry.name), **_build_options(entry))


def _build_options(entry: Field) -> dict[str, Any]:
    """Return how argparse takes a field of `Recipe` or `Keeping`."""
    flag = entry.metadata["flag"]
    default = flag.default_words or entry.default
    shown = flag.help if default is None else f"{flag.help} (default: {default})"
    if flag.allowed is bool:
        return {"action": "store_true", "help": flag.help}
    if isinstance(flag.allowed, tuple):
        options = {"choices": flag.allowed, "help": shown}
        return {**options, "nargs": "+"} if flag.several else options
    kind = flag.allowed if isinstance(flag.allowed, type) else take(flag.allowed)
    options = {"type": kind, "help": shown, "metavar": flag.metavar}
    if flag.several:
        options |= {"nargs": "+"}
    if flag.bare is not None:
        options |= {"nargs": "?", "const": flag.bare}
    return options


def take_recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe: the flags given, then those of --recipe, then the defaults.

    Of several runs it is the first fold's, with the seed that --seed would have.

    Raises ValueError if flags exclude or need each other.
    """
    for one, several in (("seed", args.seeds), ("fold", args.folds)):
        if several and one in args:
            raise ValueError(f"--{one} and --{one}s exclude each other")
    if len(set(args.seeds)) < len(args.seeds):
        raise ValueError("--seeds takes each seed once")
    if args.folds:
        args = argparse.Namespace(**{**vars(args), "fold": f"0/{args.folds}"})
    values = {e.name: getattr(args, e.name) for e in fields(Recipe) if e.name in args}
    if "dataset" in values:
        values["dataset"] = "+".join(values["dataset"])
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    return Recipe(**{**choose_defaults(args.recipe, values.get("tune")), **values})


def add_runs_flags(parser: argparse.ArgumentParser) -> None:
    """Add --seeds and --folds."""
    group = parser.add_argument_group("several runs, one after the other")
    group.add_argument(
        "--seeds",
        type=take(SEED),
        nargs="+",
        default=[],
        metavar="N",
        help="a run with each of these seeds, its files named ..._seedN; --resume "
        "skips those that are complete",
    )
    group.add_argument(
        "--folds",
        type=take(FOLDS),
        metavar="N",
        help="cross-validation: a run with each --fold K/N, its files named ..._foldK; "
        "with --seeds each fold with each seed",
    )


def add_keeping_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each field of `Keeping`, and --report."""
    group = parser.add_argument_group("files")
    for entry in fields(Keeping):
        options = {**_build_options(entry), "help": entry.metadata["flag"].help}
        group.add_argument(spell(entry.name), default=entry.default, **options)
    group.add_argument(
        "--report",
        action="store_true",
        help="at the end write figures/RUN_report.html, as report.py does",
    )


def take_fields(args: argparse.Namespace, kind: type[T]) -> T:
    """Return a dataclass whose fields are flags of the same names."""
    return kind(**{entry.name: getattr(args, entry.name) for entry in fields(kind)})
