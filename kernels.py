"""Compile `kernels.c` with the machine's C compiler, once, and call what is in it."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("kernels.c")
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512bf16", "fma")
FLAGS = ("-O3", "-fopenmp", "-shared", "-fPIC", *(f"-m{name}" for name in INSTRUCTIONS))
COMPILERS = ("cc", "gcc", "clang")


def are_available() -> bool:
    """Say whether the kernels can be called; the first question compiles them."""
    return load_kernels()[0] is not None


def describe_kernels() -> str:
    """Say in a few words which kernels are used, and why no others."""
    library, reason = load_kernels()
    return "compiled" if library else f"PyTorch's own ({reason})"


@functools.cache
def load_kernels() -> tuple[ctypes.CDLL | None, str]:
    """Load the compiled kernels; compile them (a second) if that was not done yet.

    The library lies in `__pycache__`, as Python's own compiled files do, and belongs to
    one state of the source; where that folder is read-only, it is compiled each time.

    Returns:
        The library and "", or None and why there is none: the CPU lacks AVX-512 BF16,
        or there is no compiler, or it failed.
    """
    # torch has no public name for this question.
    if not getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)():
        return None, "this CPU has no AVX-512 BF16"
    content = SOURCE.read_bytes() + " ".join(FLAGS).encode()
    name = f"kernels-{hashlib.sha256(content).hexdigest()[:16]}.so"
    path = SOURCE.parent / "__pycache__" / name
    try:
        if path.exists():
            return ctypes.CDLL(str(path)), ""
        folder = path.parent
        folder.mkdir(exist_ok=True)
        folder = folder if os.access(folder, os.W_OK) else None
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            compiled = _compile(Path(temporary) / name)
            library = ctypes.CDLL(str(compiled))
            if folder:
                compiled.replace(path)  # at once: others may be compiling too
        return library, ""
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return None, str(error).splitlines()[0]


def run(name: str, *args: torch.Tensor | int | bool) -> None:
    """Call a kernel by name with as many threads as torch uses.

    Args:
        name: a function of `kernels.c`.
        args: its arguments after `threads`: tensors, contiguous in the order that the
            kernel expects, for pointers; a bool for an int, an int for an int64_t.
    """
    library, reason = load_kernels()
    if library is None:
        raise RuntimeError(f"the kernel {name} cannot be called: {reason}")
    getattr(library, name)(
        ctypes.c_int(torch.get_num_threads()), *(_convert(arg) for arg in args)
    )


def _convert(arg: torch.Tensor | int | bool) -> ctypes._SimpleCData:
    """Turn an argument into the kernels' type."""
    if isinstance(arg, torch.Tensor):
        return ctypes.c_void_p(arg.data_ptr())
    return ctypes.c_int(arg) if isinstance(arg, bool) else ctypes.c_int64(arg)


def _compile(path: Path) -> Path:
    """Compile the source into a shared library.

    Raises:
        ValueError: there is no compiler, or it failed.
    """
    names = [os.environ.get("CC", ""), *COMPILERS]
    compiler = next((found for name in names if (found := shutil.which(name))), None)
    if compiler is None:
        raise ValueError("no C compiler: gcc would make it faster")
    command = [compiler, *FLAGS, str(SOURCE), "-o", str(path)]
    process = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no message"]
        raise ValueError(f"{Path(compiler).name} failed: {lines[0]}")
    return path
