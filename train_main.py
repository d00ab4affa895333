"""Train a detector of fake faces; keep its history and its best checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cli
import train_flags
from files import check_writable

if TYPE_CHECKING:
    from torch import nn

    from faces_dataset import FacesDataset
    from operating_point import OperatingPoint
    from precision import Precision
    from run_files import RunPaths
    from trainer import Trainer

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
    parser = cli.Parser(__doc__, epilog=EPILOG)
    cli.add_data_flags(parser)
    cli.add_model_flag(parser)
    cli.add_compute_flags(parser)
    train_flags.add_recipe_flags(parser)
    train_flags.add_small_set_flags(parser)
    train_flags.add_file_flags(parser)
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
    import distributed
    import train_report
    from precision import choose_precision, choose_workers, prepare_device
    from run_files import InterruptedRunError, RunFiles, set_aside_unfinished
    from seeding import seed_everything
    from splits import open_splits
    from utils import load_model

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
        train_report.describe_run(args, datasets, skipped, precision),
        train_report.describe_checkpoint(args, model, datasets, precision),
        minutes=args.checkpoint_minutes,
    )
    if args.resume:
        files.resume(trainer)
    elif distributed.is_main():
        train_report.print_set_aside(set_aside_unfinished(paths))
    train_report.print_start(args, trainer, datasets, skipped)
    is_main = distributed.is_main()
    try:
        with files.watch_signals():
            trainer.run(args.epochs, files)
    except InterruptedRunError as interruption:
        train_report.print_interruption(interruption, paths)
        return interruption.status
    finally:
        distributed.stop()
    if is_main:  # alone from here on: it scores the whole validation split
        point = _choose_operating_point(args, trainer, datasets["val"], workers)
        train_report.print_end(args, trainer, point, paths)
    return 0


def _build_trainer(
    args: argparse.Namespace,
    model: nn.Module,
    datasets: dict[str, FacesDataset],
    precision: Precision,
    workers: int,
) -> Trainer:
    """Put together what trains."""
    from loading import BatchLoader
    from recipe import build_criterion, build_optimizer, build_scheduler
    from splits import cache_splits
    from trainer import Loaders, Options, Trainer

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
        for split, images in cache_splits(
            datasets, args.cache, shared=workers > 0
        ).items()
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
    from run_files import RunPaths

    return RunPaths.make(
        f"{args.dataset}_{args.model}_{args.optimizer}",
        out_dir=args.out_dir,
        checkpoints_dir=args.checkpoints_dir,
    )


def _choose_operating_point(
    args: argparse.Namespace, trainer: Trainer, dataset: FacesDataset, workers: int
) -> OperatingPoint:
    """Choose the threshold on the validation split and put it into the checkpoint."""
    from operating_point import store_operating_point

    return store_operating_point(
        _name_files(args).checkpoint,
        dataset,
        policy=args.threshold_policy,
        precision=trainer.precision,
        device=trainer.device,
        workers=workers,
    )


if __name__ == "__main__":
    cli.run(main)
