"""Read and write files of tensors as data: nothing in them is ever run."""

from __future__ import annotations

import math
import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from files import write_atomically

# What a dict of tensors is made of, as `module name`.
SAFE_GLOBALS = re.compile(
    r"collections (OrderedDict|Counter)|__builtin__ set|builtins set"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\.nn\.parameter Parameter"
    r"|torch (Size|device|\w+Storage|u?int\d+|b?float\d+|bool)"
    r"|torch\.storage (Typed|Untyped)Storage"
)
UNSAFE_OPCODES = ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4")
MOST_TUPLES = 30_000  # a snapshot of XceptionBased has 8,000
MOST_VALUES = 1_000_000
NUM_LEGACY_PICKLES = 5  # magic number, version, system, value, names of the storages


class RefusedError(Exception):
    """A file holds what no checkpoint holds."""


def save_tensors(value: Any, path: Path) -> None:
    """Save tensors and plain Python values, atomically.

    Args:
        value: nested dicts and lists of tensors, numbers, strings and None; anything
            else could be saved, but not be read back.
        path: the file to write.

    Raises:
        OSError: the file cannot be written, or the disk is full.
    """
    try:
        write_atomically(path, lambda handle: torch.save(value, handle))
    except RuntimeError as error:
        # torch's writer reports a full disk as a wrong position in the file.
        reason = error.__context__ if isinstance(error.__context__, OSError) else error
        raise OSError(f"cannot write {path}: {reason}") from error


def load_tensors(path: Path) -> Any:
    """Load a file that `torch.save` wrote, to the CPU, as tensors and plain values.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, is damaged, or holds anything but data.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"the file {path} {what}")
    try:
        _check_archive(path)
        value = torch.load(path, map_location="cpu", weights_only=True)
        _check_size(value, {})
    except RefusedError as error:
        raise ValueError(f"refused to load {path}: {error}") from error
    # torch answers a damaged or hostile pickle with nearly any built-in error.
    except Exception as error:
        reason = f"it is damaged ({type(error).__name__})"
        raise ValueError(f"refused to load {path}: {reason}") from error
    return value


def _check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than its size, or asks for odd objects.

    Files of torch before 1.6 are no archives, but pickles with the tensors behind.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as handle:
            for _ in range(NUM_LEGACY_PICKLES):
                _check_pickle(handle)
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise RefusedError("it unpacks to more than its size")
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                with archive.open(entry) as handle:
                    _check_pickle(handle)


def _check_pickle(handle: IO[bytes]) -> None:
    """Refuse a pickle that asks for other objects than a dict of tensors needs.

    `weights_only` runs no code, but it makes a `bytearray` of any size asked for, and
    tuples nested deep enough to overflow the C stack when they are hashed.
    """
    num_tuples = 0
    for opcode, argument, _ in pickletools.genops(handle):
        if opcode.name == "GLOBAL" and not SAFE_GLOBALS.fullmatch(argument):
            raise RefusedError("it holds something other than tensors and plain values")
        num_tuples += opcode.name.startswith("TUPLE")
        if opcode.name in UNSAFE_OPCODES or num_tuples > MOST_TUPLES:
            raise RefusedError("it holds something other than tensors and plain values")


def _check_size(value: Any, sizes: dict[int, float]) -> float:
    """Return how many values there are, each shared one counted as often as it occurs.

    Refuses what takes little room in the file and much more in the memory: a tensor
    that repeats its numbers, and lists that hold each other many times over.
    """
    if isinstance(value, torch.Tensor):
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise RefusedError("it holds a tensor larger than its data")
        return 1
    if not isinstance(value, (dict, list, tuple, set)):
        return 1
    if id(value) not in sizes:
        sizes[id(value)] = math.inf  # met again before it is known: it holds itself
        children = (*value, *value.values()) if isinstance(value, dict) else value
        size = 1 + sum(_check_size(child, sizes) for child in children)
        if size > MOST_VALUES:
            raise RefusedError("its values hold each other too many times over")
        sizes[id(value)] = size
    return sizes[id(value)]
