"""Damage files: their bytes, the records of an archive, or the values that they hold.

Each kind of damage is a function from a file's bytes, those of another file of its kind
and a random generator to bytes.
"""

import io
import json
import math
import random
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

MOST_FLIPS = 16
LONGEST = 10_000  # characters of a hostile string
MOST_PIECES = 20_000  # keys, values and commas of a JSON file

# --- bytes ---------------------------------------------------------------------------


def truncate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Keep the beginning, half of the time nearly all of it."""
    longest = len(data) - 1
    shortest = max(longest - 16, 0) if rng.random() < 0.5 else 0
    return data[: rng.randint(shortest, longest)]


def flip_bits(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Flip a few bits anywhere."""
    return _flip(data, len(data), rng)


def flip_header_bits(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Flip a few bits in the first bytes, where sizes and counts are."""
    return _flip(data, min(len(data), 64), rng)


def splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Put a piece of another file over, or between, the bytes."""
    start = rng.randrange(len(other))
    piece = other[start : start + rng.randint(1, 200)]
    place = rng.randrange(len(data))
    return data[:place] + piece + data[place + rng.choice((0, len(piece))) :]


def swap_head(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Begin as another file does."""
    length = rng.choice((2, 4, 8, 16, 64))
    return other[:length] + data[length:]


def fill(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Overwrite a few bytes with the largest or the smallest value."""
    place, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 8))
    return (
        data[:place] + rng.choice((b"\xff", b"\x00")) * length + data[place + length :]
    )


def drop(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Leave a piece out."""
    place = rng.randrange(len(data))
    return data[:place] + data[place + rng.randint(1, 64) :]


def repeat(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Write a piece twice."""
    place = rng.randrange(len(data))
    return data[:place] + data[max(place - rng.randint(1, 200), 0) :]


def empty(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Leave nothing."""
    return b""


MUTATIONS: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (
    truncate,
    flip_bits,
    flip_header_bits,
    splice,
    swap_head,
    fill,
    drop,
    repeat,
)


def mutate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage a file's bytes in one or two ways.

    Args:
        data: the file, not empty.
        other: another file, not empty, to take pieces from.
        rng: draws what is done.
    """
    if rng.random() < 0.01:
        return empty(data, other, rng)
    for change in rng.sample(MUTATIONS, rng.choice((1, 1, 2))):
        data = change(data, other, rng) or b"\x00"
    return data


def _flip(data: bytes, end: int, rng: random.Random) -> bytes:
    """Flip a few bits before `end`."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, MOST_FLIPS)):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


# --- archives ------------------------------------------------------------------------


def mutate_member(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage the pickle within an archive of torch and make the archive whole again.

    Damage to an archive's bytes is mostly found by its checksums; this is not.
    """
    return _pack(
        (name, mutate(content, other, rng) if name.endswith("data.pkl") else content)
        for name, content in _unpack(data)
    )


def mutate_records(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Rename, change, double or leave out a record; or write another file behind."""
    if rng.random() < 0.2:
        return data + other  # an archive is read from its end, a pickle from its start
    records = _unpack(data)
    place = rng.randrange(len(records))
    name, content = records[place]
    folder, _, last = name.rpartition("/")
    records[place : place + 1] = rng.choice(
        (
            [],
            [(f"{folder}/{last.upper()}", content)],
            [(rng.choice((last, f"../{name}", f"{name}\n", "x/data.pkl")), content)],
            [(name, content), (name, mutate(content, other, rng))],
            [(name, content), (f"{folder}/{last.upper()}", rng.choice(records)[1])],
            [(name, rng.choice((b"", b"big", b"0\n", b"9" * 30, other)))],
            [(name, rng.choice(records)[1])],
        )
    )
    return _pack(records, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def is_archive(data: bytes) -> bool:
    """Say whether a file is an archive, as torch writes them since 1.6."""
    return zipfile.is_zipfile(io.BytesIO(data))


def _unpack(data: bytes) -> list[tuple[str, bytes]]:
    """Return the records of an archive, each with its name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]


def _pack(
    records: Iterable[tuple[str, bytes]],
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """Write an archive, the same for the same records."""
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a record that is stored twice
        for name, content in records:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = compression
            archive.writestr(entry, content)
    return result.getvalue()


# --- values --------------------------------------------------------------------------

TEXTS = ("", "model", "SimpleNet", "NaN", "x\n\x1b[2K\r\x07", "\udc80", "x" * LONGEST)
NUMBERS = (True, 0, 1, -1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e-320, 1e38, 1e308)
KEYS = (*TEXTS, None, 0, 2**63, 0.5, True, b"x", (), (1, ("x",)), torch.Size([2]))
HOSTILE: tuple[Any, ...] = (
    *TEXTS,
    *NUMBERS,
    *(-1e308, math.nan, math.inf, -math.inf, None, b"x", 1j, torch.float32),
    *([], (), {}, set(), {"x"}, {None: None}, [[[]]], ["x"] * 3, [0.5] * LONGEST),
    *(torch.Size([2, 3]), torch.device("cpu"), torch.device("meta")),
    *(torch.tensor(1), torch.tensor(math.nan), torch.tensor(True), torch.tensor([])),
    *(torch.ones(2, 3), torch.ones(1).expand(2**40), torch.ones(1, device="meta")),
)


def _quantise(tensor: Tensor) -> Tensor:
    return torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8)


# Of a tensor of any shape and type, one that a reader may take for it.
TENSOR_CHANGES: tuple[Callable[[Tensor], Any], ...] = (
    *(Tensor.bool, Tensor.char, Tensor.long, Tensor.half, Tensor.double, Tensor.cfloat),
    *(Tensor.tolist, Tensor.to_sparse, _quantise, nn.Parameter, Tensor.numpy),
    lambda tensor: tensor.flatten()[:0],
    lambda tensor: tensor.sum(),
    lambda tensor: tensor[None],
    lambda tensor: tensor.flatten(),
    lambda tensor: tensor.flatten()[:1].expand(tensor.shape),
    lambda tensor: tensor.sum().expand(2**20, 2**20, *tensor.shape),
    lambda tensor: torch.ones(2**14).as_strided(tensor.shape, [2**9] * tensor.ndim),
    lambda tensor: torch.full_like(tensor.double(), math.nan),
    lambda tensor: torch.full_like(tensor.double(), -math.inf),
    lambda tensor: torch.full_like(tensor.double(), 3e38),  # float32's limit is near
    lambda tensor: torch.full_like(tensor.double(), 1e300),
)


def change_value(value: Any, rng: random.Random) -> Any:
    """Change a nested value in one to three places; its containers are changed.

    An entry is replaced, renamed, doubled, left out, or put into a container.
    """
    root = [value]
    for _ in range(rng.choice((1, 1, 2, 3))):
        container, key = rng.choice(list(_list_places(root, set())) or [(root, 0)])
        change = rng.choice((_replace, _replace, _replace, _rename, _drop, _nest))
        if container:
            change(container, key, rng)
    return root[0] if root else None


def _list_places(container: Any, seen: set[int]) -> Iterator[tuple[Any, Any]]:
    """Yield each entry within lists and dicts, as its container and its key."""
    if id(container) in seen or not isinstance(container, list | dict):
        return
    seen.add(id(container))
    for key in container if isinstance(container, dict) else range(len(container)):
        yield container, key
        yield from _list_places(container[key], seen)


def _replace(container: Any, key: Any, rng: random.Random) -> None:
    """Put a hostile value, another entry, or a changed tensor in an entry's place."""
    value = container[key]
    if isinstance(value, Tensor) and rng.random() < 0.7:
        container[key] = _change_tensor(value, rng)
    elif rng.random() < 0.1:
        others = container.values() if isinstance(container, dict) else container
        container[key] = rng.choice(list(others))
    else:
        container[key] = rng.choice(HOSTILE)


def _change_tensor(tensor: Tensor, rng: random.Random) -> Any:
    """Return another tensor, or a hostile value for one that cannot be changed so."""
    if tensor.numel() > LONGEST:  # it has been changed before, and would fill the disk
        return rng.choice(HOSTILE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some types are on their way out
            return rng.choice(TENSOR_CHANGES)(tensor)
    except (RuntimeError, TypeError):  # it is no such tensor any more
        return rng.choice(HOSTILE)


def _rename(container: Any, key: Any, rng: random.Random) -> None:
    """Give an entry another name, or one more; in a list, another place or one more."""
    value = container[key] if rng.random() < 0.5 else container.pop(key)
    if isinstance(container, list):
        container.insert(rng.randint(0, len(container)), value)
        return
    near = (f"{key}\n", f"module.{key}", str(key).upper(), str(key)[:-1])
    container[rng.choice((*KEYS, *near, *near))] = value


def _drop(container: Any, key: Any, rng: random.Random) -> None:
    """Leave an entry out."""
    del container[key]


def _nest(container: Any, key: Any, rng: random.Random) -> None:
    """Put an entry into a container, deep down at times, or a container into itself."""
    value = container[key]
    for _ in range(rng.choice((1, 1, 1, 40, 400))):
        value = rng.choice(([value], {key: value}, (value,), (value, value)))
    container[key] = container if rng.random() < 0.1 else value


def mutate_tensors(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Change what a file of `torch.save` holds, and save it in either format."""
    value = torch.load(io.BytesIO(data), weights_only=False)  # it is one of ours
    result, is_archive = io.BytesIO(), rng.random() < 0.7
    changed = change_value(value, rng)
    torch.save(changed, result, _use_new_zipfile_serialization=is_archive)
    return result.getvalue()


def mutate_json(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Change what a JSON file holds; the bytes where that is nothing JSON can say."""
    try:
        changed = change_value(json.loads(data), rng)
        pieces = json.JSONEncoder(default=repr, skipkeys=True).iterencode(changed)
        return "".join(islice(pieces, MOST_PIECES)).encode()  # it may hold itself often
    except (ValueError, RecursionError):
        return mutate(data, other, rng)
