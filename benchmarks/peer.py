"""The peer: what timm's train.py (1.0) does at its fastest settings.

`--amp --amp-dtype bfloat16 --channels-last --opt adam` (PyTorch's Adam): timm's dataset
and loader, and the loops of its train.py, which its package does not contain. There is
no colour jitter because the suite has none; crops and mirrors are timm's own.
"""

from collections.abc import Iterable
from pathlib import Path

import timm.data
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
    classes = [[sample for sample in samples if sample[1] == c] for c in (0, 1)]
    dataset.reader.samples = [sample for own in classes for sample in own[:limit]]
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


def run_one_epoch(
    model: nn.Module,
    batches: Batches,
    precision: Precision,
    optimizer: torch.optim.Optimizer | None = None,
) -> float:
    """Train, or evaluate if there is no optimizer; return the mean loss."""
    model.train(optimizer is not None)
    criterion = nn.CrossEntropyLoss()
    losses, accuracies = timm.utils.AverageMeter(), timm.utils.AverageMeter()
    with torch.inference_mode(optimizer is None):
        for images, labels in batches:
            images = images.to(precision.device, memory_format=torch.channels_last)
            labels = labels.to(precision.device)
            with precision.autocast():
                logits = model(images)
                loss = criterion(logits, labels)
            if optimizer is None:
                accuracies.update(timm.utils.accuracy(logits, labels)[0].item())
            else:
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            losses.update(loss.item(), len(labels))
    return losses.avg
