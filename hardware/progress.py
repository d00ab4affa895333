"""The progress bar of everything that takes long."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from hardware import processes

tqdm.monitor_interval = 0  # no thread of its own, beside which workers are forked


def show_progress(
    items: Iterable[Any] | None = None, desc: str | None = None, **options: Any
) -> tqdm:
    """Return the items behind a progress bar on the main process's terminal.

    Without items the bar is moved by hand. `options` are others of `tqdm`.
    """
    hidden = None if processes.is_main() else True  # None: where stderr is a file
    return tqdm(items, desc, leave=False, dynamic_ncols=True, disable=hidden, **options)


def write_beside_progress(line: str) -> None:
    """Write a line on stderr without breaking a bar that is shown there."""
    tqdm.write(line, file=sys.stderr)
