"""Which device and arithmetic are chosen, what is refused, how a CPU is prepared."""

import ctypes
import sys
from types import SimpleNamespace

import pytest
import torch

from hardware import distributed
from hardware.device import (
    Compute,
    Precision,
    choose_device,
    choose_precision,
    compile_model,
    give_memory_back,
    keep_large_blocks,
)

CPU, CUDA, MPS = map(torch.device, ("cpu", "cuda", "mps"))


@pytest.fixture
def machine(monkeypatch):
    """Pretends that this machine has other hardware."""

    def pretend(
        *, num_gpus: int = 0, mps: bool = False, bf16: bool = False, level="AVX512"
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
        capability = (8, 0) if bf16 else (7, 5)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: level)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, name, lambda: bf16, raising=False)

    return pretend


@pytest.mark.parametrize(
    ("device", "num_processes", "mode"),
    [(CUDA, 1, "reduce-overhead"), (CUDA, 2, None), (CPU, 1, None)],
)
def test_compile_model_uses_cuda_graphs_on_a_gpu_alone(
    device, num_processes, mode, monkeypatch
):
    modes = []
    monkeypatch.setattr(distributed, "get_world_size", lambda: num_processes)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _, mode: modes.append(mode))
    compile_model(torch.nn.Linear(1, 1), device)
    assert modes == [mode]


@pytest.mark.parametrize(
    ("hardware", "name", "expected"),
    [
        ({}, "auto", "cpu"),
        ({"mps": True}, "auto", "mps"),
        ({"num_gpus": 2, "mps": True}, "auto", "cuda"),
        *(({"num_gpus": 2, "mps": True}, n, n) for n in ("cpu", "cuda:1", "mps")),
    ],
)
def test_choose_device_takes_the_named_one_or_a_gpu(machine, hardware, name, expected):
    machine(**hardware)
    assert choose_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("name", "num_gpus"),
    [
        *((name, 0) for name in ("gpu", "", "cuda", "cuda:0", "cuda:x", "mps", "xpu")),
        ("cuda:2", 2),
    ],
)
def test_choose_device_absent_device_is_refused(machine, name, num_gpus, refused):
    machine(num_gpus=num_gpus)
    with refused("allowed: auto, cpu, cuda") as error:
        choose_device(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    ("device", "hardware", "expected"),
    [
        (CPU, {"bf16": True}, "bf16"),
        (CPU, {"bf16": True, "level": "AVX2"}, "fp32"),  # held down
        (CPU, {}, "fp32"),
        (CUDA, {"bf16": True}, "bf16"),
        (CUDA, {}, "fp16"),
        (MPS, {"bf16": True}, "fp32"),
    ],
)
def test_choose_precision_auto_takes_the_fastest(machine, device, hardware, expected):
    machine(**hardware)
    assert choose_precision("auto", device) == Precision(expected, device)


def test_choose_precision_named_is_taken_but_for_fp16_on_a_cpu(machine):
    machine()
    for name in ("fp32", "bf16"):
        assert choose_precision(name, CPU) == Precision(name)
    with pytest.raises(ValueError, match="fp32 or bf16"):
        choose_precision("fp16", CPU)


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_precision_casts_layers_and_scales_fp16_only(name, dtype):
    layer = torch.nn.Linear(2, 2)
    with Precision(name).autocast():
        assert layer(torch.ones(1, 2)).dtype == dtype
    assert layer(torch.ones(1, 2)).dtype == torch.float32
    assert not Precision(name).make_scaler().is_enabled()
    assert Precision("fp16").make_scaler().is_enabled()


@pytest.mark.parametrize(
    ("platform", "answer", "num_asked"),
    [("linux", 1, 2), ("linux", 0, 1), ("linux", None, 0), ("darwin", 1, 0)],
)
def test_keep_large_blocks_asks_glibc_on_linux(
    monkeypatch, platform, answer, num_asked
):
    asked = []
    library = SimpleNamespace(mallopt=lambda *given: asked.append(given) or answer)
    if answer is None:  # musl
        library = SimpleNamespace()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    keep_large_blocks()
    # M_MMAP_MAX and M_TRIM_THRESHOLD of glibc's malloc.h.
    assert asked == [(-4, 0), (-1, 2**31 - 1)][:num_asked]


def test_give_memory_back_asks_glibc_for_all_of_it(monkeypatch):
    asked = []
    library = SimpleNamespace(malloc_trim=lambda kept: not asked.append(kept))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    for platform in ("linux", "darwin"):
        monkeypatch.setattr(sys, "platform", platform)
        give_memory_back()
    assert asked == [0]


def test_compute_deals_whole_batches_and_collects_rows_in_order(monkeypatch):
    alone, shared = Compute(batch_size=4), Compute(batch_size=4, shared=True)
    whole = [range(4), range(4, 8), range(8, 10)]
    rows = torch.arange(20).reshape(10, 2)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    dealt = []
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        assert alone.deal(10) == whole
        dealt.append(shared.deal(10))
    assert dealt == [whole[::2], whole[1::2]]
    assert shared.deal(3) == []
    assert alone.collect(rows, whole) is rows

    def gather(mine):  # what the second process has comes after what the first has
        return torch.cat([mine, numbers if mine.ndim == 1 else rows[numbers]])

    first, numbers = [0, 1, 2, 3, 8, 9], torch.arange(4, 8)
    monkeypatch.setattr(distributed, "gather", gather)
    assert torch.equal(shared.collect(rows[first], dealt[0]), rows)
