"""Locks that end with their process, on a system without fcntl as well."""

import contextlib
from pathlib import Path

from files import locks


def test_take_lock_without_fcntl_as_on_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    path = tmp_path / "new" / ".a.lock"
    for _ in range(2):
        with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
            assert locks.take_lock(path, first)
            assert not locks.take_lock(path, second)
            assert locks.take_lock(path.with_name(".b.lock"), second)

    def fail(path: Path, timeout: float) -> None:
        raise OSError("this drive has no locks")

    monkeypatch.setattr(locks, "FileLock", fail)
    assert locks.take_lock(path, contextlib.ExitStack())
