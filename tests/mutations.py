"""Damage files: cut, flipped bits, spliced, filled, with a foreign head or tail."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable

MOST_FLIPS = 16


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


def mutate_member(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage the pickle within an archive of torch and make the archive whole again.

    Damage to an archive's bytes is mostly found by its checksums; this is not.
    """
    result = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as source,
        zipfile.ZipFile(result, "w") as target,
    ):
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith("data.pkl"):
                content = mutate(content, other, rng)
            target.writestr(entry.filename, content)
    return result.getvalue()


def _flip(data: bytes, end: int, rng: random.Random) -> bytes:
    """Flip a few bits before `end`."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, MOST_FLIPS)):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)
