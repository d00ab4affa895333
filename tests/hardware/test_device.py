"""Which device and arithmetic are chosen, what is refused, how a CPU is prepared."""

import ctypes
import sys

import pytest
import torch

from hardware import distributed
from hardware.device import (
    Precision,
    choose_device,
    choose_precision,
    compile_model,
    keep_large_blocks,
)

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


@pytest.fixture
def machine(monkeypatch):
    """Pretends that this machine has other hardware."""

    def pretend(*, num_gpus: int = 0, mps: bool = False, bf16: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: num_gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
        capability = (8, 0) if bf16 else (7, 5)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
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
    ("hardware", "expected"),
    [({}, "cpu"), ({"mps": True}, "mps"), ({"num_gpus": 1, "mps": True}, "cuda")],
)
def test_choose_device_auto_takes_a_gpu_where_there_is_one(machine, hardware, expected):
    machine(**hardware)
    assert choose_device("auto").type == expected


def test_choose_device_named_device_that_is_there_is_taken(machine):
    machine(num_gpus=2, mps=True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert choose_device(name) == torch.device(name)


@pytest.mark.parametrize(
    "name", ["gpu", "", "cuda", "cuda:0", "cuda:-1", "cuda:x", "mps", "meta", "xpu"]
)
def test_choose_device_absent_device_is_refused(machine, name, one_line):
    machine()
    with pytest.raises(ValueError, match="allowed: auto, cpu, cuda") as error:
        choose_device(name)
    assert repr(name) in one_line(error)


def test_choose_device_gpu_beyond_the_last_is_refused(machine):
    machine(num_gpus=2)
    with pytest.raises(ValueError, match="cuda:2"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("device", "bf16", "expected"),
    [
        (CPU, True, "bf16"),
        (CPU, False, "fp32"),
        (CUDA, True, "bf16"),
        (CUDA, False, "fp16"),
        (torch.device("mps"), True, "fp32"),
    ],
)
def test_choose_precision_auto_takes_what_is_natively_fast(
    machine, device, bf16, expected
):
    machine(num_gpus=1, mps=True, bf16=bf16)
    assert choose_precision("auto", device) == Precision(expected, device)


def test_choose_precision_auto_held_down_to_avx2_takes_fp32(machine, monkeypatch):
    machine(bf16=True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert choose_precision("auto", CPU) == Precision("fp32")


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_choose_precision_named_one_is_taken(machine, name):
    machine()
    assert choose_precision(name, CPU) == Precision(name)


def test_choose_precision_fp16_on_a_cpu_is_refused():
    with pytest.raises(ValueError, match="fp32 or bf16"):
        choose_precision("fp16", CPU)


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_autocast_layers_run_in_the_precision(name, dtype):
    layer = torch.nn.Linear(2, 2)
    with Precision(name, CPU).autocast():
        assert layer(torch.ones(1, 2)).dtype == dtype
    assert layer(torch.ones(1, 2)).dtype == torch.float32


@pytest.mark.parametrize(("name", "enabled"), [("fp32", False), ("bf16", False)])
def test_make_scaler_scales_only_for_fp16(name, enabled):
    scaler = Precision(name, CPU).make_scaler()
    assert scaler.is_enabled() == enabled
    loss = torch.tensor(2.0)
    assert scaler.scale(loss) is loss
    assert Precision("fp16", CPU).make_scaler().is_enabled()


class Library:
    """A C library whose `mallopt` notes what it is asked for."""

    def __init__(self, answer: int) -> None:
        self.asked: list[tuple[int, int]] = []
        self.answer = answer

    def mallopt(self, option: int, value: int) -> int:
        self.asked.append((option, value))
        return self.answer


@pytest.mark.parametrize(("answer", "done"), [(1, True), (0, False)])
def test_keep_large_blocks_linux_asks_glibc(monkeypatch, answer, done):
    library = Library(answer)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert keep_large_blocks() is done
    assert library.asked[0] == (-4, 0)  # M_MMAP_MAX of glibc's malloc.h


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_keep_large_blocks_other_systems_are_left_alone(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    assert keep_large_blocks() is False


def test_keep_large_blocks_library_without_mallopt_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_large_blocks() is False
