"""Batches are functions of (seed, epoch, index) alone, and lose no sample."""

import gc
import os
import pickle
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, _utils

from faces_dataset import FacesDataset, ResizeToTensor
from hardware import distributed
from loading import batches
from loading.augmentation import Augmentation, crop_and_mirror, draw_crops
from loading.batches import SHARED_MEMORY, BatchLoader, collate
from loading.preprocessing import Preprocessing

# Shows where it was applied: halves.
HALVE = Preprocessing(mean=(0.0, 0.0, 0.0), std=(2 / 255, 2 / 255, 2 / 255))


def make_samples(num_samples: int, size: int = 12) -> list[tuple[torch.Tensor, int]]:
    """Samples of noise; the first pixel's first channel tells the index."""
    generator = torch.Generator().manual_seed(0)
    shape = (num_samples, 3, size, size)
    images = torch.randint(0, 256, shape, generator=generator).to(torch.uint8)
    return [(image, index % 2) for index, image in enumerate(images)]


def as_list(loader: BatchLoader) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(images.clone(), labels.clone()) for images, labels in loader]


def assert_equal_batches(first: list, second: list) -> None:
    for batch, other in zip(first, second, strict=True):
        assert all(map(torch.equal, batch, other))


def make_loader(
    samples: Dataset, batch_size: int, *, epoch: int = 0, batch: int = 0, seed: int = 0
) -> BatchLoader:
    """A training loader at a position."""
    loader = BatchLoader(samples, batch_size, seed=seed, training=True)
    loader.load_state_dict({"epoch": epoch, "batch": batch})
    return loader


@pytest.fixture
def dataset(faces_root) -> FacesDataset:
    return FacesDataset(faces_root / "train", ResizeToTensor())


def test_batch_loader_evaluation_gives_every_sample_in_order(dataset):
    loader = BatchLoader(dataset, 4, HALVE)
    batches = as_list(loader)
    assert len(loader) == len(batches) == 3
    assert [len(labels) for _, labels in batches] == [4, 4, 1]
    images = torch.cat([images for images, _ in batches])
    expected = torch.stack([image for image, _ in dataset]).float() / 2
    assert torch.equal(images, expected)
    assert torch.cat([labels for _, labels in batches]).tolist() == [0] * 5 + [1] * 4
    next(iter(loader))
    assert loader.state_dict() == {"epoch": 0, "batch": 0}
    assert len(as_list(loader)) == 3


def test_batch_loader_training_sees_each_sample_once_an_epoch():
    loader = BatchLoader(make_samples(23), 5, training=True)
    for _ in range(3):
        seen = [loader.batch_indices.tolist() for _ in loader]
        assert sorted(index for indices in seen for index in indices) == list(range(23))
        assert [len(indices) for indices in seen] == [5, 5, 5, 5, 3]


@pytest.mark.parametrize("style", ["published", "none"])
def test_batch_loader_training_augments_the_chosen_samples(dataset, style):
    options = {"seed": 3, "training": True, "augmentation": Augmentation(style)}
    loader = BatchLoader(dataset, 4, HALVE, **options)
    draws = draw_crops(len(dataset), np.random.default_rng([3, 0, 1]))
    for images, labels in loader:
        expected, expected_labels = collate([dataset[i] for i in loader.batch_indices])
        if style == "published":
            expected = crop_and_mirror(expected, draws[loader.batch_indices])
        assert torch.equal(images, expected.float() / 2)
        assert torch.equal(labels, expected_labels)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)


IGNORE_FORK = pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning",
    "ignore:This DataLoader will create:UserWarning",
)


@IGNORE_FORK
@pytest.mark.skipif(not hasattr(os, "getpgid"), reason="another system")
def test_batch_loader_workers_are_out_of_reach_of_ctrl_c():
    class Groups(Dataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return torch.full((3, 1, 1), float(os.getpgid(0))), 0

    ((groups, _),) = BatchLoader(Groups(), 1, workers=1)
    assert groups[0, 0, 0, 0] != os.getpgid(0)


class Unsteady(Dataset):
    """Ten samples; a worker is killed, or hangs, where it reads the fifth."""

    def __init__(self, lose: Callable[[], object]) -> None:
        self.samples = make_samples(10)
        self.lose = lose
        self.parent = os.getpid()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 4 and os.getpid() != self.parent:
            self.lose()
        return self.samples[index]


@pytest.mark.slow
@IGNORE_FORK
# Of the connection to a worker that was killed while it sent.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("end", "training"), [("is killed", False), ("is killed", True), ("hangs", True)]
)
def test_batch_loader_outlives_its_workers(end, training, monkeypatch, capsys):
    monkeypatch.setattr(batches, "PATIENCE_S", 1)
    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.1)  # s, to end a worker
    lose = {
        "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "hangs": lambda: time.sleep(60),
    }[end]
    unsteady = Unsteady(lose)
    loader = BatchLoader(unsteady, 2, seed=5, training=training, workers=2)
    twice = as_list(loader) + as_list(loader)
    steady = BatchLoader(unsteady.samples, 2, seed=5, training=training)
    assert_equal_batches(twice, as_list(steady) + as_list(steady))
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 2
    assert all("note: a process that reads images is lost" in note for note in notes)


@IGNORE_FORK
@pytest.mark.skipif(not hasattr(os, "waitid"), reason="another system")
def test_batch_loader_lost_worker_does_not_interrupt_what_goes_on_meanwhile(capsys):
    dataset = make_samples(40)
    loader, given = BatchLoader(dataset, 2, workers=2), []
    for batch in loader:
        given.append(batch)
        if len(given) == 2:
            worker = loader._loader._iterator._workers[0]
            worker.kill()
            # A step of training, in which torch's error would come.
            os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
            time.sleep(0.05)
    assert_equal_batches(given, as_list(BatchLoader(dataset, 2, workers=0)))
    assert capsys.readouterr().err.startswith("note: a process that reads images is l")


@IGNORE_FORK
@pytest.mark.parametrize("kind", [RuntimeError, ConnectionResetError])
def test_batch_loader_error_of_the_dataset_ends_workers_and_is_not_read_around(kind):
    def fail() -> None:
        raise kind("the disk is gone")

    loader, workers = BatchLoader(Unsteady(fail), 2, workers=2), []
    with pytest.raises(kind, match="the disk is gone"):
        for _ in loader:
            workers = loader._loader._iterator._workers
    assert [worker.is_alive() for worker in workers] == [False, False]


class Garbage:
    """Writes a file when it is collected; a reference to itself keeps it until then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.itself = self

    def __del__(self) -> None:
        self.path.touch()


@IGNORE_FORK
def test_batch_loader_workers_collect_nothing_of_the_main_process(tmp_path):
    gc.disable()
    try:
        Garbage(tmp_path / "collected")
        as_list(BatchLoader(Unsteady(gc.collect), 5, workers=1))
        assert not (tmp_path / "collected").exists()
    finally:
        gc.enable()
    gc.collect(0)  # the youngest: a test that ran after many has much to look at
    assert (tmp_path / "collected").exists()


def test_worker_without_process_groups_ignores_ctrl_c_as_on_windows(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.delattr(os, "setpgid", raising=False)
    try:
        batches.prepare_worker(0)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("style", ["published", "robust"])
def test_what_workers_get_can_be_sent_to_a_process_that_is_spawned(dataset, style):
    augmentation = Augmentation(style, self_blend=0.5)
    loader = BatchLoader(dataset, 2, training=True, augmentation=augmentation)
    sent = loader._loader
    parts = sent.dataset, sent.collate_fn, sent.worker_init_fn
    samples, stack, prepare = pickle.loads(pickle.dumps(parts))
    assert (stack, prepare) == (collate, batches.prepare_worker)
    place = (0, 1) if loader.is_changed else 1
    image, label = samples[place]
    assert torch.equal(image, sent.dataset[place][0])
    assert label == sent.dataset[place][1]


@pytest.mark.slow
@IGNORE_FORK
def test_batch_loader_changed_images_do_not_depend_on_workers_or_resumption(dataset):
    everything = Augmentation("robust", self_blend=0.5, cutmix=0.5)
    options, whole = {"seed": 5, "training": True, "augmentation": everything}, {}
    for workers in (0, 2):
        loader = BatchLoader(dataset, 2, HALVE, **options, workers=workers)
        whole[workers] = as_list(loader) + as_list(loader)
        loader.load_state_dict({"epoch": 1, "batch": 2})
        assert_equal_batches(as_list(loader), whole[workers][7:])
    assert_equal_batches(whole[0], whole[2])
    kinds = {labels.ndim for _, labels in whole[0]}
    assert kinds == {1, 2}  # plain batches and mixed ones
    assert not torch.equal(whole[0][0][0], whole[0][5][0])


def test_batch_loader_evaluation_repeats_its_self_blended_images(dataset):
    augmentation = Augmentation("none", self_blend=1.0)
    loader = BatchLoader(dataset, 4, HALVE, augmentation=augmentation)
    first, plain = as_list(loader), as_list(BatchLoader(dataset, 4, HALVE))
    assert_equal_batches(first, as_list(loader))
    images, labels = (torch.cat(part) for part in zip(*first, strict=True))
    others = torch.cat([images for images, _ in plain])
    assert torch.equal((images == others).all(dim=(1, 2, 3)), labels == 0)


@IGNORE_FORK
@pytest.mark.parametrize("workers", [0, 1])
def test_batch_loader_left_halfway_goes_on_there(dataset, workers):
    loader = BatchLoader(dataset, 2, seed=5, training=True, workers=workers)
    first = next(iter(loader))
    assert loader.state_dict() == {"epoch": 0, "batch": 1}
    whole = as_list(BatchLoader(dataset, 2, seed=5, training=True))
    assert_equal_batches([first, *loader], whole)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("epoch", [0, 1])
def test_batch_loader_other_seed_or_epoch_gives_others(seed, epoch):
    samples = make_samples(16)
    base = as_list(make_loader(samples, 16))
    batches = as_list(make_loader(samples, 16, seed=seed, epoch=epoch))
    assert torch.equal(base[0][0], batches[0][0]) == ((seed, epoch) == (0, 0))
    again = make_loader(samples, 16, seed=seed, epoch=epoch)
    assert_equal_batches(batches, as_list(again))


@pytest.mark.parametrize("batch", [0, 1, 4, 5])
def test_batch_loader_resumed_epoch_is_exactly_the_tail(batch):
    samples = make_samples(23)
    whole = make_loader(samples, 5, epoch=2, seed=1)
    rest = make_loader(samples, 5, epoch=2, batch=batch, seed=1)
    assert_equal_batches(as_list(whole)[batch:], as_list(rest))
    assert rest.state_dict() == {"epoch": 3, "batch": 0}


@pytest.mark.parametrize(
    ("device", "cores", "expected"),
    [
        ("cpu", 16, 0),
        ("cuda", 16, 8),
        ("cuda", 4, 3),
        ("cuda", 1, 1),
        ("cuda", None, 1),
    ],
)
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_batch_loader_without_a_wish_takes_the_workers_that_suit(
    monkeypatch, device, cores, expected
):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    loaders = (
        BatchLoader(make_samples(1), 1, device=device, workers=workers)
        for workers in (None, 5)
    )
    assert [loader._loader.num_workers for loader in loaders] == [expected, 5]


def make_shared_memory(monkeypatch, free: int) -> None:
    """Leaves so many bytes of shared memory free."""
    sizes = {"f_bavail": free // 512, "f_frsize": 512}
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**sizes))


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="another system")
def test_batch_loader_workers_without_shared_memory_are_refused(monkeypatch, refused):
    samples = make_samples(8, size=32)  # 3,072 bytes each: 12 kB a batch
    make_shared_memory(monkeypatch, 64_000)
    BatchLoader(samples, 4, workers=2)  # five batches: four ahead, one in use
    with refused("give --workers 2, or more of it"):
        BatchLoader(samples, 4, workers=3)
    BatchLoader(samples, 400, workers=0)


DOCKER = f"mount -t tmpfs -o size=64m tmpfs {SHARED_MEMORY} && exec "
LOAD = """
import sys
import torch
from loading import BatchLoader
samples = [(torch.zeros(3, 256, 256, dtype=torch.uint8), 0)] * 400
try:
    print(sum(len(labels) for _, labels in BatchLoader(samples, 128, workers=2)))
except ValueError as error:
    print(error)
print(sum(len(labels) for _, labels in BatchLoader(samples, 32, workers=2)))
"""


@pytest.mark.slow
def test_batch_loader_in_docker_memory_loads_or_says_so():
    command = DOCKER + shlex.join([sys.executable, "-c", LOAD])
    try:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", command],
            cwd=Path(batches.__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    refusal, count = done.stdout.splitlines()
    assert "2 workers pass 126 MB of images through /dev/shm, where 67 MB" in refusal
    assert count == "400"


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="another system")
@pytest.mark.parametrize(("free", "workers"), [(64_000, 2), (12_000, 0)])
def test_batch_loader_without_a_wish_fits_into_shared_memory(
    monkeypatch, free, workers
):
    make_shared_memory(monkeypatch, free)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    loader = BatchLoader(make_samples(8, size=32), 4, device="cuda")
    assert loader._loader.num_workers == workers


@pytest.mark.parametrize("training", [False, True])
def test_batch_loader_leaves_global_random_states_alone(training):
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    as_list(BatchLoader(make_samples(5), 2, training=training))
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("training", [False, True])
def test_batch_loader_float_samples_pass_as_they_are(training):
    samples = [(image.float() - 100, label) for image, label in make_samples(4)]
    loader = BatchLoader(samples, 4, HALVE, training=training)
    images, labels = next(iter(loader))
    for image, label, index in zip(images, labels, loader.batch_indices, strict=True):
        assert torch.equal(image, samples[index][0])
        assert label == samples[index][1]


def test_batch_loader_bytes_without_preprocessing_stay_bytes():
    samples = make_samples(2)
    images, _ = next(iter(BatchLoader(samples, 2)))
    assert images.dtype == torch.uint8
    assert torch.equal(images[1], samples[1][0])


def test_describe_batch_names_the_files_of_the_batch(dataset):
    loader = BatchLoader(dataset, 2, seed=1, training=True)
    for _ in loader:
        names = [dataset.get_name(index) for index in loader.batch_indices]
        assert loader.describe_batch() == ", ".join(names)
    loader = BatchLoader(make_samples(2), 2)
    next(iter(loader))
    assert loader.describe_batch() == "sample 0, sample 1"


@pytest.mark.parametrize(
    ("num_samples", "batch_size"), [(9, 4), (8, 4), (3, 7), (1, 2)]
)
@pytest.mark.parametrize("num_processes", [2, 3])
@pytest.mark.parametrize("training", [False, True])
def test_list_batches_shares_count_each_sample_once_and_average_to_the_mean(
    monkeypatch, num_samples, batch_size, num_processes, training
):
    loader = BatchLoader(make_samples(num_samples), batch_size, training=training)
    whole = [indices for indices, _ in loader.list_batches()]
    everyones = []
    monkeypatch.setattr(distributed, "get_world_size", lambda: num_processes)
    for rank in range(num_processes):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        everyones.append(list(loader.list_batches()))
    for indices, parts in zip(whole, zip(*everyones, strict=True), strict=True):
        counted = [index for part, share in parts if share for index in part]
        assert sorted(counted) == sorted(indices)
        value = sum(share * np.mean(part) for part, share in parts) / num_processes
        assert value == pytest.approx(np.mean(indices))


@pytest.mark.parametrize("training", [True, False])
def test_batch_loader_process_without_a_sample_gets_a_stand_in(monkeypatch, training):
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    loader = BatchLoader(make_samples(3), 2, training=training)
    shares = [(len(images), len(labels), loader.share) for images, labels in loader]
    assert shares == [(1, 1, 1.0), (1, int(training), 0.0)]


def test_list_batches_weights_say_how_often_a_sample_is_given():
    samples = [(torch.zeros(3, 8, 8, dtype=torch.uint8), n % 2) for n in range(40)]
    weights = np.repeat([0.0, 0.5, 1.5, 2.0], 10)
    loader = BatchLoader(samples, 7, training=True, weights=weights)
    epochs = []
    for epoch in range(2):
        loader.load_state_dict({"epoch": epoch, "batch": 0})
        drawn = np.concatenate([indices for indices, _ in loader.list_batches()])
        counts = np.bincount(drawn, minlength=40)
        assert counts.sum() == 40
        assert (np.abs(counts - weights) < 1).all()
        assert counts.reshape(4, 10).sum(axis=1).tolist()[::3] == [0, 20]
        epochs.append(drawn.tolist())
    assert epochs[0] != epochs[1]
    loader.load_state_dict({"epoch": 0, "batch": 2})
    rest = np.concatenate([indices for indices, _ in loader.list_batches()])
    assert rest.tolist() == epochs[0][14:]
