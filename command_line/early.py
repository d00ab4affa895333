"""What a script sets up before the imports that take seconds: it is imported first."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

INTERRUPTED_STATUS = 130


class StoppedError(KeyboardInterrupt):
    """SIGTERM came."""

    status = 128 + signal.SIGTERM  # of the exit, as is the system's convention


def end_at_once(number: int, frame: object) -> NoReturn:
    """Handle Ctrl-C while there is nothing to save; no import can swallow this."""
    os.write(2, f"{Path(sys.argv[0]).name}: interrupted\n".encode())
    os._exit(INTERRUPTED_STATUS)


def stop(number: int, frame: object) -> NoReturn:
    """Handle torchrun's SIGTERM, the first of them: the work ends."""
    signal.signal(number, signal.SIG_IGN)
    raise StoppedError(
        "stopped by SIGTERM, which torchrun sends when another process has ended"
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, as long as the script's own work lasts.

    So does SIGTERM in a process that torchrun started; afterwards it is ignored, so
    that the last line is said.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "LOCAL_RANK" in os.environ:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if before is end_at_once:
            signal.signal(signal.SIGINT, end_at_once)
        if "LOCAL_RANK" in os.environ:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _prepare() -> None:
    """Open the streams that the caller closed, and take Ctrl-C if a script runs."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # else the next file opened takes its number
            handle = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(handle, "r" if name == "stdin" else "w"))
    main = Path(getattr(sys.modules["__main__"], "__file__", None) or os.devnull)
    is_script = main.resolve().parent == Path(__file__).resolve().parents[1]
    if is_script and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)


_prepare()
