"""The kernels are compiled once, and the suite runs without them if that fails."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from hardware import kernels

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, kernels.COMPILERS)), reason="no C compiler"
)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Let the kernels be loaded anew, from a source in a folder of its own."""
    source = tmp_path / "kernels.c"
    source.write_bytes(kernels.SOURCE.read_bytes())
    monkeypatch.setattr(kernels, "SOURCE", source)
    set_cpu(monkeypatch)
    kernels.load_kernels.cache_clear()
    yield tmp_path
    kernels.load_kernels.cache_clear()


def set_cpu(patch: pytest.MonkeyPatch, level: str = "AVX512", bf16: bool = True):
    """Pretend that the processor has these instructions."""
    patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: level)
    patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)


def hang(command, **options):
    raise subprocess.TimeoutExpired(command, options["timeout"])


ABSENT = {
    "no bf16": (partial(set_cpu, bf16=False), BF16, "this CPU has no AVX-512 BF16"),
    "AVX2": (partial(set_cpu, level="AVX2"), BF16, "this CPU has no AVX-512 BF16"),
    "old": (partial(set_cpu, level="DEFAULT"), FP32, "this CPU has no AVX2"),
    "fp16": (lambda patch: None, FP16, "the suite's own are for fp32 and bf16"),
    "no source": (lambda patch: kernels.SOURCE.unlink(), BF16, "No such file"),
    "no compiler": (
        lambda patch: patch.setattr(kernels.shutil, "which", lambda name: None),
        *(BF16, "no C compiler; gcc would make it faster"),
    ),
    **{
        system: (
            lambda patch, system=system: patch.setattr(sys, "platform", system),
            *(BF16, "the suite's own are for Linux"),
        )
        for system in ("win32", "darwin")
    },
    "broken": (lambda patch: kernels.SOURCE.write_text("no C"), BF16, "failed: "),
    "hanging": (
        lambda patch: patch.setattr(kernels.subprocess, "run", hang),
        *(BF16, "timed out"),
    ),
}


@needs_compiler
@pytest.mark.parametrize("name", ABSENT)
def test_load_kernels_absent_says_why_and_keeps_nothing(name, monkeypatch, fresh):
    change, dtype, reason = ABSENT[name]
    change(monkeypatch)
    library, found = kernels.load_kernels(dtype)
    assert library is None
    assert reason in found
    assert not list(fresh.glob("__pycache__/*"))
    with pytest.raises(RuntimeError, match="affine cannot be called: "):
        kernels.run("affine", torch.zeros(1, dtype=dtype))


@pytest.mark.slow
@needs_compiler
def test_load_kernels_compiles_once_and_anew_if_the_library_is_damaged(
    monkeypatch, fresh
):
    assert kernels.load_kernels(BF16)[1] == ""
    (library,) = (fresh / "__pycache__").iterdir()
    whole, middle = library.read_bytes(), library.stat().st_size // 2
    kernels.load_kernels.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "_compile", None)  # would fail if it were called
        assert kernels.are_available(BF16)
    changed = whole[:middle] + bytes(999) + whole[middle + 999 :]
    for damaged in (b"", whole[:middle], changed):
        kernels.load_kernels.cache_clear()
        library.unlink()  # its old content is in use
        library.write_bytes(damaged)
        assert kernels.are_available(BF16)
        assert library.read_bytes() == whole
    assert list((fresh / "__pycache__").iterdir()) == [library]


@pytest.mark.slow
@needs_compiler
def test_load_kernels_first_compiler_fails_takes_the_next(monkeypatch, fresh):
    monkeypatch.setenv("CC", "false --with flags")
    assert kernels.are_available(BF16)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("step", ["mkdir", "access"])
def test_load_kernels_folder_that_cannot_be_written_still_compiles(
    step, monkeypatch, fresh
):
    def refuse(path, *args, **kwargs):
        raise PermissionError(path)

    with monkeypatch.context() as patch:
        if step == "mkdir":
            patch.setattr(Path, "mkdir", refuse)
        else:
            access = os.access
            patch.setattr(os, "access", lambda p, m: m != os.W_OK and access(p, m))
        assert kernels.are_available(BF16)
    assert not list(fresh.glob("__pycache__/*"))
