"""Which process this is, among those that work together, and what it may use.

It needs no PyTorch: where that was not imported, this process is alone.
"""

import os
import sys
from types import ModuleType


def get_rank() -> int:
    """Return this process's number among those that work together."""
    group = _find_group()
    return group.get_rank() if group else 0


def get_world_size() -> int:
    """Return the number of processes that work together."""
    group = _find_group()
    return group.get_world_size() if group else 1


def get_local_rank() -> int:
    """Return this process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def count_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return min(os.cpu_count() or 1, 61)  # a pool on Windows has no more


def is_main() -> bool:
    """Say whether this is the process that prints and writes files."""
    return get_rank() == 0


def is_on() -> bool:
    """Say whether a process group was started."""
    return _find_group() is not None


def speaks_first() -> bool:
    """Say whether no other process has asked yet: one tells of an error, for all."""
    group = _find_group()
    if group is None:
        return True
    try:  # torch has no public name for the store that the processes share
        return group.distributed_c10d._get_default_store().add("spoken", 1) == 1
    except RuntimeError:  # it was lost with its machine
        return True


def _find_group() -> ModuleType | None:
    """Return `torch.distributed` if a process group was started."""
    group = sys.modules.get("torch.distributed")
    is_started = group and group.is_available() and group.is_initialized()
    return group if is_started else None
