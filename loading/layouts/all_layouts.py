"""All layouts, by which `read_layout` reads what it is given."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from loading.layouts.folders import read_folders, walk
from loading.layouts.foreign_tables import read_foreign_tables
from loading.layouts.frame_lists import read_frame_lists
from loading.layouts.rows import Found, Hints
from loading.layouts.shards import read_shards
from loading.sources.archives import SUFFIX
from loading.sources.tables import TABLE_SUFFIXES


class DataLayout(NamedTuple):
    """A layout: in words, who reads it, and what of `Hints` counts for it."""

    words: str
    read: Callable[[Sequence[Path], Hints], Found]
    uses: tuple[str, ...]


FOLDERS = DataLayout("folders of images", read_folders, ("real_labels", "levels"))
SHARDS = DataLayout("tar files", read_shards, ("real_labels",))
LISTS = DataLayout(
    "lists of frames", read_frame_lists, ("real_labels", "root", "compression")
)
TABLES = DataLayout("tables", read_foreign_tables, ("real_labels", "root", "columns"))


def read_layout(sources: Sequence[Path], said: Hints) -> Found:
    """Find pictures in folders, tar files, lists of frames or tables.

    Raises:
        OSError: something is not there, or cannot be read.
        ValueError: sources are of several layouts, or do not say what is needed.
    """
    found = {_find_layout(source): source for source in sources}
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise ValueError(
            f"{first} is of {one.words} and {second} of {other.words}: make a table of "
            "each, and train with -d A+B"
        )
    (layout,) = found
    for entry in fields(Hints):
        if getattr(said, entry.name) and entry.name not in layout.uses:
            flag = entry.name.replace("_", "-")
            raise ValueError(f"--{flag} means nothing for {layout.words}")
    return layout.read(sources, said)


def _find_layout(source: Path) -> DataLayout:
    if source.is_dir():
        is_packed = False
        for folder in walk([source]):
            if folder.images:
                return FOLDERS
            is_packed |= any(name.lower().endswith(SUFFIX) for name in folder.others)
        return SHARDS if is_packed else FOLDERS
    if not source.is_file():
        raise FileNotFoundError(f"there is no file or folder {source}")
    suffix = source.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return TABLES
    if suffix == ".json":
        return LISTS
    if SUFFIX in source.name.lower() or suffix == ".tgz":
        return SHARDS
    raise ValueError(
        f"{source} is not a folder, a .tar, a .json or a table "
        f"({', '.join(TABLE_SUFFIXES)})"
    )
