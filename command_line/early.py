"""What a script sets up before the imports that take seconds: it is imported first."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

INTERRUPTED_STATUS = 130


def end_at_once(number: int, frame: object) -> NoReturn:
    """Handle Ctrl-C while there is nothing to save; no import can swallow this."""
    os.write(2, f"{Path(sys.argv[0]).name}: interrupted\n".encode())
    os._exit(INTERRUPTED_STATUS)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, as long as the script's own work lasts."""
    before = signal.getsignal(signal.SIGINT)
    if before is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is end_at_once:
            signal.signal(signal.SIGINT, end_at_once)


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
