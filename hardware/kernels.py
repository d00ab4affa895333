"""Compile `kernels.c` with the machine's C compiler, once, and call its functions."""

import contextlib
import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-fopenmp", "-shared", "-fPIC", "-mfma")
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl")
DIGEST_SIZE = 32
COMPILERS = ("cc", "gcc", "clang")  # after the one in $CC
NO_COMPILER = "no C compiler; gcc would make it faster"


def are_available(dtype: torch.dtype) -> bool:
    """Say whether the kernels can be called; the first question compiles them."""
    return load_kernels(dtype)[0] is not None


@functools.cache
def load_kernels(dtype: torch.dtype) -> tuple[ctypes.CDLL | None, str]:
    """Load the compiled kernels; compile them first (a second) if need be.

    The library lies in `__pycache__`, like Python's own compiled files, and belongs to
    one state of the source. If that folder is read-only, it is compiled each time.

    Returns:
        The library and "", or None and why there is none: another type than float32
        and bfloat16, another system or processor, no compiler, or one that failed.
    """
    if sys.platform != "linux":
        return None, "the suite's own are for Linux"
    try:
        return _load_or_compile(_choose_flags(dtype)), ""
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return None, str(error).splitlines()[0]


def run(name: str, *args: torch.Tensor | int | bool) -> None:
    """Call a kernel by name with as many threads as torch uses.

    Args:
        name: a function of `kernels.c`.
        args: its arguments after `threads`: a tensor for a pointer, a bool for an int,
            an int for an int64_t. The first one holds features, whose type selects the
            library. Nothing is checked here: a tensor must be on the CPU, with the type
            and at least the size that the kernel expects; images are channels-last
            without gaps, vectors contiguous; an empty tensor becomes a null pointer.

    Raises:
        RuntimeError: there are no kernels for this type.
    """
    library, reason = load_kernels(args[0].dtype)
    if library is None:
        raise RuntimeError(f"the kernel {name} cannot be called: {reason}")
    getattr(library, name)(
        ctypes.c_int(torch.get_num_threads()), *(_convert(arg) for arg in args)
    )


def _convert(arg: torch.Tensor | int | bool) -> ctypes._SimpleCData:
    """Convert an argument to the type that the kernels expect."""
    if isinstance(arg, torch.Tensor):
        return ctypes.c_void_p(arg.data_ptr())
    return ctypes.c_int(arg) if isinstance(arg, bool) else ctypes.c_int64(arg)


def _choose_flags(dtype: torch.dtype) -> tuple[str, ...]:
    """Return the flags for the instructions that PyTorch uses, or raise ValueError."""
    capability = torch.backends.cpu.get_cpu_capability()
    if dtype == torch.float32:
        if capability == "AVX512":
            return (*FLAGS, *AVX512, "-DFP32")
        if capability == "AVX2":
            return (*FLAGS, "-mavx2", "-DFP32")
        raise ValueError("this CPU has no AVX2")
    if dtype != torch.bfloat16:
        raise ValueError("the suite's own are for fp32 and bf16")
    # torch has no public name for this question.
    has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    if capability == "AVX512" and has_bf16:
        return (*FLAGS, *AVX512, "-mavx512bf16")
    raise ValueError("this CPU has no AVX-512 BF16")


def _load_or_compile(flags: Sequence[str]) -> ctypes.CDLL:
    """Load the library for this source and these flags, or compile and keep it."""
    content = SOURCE.read_bytes() + " ".join(flags).encode()
    name = f"kernels-{hashlib.sha256(content).hexdigest()[:16]}.so"
    path = SOURCE.parent / "__pycache__" / name
    with contextlib.suppress(OSError):  # none yet, or from another system
        kept = path.read_bytes()
        digest = hashlib.sha256(kept[:-DIGEST_SIZE]).digest()
        if digest == kept[-DIGEST_SIZE:]:  # a damaged library can crash the process
            return ctypes.CDLL(str(path))
    folder = _make_writable(path.parent)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        compiled = _compile(flags, Path(temporary) / name)
        library = ctypes.CDLL(str(compiled))
        if folder:
            with compiled.open("ab") as file:
                file.write(hashlib.sha256(compiled.read_bytes()).digest())
            compiled.replace(path)  # in one step: others may be compiling too
    return library


def _make_writable(folder: Path) -> Path | None:
    """Return the folder, made if need be, or None if it cannot be written to."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _compile(flags: Sequence[str], path: Path) -> Path:
    """Compile the source by the first compiler that can; else raise ValueError."""
    reason = NO_COMPILER
    for command in [shlex.split(os.environ.get("CC", "")), *([c] for c in COMPILERS)]:
        if not command or shutil.which(command[0]) is None:
            continue
        process = subprocess.run(
            [*command, *flags, str(SOURCE), "-o", str(path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if process.returncode == 0:
            return path
        lines = process.stderr.strip().splitlines() or ["no message"]
        reason = f"{command[0]} failed: {lines[0]}"
    raise ValueError(reason)
