"""Files of tensors read as data, and state dicts fitted to a model."""

from __future__ import annotations

import math
import pickletools
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from files.atomic import write_atomically

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


def load_model_state(model: nn.Module, state_dict: object) -> None:
    """Load a checkpoint's state dict into a model, or refuse it and change nothing.

    Accepts `fc.*` for `last_linear.*`, a `module.` prefix (DataParallel), 2-D pointwise
    weights, and files without the batch-norm layers' counters of batches.

    Args:
        model: as `build_model` returns it.
        state_dict: names to tensors; untrusted.

    Raises:
        ValueError: saying in one line which tensors do not fit, and for which model
            they seem to be.
    """
    own = model.state_dict()
    given = canonical_state_dict(state_dict, own)
    name = getattr(model, "name", type(model).__name__)
    _check_same_model(given, name)
    try:
        check_keys(given, own)
        check_tensors(given, own)
    except ValueError as error:
        raise ValueError(f"these weights do not fit {name}: {error}") from error
    model.load_state_dict(given, strict=False)


def _check_same_model(given: Mapping[str, object], name: str) -> None:
    """Tell the weights of the other model, or plain ImageNet weights, by their keys."""
    owner = name
    if "block12.rep.1.pointwise.weight" in given:
        head = any(re.match(r"last_linear\.\d", key) for key in given)
        owner = "XceptionBased" if head else "a plain ImageNet Xception (see --weights)"
    elif "fc3.weight" in given and "conv3.weight" in given:
        owner = "SimpleNet"
    if owner != name:
        raise ValueError(f"these weights are for {owner}, not {name}")


def canonical_state_dict(
    state_dict: object, own: Mapping[str, Tensor]
) -> dict[str, object]:
    """Bring the spellings in use to the one that the model uses.

    Args:
        state_dict: names to tensors; untrusted. `fc.*` becomes `last_linear.*`, a
            `module.` prefix of all names goes, 2-D pointwise weights become 4-D.
        own: the model's own state dict.

    Raises:
        ValueError: when it is no dict with names, or two spellings collide.
    """
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"expected a dict of tensors, got {type(state_dict).__name__}")
    if not all(isinstance(name, str) for name in state_dict):
        raise ValueError("expected a dict of tensors by name, got other keys")
    wrapped = all(name.startswith("module.") for name in state_dict)
    renamed: dict[str, object] = {}
    for name, value in state_dict.items():
        name = name.removeprefix("module.") if wrapped else name
        name = re.sub(r"^fc\.", "last_linear.", name)
        if name in renamed:
            raise ValueError(f"two tensors for {short_list([name])}")
        target = own.get(name) if name.endswith("pointwise.weight") else None
        if target is not None and target.ndim == 4 and _is_dense(value, ndim=2):
            value = value[:, :, None, None]
        renamed[name] = value
    return renamed


def check_keys(given: Mapping[str, object], own: Mapping[str, Tensor]) -> None:
    """Refuse (ValueError) names that lack or are too many; batch counters may lack."""
    missing = [
        key for key in own if key not in given and "num_batches_tracked" not in key
    ]
    unexpected = [key for key in given if key not in own]
    problems = [
        f"{len(keys)} of {len(whole)} tensors {kind} ({short_list(keys)})"
        for keys, whole, kind in (
            (missing, own, "missing"),
            (unexpected, given, "unexpected"),
        )
        if keys
    ]
    if problems:
        raise ValueError(", ".join(problems))


def check_tensors(given: Mapping[str, object], own: Mapping[str, Tensor]) -> None:
    """Refuse (ValueError) what is no tensor, of another shape, or not finite."""
    for name, value in given.items():
        target = own[name]
        if not _is_dense(value, target.ndim):
            raise ValueError(f"{name} is no dense {target.ndim}-D tensor of numbers")
        if value.shape != target.shape:
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}, not {tuple(target.shape)}"
            )
        if not torch.isfinite(value.to(target.dtype)).all():
            raise ValueError(f"{name} holds NaN or infinite values")


def _is_dense(value: object, ndim: int) -> bool:
    """Sparse, quantised, complex and meta tensors have no place in these models."""
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    odd = value.is_quantized or value.is_complex() or value.is_meta
    return not odd and value.ndim == ndim


def short_list(names: Iterable[str]) -> str:
    """Name the first three, each on one line and cut short."""
    names = list(names)
    shown = ", ".join(name.encode("unicode_escape").decode()[:60] for name in names[:3])
    return shown if len(names) <= 3 else f"{shown}, ..."
