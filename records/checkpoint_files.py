"""Checkpoints as files: weights and record, written and read."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from files.names import SAFE_SUFFIX, show
from files.safetensors_files import load_safetensors, save_safetensors
from files.tensors import guess_network, load_tensors, save_tensors, to_plain
from records.checkpoint import CheckpointRecord

_SUFFIXES = (".pt", ".pth", ".onnx", SAFE_SUFFIX)  # of detectors
_RECORD = "record"  # what a file of safetensors calls it


def save_with_record(
    path: Path, record: CheckpointRecord, output: Path | None = None
) -> None:
    """Save a checkpoint's weights with another record, whole or not at all.

    It goes to `output`, or else in place of the old one.

    Raises:
        OSError: the file cannot be written.
    """
    state, _ = read_checkpoint(path)
    save_checkpoint(state, record, output or path)


def save_checkpoint(
    state: Mapping[str, Any], record: CheckpointRecord, path: Path
) -> None:
    """Save a checkpoint; by its ending as a file of safetensors, else of torch.

    Raises:
        ValueError: the package safetensors is not installed.
        OSError: the file cannot be written.
    """
    if path.suffix == SAFE_SUFFIX:
        words = json.dumps(to_plain(record.to_dict()), allow_nan=False)
        save_safetensors(state, {_RECORD: words}, path)
    else:
        save_tensors({"model": state, **record.to_dict()}, path)


def read_checkpoint(path: str | Path) -> tuple[dict[str, Any], CheckpointRecord]:
    """Read a checkpoint that train_main.py, or the original exercise, wrote.

    Args:
        path: a file of torch, or by its ending one of safetensors (publish.py).

    Returns:
        The state dict, names to tensors on the CPU, and the record.

    Raises:
        FileNotFoundError: there is no such file; the message says how to make one.
        ValueError: the file is not a checkpoint, or is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no checkpoint {path}; train_main.py writes one, "
            "checkpoints/DATASET_MODEL_OPTIMIZER.pt"
        )
    if path.is_dir():
        found = [e for e in path.iterdir() if e.suffix in _SUFFIXES and e.is_file()]
        which = f"the file in it: {found[0]}" if len(found) == 1 else "a file in it"
        raise FileNotFoundError(f"the checkpoint {path} is a folder; name {which}")
    content = _load_content(path)
    parts = content if isinstance(content, dict) else {}
    if isinstance(parts.get("trainer"), dict):
        best = path.with_stem(re.sub(r"_last(?=(\.[0-9]+)?$)", "", path.stem))
        raise ValueError(
            f"{path} is the snapshot from which train_main.py --resume goes on; the "
            f"checkpoint of the best epoch is {best}"
        )
    if not isinstance(parts.get("model"), dict):
        raise ValueError(
            f"{path} is not a checkpoint of this suite: it has no entry 'model' with "
            f"weights, but {_describe_content(content)}; save another tool's weights "
            "under 'model'"
        )
    try:
        return parts["model"], CheckpointRecord.from_untrusted(parts)
    except ValueError as error:
        raise ValueError(f"cannot use the checkpoint {path}: {error}") from error


def _load_content(path: Path) -> Any:
    """Return what a file of torch holds, and the same of one of safetensors."""
    if path.suffix != SAFE_SUFFIX:
        return load_tensors(path)
    tensors, words = load_safetensors(path)
    try:
        record = json.loads(words.get(_RECORD, "{}"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"refused to load {path}: its record is not JSON") from error
    return {**(record if isinstance(record, dict) else {}), "model": tensors}


def _describe_content(content: Any) -> str:
    """Say where a foreign file has its weights, or else what it holds."""
    parts = content if isinstance(content, dict) else {}
    places = [("is a dict of weights", parts)]
    places += [(f"has weights under {show(name)}", parts[name]) for name in parts]
    for where, value in places:
        values = value.values() if isinstance(value, dict) else ()
        if any(isinstance(one, Tensor) for one in values):
            owner = guess_network(value)
            return f"{where}, which seem to be for {owner}" if owner else where
    names = ", ".join(sorted(map(show, parts))[:5])
    return f"entries such as {names}" if parts else f"a {type(content).__name__}"
