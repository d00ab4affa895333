"""Find images that are there twice: to the byte, to the pixel, or nearly."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from auditing.properties import SKETCH, Inspection
from hardware import show_progress

# Different aligned faces reach 0.74, copies begin at 0.86: docs/audit.md.
MIN_SIMILARITY = 0.85
COARSE = 8  # frequencies in each direction that are compared first
MIN_COARSE = 0.85
BLOCK = 2048  # images compared with as many at once
KINDS = ("bytes", "pixels", "near", "mirrored")


class Pair(NamedTuple):
    """Two images that show the same.

    Attributes:
        first, second: their indices in the inspection, first < second.
        kind: one of `KINDS`.
        similarity: correlation of the sketches; 1 for equal bytes or pixels.
    """

    first: int
    second: int
    kind: str
    similarity: float


def find_duplicates(inspection: Inspection) -> list[Pair]:
    """Find all pairs of images that show the same.

    Where several files are equal, each is paired with the first of them, and only the
    first is compared with the other images.

    Args:
        inspection: of N images.

    Returns:
        The pairs, the most similar first.

    Source:
        Zauner 2010, the hash by a discrete cosine transform. Deviations: the
        frequencies themselves are compared, weighted by their distance from zero,
        rather than their signs; there are 575 rather than 63, as aligned faces are
        alike in the lowest.
    """
    pairs, rest = [], []
    for indices in group_equal(inspection):
        first, *others = indices
        rest.append(first)
        for other in others:
            is_equal = len({inspection.file_hashes[i] for i in (first, other)}) == 1
            pairs.append(Pair(first, other, "bytes" if is_equal else "pixels", 1.0))
    rest = np.array(rest)
    if rest.size:
        pairs += [
            pair._replace(first=int(rest[pair.first]), second=int(rest[pair.second]))
            for pair in _find_near(inspection.sketches[rest])
        ]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair))


def group_equal(inspection: Inspection) -> list[list[int]]:
    """Return the indices of the images that have the same pixels, group by group."""
    groups = defaultdict(list)
    for index, pixel_hash in enumerate(inspection.pixel_hashes):
        groups[pixel_hash].append(index)
    return list(groups.values())


def _find_near(sketches: np.ndarray) -> Iterator[Pair]:
    """Yield the pairs of similar sketches (N, 24, 24), as they are or mirrored."""
    coarse = _normalise(sketches[:, :COARSE, :COARSE])
    signs = _get_mirror_signs(COARSE)
    starts = range(0, len(sketches), BLOCK)
    for start in show_progress(starts, "compare"):
        rows = coarse[start : start + BLOCK]
        for other in range(start, len(sketches), BLOCK):
            columns = coarse[other : other + BLOCK].T
            for is_mirrored in (False, True):
                similarities = (rows * signs if is_mirrored else rows) @ columns
                found = np.argwhere(similarities > MIN_COARSE)
                found += np.array([start, other])
                found = found[found[:, 0] < found[:, 1]]
                yield from _confirm(sketches, found, is_mirrored=is_mirrored)


def _confirm(
    sketches: np.ndarray, found: np.ndarray, *, is_mirrored: bool
) -> Iterator[Pair]:
    """Yield those of the found pairs (M, 2) that are similar in the details too."""
    signs = _get_mirror_signs(SKETCH) if is_mirrored else 1
    for part in np.array_split(found, len(found) // BLOCK + 1):
        first, second = (_normalise(sketches[column]) for column in part.T)
        similarities = (first * signs * second).sum(axis=1)
        for row in np.flatnonzero(similarities >= MIN_SIMILARITY):
            kind = "mirrored" if is_mirrored else "near"
            similarity = round(float(similarities[row]), 3)
            yield Pair(*map(int, part[row]), kind, similarity)


def _normalise(sketches: np.ndarray) -> np.ndarray:
    """Weight frequencies (N, F, F) by their distance from zero; unit rows (N, F * F).

    Without the weights the few lowest would decide: the power of photos falls with the
    square of the frequency. The mean brightness gets the weight 0.
    """
    numbers = np.arange(sketches.shape[1])
    weights = np.hypot(numbers[:, None], numbers)
    rows = (sketches * weights).reshape(-1, weights.size).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1)  # a flat image is like none


def _get_mirror_signs(size: int) -> np.ndarray:
    """Return what mirroring left to right multiplies the frequencies by: (F * F,)."""
    return np.tile(1 - 2 * (np.arange(size) % 2), size).astype(np.float32)
