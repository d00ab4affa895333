"""Threads change how long it takes, not what comes out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from loading import image_files
from loading.image_files import map_in_threads


@pytest.fixture
def two_threads():
    """Two threads on any machine."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(num_threads)


def note_size(sizes: list[int]) -> Callable[[int], ThreadPoolExecutor]:
    """Make pools that tell their size."""

    def build(size: int) -> ThreadPoolExecutor:
        sizes.append(size)
        return ThreadPoolExecutor(size)

    return build


def get_thread(_: int) -> int:
    return threading.get_ident()


@pytest.mark.parametrize("slow", [-1.0, 60.0])
def test_map_in_threads_keeps_the_order(slow, two_threads, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", slow)
    assert map_in_threads(lambda n: n * n, range(50)) == [n * n for n in range(50)]
    assert map_in_threads(lambda n: n, []) == []


def test_map_in_threads_of_quick_items_stays_in_this_thread(two_threads, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", 60.0)
    assert set(map_in_threads(get_thread, range(9))) == {threading.get_ident()}


def test_map_in_threads_leaves_this_thread_after_the_first_slow_item(
    two_threads, monkeypatch
):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    first, *others = map_in_threads(get_thread, range(9))
    assert first == threading.get_ident()
    assert first not in others


def test_map_in_threads_uses_at_most_four_and_no_more_than_torch(monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    for torch_threads, expected in ((3, 3), (64, 4)):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=torch_threads: n)
        sizes = []
        monkeypatch.setattr(image_files, "ThreadPoolExecutor", note_size(sizes))
        assert map_in_threads(abs, range(9)) == list(range(9))
        assert sizes == [expected]


def test_map_in_threads_calls_two_at_once(two_threads, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    both = threading.Barrier(2)

    def meet(number: int) -> int:
        return number if number == 0 else both.wait(timeout=20) + 1

    assert sorted(map_in_threads(meet, range(3))) == [0, 1, 2]


def test_map_in_threads_with_one_thread_stays_in_it(two_threads, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    torch.set_num_threads(1)  # as in a worker process
    assert set(map_in_threads(get_thread, range(9))) == {threading.get_ident()}


def test_map_in_threads_raises_the_first_items_error(two_threads, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", -1.0)
    later_failed = threading.Event()

    def fail(number: int) -> int:
        if number == 1:
            later_failed.wait(timeout=20)
        if number == 2:
            later_failed.set()
        if number:
            raise ValueError(f"item {number}")
        return number

    with pytest.raises(ValueError, match="item 1"):
        map_in_threads(fail, range(4))
