"""One measurement in a fresh process: how long it took, and its memory."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

INTERVAL_S = 0.05  # between two looks at the memory


class Finished(NamedTuple):
    """What a process took.

    Attributes:
        seconds: from its start to its end.
        peak_bytes: resident, of it and its children together; what they share counts in
            each, and a peak between two looks is missed. 0 where there is no /proc.
    """

    seconds: float
    peak_bytes: int
    output: str


def run_command(
    command: Sequence[str | Path], label: str, cwd: Path | None = None, *, good: int = 0
) -> Finished:
    """Run a command to its end; `good` is an exit status that is no failure either.

    Raises:
        ValueError: it failed; the message has its label, and ends with the reason.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command], stdout=out, stderr=err, cwd=cwd
        )
        peaks, ended = [0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks, ended))
        watcher.start()
        try:
            status = process.wait()
            seconds = time.perf_counter() - start
        finally:  # interrupted, too
            process.kill()
            ended.set()
            watcher.join()
        out.seek(0), err.seek(0)
        if status not in (0, good):
            reason = (err.read().strip().splitlines() or ["no message"])[-1]
            raise ValueError(f"the measurement {label} failed: {reason}")
        return Finished(seconds, max(peaks), out.read())


def _watch(pid: int, peaks: list[int], ended: threading.Event) -> None:
    while not ended.wait(INTERVAL_S):
        peaks.append(max(peaks.pop(), _measure_memory(pid)))


def _measure_memory(pid: int) -> int:
    """Return the resident bytes of a process and all that it has started."""
    folder = Path(f"/proc/{pid}")
    try:
        pages = int((folder / "statm").read_text().split()[1])
        lists = [path.read_text() for path in folder.glob("task/*/children")]
    except (OSError, IndexError):  # it has ended
        return 0
    children = sum(_measure_memory(int(child)) for child in " ".join(lists).split())
    return pages * os.sysconf("SC_PAGE_SIZE") + children
