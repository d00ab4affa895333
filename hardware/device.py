"""Choose the device, the arithmetic and the helpers that a model runs with."""

import ctypes
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hardware import distributed

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_CPU = torch.device("cpu")
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


@dataclass(frozen=True)
class Precision:
    """Where a model runs, and the arithmetic of its forward pass.

    Attributes:
        name: fp32, bf16 or fp16.
        device: that the model and its batches are on.
    """

    name: str = "fp32"
    device: torch.device = _CPU

    def autocast(self) -> AbstractContextManager:
        """Return a context in which layers run in this precision (fp32: no change)."""
        return torch.autocast(
            self.device.type, dtype=DTYPES[self.name], enabled=self.name != "fp32"
        )

    def make_scaler(self) -> torch.amp.GradScaler:
        """Return a gradient scaler, which only does something in fp16."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")


@dataclass(frozen=True)
class Compute:
    """How a network is run over many images.

    Attributes:
        precision: arithmetic of the forward pass; it says where the network is.
        batch_size: images in a batch.
        workers: processes that read images; None chooses what suits the device.
        shared: the processes that torchrun started deal out the batches; otherwise
            each that scores runs all of them.
    """

    precision: Precision = Precision()
    batch_size: int = 32
    workers: int | None = None
    shared: bool = False

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.precision.device

    def deal(self, num_images: int) -> list[range]:
        """Return the batches that this process runs, each by its images' numbers.

        They are whole: a CPU's last bits can change with a batch's size, so several
        processes form the batches of one.
        """
        starts = range(0, num_images, self.batch_size)
        if self.shared:
            starts = starts[distributed.get_rank() :: distributed.get_world_size()]
        return [range(n, min(n + self.batch_size, num_images)) for n in starts]

    def collect(self, rows: Tensor, batches: Sequence[range]) -> Tensor:
        """Return all processes' rows in the order of the images.

        `rows` (n, ...) are of the images of the batches that this process was dealt.
        """
        if not self.shared:
            return rows
        numbers = torch.tensor([n for batch in batches for n in batch]).long()
        order = distributed.gather(numbers).argsort()
        return distributed.gather(rows)[order]


def prepare_compute(
    device: str = "auto",
    precision: str = "auto",
    *,
    batch_size: int = 32,
    workers: int | None = None,
) -> Compute:
    """Return how to run networks on a device; a CPU is made ready for it.

    Every script calls this once, before its first batch. It raises ValueError as
    `choose_device` and `choose_precision` do, whose names it takes.
    """
    chosen = choose_precision(precision, choose_device(device))
    if chosen.device.type == "cpu":
        keep_large_blocks()
    return Compute(chosen, batch_size, workers)


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; `auto` takes a GPU if there is one.

    Raises:
        ValueError: no device has this name, or this machine does not have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    allowed = "auto, cpu, cuda, cuda:N or mps"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"no device is called {name!r}; allowed: {allowed}") from error
    available = {
        "cpu": True,
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise ValueError(f"this machine has no device {name!r}; allowed: {allowed}")
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the precision called `name`; `auto` takes the fastest.

    That is bfloat16 if the device multiplies it in hardware, float16 on other GPUs, and
    float32 elsewhere: emulated bfloat16 is slower than float32.

    Raises:
        ValueError: fp16 on a CPU, which would not gain from it.
    """
    if name == "auto":
        if _has_native_bf16(device):
            name = "bf16"
        else:
            name = "fp16" if device.type == "cuda" else "fp32"
    if name == "fp16" and device.type == "cpu":
        raise ValueError("fp16 is for GPUs; on a CPU the precision is fp32 or bf16")
    return Precision(name, device)


def compile_model(model: nn.Module, device: torch.device) -> None:
    """Let `torch.compile` translate a model, in place, when it is first called.

    A GPU runs Xception's thousand small kernels in less time than the CPU needs to
    launch them: CUDA graphs launch them all at once. With several processes, which
    exchange gradients in between, each kernel is launched by itself.
    """
    use_graphs = device.type == "cuda" and distributed.get_world_size() == 1
    model.compile(mode="reduce-overhead" if use_graphs else None)


def is_compiled(model: nn.Module) -> bool:
    """Say whether a model was handed to `compile_model`."""
    return model._compiled_call_impl is not None  # it has no public name


def keep_large_blocks() -> None:
    """Let the process reuse large blocks instead of asking for new ones every batch.

    glibc takes blocks of 32 MB and more from the system and returns them at once, so
    each batch pays for all its pages again. On two virtual cores this alone made a
    plain loop train XceptionBased 1.4 times as fast (docs/speed.md). Peak memory grows:
    in evaluation from 2.6 to 3.9 GB, in training from 10.4 to 12.0. Elsewhere than on
    Linux with glibc nothing happens.
    """
    mallopt = _find_in_glibc("mallopt")
    if mallopt(_M_MMAP_MAX, 0):
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def give_memory_back() -> None:
    """Give the system what the process has freed, after `keep_large_blocks` too.

    Elsewhere than on Linux with glibc nothing happens.
    """
    _find_in_glibc("malloc_trim")(0)


def _find_in_glibc(name: str) -> Callable[..., int]:
    """Return a function of glibc's; one that says 0 where it is missing (musl)."""
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return getattr(library, name, lambda *_: 0)


def _has_native_bf16(device: torch.device) -> bool:
    """Say whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # torch has no public name for these two questions.
        questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        if torch.backends.cpu.get_cpu_capability() != "AVX512":  # held down to AVX2
            return False
        return any(getattr(torch.cpu, name, lambda: False)() for name in questions)
    return False
