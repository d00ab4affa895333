"""Pictures read by processes of their own, so that a GPU is kept busy."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import torch

from judging.pictures import Batch, PathDataset
from loading.batches import SteadyLoader, fit_into_shared_memory


def read_in_workers(
    dataset: PathDataset,
    batches: Iterable[Sequence[Path]],
    device: torch.device | str,
    workers: int | None,
) -> Iterator[Batch]:
    """Read batches of pictures as `load_pictures` says."""
    workers = fit_into_shared_memory(
        workers, lambda: dataset.batch_bytes, torch.device(device)
    )
    loader = SteadyLoader(dataset, batches, dataset.collate, workers=workers)
    return chain.from_iterable(loader)
