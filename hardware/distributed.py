"""One process among several that work together; alone, everything is a no-op."""

import atexit
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hardware.processes import (  # noqa: F401  some are only lent on
    get_local_rank,
    get_rank,
    get_world_size,
    is_main,
    is_on,
    speaks_first,
)


def start(device: torch.device, backend: str | None = None) -> torch.device:
    """Join the processes that `torchrun` started, if any, until this one ends.

    From then on only the main process prints.

    Args:
        device: of one process: a GPU, or the CPU.
        backend: by which tensors travel; default nccl between GPUs, gloo between CPUs.

    Returns:
        This process's own device: its GPU, or the CPU.

    Raises:
        ValueError: there are more processes than GPUs.
    """
    if "LOCAL_RANK" not in os.environ:
        return device
    if device.type == "cuda":
        if get_local_rank() >= torch.cuda.device_count():
            raise ValueError(
                f"there are {torch.cuda.device_count()} GPUs; start at most as many "
                "processes (torchrun --nproc-per-node)"
            )
        device = torch.device("cuda", get_local_rank())
        torch.cuda.set_device(device)
    if is_on():  # it has joined them for an earlier training
        return device
    # One process measures the finished detector while the others wait.
    backend = backend or ("nccl" if device.type == "cuda" else "gloo")
    dist.init_process_group(backend, timeout=timedelta(hours=24))
    atexit.register(stop)
    if not is_main():
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, stays open
    return device


def stop() -> None:
    """Leave the group."""
    if is_on():
        # A thread of gloo's that still lets go of the last exchange's tensors would
        # abort the process if Python ended meanwhile.
        time.sleep(0.2)
        dist.destroy_process_group()


def wrap(model: nn.Module) -> nn.Module:
    """Return a module whose backward pass averages gradients over the processes."""
    if not is_on():
        return model
    on_gpu = next(model.parameters()).is_cuda
    return DistributedDataParallel(
        model, device_ids=[get_local_rank()] if on_gpu else None
    )


def sum_over_processes(values: Sequence[float]) -> list[float]:
    """Return the elementwise sums over all processes' `values`."""
    if not is_on():
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=_get_device())
    dist.all_reduce(sums)
    return sums.tolist()


def maximum(values: Sequence[int]) -> list[int]:
    """Return the elementwise maxima over all processes' `values`."""
    if not is_on():
        return list(values)
    largest = torch.tensor(values, device=_get_device())
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest.tolist()


class PacedMaximum:
    """The maxima over all processes' values, exchanged about once a second.

    An exchange in every step would make each process wait for all others, and a GPU
    for its queue. All processes skip the same number of calls, which follows from the
    time that the slowest took for the calls before.
    """

    def __init__(self) -> None:
        self._num_calls = self._num_left = 1  # from one exchange to the next
        self._asked_at = time.monotonic()

    def maximum(self, values: Sequence[int]) -> list[int]:
        """Return the elementwise maxima; zeros in a call that is skipped.

        A lone process skips no call.
        """
        self._num_left -= 1
        if not is_on():
            return list(values)
        if self._num_left > 0:
            return [0] * len(values)
        now = time.monotonic()
        milliseconds = round(1000 * (now - self._asked_at) / self._num_calls)
        *largest, slowest = maximum([*values, max(milliseconds, 1)])
        self._num_calls = self._num_left = max(1, 1000 // slowest)
        self._asked_at = now
        return largest


def gather(rows: Tensor) -> Tensor:
    """Return all processes' rows, which may differ in number, one after the other."""
    if not is_on():
        return rows
    everyones = [rows] * get_world_size()
    dist.all_gather_object(everyones, rows)
    return torch.cat(everyones)


def gather_to_main(value: Any) -> list[Any]:
    """Return all processes' values in the main one, and nothing in the others."""
    if not is_on():
        return [value]
    everyones = [None] * get_world_size() if is_main() else None
    dist.gather_object(value, everyones)
    return everyones or []


def tell_all(value: Any) -> Any:
    """Return the main process's value."""
    values = [value]
    if is_on():
        dist.broadcast_object_list(values)
    return values[0]


def average_buffers(model: nn.Module) -> None:
    """Replace each floating-point buffer by its mean over the processes."""
    if is_on():
        for buffer in filter(torch.is_floating_point, model.buffers()):
            dist.all_reduce(buffer)
            buffer /= get_world_size()


def share_buffers(model: nn.Module) -> None:
    """Give all processes the main one's buffers (batch-norm statistics)."""
    if is_on():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def _get_device() -> torch.device:
    """Return the device for the tensors that are exchanged."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
