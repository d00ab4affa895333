"""A peer: what timm's train.py does at its fastest settings on the same machine.

`--amp --amp-dtype bfloat16 --channels-last --opt adam` with timm's own dataset, loader
and optimizer, and the loops of its train.py (version 1.0), which is not in its package;
the same network, images and batches as the suite's. Its colour jitter is off, as the
suite has none; its crops and mirrors are its own.
"""

from collections.abc import Iterable
from pathlib import Path

import timm.data
import timm.optim
import timm.utils
import torch
from torch import nn

from hardware import Precision
from loading import IMAGE_SIZE, Preprocessing
from trainer import Batches


def build_timm_loader(
    folder: Path,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    training: bool,
    workers: int,
    device: torch.device,
    limit: int | None = None,
) -> Iterable:
    """Build timm's loader of the images in `folder`/{real,fake}, `limit` of each."""
    dataset = timm.data.create_dataset("", str(folder), is_training=training)
    samples = dataset.reader.samples  # (path, label)
    dataset.reader.samples = [
        sample
        for label in (0, 1)
        for sample in [s for s in samples if s[1] == label][:limit]
    ]
    return timm.data.create_loader(
        dataset,
        (3, IMAGE_SIZE, IMAGE_SIZE),
        batch_size,
        is_training=training,
        color_jitter=None,
        mean=preprocessing.mean,
        std=preprocessing.std,
        crop_pct=1.0,
        num_workers=workers,
        persistent_workers=workers > 0,
        use_prefetcher=device.type == "cuda",
        device=device,
    )


def build_optimizer(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Build timm's Adam."""
    return timm.optim.create_optimizer_v2(model, opt="adam", lr=lr, weight_decay=0.0)


def train_one_epoch(
    model: nn.Module,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
) -> float:
    """Train as timm's train.py does; return the mean loss."""
    model.train()
    criterion, losses = nn.CrossEntropyLoss(), timm.utils.AverageMeter()
    for images, labels in batches:
        images, labels = _bring(images, labels, precision.device)
        with precision.autocast():
            loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.update(loss.item(), len(labels))
    return losses.avg


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Batches, precision: Precision) -> float:
    """Return the accuracy in percent, measured as timm's train.py does."""
    model.eval()
    criterion = nn.CrossEntropyLoss()
    losses, accuracies = timm.utils.AverageMeter(), timm.utils.AverageMeter()
    for images, labels in batches:
        images, labels = _bring(images, labels, precision.device)
        with precision.autocast():
            logits = model(images)
            loss = criterion(logits, labels)
        (accuracy,) = timm.utils.accuracy(logits, labels, topk=(1,))
        losses.update(loss.item(), len(labels))
        accuracies.update(accuracy.item(), len(labels))
    return accuracies.avg


def _bring(
    images: torch.Tensor, labels: torch.Tensor, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    return images, labels.to(device)
