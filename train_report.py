"""What a training run says of itself: on the terminal, in its history, in its files."""

from __future__ import annotations

import argparse
import hashlib
import platform
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn

import distributed
from faces_dataset import CLASS_NAMES, FAKE, REAL, FacesDataset
from kernels import describe_kernels
from operating_point import OperatingPoint
from precision import Precision
from run_files import InterruptedRunError, RunPaths
from train_flags import get_defining_flags
from trainer import Trainer
from utils import get_nof_parameters

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


def compute_fingerprint(datasets: Mapping[str, FacesDataset]) -> str:
    """Return a hash of all file names: other data give another one."""
    digest = hashlib.sha256()
    for split, dataset in datasets.items():
        for names in (dataset.real_image_names, dataset.fake_image_names):
            digest.update(f"{split} {len(names)} ".encode())
            digest.update(names.tobytes())
    return digest.hexdigest()


def count_classes(dataset: FacesDataset) -> dict[str, int]:
    """Return the number of images of each class."""
    labels = dataset.get_labels()
    counts = np.bincount(labels, minlength=len(CLASS_NAMES)).tolist()
    return dict(zip(CLASS_NAMES, counts, strict=True))


def describe_split(split: str, dataset: FacesDataset) -> str:
    """Return a split's size and class proportion as a line."""
    counts = count_classes(dataset)
    num_real, num_fake = counts[CLASS_NAMES[REAL]], counts[CLASS_NAMES[FAKE]]
    line = (
        f"{split}: {len(dataset)} images, {100 * num_fake / len(dataset):.1f} % fake, "
        f"1 fake to {num_real / num_fake:.1f} real"
    )
    skipped = dataset.num_skipped_files
    return f"{line} ({skipped} files that are no images skipped)" if skipped else line


def get_versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
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
