"""The progress bar of everything that takes long."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from hardware import processes


def show_progress(
    items: Iterable[Any] | None = None, desc: str | None = None, **options: Any
) -> tqdm:
    """Return the items behind a progress bar on the main process's terminal.

    Args:
        items: what is gone through; None where the bar is moved by hand.
        desc: is written beside the bar.
        options: others of `tqdm`.
    """
    hidden = None if processes.is_main() else True  # None: where stderr is a file
    return tqdm(items, desc, leave=False, dynamic_ncols=True, disable=hidden, **options)
