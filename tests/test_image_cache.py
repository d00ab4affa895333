"""The cache gives what the dataset gives, and reads each image once."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import image_cache
import threads
from image_cache import CachedImages

IMAGE_BYTES = 3 * 4 * 5


class CountingImages(Dataset):
    """Six images 4x5 with label index % 2; notes each reading in a file."""

    root_path = Path("somewhere")

    def __init__(self, log: Path) -> None:
        self.log = log
        log.touch()

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not 0 <= index < 6:
            raise IndexError(index)
        with self.log.open("a") as handle:
            handle.write(str(index))
        values = torch.arange(IMAGE_BYTES, dtype=torch.uint8) + 60 * (index % 4)
        return values.view(4, 5, 3).permute(2, 0, 1), index % 2

    def get_label(self, index: int) -> int:
        return index % 2


@pytest.fixture
def images(tmp_path: Path) -> CountingImages:
    return CountingImages(tmp_path / "log")


def read_all(dataset: Dataset) -> list[tuple[torch.Tensor, int]]:
    return [dataset[index] for index in range(len(dataset))]


@pytest.mark.parametrize(
    ("max_bytes", "num_kept"),
    [(0, 0), (IMAGE_BYTES - 1, 0), (2 * IMAGE_BYTES + 1, 2), (10**6, 6)],
)
def test_cached_images_with_a_bound_keep_as_many_as_fit(images, max_bytes, num_kept):
    cached = CachedImages(images, max_bytes)
    assert cached.num_kept == num_kept
    images.log.write_text("")
    for _ in range(2):
        for (image, label), (expected, true_label) in zip(
            read_all(cached),
            [CountingImages.__getitem__(images, i) for i in range(6)],
            strict=True,
        ):
            assert torch.equal(image, expected)
            assert image.stride() == expected.stride()
            assert label == true_label
    # Of the 12 + 12 readings above, 12 are the comparison's own.
    assert len(images.log.read_text()) == 12 + num_kept + 2 * (6 - num_kept)


def test_cached_images_changed_by_the_caller_stay_as_they_were(images):
    cached = CachedImages(images, 10**6)
    first = cached[1][0].clone()
    cached[1][0].zero_()
    assert torch.equal(cached[1][0], first)


def test_cached_images_read_by_a_worker_are_not_read_again_here(images):
    cached = CachedImages(images, 10**6)
    images.log.write_text("")
    loader = DataLoader(cached, batch_size=2, num_workers=1)
    batches = [batch for batch, _ in loader]
    again = [batch for batch, _ in DataLoader(cached, batch_size=2)]
    assert torch.equal(torch.cat(batches), torch.cat(again))
    assert sorted(images.log.read_text()) == list("012345")


@pytest.mark.parametrize("index", [-1, 6])
def test_cached_images_out_of_range_raise_as_the_dataset_does(images, index):
    with pytest.raises(IndexError):
        CachedImages(images, 10**6)[index]


def test_cached_images_pass_other_attributes_through(images):
    cached = CachedImages(images, 10**6)
    assert cached.root_path == Path("somewhere")
    assert cached.get_label(3) == 1
    assert not hasattr(cached, "no_such_thing")


def test_cached_images_can_be_pickled(images):
    copied = pickle.loads(pickle.dumps(CachedImages(images, 10**6)))
    assert torch.equal(copied[3][0], images[3][0])


@pytest.mark.parametrize("sample", [torch.zeros(3, 2, 2), "an image"])
def test_cached_images_of_other_samples_raise(sample):
    with pytest.raises(ValueError, match="only uint8"):
        CachedImages([(sample, 0)], 10**6)


def test_cached_images_keep_within_the_shared_memory(images, monkeypatch):
    monkeypatch.setattr(image_cache, "_get_free_shared_memory", lambda: IMAGE_BYTES)
    assert CachedImages(images, 10**6).num_kept == 1


def test_get_free_shared_memory_without_the_folder_sets_no_bound(monkeypatch):
    monkeypatch.setattr(image_cache, "SHARED_MEMORY", Path("/no/such/folder"))
    assert image_cache._get_free_shared_memory() > 10**15


def test_get_free_shared_memory_of_a_folder_is_below_its_free_space(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(image_cache, "SHARED_MEMORY", tmp_path)
    assert 0 <= image_cache._get_free_shared_memory() < 10**15


@pytest.mark.parametrize("allowed", [False, True])
def test_cached_images_batches_are_the_items_in_threads_where_allowed(
    allowed, images, monkeypatch
):
    used = set()
    read = CountingImages.__getitem__

    def note_thread(self, index: int) -> tuple[torch.Tensor, int]:
        used.add(threading.get_ident())
        return read(self, index)

    cached = CachedImages(images, 4 * IMAGE_BYTES)
    images.reads_in_threads = allowed
    expected = read_all(images)
    monkeypatch.setattr(CountingImages, "__getitem__", note_thread)
    monkeypatch.setattr(threads, "SLOW", -1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    for _ in range(2):
        batch = cached.__getitems__([5, 0, 3, 1])
        for (image, label), index in zip(batch, [5, 0, 3, 1], strict=True):
            assert torch.equal(image, expected[index][0])
            assert label == expected[index][1]
    assert (used != {threading.get_ident()}) == allowed
