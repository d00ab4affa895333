"""Tests of kernels.py: compiled once, and done without where that cannot be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hardware import kernels

BF16, FP32 = torch.bfloat16, torch.float32
needs_kernels = pytest.mark.skipif(
    not kernels.are_available(BF16), reason=kernels.describe_kernels(BF16)
)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let the kernels be loaded anew, from a source in a folder of its own."""
    source = tmp_path / "kernels.c"
    source.write_bytes(kernels.SOURCE.read_bytes())
    monkeypatch.setattr(kernels, "SOURCE", source)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(
        torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False
    )
    kernels.load_kernels.cache_clear()
    yield tmp_path
    kernels.load_kernels.cache_clear()


def test_load_kernels_other_cpu_has_none_and_says_why(monkeypatch, fresh):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert kernels.describe_kernels(BF16) == "PyTorch's (this CPU has no AVX-512 BF16)"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert kernels.describe_kernels(FP32) == "PyTorch's (this CPU has no AVX2)"
    assert not list(fresh.glob("__pycache__/*"))


def test_load_kernels_other_type_has_none_and_says_why(fresh):
    library, reason = kernels.load_kernels(torch.float16)
    assert library is None
    assert reason == "the suite's own are for fp32 and bf16"


def test_load_kernels_no_compiler_has_none_and_says_what_helps(monkeypatch, fresh):
    monkeypatch.setattr(kernels.shutil, "which", lambda name: None)
    assert kernels.load_kernels(BF16) == (None, kernels.NO_COMPILER)
    assert kernels.describe_kernels(BF16) == (
        "PyTorch's (no C compiler; gcc would make it faster)"
    )


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_load_kernels_other_system_has_none(monkeypatch, fresh, system):
    monkeypatch.setattr(sys, "platform", system)
    assert kernels.load_kernels(BF16) == (None, "the suite's own are for Linux")


def test_load_kernels_no_source_has_none(fresh):
    kernels.SOURCE.unlink()
    library, reason = kernels.load_kernels(BF16)
    assert library is None
    assert "No such file" in reason


needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, kernels.COMPILERS)), reason="no C compiler"
)


@needs_compiler
def test_load_kernels_broken_source_has_none_and_quotes_the_compiler(fresh):
    kernels.SOURCE.write_text("this is no C\n")
    library, reason = kernels.load_kernels(BF16)
    assert library is None
    assert "failed: " in reason
    assert list((fresh / "__pycache__").iterdir()) == []


@needs_compiler
def test_load_kernels_hanging_compiler_has_none(monkeypatch, fresh):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(kernels.subprocess, "run", hang)
    assert "timed out" in kernels.load_kernels(BF16)[1]


@needs_kernels
def test_load_kernels_compiles_once_for_a_source(monkeypatch, fresh):
    assert kernels.load_kernels(BF16)[1] == ""
    (library,) = (fresh / "__pycache__").iterdir()
    kernels.load_kernels.cache_clear()
    monkeypatch.setattr(kernels, "_compile", None)  # would fail if it were called
    assert kernels.are_available(BF16)
    assert list((fresh / "__pycache__").iterdir()) == [library]


@needs_kernels
@pytest.mark.parametrize("damage", ["emptied", "cut", "changed"])
def test_load_kernels_damaged_library_is_compiled_anew(fresh, damage):
    assert kernels.are_available(BF16)
    (library,) = (fresh / "__pycache__").iterdir()
    whole = library.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "emptied": b"",
        "cut": whole[:middle],
        "changed": whole[:middle] + bytes(999) + whole[middle + 999 :],
    }
    kernels.load_kernels.cache_clear()
    library.unlink()  # its old content is in use
    library.write_bytes(damaged[damage])
    assert kernels.are_available(BF16)
    assert library.read_bytes() == whole


@needs_kernels
def test_load_kernels_first_compiler_fails_takes_the_next(monkeypatch, fresh):
    monkeypatch.setenv("CC", "false --with flags")
    assert kernels.are_available(BF16)


@needs_kernels
def test_load_kernels_folder_that_cannot_be_made_still_compiles(monkeypatch, fresh):
    def refuse(path, *args, **kwargs):
        raise PermissionError(path)

    with monkeypatch.context() as context:
        context.setattr(Path, "mkdir", refuse)
        assert kernels.are_available(BF16)
    assert not (fresh / "__pycache__").exists()


@needs_kernels
def test_load_kernels_read_only_folder_still_compiles(monkeypatch, fresh):
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: mode != os.W_OK and access(path, mode)
    )
    assert kernels.are_available(BF16)
    assert list((fresh / "__pycache__").iterdir()) == []


def test_run_without_kernels_says_why(monkeypatch, fresh):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    with pytest.raises(RuntimeError, match="affine cannot be called: this CPU"):
        kernels.run("affine", torch.zeros(1, dtype=BF16))
