"""Do slow things side by side in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch.utils.data import Dataset

SLOW = 0.003  # seconds; below, threads cost more than they gain
MAX_THREADS = 4  # each may hold an image of full size: 72 MB at 24 megapixels

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item]
) -> list[Result]:
    """Apply a function to each item; in threads after the first slow one.

    Pillow decodes and resizes outside Python's lock: large photographs gain, 256 x 256
    images are read faster one after another. There are at most four threads, and no
    more than PyTorch uses: one in a `DataLoader`'s worker process.

    Args:
        function: bears being called by several threads at once.
        items: what it is called with.

    Returns:
        The results in the order of the items.

    Raises:
        Exception: the first one, by the order of the items, that the function raises.
    """
    results: list[Result] = []
    num_threads = min(torch.get_num_threads(), MAX_THREADS)
    for item in items:
        start = time.perf_counter()
        results.append(function(item))
        if num_threads > 1 and time.perf_counter() - start > SLOW:
            break
    rest = items[len(results) :]
    if len(rest):
        with ThreadPoolExecutor(num_threads) as pool:
            results += pool.map(function, rest)
    return results


def read_samples(dataset: Dataset, indices: Sequence[int]) -> list[Any]:
    """Return a dataset's samples, read in threads if it has a true `reads_in_threads`.

    Only the dataset knows: a transform of the caller's may draw random numbers, or not
    bear threads at all.
    """
    if getattr(dataset, "reads_in_threads", False):
        return map_in_threads(dataset.__getitem__, indices)
    return [dataset[index] for index in indices]
