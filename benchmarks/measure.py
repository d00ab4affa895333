"""Measure one setting in a fresh process: JSON as its argument, JSON on stdout.

A setting is a row of the table: the textbook way, one lever alone, or the suite's
defaults, complete or without one of their parts.
"""

import atexit
import importlib.util
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import textbook
import torch
from machine import count_task_flops, measure_matmul_speed, synchronise
from torch import nn

from explaining.explanation import compute_mean_maps
from faces_dataset import FacesDataset
from hardware import (
    DTYPES,
    Precision,
    choose_device,
    choose_precision,
    compile_model,
    distributed,
    keep_large_blocks,
)
from loading import IMAGE_SIZE, PUBLISHED, BatchLoader, ResizeToTensor
from models import build_model
from saliency_map import compute_gradient_saliency_maps
from trainer import Batches, Trainer
from tuning.optimizers import build_optimizer
from utils import keep_pixels

TASKS = ("train", "eval", "saliency")
LR = 1e-5  # small: random models must not diverge in a few steps


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Attributes:
        suite: use the suite's loops, not the textbook's.
        loader: textbook (one PIL image at a time), suite (bytes, normalised as a
            batch), kept (the same with --keep-pixels, from the second epoch on),
            tensors (ready-made: a perfect data path) or timm (loops as well).
        precision: of the forward pass, as in `--precision`.
        channels_last: memory format of model and images.
        fused: the optimizer updates all parameters in one pass.
        workers: processes that read images; None: the suite chooses.
        kernels: allow the suite's kernels, and SimpleNet's own pooling.
        blocks: keep large blocks of memory between batches.
        processes: how many train together with one thread each; 0: one, all threads.
    """

    label: str
    suite: bool = False
    loader: str = "textbook"
    precision: str = "fp32"
    channels_last: bool = False
    fused: bool = False
    workers: int | None = 0
    compiled: bool = False
    kernels: bool = False
    blocks: bool = False
    processes: int = 0


TEXTBOOK = Setting("textbook")
PEER = Setting("timm", loader="timm")
DEFAULTS = Setting(
    "suite",
    True,
    "suite",
    precision="auto",
    channels_last=True,
    fused=True,
    workers=None,
    kernels=True,
    blocks=True,
)


def list_settings(
    task: str,
    *,
    workers: int,
    quick: bool = False,
    compiled: bool = False,
    on_gpu: bool = False,
) -> list[Setting]:
    """List the settings in which a task is measured, the textbook's first."""
    with_workers = replace(
        TEXTBOOK, label=f"{TEXTBOOK.label}, {workers} workers", workers=workers
    )
    variants = [
        replace(DEFAULTS, label=f"suite, {name}", precision=name)
        for name in (("fp32", "fp16") if on_gpu else ("fp32",))
    ]
    if compiled:
        variants.append(replace(DEFAULTS, label="suite, compiled", compiled=True))
    variants.append(replace(DEFAULTS, label="suite, kept pixels", loader="kept"))
    variants.append(replace(DEFAULTS, label="suite, ready tensors", loader="tensors"))
    peers = []
    if task != "saliency" and importlib.util.find_spec("timm"):
        fastest = replace(PEER, precision="auto", channels_last=True)
        peers = [
            replace(fastest, label=f"timm, {count} workers", workers=count)
            for count in dict.fromkeys([workers] if on_gpu else [0, workers])
        ]
    if quick:
        plain = [TEXTBOOK, with_workers] if on_gpu else [TEXTBOOK]
        return [*plain, *peers, DEFAULTS, *variants]
    levers = [
        replace(TEXTBOOK, label="channels_last alone", channels_last=True),
        replace(TEXTBOOK, label="reduced precision alone", precision="auto"),
        replace(TEXTBOOK, label="batch normalising alone", loader="suite"),
    ]
    if task == "train":
        levers.append(replace(TEXTBOOK, label="fused optimizer alone", fused=True))
    variants.append(
        replace(DEFAULTS, label=f"suite, {workers} workers", workers=workers)
    )
    if not on_gpu:
        levers.append(replace(TEXTBOOK, label="large blocks kept alone", blocks=True))
        for variant in (DEFAULTS, variants[0]):
            label = f"{variant.label}, PyTorch's kernels"
            variants.append(replace(variant, label=label, kernels=False))
        for count in (1, 2) if task == "train" else ():
            label = f"suite, {count} x 1 thread"
            variants.append(replace(DEFAULTS, label=label, processes=count))
    return [TEXTBOOK, with_workers, *levers, *peers, DEFAULTS, *variants]


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
    """Measure the time that a task takes for an image, and the process's peak memory.

    The task is one of `TASKS`; the job says the `folder` of the images, `batch_size`,
    and `limit` (images of each class). Returns seconds (for an image), images,
    peak_bytes, precision, flops (for an image).
    """
    device = distributed.start(choose_device())
    if setting.processes:
        torch.set_num_threads(1)
    if setting.blocks:
        keep_large_blocks()
    precision = choose_precision(setting.precision, device)
    model = build_network(model_name, setting, device)
    image = torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE, device=device)
    flops = count_task_flops(model, image)
    loader = build_loader(model, setting, job, training=task == "train", device=device)
    if setting.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if setting.compiled:
        compile_model(model, device)
    run = build_run(model, task, setting, precision)
    num_images = warm_up(run, loader, times=3 if setting.compiled else 1)
    num_images = distributed.sum_over_processes([num_images])[0]
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
    """Build a model with random weights, from PyTorch's layers alone if so set."""
    torch.manual_seed(0)
    model = build_model(model_name, from_scratch=True)
    model.fuse = setting.kernels
    if not setting.kernels and model_name == "SimpleNet":
        model.pool = nn.MaxPool2d(2, 2)
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
    folder, preprocessing = Path(job["folder"]), model.preprocessing
    options = {
        "batch_size": job["batch_size"],
        "training": training,
        "workers": setting.workers,
    }
    if setting.loader == "textbook":
        return textbook.build_textbook_loader(
            folder, preprocessing, **options, limit=job["limit"]
        )
    if setting.loader == "timm":
        import peer  # timm is installed for this row alone

        return peer.build_timm_loader(
            folder, preprocessing, **options, limit=job["limit"], device=device
        )
    dataset = FacesDataset(folder, ResizeToTensor(), limit=job["limit"])
    if setting.loader == "kept":
        pixels = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, pixels)
        keep_pixels([dataset], pixels)
    loader = BatchLoader(dataset, preprocessing=preprocessing, device=device, **options)
    return list(loader) if setting.loader == "tensors" else loader


def build_run(
    model: nn.Module, task: str, setting: Setting, precision: Precision
) -> Callable[[Iterable[Any]], object]:
    """Return the function of the batches that is timed."""
    if task == "saliency" and setting.suite:
        compute_maps = partial(compute_gradient_saliency_maps, precision=precision)
        return lambda b: compute_mean_maps(b, compute_maps, model)
    optimizer = build_optimizer("Adam", model, lr=LR)
    if not setting.fused:
        optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    if setting.suite:
        return lambda b: run_suite(b, task, model, optimizer, precision)
    if setting.loader == "timm":
        import peer

        return lambda b: peer.run_one_epoch(
            model, b, precision, optimizer if task == "train" else None
        )
    network = InPrecision(model, precision)
    return lambda b: run_textbook(
        _format(b, setting), task, network, optimizer, precision.device
    )


def run_textbook(
    batches: Batches,
    task: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> None:
    """Train, evaluate or explain with the textbook's loops."""
    if task == "train":
        textbook.train_one_epoch(network, batches, optimizer, device)
    elif task == "eval":
        textbook.evaluate(network, batches, device)
    else:
        textbook.compute_mean_saliency(network, batches, device)


def run_suite(
    batches: Batches,
    task: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
) -> None:
    """Train or evaluate with the trainer's own loops."""
    trainer = Trainer(model, optimizer, {"train": batches}, precision=precision)
    if task == "train":
        trainer.train_one_epoch()
    else:
        trainer.evaluate_model_on_dataloader(batches)


def warm_up(
    run: Callable[[Iterable[Any]], object], loader: Batches, *, times: int
) -> int:
    """Read all images and run the last batch, so that nothing is new when it counts.

    Its labels are set to hold both classes. CUDA graphs need several runs, because they
    record before they play.

    Returns:
        The number of images.
    """
    num_images = 0
    for batch in loader:
        num_images += len(batch[1])
    images, labels = batch
    run([(images, torch.arange(len(labels), device=labels.device) % 2)] * times)
    return num_images


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


def _format(batches: Batches, setting: Setting) -> Iterator[Any]:
    """Bring the images into the setting's memory format."""
    wanted = torch.contiguous_format
    if setting.channels_last:
        wanted = torch.channels_last
    for images, labels in batches:
        yield images.contiguous(memory_format=wanted), labels


def measure_reading(job: dict) -> dict[str, Any]:
    """Measure how long a dataset takes to read an image, on one thread.

    The job says the `folder` of the images, and whether JPEGs are decoded in `full`.
    Returns seconds (for an image), images.
    """
    torch.set_num_threads(1)
    transform = ResizeToTensor(replace(PUBLISHED, full_decoding=job["full"]))
    dataset = FacesDataset(job["folder"], transform)
    dataset[0]
    start = time.perf_counter()
    for index in range(len(dataset)):
        dataset[index]
    seconds = time.perf_counter() - start
    return {"seconds": seconds / len(dataset), "images": len(dataset)}


def main() -> None:
    """Do the job in the first argument."""
    job = json.loads(sys.argv[1])
    if job["task"] == "read":
        result = measure_reading(job)
    elif job["task"] == "matmul":
        device = choose_device()
        # No others: emulated bfloat16 takes minutes for one of these products.
        names = {"fp32", choose_precision("auto", device).name}
        if device.type == "cuda":
            names.add("fp16")
        result = {name: measure_matmul_speed(DTYPES[name], device) for name in names}
    else:
        setting = Setting(**job["setting"])
        result = measure(job["model"], job["task"], setting, job)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
