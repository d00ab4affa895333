"""Train a detector of fake faces; keep its history and its best checkpoint."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import command_line
from faces_dataset import (
    FacesDataset,
    compute_fingerprint,
    count_classes,
    describe_split,
)
from files.atomic import check_writable
from files.names import (
    CLASS_NAMES,
    FAKE,
    FIGURES_DIR,
    REAL,
    RunPaths,
    name_run_files,
)
from files.run_files import InterruptedRunError, RunFiles, get_versions
from hardware import (
    Precision,
    choose_precision,
    compile_model,
    distributed,
    prepare_device,
)
from loading import Augmentation, BatchLoader
from loading.face_finding import FaceFinder
from metrics import choose_operating_point
from metrics.operating_point import count_allowed_false_positives
from trainer import Trainer
from utils import (
    build_criterion,
    build_optimizer,
    build_scheduler,
    choose_warmup,
    get_nof_parameters,
    load_model,
    open_splits,
    seed_everything,
)

ONE_CLASS_SHARE = 0.98  # from here on, "nearly every image" gets one answer
ONE_CLASS_CURES = (
    "a longer --warmup, a lower -lr, another --seed, or for XceptionBased "
    "--recalibrate-bn 12 (docs/results.md)"
)
XCEPTION_ON_FEW_IMAGES = {
    "model": "XceptionBased",
    "lr_schedule": "cosine",
    "warmup": 20,
    "recalibrate_bn": 12,
}
RECIPES = {  # what --recipe puts in place of the flags' defaults
    "published": {},
    "small-set": {**XCEPTION_ON_FEW_IMAGES, "lr": 5e-4, "epochs": 50, "cutmix": 0.5},
    "general": {
        **XCEPTION_ON_FEW_IMAGES,
        "lr": 2e-4,
        "epochs": 20,
        "augment": "robust",
        "self_blend": 0.5,
    },
}
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
class Recipe:
    """The flags that, with the precision, define a run."""

    dataset: str
    name: str | None
    limit: int | None
    model: str
    from_scratch: bool
    weights: Path | None
    optimizer: str
    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    full_decoding: bool
    seed: int
    lr_schedule: str
    warmup: int | None
    class_weights: str
    augment: str
    self_blend: float
    face_landmarks: bool
    cutmix: float
    grad_clip: float | None
    recalibrate_bn: int
    compile: bool
    max_fpr: float | None
    fpr_confidence: float | None

    def count_warmup_steps(self, steps_an_epoch: int) -> int:
        """Return in how many steps the learning rate grows to `lr`."""
        if self.warmup is None:
            return choose_warmup(steps_an_epoch)
        return self.warmup


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser)
    command_line.add_compute_flags(parser)
    command_line.add_recipe_flags(parser, RECIPES)
    command_line.add_tuning_flags(parser)
    command_line.add_file_flags(parser)
    recipe = parser.parse_args(argv).recipe
    parser.set_defaults(**RECIPES[recipe])
    args = parser.parse_args(argv)
    if args.fpr_confidence is not None and not args.max_fpr:
        parser.error("--fpr-confidence goes with --max-fpr above 0")
    if args.face_landmarks and not args.self_blend:
        parser.error("--face-landmarks goes with --self-blend")
    if args.weights and (args.from_scratch or args.model == "SimpleNet"):
        parser.error("--weights goes with -m XceptionBased and without --from-scratch")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script."""
    args = parse_args(argv)
    recipe = Recipe(**{flag.name: getattr(args, flag.name) for flag in fields(Recipe)})
    paths = name_run_files(
        *(args.dataset, args.model, args.optimizer),
        name=recipe.name,
        out_dir=args.out_dir,
        checkpoints_dir=args.checkpoints_dir,
    )
    folders = [paths.history.parent, paths.checkpoint.parent]
    for folder in [*folders, FIGURES_DIR] if args.report else folders:
        check_writable(folder)
    if recipe.face_landmarks:
        FaceFinder()  # says now if it is not installed
    device = distributed.start(prepare_device(args.device))
    precision = choose_precision(args.precision, device)
    seed_everything(args.seed)
    datasets, skipped = open_splits(
        args.dataset,
        data_root=args.data_root,
        limit=args.limit,
        without_fakes=("train", "val") if args.self_blend == 1 else (),
        full_decoding=args.full_decoding,
        check=args.check_images,
        skip_bad_images=args.skip_bad_images,
    )
    model = prepare_model(recipe, device, resume=args.resume)
    loaders = build_loaders(recipe, datasets, model, workers=args.workers)
    trainer = build_trainer(recipe, model, loaders, precision, epochs=args.epochs)
    files = build_run_files(recipe, datasets, skipped, trainer, paths)
    try:
        with files.watch(args.checkpoint_minutes):
            if args.resume:
                files.resume(trainer)
            else:
                files.start_anew()
            files.run["epochs"] = args.epochs  # asked for; they may have grown
            print_start(recipe, trainer, datasets, skipped)
            if len(trainer.history["val_acc"]) >= args.epochs:
                command_line.say("nothing to train: a larger --epochs would go on")
            trainer.run(args.epochs, files.after_batch, partial(finish_epoch, files))
    except InterruptedRunError as interruption:
        return interruption.status
    print_end(trainer, files, list_reading_flags(args))
    if not args.report:
        return 0
    return save_report(
        paths,
        precision,
        sys.argv[1:] if argv is None else argv,
        list_reading_flags(args),
        data_root=args.data_root,
        limit=args.limit,
        batch_size=args.batch_size,
        workers=args.workers,
        full_decoding=args.full_decoding,
        seed=args.seed,
    )


def prepare_model(recipe: Recipe, device: torch.device, *, resume: bool) -> nn.Module:
    """Build the model to train; one that is resumed takes its weights from there."""
    model = load_model(
        recipe.model,
        device,
        weights_path=None if resume else recipe.weights,
        from_scratch=recipe.from_scratch or resume,
    )
    if resume:
        model.weights_source = "weights: those of the run that goes on"
    if recipe.compile:
        compile_model(model, device)
    return model


def build_loaders(
    recipe: Recipe,
    datasets: Mapping[str, FacesDataset],
    model: nn.Module,
    *,
    workers: int | None,
) -> dict[str, BatchLoader]:
    """Build the batches of every split, on the model's device.

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
            recipe.batch_size,
            model.preprocessing,
            device=next(model.parameters()).device,
            seed=recipe.seed,
            training=split == "train",
            augmentation=augmentations.get(split),
            workers=workers,
        )
        for split, dataset in datasets.items()
    }


def build_trainer(
    recipe: Recipe,
    model: nn.Module,
    loaders: Mapping[str, BatchLoader],
    precision: Precision,
    *,
    epochs: int,
) -> Trainer:
    """Put together what trains."""
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
        num_steps=epochs * steps_an_epoch,
        num_warmup_steps=recipe.count_warmup_steps(steps_an_epoch),
    )
    labels = loaders["train"].dataset.get_labels()
    return Trainer(
        model,
        optimizer,
        loaders,
        criterion=build_criterion(recipe.class_weights, labels).to(precision.device),
        precision=precision,
        scheduler=scheduler,
        grad_clip=recipe.grad_clip,
        bn_batches=recipe.recalibrate_bn,
    )


def build_run_files(
    recipe: Recipe,
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
    weights = recipe.weights and recipe.weights.name  # its folder may change
    flags = {**asdict(recipe), "weights": weights, "precision": trainer.precision.name}
    params = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "SGD":
        params["momentum"] = recipe.momentum
    run = {
        "model": recipe.model,
        "dataset": recipe.dataset,
        "optimizer": {"name": recipe.optimizer, "params": params},
        "flags": flags,
        "weights_source": getattr(trainer.model, "weights_source", None),
        "warmup_steps": recipe.count_warmup_steps(len(trainer.loaders["train"])),
        "data": {split: count_classes(data) for split, data in datasets.items()},
        "skipped_images": {split: list(names) for split, names in skipped.items()},
        "kernels": describe_used_kernels(trainer),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": get_versions(),
    }
    details = {
        "model_name": recipe.model,
        "dataset": recipe.dataset,
        "class_names": list(CLASS_NAMES),
        "preprocessing": trainer.model.preprocessing.to_dict(),
        "flags": flags,
        "data_fingerprint": compute_fingerprint(datasets),
        "versions": get_versions(),
    }

    def describe_best(logits: Tensor, labels: Tensor) -> dict[str, Any]:
        point = choose_operating_point(
            logits, labels, recipe.max_fpr, fpr_confidence=recipe.fpr_confidence
        )
        return {
            "temperature": point.temperature,
            "temperature_interval": list(point.temperature_interval),
            "logit_bias": point.bias,
            "log_losses": [point.log_loss_before, point.log_loss_after],
            "calibration_notes": list(point.notes),
            "llr_slope": point.llr_slope,
            "llr_intercept": point.llr_intercept,
            "threshold": point.threshold,
            "threshold_policy": f"{point.policy} on {point.num_samples} validation "
            "images",
            "val_fake_share": point.fake_share,
            "reliability": [list(row) for row in point.reliability],
        }

    return RunFiles(paths, run, details, describe_best, command_line.say)


def describe_used_kernels(trainer: Trainer) -> str | None:
    """Say whose kernels run beside the matrix products, where a model has its own."""
    describe = getattr(trainer.model, "describe_kernels", lambda precision: None)
    return describe(trainer.precision)


def print_start(
    recipe: Recipe,
    trainer: Trainer,
    datasets: Mapping[str, FacesDataset],
    skipped: Mapping[str, Sequence[str]],
) -> None:
    """Print what is going to be trained, on what, where."""
    for split, names in skipped.items():
        command_line.say(f"left out of {split}, unreadable: {', '.join(names[:10])}")
    for split, dataset in datasets.items():
        command_line.say(describe_split(split, dataset))
    if recipe.self_blend:
        command_line.say(
            f"of train and val about {100 * recipe.self_blend:g} % of the fakes are "
            "self-blended real images"
        )
    model = trainer.model
    command_line.say(
        f"model: {recipe.model}, {get_nof_parameters(model):,} trainable parameters"
    )
    if hasattr(model, "weights_source"):
        command_line.say(model.weights_source)
    num_processes = distributed.get_world_size()
    shared = f", {num_processes} processes" if num_processes > 1 else ""
    command_line.say(
        f"device: {trainer.device}{shared}, precision: {trainer.precision.name}"
    )
    if used := describe_used_kernels(trainer):
        command_line.say(f"kernels between the matrix products: {used}")
    steps = recipe.count_warmup_steps(len(trainer.loaders["train"]))
    if steps and not trainer.epoch:
        when = f"in the first {steps} steps" if steps > 1 else "after the first step"
        command_line.say(f"the learning rate grows to {recipe.lr:g} {when}")


def finish_epoch(files: RunFiles, trainer: Trainer) -> None:
    """Save an epoch; after the first, say what helps a model that answers one class."""
    files.after_epoch(trainer)
    answer = describe_one_class(files.best["val_fake_share"])
    if trainer.epoch == 1 and answer:
        command_line.say(
            f"{answer}; if the next epochs do not change it, try {ONE_CLASS_CURES}"
        )


def list_reading_flags(args: argparse.Namespace) -> list[str]:
    """Return the flags by which another script reads the images as this one did."""
    whole = ["--full-decoding"] if args.full_decoding else []
    return ["--data-root", str(args.data_root), *whole]


def print_end(trainer: Trainer, files: RunFiles, reading: Sequence[str]) -> None:
    """Print the best epoch's results and where the files are, earlier ones too."""
    best, paths = files.best, files.paths
    num_epochs = len(trainer.history["val_acc"])
    command_line.say(
        f"best validation accuracy {best['val_acc']:.2f} % in epoch {best['epoch']} of "
        f"{num_epochs}; test accuracy then {best['test_acc']:.2f} %"
    )
    if answer := describe_one_class(best["val_fake_share"]):
        command_line.say(f"{answer}: it has not learnt to tell the classes apart")
    command_line.say(
        f"threshold {best['threshold']:.4f} ({best['threshold_policy']}), "
        f"temperature {best['temperature']:.3f}, "
        f"bias {best.get('logit_bias', 0):.3f}",
        "the accuracies above are those of the larger logit; the other scripts call an "
        "image fake from the threshold on, so that theirs differ",
    )
    if "log_losses" in best:  # not in snapshots of earlier versions
        before, after = best["log_losses"]
        command_line.say(
            f"validation log loss {before:.4f} before, {after:.4f} after calibration"
        )
        for note in best["calibration_notes"]:
            command_line.say(f"note: {note}")
    for path in (paths.history, paths.checkpoint, paths.snapshot):
        command_line.say(f"wrote {path}")
    for path in files.kept.values():
        command_line.say(f"kept from an earlier run: {path}")
    if earlier := files.kept.get(paths.checkpoint):
        script = Path(sys.argv[0]).with_name("numerical_analysis.py")
        command = [script, "-cpp", earlier, paths.checkpoint]
        command += ["-d", files.run["dataset"], *reading]
        command_line.say(
            "a --name of its own keeps a run apart; to compare both: "
            f"python {shlex.join(map(str, command))}"
        )


def save_report(
    paths: RunPaths,
    precision: Precision,
    arguments: Sequence[str],
    reading: Sequence[str],
    **options: Any,
) -> int:
    """Write the run's report; where that fails say so, and lose nothing of the run.

    Args:
        paths: the run's files.
        precision: arithmetic of the report's scores.
        arguments: of this call.
        reading: flags by which `report.py` reads the images as this call did.
        options: for `reporting.Settings`.

    Returns:
        The exit status: 1 when there is no report, else 0.
    """
    is_main = distributed.is_main()
    distributed.stop()  # one process reads all of the test split
    if not is_main:
        return 0
    # Its figures and maps take seconds to import: who wants no report does not wait.
    from reporting import Settings, name_report, write_report

    output = name_report([paths.checkpoint], FIGURES_DIR)
    settings = Settings(history_path=paths.history, **options)
    try:
        write_report(
            [paths.checkpoint],
            output,
            settings,
            precision=precision,
            script=Path(__file__).name,
            arguments=arguments,
        )
    except Exception as error:  # whatever it is, the training was not in vain
        command = ["python", "report.py", "-cpp", str(paths.checkpoint), *reading]
        again = shlex.join(command)
        reason = command_line.describe_error(error)
        command_line.say(
            f"the run is complete, but there is no report: {reason}; {again} tries "
            "again",
            file=sys.stderr,
        )
        return 1
    command_line.say(f"wrote {output}")
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
