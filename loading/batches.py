"""From a dataset to batches on the device, ready for the model.

Images travel as uint8 and become normalised floats a batch at a time, on the device.
The order of the samples and their augmentation are functions of (seed, epoch, index)
alone: not of the number of workers, of what ran before, or of where a run resumed.
"""

import gc
import multiprocessing
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from hardware import distributed, write_beside_progress
from loading.augmentation import (
    AS_PUBLISHED,
    UNCHANGED,
    Augmentation,
    ChangedImages,
    crop_and_mirror,
    draw_crops,
    mix_parts,
)
from loading.preprocessing import Preprocessing, Resize

SHARED_MEMORY = Path("/dev/shm")  # through which Linux's workers pass their batches
PREFETCHED = 2  # batches that each worker prepares
PATIENCE_S = 300  # without a batch, after which the workers are held for lost
LOST_WORKERS = re.compile(r"DataLoader (worker|timed out)")  # in torch's error

_ORDER, _CROPS, _MIXING = 0, 1, 3  # separate random streams of one seed


class ResizeToTensor(Resize):
    """Turn a PIL image into uint8 (3, S, S), resized with antialiasing.

    The memory holds the pixels row by row, their channels side by side, as Pillow
    decodes them and as the channels-last format wants them: no byte is moved twice.
    """

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Return the image as a tensor."""
        return torch.from_numpy(super().__call__(image)).permute(2, 0, 1)


class BatchLoader:
    """Iterate over a dataset in batches that are ready for the model.

    Args:
        dataset: map-style; samples are uint8 (3, H, W) to be normalised here, or
            float tensors that are taken as they are.
        batch_size: images in a batch; over several processes together.
        preprocessing: normalises uint8 images (N, 3, H, W).
        device: where the batches go.
        seed: of the order and the augmentation.
        training: shuffle, and draw the augmentation anew in every epoch.
        augmentation: how the images are changed; by default as published when
            training, else not at all.
        workers: processes that read images; 0 reads in this process, None chooses
            what suits the device.
        alone: this process gets all of each batch, whatever others there are.
        weights: (N,) how often a sample is given in an epoch of N when training, on
            average; None: once each.

    Raises:
        ValueError: the workers need more shared memory than there is.

    Attributes:
        epoch, batch: where the next iteration begins when training: an epoch that was
            left halfway goes on. Without training, every iteration is the whole.
        batch_indices: int64 (n,), the samples of the batch that was given last.
        share: the weight of their mean loss in that of all processes' batch.

    Yields:
        images float32 (N, 3, H, W) in channels-last memory format, and labels
        int64 (N,), both on the device; where parts of images are mixed, the classes'
        shares float32 (N, 2) in place of labels. With several processes each gets its
        share of every batch, so that together they see each sample exactly once. A
        process that gets none keeps step with a stand-in: of share 0 in training,
        without its label in evaluation.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        preprocessing: Preprocessing | None = None,
        *,
        device: torch.device | str = "cpu",
        seed: int = 0,
        training: bool = False,
        augmentation: Augmentation | None = None,
        workers: int | None = None,
        alone: bool = False,
        weights: np.ndarray | None = None,
    ) -> None:
        self.dataset = dataset
        self.weights = weights
        self.alone = alone
        self.batch_size = batch_size
        self.preprocessing = preprocessing
        self.device = torch.device(device)
        self.seed = seed
        self.training = training
        self.epoch = 0
        self.batch = 0
        self.batch_indices = np.empty(0, dtype=np.int64)
        self.share = 1.0
        self.augmentation = augmentation or (AS_PUBLISHED if training else UNCHANGED)
        self.is_changed = self.augmentation.changes_images
        samples = dataset
        if self.is_changed:
            samples = ChangedImages(dataset, seed, self.augmentation)
        workers = fit_into_shared_memory(
            workers, lambda: batch_size * dataset[0][0].nbytes, self.device
        )
        self._loader = SteadyLoader(
            samples,
            (),  # set at each iteration
            collate,
            workers=workers,
            pin_memory=self.device.type == "cuda",
            persistent_workers=workers > 0,
        )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = np.random.default_rng([self.seed, self.epoch, _CROPS])
        draws = draw_crops(len(self.dataset), generator)
        # The loader runs ahead of the batches; this is a second iteration.
        self._loader.batch_sampler.batches = self._list_reads()
        for place, batch in zip(self.list_batches(), self._loader, strict=True):
            self.batch_indices, self.share = place
            images, labels = (t.to(self.device, non_blocking=True) for t in batch)
            if images.dtype == torch.uint8:
                if self.augmentation.style != "none":
                    images = crop_and_mirror(images, draws[self.batch_indices])
                if self.preprocessing is not None:
                    images = self.preprocessing.normalise(images)
            stream = [self.seed, self.epoch, _MIXING, self.batch]
            generator = np.random.default_rng(stream)
            if generator.random() < self.augmentation.cutmix:
                images, labels = mix_parts(images, labels, generator)
            if self.training:
                self.batch += 1
            elif not self.share:
                labels = labels[:0]
            yield images.contiguous(memory_format=torch.channels_last), labels
        if self.training:
            self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Return the position: the epoch and the batch that comes next."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go to a position that `state_dict` returned.

        Raises:
            ValueError: there is no such batch.
        """
        epoch, batch = state["epoch"], state["batch"]
        is_whole = type(epoch) is type(batch) is int
        if not (is_whole and epoch >= 0 and 0 <= batch <= len(self)):
            raise ValueError(f"there is no batch {batch!r:.20} in epoch {epoch!r:.20}")
        self.epoch, self.batch = epoch, batch

    def list_batches(self) -> Iterator[tuple[np.ndarray, float]]:
        """List what this process gets of each batch that is left in the epoch.

        Yields:
            Indices into the dataset, int64 (n,), and the weight of their mean loss in
            that of the whole batch, such that the average over the processes is
            exact. A process that gets nothing keeps step with a stand-in of weight 0.
        """
        order = self._draw_order() if self.training else np.arange(len(self.dataset))
        rank, num_processes = distributed.get_rank(), distributed.get_world_size()
        if self.alone:
            rank, num_processes = 0, 1
        for batch in range(self.batch, len(self)):
            everyones = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            indices = everyones[rank::num_processes]
            share = len(indices) * num_processes / len(everyones)
            if len(indices):
                yield indices, share
            else:
                yield everyones[:1], 0.0

    def _list_reads(self) -> Iterator[list[int] | list[tuple[int, int]]]:
        """List, for each batch that is left in the epoch, what the dataset is asked."""
        for indices, _ in self.list_batches():
            places = indices.tolist()
            yield [(self.epoch, i) for i in places] if self.is_changed else places

    def _draw_order(self) -> np.ndarray:
        """Return the epoch's samples in random order, int64 (N,).

        With weights they are drawn by systematic resampling: each appears as often as
        its weight says, rounded up or down.

        Source: Kitagawa, Monte Carlo filter and smoother, 1996, section 2.
        """
        generator = np.random.default_rng([self.seed, self.epoch, _ORDER])
        order = generator.permutation(len(self.dataset))
        if self.weights is None:
            return order
        ends = np.cumsum(self.weights[order])
        places = (np.arange(len(order)) + generator.random()) * ends[-1] / len(order)
        drawn = np.searchsorted(ends, places, side="right").clip(max=len(order) - 1)
        return generator.permutation(order[drawn])

    def describe_batch(self) -> str:
        """Return the names of the samples that were given last."""
        return ", ".join(name_sample(self.dataset, i) for i in self.batch_indices)


def name_sample(dataset: Dataset, index: int) -> str:
    """Return what a sample is called, by its number where the dataset names none."""
    get_name = getattr(dataset, "get_name", None)
    return get_name(index) if get_name else f"sample {index}"


class SteadyLoader(DataLoader):
    """A loader whose workers Ctrl-C cannot reach, and that goes on without them.

    Workers may be killed where memory runs out, and may hang from the start: they are
    copies of a process whose other threads could hold a lock. The batches that they
    owe are then read in this process, and the next iteration starts new ones.

    It takes what `DataLoader` takes; `workers` are processes that read.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_sampler: Iterable[Sequence[Any]],
        collate_fn: Callable[[Sequence[Any]], Any],
        *,
        workers: int,
        **options: Any,
    ) -> None:
        super().__init__(
            dataset,
            batch_sampler=_Remembered(batch_sampler),
            collate_fn=collate_fn,
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            timeout=PATIENCE_S if workers else 0,
            worker_init_fn=prepare_worker,
            generator=torch.Generator(),  # leave the global random state alone
            **options,
        )

    def __iter__(self) -> Iterator[Any]:
        try:
            with _waiting_for_workers():
                batches = super().__iter__()
            _hold_handler_back()
            while True:
                with _waiting_for_workers():
                    _check_workers(getattr(batches, "_workers", ()))
                    batch = next(batches, None)
                if batch is None:
                    return
                self.batch_sampler.owed.popleft()
                yield batch
        except Exception as error:
            self._end_workers()
            if not _tells_of_lost_workers(error):
                raise
            reason = str(error).partition("\n")[0] or type(error).__name__
        write_beside_progress(
            f"note: a process that reads images is lost ({reason}); this one reads on"
        )
        for indices in self.batch_sampler.take_over():
            yield self.collate_fn(_read(self.dataset, indices))

    def _end_workers(self) -> None:
        """End the workers that torch's iterator would use again.

        An error's traceback keeps the iterator in a cycle. Where that is collected,
        its queues are closed before it can tell the workers to end, and it waits five
        seconds for each.
        """
        iterator, self._iterator = self._iterator, None
        if iterator is not None:
            with suppress(RuntimeError):  # torch's, of one that was killed
                iterator._shutdown_workers()


_waits = False  # for a worker


@contextmanager
def _waiting_for_workers() -> Iterator[None]:
    """Let torch raise that a worker is dead here, and nowhere else.

    Its handler of SIGCHLD raises wherever the program is, in the middle of a training
    step, too.
    """
    global _waits
    _waits = True
    try:
        yield
    finally:
        _waits = False


def _check_workers(workers: Iterable[multiprocessing.Process]) -> None:
    """Raise as torch does if one died since it was waited for the last time."""
    for worker in workers:
        if not worker.is_alive():
            code = worker.exitcode
            raise RuntimeError(f"DataLoader worker (pid {worker.pid}) ended: {code}")


def _hold_handler_back() -> None:
    """Wrap torch's handler, which it sets when the first workers start."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    if not is_main or getattr(handler, "__module__", None) != signal_handling.__name__:
        return

    def raise_while_waiting(signum: int, frame: Any) -> None:
        if _waits:
            handler(signum, frame)

    signal.signal(signal.SIGCHLD, raise_while_waiting)


def _tells_of_lost_workers(error: Exception) -> bool:
    """Say whether an error is not the dataset's own, which names itself as caught.

    Torch says that a worker is dead, or its connection breaks before torch sees that.
    """
    if isinstance(error, ConnectionError | EOFError):
        return not str(error).startswith("Caught ")
    return isinstance(error, RuntimeError) and bool(LOST_WORKERS.match(str(error)))


class _Remembered:
    """The next iteration's batches of indices, of which it is known which are owed."""

    def __init__(self, batches: Iterable[Sequence[Any]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Sequence[Any]]:
        self._left, self.owed = iter(self.batches), deque()
        for batch in self._left:
            self.owed.append(batch)
            yield batch

    def take_over(self) -> Iterator[Sequence[Any]]:
        """Return all that are owed, and those that nobody asked for yet."""
        return chain(self.owed, self._left)


def _read(dataset: Dataset, indices: Sequence[Any]) -> Sequence[Any]:
    """Return a batch's samples as a worker reads them."""
    if hasattr(dataset, "__getitems__"):
        return dataset.__getitems__(indices)
    return [dataset[index] for index in indices]


def collate(samples: Sequence[tuple[Any, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack samples into images (N, 3, H, W) and labels int64 (N,).

    The images keep the channels-last memory that the decoder wrote, where a plain
    `torch.stack` would move every byte twice.
    """
    images = torch.stack([image.permute(1, 2, 0) for image, _ in samples])
    labels = torch.tensor([label for _, label in samples], dtype=torch.int64)
    return images.permute(0, 3, 1, 2), labels


def _choose_workers(device: torch.device | str) -> int:
    """Return how many processes read images.

    A CPU that trains has no core to spare for other processes; a GPU needs several to
    keep it fed, and shares the cores with the machine's other GPUs.
    """
    cores = (os.cpu_count() or 2) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return 0 if torch.device(device).type == "cpu" else min(8, max(cores - 1, 1))


def fit_into_shared_memory(
    wanted: int | None, count_bytes: Callable[[], int], device: torch.device | str
) -> int:
    """Return how many workers to start; with too little memory they would hang.

    Args:
        wanted: None chooses what suits the device.
        count_bytes: returns how many a batch's images have; called only where
            workers are wanted.

    Raises:
        ValueError: so many were asked for, and their batches do not fit.
    """
    workers = _choose_workers(device) if wanted is None else wanted
    if not workers or not SHARED_MEMORY.is_dir():
        return workers
    system = os.statvfs(SHARED_MEMORY)
    free = system.f_bavail * system.f_frsize
    batch = count_bytes()
    fitting = max(free // batch - 1, 0) // PREFETCHED  # one batch is in use
    if wanted is None or wanted <= fitting:
        return min(workers, fitting)
    needed = (PREFETCHED * wanted + 1) * batch
    raise ValueError(
        f"{wanted} workers pass {needed / 1e6:.0f} MB of images through "
        f"{SHARED_MEMORY}, where {free / 1e6:.0f} MB are free: give --workers "
        f"{fitting}, or more of it (docker run --shm-size=1g)"
    )


def prepare_worker(worker: int) -> None:
    """Keep a worker from garbage of the main process, and out of reach of its signals.

    An earlier loader that is collected in a worker would wait for workers that are not
    its own. A terminal's Ctrl-C, or `timeout`, would end the workers with which the
    main process is to finish its step before it saves.
    """
    gc.freeze()
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    else:  # on Windows Ctrl-C goes to all processes of a terminal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
