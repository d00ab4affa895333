"""Train a detector of fake faces; keep its history and its best checkpoint."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import command_line
from command_line import get_defining_flags
from faces_dataset import (
    FacesDataset,
    compute_fingerprint,
    count_classes,
    describe_split,
)
from files.atomic import check_writable
from files.layout import CLASS_NAMES, FAKE, REAL, RunPaths
from files.run_files import (
    InterruptedRunError,
    RunFiles,
    get_versions,
    set_aside_unfinished,
)
from files.tensors import load_tensors, save_tensors
from hardware import (
    Precision,
    choose_precision,
    choose_workers,
    distributed,
    prepare_device,
)
from hardware.kernels import describe_kernels
from loading import BatchLoader
from metrics import (
    OperatingPoint,
    choose_threshold,
    compute_fake_scores,
    fit_temperature,
)
from trainer import Loaders, Options, Trainer, compute_logits
from utils import (
    build_criterion,
    build_optimizer,
    build_scheduler,
    get_nof_parameters,
    load_checkpoint,
    load_model,
    open_splits,
    seed_everything,
)

EPILOG = """examples:
  python train_main.py -d fakes_dataset -m SimpleNet -lr 0.001 -b 32 -e 5 -o Adam
  python train_main.py -d synthetic_dataset -m XceptionBased -lr 0.001 -b 32 -e 2
  python train_main.py -d synthetic_dataset -m XceptionBased -e 5 --resume

writes:
  out/DATASET_MODEL_OPTIMIZER.json              history, a record a run
  checkpoints/DATASET_MODEL_OPTIMIZER.pt        best epoch by validation accuracy
  checkpoints/DATASET_MODEL_OPTIMIZER_last.pt   what --resume goes on from"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser)
    command_line.add_compute_flags(parser)
    command_line.add_recipe_flags(parser)
    command_line.add_small_set_flags(parser)
    command_line.add_file_flags(parser)
    args = parser.parse_args(argv)
    if args.weights and (args.from_scratch or args.model == "SimpleNet"):
        parser.error("--weights goes with -m XceptionBased and without --from-scratch")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script."""
    args = parse_args(argv)
    for folder in (args.out_dir, args.checkpoints_dir):
        check_writable(folder)
    # Heavy imports come after the flags: --help answers at once.

    device = distributed.start(prepare_device(args.device))
    precision = choose_precision(args.precision, device)
    workers = choose_workers(args.workers, device)
    seed_everything(args.seed)
    datasets, skipped = open_splits(
        args.dataset,
        data_root=args.data_root,
        limit=args.limit,
        check=args.check_images,
        skip_bad_images=args.skip_bad_images,
    )
    model = load_model(
        args.model,
        device,
        weights_path=None if args.resume else args.weights,
        from_scratch=args.from_scratch or args.resume,
    )
    trainer = _build_trainer(args, model, datasets, precision, workers)
    paths = _name_files(args)
    files = RunFiles(
        paths,
        describe_run(args, datasets, skipped, precision),
        describe_checkpoint(args, model, datasets, precision),
        minutes=args.checkpoint_minutes,
    )
    if args.resume:
        files.resume(trainer)
    elif distributed.is_main():
        print_set_aside(set_aside_unfinished(paths))
    print_start(args, trainer, datasets, skipped)
    is_main = distributed.is_main()
    try:
        with files.watch_signals():
            trainer.run(args.epochs, files)
    except InterruptedRunError as interruption:
        print_interruption(interruption, paths)
        return interruption.status
    finally:
        distributed.stop()
    if is_main:  # alone from here on: it scores the whole validation split
        point = _choose_operating_point(args, trainer, datasets["val"], workers)
        print_end(args, trainer, point, paths)
    return 0


def _build_trainer(
    args: argparse.Namespace,
    model: nn.Module,
    datasets: dict[str, FacesDataset],
    precision: Precision,
    workers: int,
) -> Trainer:
    """Put together what trains."""

    device = next(model.parameters()).device
    if args.compile:
        model.compile()
    loaders = {
        split: BatchLoader(
            images,
            args.batch_size,
            model.preprocessing,
            device=device,
            seed=args.seed,
            training=split == "train",
            workers=workers,
        )
        for split, images in datasets.items()
    }
    optimizer = build_optimizer(
        args.optimizer,
        model,
        lr=args.lr,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
    )
    scheduler = build_scheduler(
        optimizer,
        args.lr_schedule,
        num_steps=args.epochs * len(loaders["train"]),
        num_warmup_steps=args.warmup,
    )
    labels = datasets["train"].get_labels()
    return Trainer(
        model,
        optimizer,
        Loaders(**loaders),
        criterion=build_criterion(args.class_weights, labels).to(device),
        precision=precision,
        scheduler=scheduler,
        options=Options(args.grad_clip, args.early_stop, args.recalibrate_bn),
    )


def _name_files(args: argparse.Namespace) -> RunPaths:
    """Return where this run's files are."""

    return RunPaths.make(
        f"{args.dataset}_{args.model}_{args.optimizer}",
        out_dir=args.out_dir,
        checkpoints_dir=args.checkpoints_dir,
    )


def _choose_operating_point(
    args: argparse.Namespace, trainer: Trainer, dataset: FacesDataset, workers: int
) -> OperatingPoint:
    """Choose the threshold on the validation split and put it into the checkpoint."""

    return store_operating_point(
        _name_files(args).checkpoint,
        dataset,
        policy=args.threshold_policy,
        precision=trainer.precision,
        device=trainer.device,
        workers=workers,
    )


def store_operating_point(
    checkpoint_path: Path,
    dataset: FacesDataset,
    *,
    policy: str = "eer",
    precision: Precision,
    device: object,
    workers: int = 0,
) -> OperatingPoint:
    """Choose temperature and threshold for a checkpoint and write them into it.

    Args:
        checkpoint_path: the file to complete; replaced atomically.
        dataset: the validation split; never the test split.
        policy: as `calibration.choose_threshold` takes it.
        precision: arithmetic of the forward pass.
        device: where the model runs.
        workers: processes that read images.

    Raises:
        ValueError: the policy is none.
    """
    model = load_checkpoint(checkpoint_path, device=device).model
    logits, labels = compute_logits(
        dataset, model, precision=precision, workers=workers
    )
    temperature = fit_temperature(logits, labels)
    fake_scores = compute_fake_scores(logits, temperature)
    point = OperatingPoint(
        temperature=temperature,
        threshold=choose_threshold(fake_scores, labels, policy),
        policy=policy,
        fake_share=float(np.mean(logits[:, 1] > logits[:, 0])),
        num_samples=len(labels),
    )
    content = load_tensors(checkpoint_path)
    content["temperature"] = point.temperature
    content["threshold"] = point.threshold
    content["threshold_policy"] = f"{policy} on {point.num_samples} validation images"
    save_tensors(content, checkpoint_path)
    return point


ONE_CLASS_SHARE = 0.98  # from here on, "nearly every image" gets one answer


def describe_run(
    args: argparse.Namespace,
    datasets: Mapping[str, FacesDataset],
    skipped: Mapping[str, Sequence[str]],
    precision: Precision,
) -> dict[str, Any]:
    """Return a run's entries in the history, beside its curves."""
    params = {"lr": args.lr, "weight_decay": args.weight_decay}
    if args.optimizer == "SGD":
        params["momentum"] = args.momentum
    return {
        "run_id": uuid.uuid4().hex,
        "model": args.model,
        "dataset": args.dataset,
        "optimizer": {"name": args.optimizer, "params": params},
        "flags": {**get_defining_flags(args), "precision": precision.name},
        "data": {split: count_classes(data) for split, data in datasets.items()},
        "skipped_images": {split: list(names) for split, names in skipped.items()},
        "kernels": describe_used_kernels(args, precision),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": get_versions(),
    }


def describe_used_kernels(args: argparse.Namespace, precision: Precision) -> str | None:
    """Say whose kernels XceptionBased runs on where the suite has its own."""
    on_cpu_in_bf16 = precision == Precision("bf16", "cpu")
    if args.model != "XceptionBased" or args.compile or not on_cpu_in_bf16:
        return None
    return describe_kernels()


def describe_checkpoint(
    args: argparse.Namespace,
    model: nn.Module,
    datasets: Mapping[str, FacesDataset],
    precision: Precision,
) -> dict[str, Any]:
    """Return the entries of a checkpoint that do not change while training."""
    return {
        "model_name": args.model,
        "dataset": args.dataset,
        "class_names": list(CLASS_NAMES),
        "preprocessing": model.preprocessing.to_dict(),
        "flags": {**get_defining_flags(args), "precision": precision.name},
        "data_fingerprint": compute_fingerprint(datasets),
        "versions": get_versions(),
    }


def say(text: str) -> None:
    """Print, in the main process only."""
    if distributed.is_main():
        print(text, flush=True)


def print_start(
    args: argparse.Namespace,
    trainer: Trainer,
    datasets: Mapping[str, FacesDataset],
    skipped: Mapping[str, Sequence[str]],
) -> None:
    """Print what is going to be trained, on what, where."""
    for split, names in skipped.items():
        say(f"left out of {split}: {len(names)} unreadable images ({names[0]}, ...)")
    for split, dataset in datasets.items():
        say(describe_split(split, dataset))
    model = trainer.model
    say(f"model: {args.model}, {get_nof_parameters(model):,} trainable parameters")
    if hasattr(model, "weights_source") and not args.resume:
        say(model.weights_source)
    num_processes = distributed.get_world_size()
    shared = f", {num_processes} processes" if num_processes > 1 else ""
    say(f"device: {trainer.device}{shared}, precision: {trainer.precision.name}")
    if used := describe_used_kernels(args, trainer.precision):
        say(f"kernels between the matrix products: {used}")
    if args.resume:
        say(f"resumed after {trainer.epoch} epochs and {trainer.batch} batches")


def print_set_aside(paths: Sequence[Path]) -> None:
    """Say where the files of an unfinished run are now, if there was one."""
    if paths:
        say(
            "an unfinished run of this name was not resumed; its files are kept as "
            f"{' and '.join(map(str, paths))} (to go on with it, give them their old "
            "names back and add --resume)"
        )


def print_interruption(interruption: InterruptedRunError, paths: RunPaths) -> None:
    """Print how to go on."""
    say(
        f"stopped by {interruption}; saved {paths.snapshot}; "
        "to go on, repeat the command with --resume"
    )


def print_end(
    args: argparse.Namespace, trainer: Trainer, point: OperatingPoint, paths: RunPaths
) -> None:
    """Print the best epoch's results and where the files are."""
    best = trainer.get_best_epoch()
    history = trainer.history
    say(
        f"best validation accuracy {history['val_acc'][best - 1]:.2f} % in epoch {best}"
        f" of {trainer.epoch}; test accuracy then {history['test_acc'][best - 1]:.2f} %"
    )
    if trainer.epoch < args.epochs:
        say(f"stopped early: no better epoch in {trainer.epoch - best}")
    share = max(point.fake_share, 1 - point.fake_share)
    if share >= ONE_CLASS_SHARE:
        answer = CLASS_NAMES[FAKE if point.fake_share > 0.5 else REAL]
        say(
            f"warning: the model answers {answer!r} to {100 * share:.0f} % of the "
            "validation images: it has not learnt to tell the classes apart"
        )
    say(
        f"chosen on {point.num_samples} validation images: threshold "
        f"{point.threshold:.4f} ({point.policy}), temperature {point.temperature:.3f}"
    )
    for path in (paths.history, paths.checkpoint, paths.snapshot):
        say(f"wrote {path}")


if __name__ == "__main__":
    command_line.run(main)
