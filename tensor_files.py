"""Read and write files of tensors as data: nothing in them is ever run."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from files import write_atomically


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
    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # torch answers a damaged or hostile pickle with nearly any built-in error.
    except Exception as error:
        if "weights_only" in str(error) or "WeightsUnpickler" in str(error):
            reason = "it holds something other than tensors and plain values"
        else:
            reason = f"it is damaged ({type(error).__name__})"
        raise ValueError(f"refused to load {path}: {reason}") from error


def _check_archive(path: Path) -> None:
    """Refuse an archive that would unpack to more than its own size.

    Files of torch before 1.6, which are no archives, hold their tensors as they are.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return
    if unpacked > path.stat().st_size:
        raise ValueError(f"refused to load {path}: it unpacks to more than its size")
