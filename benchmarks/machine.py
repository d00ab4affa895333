"""The machine that numbers come from, and what it could do at best."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hardware.processes import count_cores

SIZES = (512, 1024, 2048, 4096)  # of square matrices
OPERATIONS_A_TRIAL = {"cpu": 2e10, "cuda": 5e12}
NUM_TRIALS = 3


def describe_machine() -> dict[str, Any]:
    """Return processor, cores that this process may use, memory, versions."""
    described = {
        "processor": _read_field(Path("/proc/cpuinfo"), "model name")
        or platform.processor()
        or platform.machine(),
        "cores": count_cores(),
        "threads": torch.get_num_threads(),
        "memory": _read_field(Path("/proc/meminfo"), "MemTotal"),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
    if hasattr(os, "getloadavg"):
        described["load_at_start"] = round(os.getloadavg()[0], 1)
    if torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
    return described


def count_task_flops(model: nn.Module, images: torch.Tensor) -> dict[str, int]:
    """Count what convolutions and linear layers must do for a batch, from their shapes.

    A multiplication and an addition count as two. `torch.utils.flop_counter` will not
    do: it counts the backward pass of grouped convolutions several times over.

    Args:
        model: on the device of the images.
        images: float32 (N, 3, H, W).

    Returns:
        train: forward, gradients of the layers' inputs (but the images) and weights;
        eval: forward; saliency: forward and gradients of the inputs.
    """
    counts: list[int] = []

    def count(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        # Each output value is a product with one row (filter) of the weights.
        counts.append(2 * output.numel() * layer.weight[0].numel())

    hooks = [
        layer.register_forward_hook(count)
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    forward = sum(counts)
    return {"train": 3 * forward - counts[0], "eval": forward, "saliency": 2 * forward}


def measure_matmul_speed(dtype: torch.dtype, device: torch.device) -> float:
    """Return the best speed of square matrix products, in operations a second."""
    return max(_measure_size(size, dtype, device) for size in SIZES)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _read_field(path: Path, name: str) -> str:
    """Return the first value called `name` in a file of `name: value` lines."""
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")


def _measure_size(size: int, dtype: torch.dtype, device: torch.device) -> float:
    """Return the best speed of some trials at one size."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    operations = 2 * size**3
    repetitions = max(1, int(OPERATIONS_A_TRIAL.get(device.type, 2e10) / operations))
    seconds = []
    left @ right
    for _ in range(NUM_TRIALS):
        synchronise(device)
        start = time.perf_counter()
        for _ in range(repetitions):
            left @ right
        synchronise(device)
        seconds.append((time.perf_counter() - start) / repetitions)
    return operations / min(seconds)
