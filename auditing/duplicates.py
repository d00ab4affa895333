"""Find duplicates: images with equal bytes, equal pixels, or nearly equal ones."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from auditing.properties import SKETCH, Inspection
from hardware import show_progress

# Different aligned faces reach at most 0.74, copies at least 0.86: docs/audit.md.
MIN_SIMILARITY = 0.85
COARSE = 8  # frequencies in each direction, compared first
MIN_COARSE = 0.85
BLOCK = 2048  # images, compared with as many others at once


class Pair(NamedTuple):
    """Two images that show the same.

    Attributes:
        first, second: their indices in the inspection, first < second.
        kind: bytes, pixels, near or mirrored.
        similarity: correlation of the sketches; 1 for equal bytes or pixels.
    """

    first: int
    second: int
    kind: str
    similarity: float


def find_duplicates(inspection: Inspection) -> list[Pair]:
    """Find all pairs of images that show the same, the most similar first.

    Of several equal files, each is paired with the first, and only the first is
    compared with the other images.

    Source:
        Zauner 2010, the hash by a discrete cosine transform. Deviations: it compares
        the frequencies themselves, weighted by their distance from zero, not their
        signs, and 575 of them, not 63, because aligned faces share the lowest ones.
    """
    pairs, hashes = [], inspection.file_hashes
    groups = group_equal(inspection)
    for first, *others in groups:
        for other in others:
            kind = "bytes" if hashes[first] == hashes[other] else "pixels"
            pairs.append(Pair(first, other, kind, 1.0))
    one = np.array([group[0] for group in groups])
    if one.size:
        pairs += [
            pair._replace(first=int(one[pair.first]), second=int(one[pair.second]))
            for pair in _find_near(inspection.sketches[one])
        ]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair))


def group_equal(inspection: Inspection) -> list[list[int]]:
    """Return the indices of the images, those with the same pixels together."""
    groups = defaultdict(list)
    for index, pixel_hash in enumerate(inspection.pixel_hashes):
        groups[pixel_hash].append(index)
    return list(groups.values())


def _find_near(sketches: np.ndarray) -> Iterator[Pair]:
    """Yield the pairs of similar sketches (N, 24, 24), one of them mirrored or not."""
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
    """Yield the found pairs (M, 2) whose details are similar too."""
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

    Without weights the lowest few would decide, because a photo's power falls with the
    square of the frequency. The mean brightness gets weight 0.
    """
    numbers = np.arange(sketches.shape[1])
    weights = np.hypot(numbers[:, None], numbers)
    rows = (sketches * weights).reshape(-1, weights.size).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1)  # a flat image resembles none


def _get_mirror_signs(size: int) -> np.ndarray:
    """Return the factors (F * F,) by which mirroring changes the frequencies."""
    return np.tile(1 - 2 * (np.arange(size) % 2), size).astype(np.float32)
