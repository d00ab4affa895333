"""Files that one process holds at a time."""

import contextlib
import os
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def take_lock(path: Path, stack: contextlib.ExitStack) -> bool:
    """Lock a file until the stack is left, which removes it; say whether it worked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        return _take_lock_of_windows(path, stack)
    handle = stack.enter_context(path.open("ab"))
    try:
        # Unlike flock's, this lock is not inherited by worker processes, which outlive
        # a killed run by seconds.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed the file since it was opened here.
        is_held = os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except (BlockingIOError, PermissionError, FileNotFoundError):
        is_held = False
    except OSError:  # a network drive without locks
        is_held = True
    if is_held:
        stack.callback(path.unlink, missing_ok=True)
    return is_held


def _take_lock_of_windows(path: Path, stack: contextlib.ExitStack) -> bool:
    """Do the same with a lock that ends with its process as well."""
    try:
        stack.enter_context(FileLock(path, timeout=0))
    except Timeout:
        return False
    except OSError:  # a network drive without locks
        return True
    return True
