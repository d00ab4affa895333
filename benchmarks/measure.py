"""Measure one setting in a fresh process: a JSON object on stdin, one on stdout."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import textbook
import torch
from flops import count_task_flops, measure_matmul_speed, synchronise
from settings import Setting
from torch import nn

from faces_dataset import FacesDataset, ResizeToTensor
from hardware import (
    DTYPES,
    Precision,
    choose_device,
    choose_precision,
    choose_workers,
    keep_large_blocks,
)
from loading import BatchLoader
from models import build_model
from saliency_map import compute_mean_saliency_maps
from trainer import Loaders, Trainer
from utils import build_optimizer

LR = 1e-5  # small: random models must not diverge in a few steps


class Contiguous:
    """Batches in the ordinary memory format."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return ((images.contiguous(), labels) for images, labels in self._batches)


class InPrecision(nn.Module):
    """A model whose forward pass runs in some precision."""

    def __init__(self, model: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits (N, 2), float32."""
        with self.precision.autocast():
            return self.model(images).float()


def measure(model_name: str, task: str, setting: Setting, job: dict) -> dict[str, Any]:
    """Measure a task's time for an image and the process's peak memory.

    Args:
        model_name: a key of `models.MODELS`.
        task: train, eval or saliency.
        setting: how.
        job: `folder` of the images, `batch_size`, `limit` (images of a class).

    Returns:
        seconds (for an image), images, peak_bytes, precision, flops (for an image).
    """
    device = choose_device()
    if setting.blocks:
        keep_large_blocks()
    precision = choose_precision(setting.precision, device)
    model = build_network(model_name, setting, device)
    size = model.preprocessing.size
    flops = count_task_flops(model, torch.zeros(1, 3, size, size, device=device))
    loader = build_loader(model, setting, job, training=task == "train", device=device)
    if setting.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if setting.compiled:
        model = torch.compile(model)
    run = build_run(model, task, setting, precision)
    warm_up(run, loader)
    num_images = sum(len(labels) for _, labels in loader)  # workers, cache: started
    synchronise(device)
    start = time.perf_counter()
    run(loader)
    synchronise(device)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds / num_images,
        "images": num_images,
        "peak_bytes": get_peak_bytes(device),
        "precision": precision.name,
        "flops": flops[task],
    }


def build_network(model_name: str, setting: Setting, device: torch.device) -> nn.Module:
    """Build a model with random weights, of PyTorch's layers alone where so set."""
    torch.manual_seed(0)
    model = build_model(model_name, from_scratch=True)
    if not setting.kernels and model_name == "SimpleNet":
        model.pool = nn.MaxPool2d(2, 2)
    elif not setting.kernels:
        model.fuse = False
    return model.to(device)


def build_loader(
    model: nn.Module,
    setting: Setting,
    job: dict,
    *,
    training: bool,
    device: torch.device,
) -> Iterable[Any]:
    """Build the batches that a setting asks for."""
    folder, limit = Path(job["folder"]), job["limit"]
    preprocessing, batch_size = model.preprocessing, job["batch_size"]
    workers = choose_workers(setting.workers, device)
    if setting.loader == "textbook":
        return textbook.build_textbook_loader(
            folder,
            preprocessing,
            batch_size=batch_size,
            training=training,
            workers=workers,
            limit=limit,
        )
    dataset = FacesDataset(folder, ResizeToTensor(preprocessing.size), limit=limit)
    loader = BatchLoader(
        dataset,
        batch_size,
        preprocessing,
        device=device,
        training=training,
        workers=workers,
    )
    if setting.loader == "tensors":
        return list(loader)
    return loader if setting.channels_last else Contiguous(loader)


def build_run(
    model: nn.Module, task: str, setting: Setting, precision: Precision
) -> Callable[[Iterable[Any]], object]:
    """Return what is timed: a function of the batches."""
    if task == "saliency" and setting.suite:
        return lambda batches: compute_mean_saliency_maps(
            batches, model, precision=precision
        )
    optimizer = build_optimizer("Adam", model, lr=LR)
    if not setting.fused:
        optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    if setting.suite:
        trainer = Trainer(model, optimizer, Loaders([], [], []), precision=precision)
        return _bind(trainer, task)
    device = next(model.parameters()).device
    network = InPrecision(model, precision)

    def run(batches: Iterable[Any]) -> None:
        batches = _formatted(batches, setting)
        if task == "train":
            textbook.train_one_epoch(network, batches, optimizer, device)
        elif task == "eval":
            textbook.evaluate(network, batches, device)
        else:
            textbook.compute_mean_saliency(network, batches, device)

    return run


def warm_up(run: Callable[[Iterable[Any]], object], loader: Iterable[Any]) -> None:
    """Run one batch of each class, so that nothing is done for the first time."""
    images, labels = next(iter(loader))
    run([(images, torch.arange(len(labels), device=labels.device) % 2)])


def get_peak_bytes(device: torch.device) -> int:
    """Return the device's peak memory; on a CPU the process's, without workers'."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # its ru_maxrss starts from the peak of the parent process
        (line,) = (x for x in status.read_text().splitlines() if "VmHWM" in x)
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _bind(trainer: Trainer, task: str) -> Callable[[Iterable[Any]], object]:
    """Return the trainer's own loop as a function of the batches."""
    if task == "eval":
        return trainer.evaluate_model_on_dataloader

    def train(batches: Iterable[Any]) -> None:
        trainer.loaders.train, trainer.batch = batches, 0
        trainer.train_one_epoch()

    return train


def _formatted(batches: Iterable[Any], setting: Setting) -> Iterator[Any]:
    """Bring the images into the setting's memory format."""
    for images, labels in batches:
        if setting.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        yield images, labels


def main() -> None:
    """Do what stdin asks for."""
    job = json.load(sys.stdin)
    if job["task"] == "matmul":
        device = choose_device()
        names = ["fp32", "bf16"] + ["fp16"] * (device.type == "cuda")
        result = {name: measure_matmul_speed(DTYPES[name], device) for name in names}
    else:
        setting = Setting(**job["setting"])
        result = measure(job["model"], job["task"], setting, job)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
