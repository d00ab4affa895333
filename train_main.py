"""Train a detector of fake faces; keep its history and its best checkpoint."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

import command_line
from command_line import say
from faces_dataset import (
    FacesDataset,
    compute_fingerprint,
    count_classes,
    describe_split,
    read_crop_margin,
)
from files.atomic import check_writable
from files.checkpoint import start_record
from files.names import (
    CHECKPOINTS_DIR,
    CLASS_NAMES,
    FAKE,
    FIGURES_DIR,
    OUT_DIR,
    REAL,
    RunPaths,
    name_run_files,
)
from files.provenance import format_command, format_now, get_versions
from files.recipe import Recipe
from files.run_files import InterruptedRunError, RunFiles
from hardware import Compute, compile_model, distributed, prepare_compute
from hardware.fused_layers import describe_kernels
from loading import Augmentation, BatchLoader
from loading.face_finding import FaceFinder
from metrics import choose_operating_point
from metrics.operating_point import count_allowed_false_positives
from models import NETWORKS, get_network
from trainer import Trainer
from utils import (
    Source,
    build_criterion,
    build_optimizer,
    build_scheduler,
    drop_bad_images,
    get_nof_parameters,
    load_model,
    open_splits,
    seed_everything,
)

ONE_CLASS_SHARE = 0.98  # at or above it, "nearly every image" gets one answer
ONE_CLASS_CURES = (
    "a longer --warmup, a lower -lr, another --seed, or for XceptionBased "
    "--recalibrate-bn 12 (docs/results.md)"
)
EPILOG = """examples:
  python train_main.py -d fakes_dataset -m SimpleNet -lr 0.001 -b 32 -e 5 -o Adam
  python train_main.py -d synthetic_dataset -m XceptionBased -lr 0.001 -b 32 -e 2
  python train_main.py -d synthetic_dataset -m XceptionBased -e 5 --resume
  python train_main.py -d synthetic_dataset --recipe small-set
  python train_main.py -d synthetic_dataset --recipe general --name general

writes:
  out/DATASET_MODEL_OPTIMIZER.json              history, a record a run
  checkpoints/DATASET_MODEL_OPTIMIZER.pt        best epoch by validation accuracy
  checkpoints/DATASET_MODEL_OPTIMIZER_last.pt   what --resume goes on from
  figures/DATASET_MODEL_OPTIMIZER_report.html   with --report: the run as a page

With --name WORD they are called DATASET_MODEL_OPTIMIZER_WORD. An earlier run's
checkpoint and snapshot of the same name are renamed, not replaced."""


@dataclass(frozen=True)
class Keeping:
    """How a run's images are checked and its files kept; each field is a flag.

    Attributes:
        out_dir, checkpoints_dir: folders of the histories and the checkpoints.
        check_images: before training open every image: auto, none, header or full.
        skip_bad_images: leave unreadable images out and record them.
        resume: go on from the last snapshot of the same recipe.
        checkpoint_minutes: how often a snapshot is saved within an epoch; 0 never.
    """

    out_dir: Path = OUT_DIR
    checkpoints_dir: Path = CHECKPOINTS_DIR
    check_images: str = "auto"
    skip_bad_images: bool = False
    resume: bool = False
    checkpoint_minutes: float = 10.0

    def name_files(self, recipe: Recipe) -> RunPaths:
        """Return where the files of such a run are."""
        return name_run_files(
            *(recipe.dataset, recipe.model, recipe.optimizer),
            name=recipe.name,
            out_dir=self.out_dir,
            checkpoints_dir=self.checkpoints_dir,
        )


class TrainedRun(NamedTuple):
    """A run that was trained to its end: `files.best` is its best epoch's record."""

    trainer: Trainer
    files: RunFiles


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; `recipe` and `keeping` hold what defines the run."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_source_flags(parser)
    command_line.add_device_flags(parser)
    command_line.add_recipe_flags(parser, tuple(NETWORKS))
    command_line.add_keeping_flags(parser, Keeping)
    args = parser.parse_args(argv)
    try:
        args.recipe = command_line.take_recipe(args)
    except ValueError as error:
        parser.error(str(error))
    if args.recipe.weights and get_network(args.recipe.model).find_weights is None:
        parser.error(f"--weights: {args.recipe.model} starts from random weights")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script."""
    args = parse_args(argv)
    if args.report:
        check_writable(FIGURES_DIR)
    compute = command_line.take_compute(args, batch_size=args.recipe.batch_size)
    source = Source(args.data_root, "train", args.limit)
    keeping = command_line.take_fields(args, Keeping)
    try:
        run = train(args.recipe, source, compute, keeping=keeping)
    except InterruptedRunError as interruption:
        return interruption.status
    print_end(run, source)
    if not args.report:
        return 0
    words = sys.argv[1:] if argv is None else argv
    return save_report(run.files.paths, args.recipe, source, compute, words)


def train(
    recipe: Recipe,
    source: Source | None = None,
    compute: Compute | None = None,
    *,
    keeping: Keeping | None = None,
) -> TrainedRun:
    """Train a detector; what is written is said on the way.

    Args:
        recipe: what defines the run.
        source: where its dataset is, of which all three splits are read; default the
            folder `datasets`.
        compute: precision and workers; the batch size is the recipe's. Default as
            suits the machine.
        keeping: which files are read and written; default as without flags.

    Raises:
        ValueError, OSError: something that is needed is not there, or of no use.
        FloatingPointError: a loss is not finite.
        InterruptedRunError: a signal stopped the run; its snapshot is saved.
    """
    source, keeping = source or Source(), keeping or Keeping()
    paths = keeping.name_files(recipe)
    for folder in (paths.history.parent, paths.checkpoint.parent):
        check_writable(folder)
    if recipe.face_landmarks:
        FaceFinder()  # says now if it is not installed
    compute = compute or prepare_compute()
    device = distributed.start(compute.device)
    precision = replace(compute.precision, device=device)
    compute = replace(compute, precision=precision, batch_size=recipe.batch_size)
    seed_everything(recipe.seed)
    datasets, skipped = open_data(recipe, source, keeping)
    model = prepare_model(recipe, compute, source, resume=keeping.resume)
    trainer = build_trainer(recipe, model, datasets, compute)
    files = build_run_files(recipe, source, datasets, skipped, trainer, paths)
    with files.watch(keeping.checkpoint_minutes):
        if keeping.resume:
            files.resume(trainer)
        else:
            files.start_anew()
        files.run["epochs"] = recipe.epochs  # asked for; they may have grown
        print_start(recipe, trainer, datasets, skipped)
        if len(trainer.history["val_acc"]) >= recipe.epochs:
            say("nothing to train: a larger --epochs would go on")
        trainer.run(recipe.epochs, files.after_batch, lambda _: finish_epoch(files, _))
    return TrainedRun(trainer, files)


def open_data(
    recipe: Recipe, source: Source, keeping: Keeping
) -> tuple[dict[str, FacesDataset], dict[str, list[str]]]:
    """Open the splits as the network wants them; return also what was left out."""
    datasets = open_splits(
        recipe.dataset,
        source,
        without_fakes=("train", "val") if recipe.self_blend == 1 else (),
        preprocessing=get_network(recipe.model).preprocessing,
    )
    return drop_bad_images(datasets, keeping.check_images, skip=keeping.skip_bad_images)


def prepare_model(
    recipe: Recipe, compute: Compute, source: Source, *, resume: bool
) -> nn.Module:
    """Build the network to train; one that is resumed takes its weights from there."""
    network = get_network(recipe.model)
    from_scratch = recipe.from_scratch or resume or network.find_weights is None
    weights = None if from_scratch else network.find_weights(recipe.weights)
    model = load_model(
        recipe.model, compute.device, weights_path=weights, from_scratch=from_scratch
    )
    margin = read_crop_margin(source.data_root / recipe.dataset)
    if margin is not None:
        model.preprocessing = replace(model.preprocessing, crop_margin=margin)
    if not resume and network.find_weights is not None:
        say(f"weights to start from: {weights or 'random ones'}")
    if recipe.compile:
        compile_model(model, compute.device)
    return model


def build_trainer(
    recipe: Recipe,
    model: nn.Module,
    datasets: Mapping[str, FacesDataset],
    compute: Compute,
) -> Trainer:
    """Put together what trains."""
    loaders = build_loaders(recipe, model, datasets, compute)
    steps_an_epoch = len(loaders["train"])
    optimizer = build_optimizer(
        recipe.optimizer,
        model,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    scheduler = build_scheduler(
        optimizer,
        recipe.lr_schedule,
        num_steps=recipe.epochs * steps_an_epoch,
        num_warmup_steps=recipe.count_warmup_steps(steps_an_epoch),
    )
    criterion = build_criterion(recipe.class_weights, datasets["train"].get_labels())
    return Trainer(
        model,
        optimizer,
        loaders,
        criterion=criterion.to(compute.device),
        precision=compute.precision,
        scheduler=scheduler,
        grad_clip=recipe.grad_clip,
        bn_batches=recipe.count_bn_batches(steps_an_epoch),
    )


def build_loaders(
    recipe: Recipe,
    model: nn.Module,
    datasets: Mapping[str, FacesDataset],
    compute: Compute,
) -> dict[str, BatchLoader]:
    """Build the batches of every split, on the network's device.

    The validation split holds self-blended fakes as the training split does: the epoch
    and the threshold are chosen for them too.
    """
    found = recipe.face_landmarks
    augmentations = {
        "train": Augmentation(recipe.augment, recipe.self_blend, recipe.cutmix, found),
        "val": Augmentation("none", recipe.self_blend, face_landmarks=found),
    }
    return {
        split: BatchLoader(
            dataset,
            compute.batch_size,
            model.preprocessing,
            device=compute.device,
            seed=recipe.seed,
            training=split == "train",
            augmentation=augmentations.get(split),
            workers=compute.workers,
        )
        for split, dataset in datasets.items()
    }


def build_run_files(
    recipe: Recipe,
    source: Source,
    datasets: Mapping[str, FacesDataset],
    skipped: Mapping[str, Sequence[str]],
    trainer: Trainer,
    paths: RunPaths,
) -> RunFiles:
    """Put together what writes the run's history, checkpoints and snapshots.

    Raises:
        ValueError: too few real validation images for the confidence asked for.
    """
    if recipe.fpr_confidence is not None:
        num_real = count_classes(datasets["val"])[CLASS_NAMES[REAL]]
        count_allowed_false_positives(num_real, recipe.max_fpr, recipe.fpr_confidence)
    flags = {**recipe.to_dict(), "limit": source.limit}
    flags["precision"] = trainer.precision.name
    params = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "SGD":
        params["momentum"] = recipe.momentum
    run = {
        "model": recipe.model,
        "dataset": recipe.dataset,
        "optimizer": {"name": recipe.optimizer, "params": params},
        "flags": flags,
        "warmup_steps": recipe.count_warmup_steps(len(trainer.loaders["train"])),
        "bn_batches": trainer.bn_batches,
        "data": {split: count_classes(data) for split, data in datasets.items()},
        "skipped_images": {split: list(names) for split, names in skipped.items()},
        "kernels": describe_kernels(trainer.model, trainer.precision),
        "started": format_now(),
        "versions": get_versions(),
    }
    record = start_record(
        model_name=recipe.model,
        dataset=recipe.dataset,
        preprocessing=trainer.model.preprocessing.to_dict(),
        flags=flags,
        data_fingerprint=compute_fingerprint(datasets),
    )

    def calibrate(logits: Tensor, labels: Tensor) -> dict[str, Any]:
        confidence = recipe.fpr_confidence
        point = choose_operating_point(
            logits, labels, recipe.max_fpr, fpr_confidence=confidence
        )
        return point.to_entries()

    return RunFiles(paths, run, record, calibrate, say)


def print_start(
    recipe: Recipe,
    trainer: Trainer,
    datasets: Mapping[str, FacesDataset],
    skipped: Mapping[str, Sequence[str]],
) -> None:
    """Print what is going to be trained, on what, where."""
    for split, names in skipped.items():
        say(f"left out of {split}, unreadable: {', '.join(names[:10])}")
    for split, dataset in datasets.items():
        say(describe_split(split, dataset))
    if recipe.self_blend:
        say(
            f"of train and val about {100 * recipe.self_blend:g} % of the fakes are "
            "self-blended real images"
        )
    num_parameters = get_nof_parameters(trainer.model)
    say(f"model: {recipe.model}, {num_parameters:,} trainable parameters")
    num_processes = distributed.get_world_size()
    shared = f", {num_processes} processes" if num_processes > 1 else ""
    say(f"device: {trainer.device}{shared}, precision: {trainer.precision.name}")
    if used := describe_kernels(trainer.model, trainer.precision):
        say(f"kernels between the matrix products: {used}")
    steps = recipe.count_warmup_steps(len(trainer.loaders["train"]))
    if steps and not trainer.epoch:
        when = f"in the first {steps} steps" if steps > 1 else "after the first step"
        say(f"the learning rate grows to {recipe.lr:g} {when}")


def finish_epoch(files: RunFiles, trainer: Trainer) -> None:
    """Save an epoch; after the first, say what cures a model that answers one class."""
    files.after_epoch(trainer)
    answer = describe_one_class(files.best.val_fake_share)
    if trainer.epoch == 1 and answer:
        say(f"{answer}; if the next epochs do not change it, try {ONE_CLASS_CURES}")


def print_end(run: TrainedRun, source: Source) -> None:
    """Print the best epoch's results and where the files are, earlier ones too."""
    best, paths = run.files.best, run.files.paths
    num_epochs = len(run.trainer.history["val_acc"])
    say(
        f"best validation accuracy {best.val_acc:.2f} % in epoch {best.epoch} of "
        f"{num_epochs}; test accuracy then {best.test_acc:.2f} %"
    )
    if answer := describe_one_class(best.val_fake_share):
        say(f"{answer}: it has not learnt to tell the classes apart")
    say(
        f"threshold {best.threshold:.4g} ({best.threshold_policy}), "
        f"temperature {best.temperature:.3f}, bias {best.logit_bias:.3f}",
        "these accuracies use the larger logit; other scripts use the threshold, so "
        "theirs differ",
    )
    if best.log_losses:
        before, after = best.log_losses
        say(f"validation log loss {before:.4f} before, {after:.4f} after calibration")
        say(*(f"note: {note}" for note in best.calibration_notes))
    for path in (paths.history, paths.checkpoint, paths.snapshot):
        say(f"wrote {path}")
    for path in run.files.kept.values():
        say(f"kept from an earlier run: {path}")
    if earlier := run.files.kept.get(paths.checkpoint):
        script = Path(sys.argv[0]).with_name("numerical_analysis.py")
        words = ["-cpp", earlier, paths.checkpoint, "-d", best.dataset]
        words += ["--data-root", source.data_root]
        say(
            "a --name of its own keeps a run apart; to compare both: "
            f"{format_command(script, words)}"
        )


def save_report(
    paths: RunPaths,
    recipe: Recipe,
    source: Source,
    compute: Compute,
    words: Sequence[str],
) -> int:
    """Write the run's report; where that fails say so, and lose nothing of the run.

    Args:
        paths: the run's files.
        recipe, source, compute: of the training.
        words: of this call.

    Returns:
        The exit status: 1 when there is no report, else 0.
    """
    is_main = distributed.is_main()
    distributed.stop()  # one process reads all of the test split
    if not is_main:
        return 0
    # Its figures and maps take seconds to import: a run without a report does not wait.
    from reporting import Settings, name_report, write_report

    output = name_report([paths.checkpoint], FIGURES_DIR)
    settings = Settings(
        source=replace(source, split="test"),
        compute=compute,
        history_path=paths.history,
        seed=recipe.seed,
    )
    try:
        call = (Path(__file__).name, words)
        write_report([paths.checkpoint], output, settings, call=call)
    except Exception as error:  # whatever it is, the training was not in vain
        flags = ["-cpp", paths.checkpoint, "--data-root", source.data_root]
        say(
            "the run is complete, but there is no report: "
            f"{command_line.describe_error(error)}; to try again: "
            f"{format_command('report.py', flags)}",
            file=sys.stderr,
        )
        return 1
    say(f"wrote {output}")
    return 0


def describe_one_class(fake_share: float) -> str | None:
    """Say it where nearly all validation images get one answer, else return None."""
    share = max(fake_share, 1 - fake_share)
    if share < ONE_CLASS_SHARE:
        return None
    answer = CLASS_NAMES[FAKE if fake_share > 0.5 else REAL]
    return (
        f"warning: the model answers {answer!r} to {100 * share:.0f} % of the "
        "validation images"
    )


if __name__ == "__main__":
    command_line.run(main)
