"""Tests of allocator.py."""

from __future__ import annotations

import ctypes
import sys

import pytest

from hardware.device import keep_large_blocks


class Library:
    """A C library whose `mallopt` notes what it is asked for."""

    def __init__(self, answer: int) -> None:
        self.asked: list[tuple[int, int]] = []
        self.answer = answer

    def mallopt(self, option: int, value: int) -> int:
        self.asked.append((option, value))
        return self.answer


@pytest.mark.parametrize(("answer", "done"), [(1, True), (0, False)])
def test_keep_large_blocks_linux_asks_glibc(monkeypatch, answer, done):
    library = Library(answer)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert keep_large_blocks() is done
    assert library.asked[0] == (-4, 0)  # M_MMAP_MAX of glibc's malloc.h


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_keep_large_blocks_other_systems_are_left_alone(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    assert keep_large_blocks() is False


def test_keep_large_blocks_library_without_mallopt_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_large_blocks() is False
