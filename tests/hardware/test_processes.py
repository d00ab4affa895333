"""Which process this is, and how many cores it may use."""

import os

import pytest

from hardware.processes import count_cores


@pytest.mark.parametrize(("there", "used"), [(8, 8), (100, 61), (None, 1)])
def test_count_cores_where_nothing_says_which_are_allowed(there, used, monkeypatch):
    """As on Windows, where a pool has at most 61 processes, and on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: there)
    assert count_cores() == used


def test_count_cores_counts_those_that_are_allowed(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert count_cores() == 2
