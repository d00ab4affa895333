"""Files of tensors read as data, and state dicts fitted to a model.

A file may come from a stranger. `torch.load(weights_only=True)` runs none of its code,
but a few bytes can make it take gigabytes, or overflow the C stack: so the file is
checked first, through torch's own reader. One attack remains: if Python's `zipfile`
sees other entries than torch does, an archive may unpack to a thousand times its size.
"""

import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from files.atomic import write_atomically
from files.kinds import STAND_INS

# What dicts of dense tensors of real numbers are made of, as `module name`.
SAFE_GLOBALS = re.compile(
    r"collections (OrderedDict|Counter)|__builtin__ set|builtins set"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter)"
    r"|torch (Double|Float|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage"
    r"|torch (Size|device|u?int\d+|b?float\d+|bool)"
)

MOST_TUPLES = 30_000  # a snapshot of XceptionBased has 8,000
MOST_LEVELS, MOST_VALUES = 32, 1_000_000  # levels of nesting, values on one level
# Prefixes that DataParallel and torch.compile put before all names.
WRAPPERS = ("module.", "_orig_mod.")
NUM_LEGACY_PICKLES = 5  # magic number, version, system, value, names of the storages
# Files often found in place of one of torch, by their first bytes.
OTHER_KINDS = {
    **STAND_INS,
    rb"\s*[\[{]": "JSON, as a history is, not a checkpoint",
    rb"\x89HDF": "a Keras file (HDF5), not one of PyTorch",
    rb".{8}\{\s*\"": "a file of safetensors: let its name end in .safetensors",
    rb"\x08[\x03-\x0f]\x12": "an ONNX file, not one of PyTorch",
    rb"\x89PNG|\xff\xd8\xff|RIFF|.{4}ftyp": "a picture or a video, not a checkpoint",
}


class RefusedError(Exception):
    """A file holds something that does not belong into a checkpoint."""


def save_tensors(value: Any, path: str | Path) -> None:
    """Save tensors and plain Python values, atomically.

    Args:
        value: nested dicts and lists of tensors, numbers, strings and None; anything
            else could be saved but not read back.
        path: the file to write.

    Raises:
        OSError: the file cannot be written, or the disk is full.
    """
    try:
        write_atomically(path, lambda handle: torch.save(value, handle))
    except RuntimeError as error:
        # torch's writer reports whatever stopped it as a wrong position in the file.
        reason = error.__context__ or error
        if not isinstance(reason, Exception):  # Ctrl-C
            raise reason from None
        raise OSError(f"cannot write {path}: {reason}") from error


def to_plain(value: Any) -> Any:
    """Return a value with lists in place of tensors, for JSON.

    Each number is as short as float32 allows.
    """
    if isinstance(value, dict):
        return {name: to_plain(part) for name, part in value.items()}
    if isinstance(value, Tensor):
        value = value.float().numpy()
    if isinstance(value, np.ndarray):
        short = [float(str(number)) for number in value.ravel()]
        return np.array(short).reshape(value.shape).tolist()
    return value


def load_tensors(path: str | Path) -> Any:
    """Load a file that `torch.save` wrote, to the CPU, as tensors and plain values.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file, is damaged, or holds more than data.
    """
    path = Path(path)
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"the file {path} {problem}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what is refused anyway
            _check_file(path)
            value = torch.load(path, map_location="cpu", weights_only=True)
        _check_nesting(value)
    except RefusedError as error:
        raise ValueError(f"refused to load {path}: {error}") from error
    # torch answers a damaged or hostile pickle with nearly any built-in error.
    except Exception as error:
        reason = _name_other_kind(path) or (
            f"it is damaged, or not a file of torch ({type(error).__name__})"
        )
        raise ValueError(f"refused to load {path}: {reason}") from error
    return value


def _name_other_kind(path: Path) -> str | None:
    """Say what a file is instead of one of torch; None if that is unknown."""
    with path.open("rb") as file:
        start = file.read(1000)
    for signature, kind in OTHER_KINDS.items():
        if re.match(signature, start, re.DOTALL):
            return f"it is {kind}"
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # damaged in any way
        names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            return "it is a TorchScript program: save its state_dict()"
        if not any(name.lower().endswith("data.pkl") for name in names):
            return f"it is a ZIP archive of other files ({_list_some(names)})"
    return None if start.strip() else "the file is empty"


def _check_file(path: Path) -> None:
    """Check the pickles that torch will read, in the container that it will see.

    Files of torch before 1.6 are not archives but pickles, followed by the tensors.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # by which torch tells them apart
            file.seek(0)
            for _ in range(NUM_LEGACY_PICKLES):
                _check_pickle(file)
            return
    with zipfile.ZipFile(path) as archive:
        sizes = [entry.file_size for entry in archive.infolist()]
    if sum(sizes) > path.stat().st_size:
        raise RefusedError("it unpacks to more than its size")
    reader = torch._C.PyTorchFileReader(str(path))  # which finds DATA.PKL as well
    _check_pickle(io.BytesIO(reader.get_record("data.pkl")))


def _check_pickle(file: IO[bytes]) -> None:
    """Refuse a pickle that asks for objects that a dict of tensors does not need.

    Some that torch allows, such as `bytearray`, take any amount of memory, and tuples
    can be nested deeply enough to overflow the C stack when they are hashed.
    """
    num_tuples = 0
    for opcode, argument, _ in pickletools.genops(file):
        is_odd = opcode.name == "GLOBAL" and not SAFE_GLOBALS.fullmatch(argument)
        num_tuples += opcode.name.startswith("TUPLE")
        if is_odd or num_tuples > MOST_TUPLES:
            raise RefusedError(
                "it holds something other than tensors and plain values, such as a "
                "whole network or TorchScript: save its state_dict()"
            )


def _check_nesting(value: Any) -> None:
    """Refuse containers nested more deeply, or more often, than a checkpoint's.

    A small file can hold lists that are endless when printed or copied.
    """
    level = [value]
    for _ in range(MOST_LEVELS):
        containers = [v for v in level if isinstance(v, dict | list | tuple | set)]
        if sum(map(len, containers)) > MOST_VALUES:
            break
        level = list(chain.from_iterable(containers))
        level += chain(*(c.values() for c in containers if isinstance(c, dict)))
        if not level:
            return
    raise RefusedError("its values hold each other too many times over")


def load_model_state(
    model: nn.Module, state_dict: object, name: str = "this network"
) -> None:
    """Load a checkpoint's state dict into a network, or refuse it and change nothing.

    Accepts what `canonical_state_dict` does, and files without the batch-norm layers'
    counters of batches.

    Args:
        model: as `models.build_model` returns it.
        state_dict: names to tensors, as `load_tensors` returns it.
        name: what the network is called.

    Raises:
        ValueError: saying in one line which tensors do not fit, and which network they
            seem to be for.
    """
    own = model.state_dict()
    weights = canonical_state_dict(state_dict, own)
    try:
        check_keys(weights, own)
        check_tensors(weights, own)
    except ValueError as error:
        owner = guess_network(weights)
        hint = f" (they seem to be for {owner})" if owner not in (None, name) else ""
        raise ValueError(f"these weights do not fit {name}{hint}: {error}") from error
    model.load_state_dict(weights, strict=False)


def guess_network(keys: Iterable[object]) -> str | None:
    """Return which network weights seem to be for, by their names; None for others."""
    names = list(map(str, keys))
    if any(name.endswith("block12.rep.1.pointwise.weight") for name in names):
        has_head = any(re.search(r"(last_linear|fc)\.\d", name) for name in names)
        return "XceptionBased" if has_head else "a plain Xception (see --weights)"
    layers = {".".join(name.split(".")[-2:]) for name in names}
    return "SimpleNet" if {"fc3.weight", "conv3.weight"} <= layers else None


def canonical_state_dict(
    state_dict: object, own: Mapping[str, Tensor]
) -> dict[str, object]:
    """Bring a state dict to the spelling that a network uses.

    Args:
        state_dict: names to tensors. The prefixes of `WRAPPERS` go; 2-D weights
            become 4-D where the network's are; `fc.*` becomes `last_linear.*` for a
            network that has layers of this name and none called `fc`.
        own: the network's own.

    Raises:
        ValueError: it is not a dict with names, or two spellings collide.
    """
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"expected a dict of tensors, got {type(state_dict).__name__}")
    if not all(isinstance(name, str) for name in state_dict):
        raise ValueError("expected a dict of tensors by name, got other keys")
    prefix = ""
    for wrapper in WRAPPERS:
        if state_dict and all(n.startswith(prefix + wrapper) for n in state_dict):
            prefix += wrapper
    layers = {name.partition(".")[0] for name in own}
    is_renamed = "last_linear" in layers and "fc" not in layers
    renamed: dict[str, object] = {}
    for name, value in state_dict.items():
        name = name.removeprefix(prefix)
        name = re.sub(r"^fc\.", "last_linear.", name) if is_renamed else name
        if name in renamed:
            raise ValueError(f"two tensors for {_list_some([name])}")
        is_flat = getattr(value, "ndim", None) == 2
        if is_flat and getattr(own.get(name), "ndim", None) == 4:
            value = value[:, :, None, None]
        renamed[name] = value
    return renamed


def check_keys(weights: Mapping[str, object], own: Mapping[str, Tensor]) -> None:
    """Refuse (ValueError) missing and unexpected names, batch counters excepted."""
    missing = [k for k in own if k not in weights and "num_batches_tracked" not in k]
    unexpected = [k for k in weights if k not in own]
    problems = [
        f"{len(keys)} of {len(whole)} tensors {kind} ({_list_some(keys)})"
        for keys, whole, kind in (
            (missing, own, "missing"),
            (unexpected, weights, "unexpected"),
        )
        if keys
    ]
    if problems:
        raise ValueError(", ".join(problems))


def check_tensors(weights: Mapping[str, object], own: Mapping[str, Tensor]) -> None:
    """Refuse (ValueError) tensors of other shapes or types, or with NaN or infinity."""
    for name, value in weights.items():
        target = own[name]
        if not isinstance(value, Tensor) or value.ndim != target.ndim:
            raise ValueError(f"{name} is not a {target.ndim}-D tensor of numbers")
        if value.shape != target.shape:
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}, not {tuple(target.shape)}"
            )
        if value.is_floating_point() != target.is_floating_point():
            raise ValueError(f"{name} holds {value.dtype}, not {target.dtype}")
        if not torch.isfinite(value.to(target.dtype)).all():
            raise ValueError(f"{name} holds NaN or infinite values")


def _list_some(names: list[str]) -> str:
    """Name up to three, each on one line and cut short."""
    shown = ", ".join(name.encode("unicode_escape").decode()[:60] for name in names[:3])
    return shown if len(names) <= 3 else f"{shown}, ..."


def to_tensors(value: Any) -> Any:
    """Return a value with tensors in the place of its arrays, as files hold them."""
    if isinstance(value, dict):
        return {name: to_tensors(part) for name, part in value.items()}
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
