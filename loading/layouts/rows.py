"""What a layout says of each picture, and the table that is made of it."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from files.atomic import save_csv
from files.classes import CLASS_NAMES, FAKE, REAL, read_split
from files.names import SPLITS
from loading.sources.splitting import find_families

LEVELS = ("subset", "group", "-")  # what a folder's name may say
_FORMULAS = tuple("=+-@")  # an apostrophe would be put before them


class Row(NamedTuple):
    """A picture: where it is, and what is known of it ('' where nothing is).

    Attributes:
        path: of its file, or ARCHIVE.tar/MEMBER.
        label: 0 real, 1 fake.
        split: train, val or test.
        group: what belongs together, a video or a person.
        subset: a forgery method, or another part of the data.
        mask: path of the mask that says which of its pixels are planted.
        weight: how often it is seen in training.
        offset, bytes: where it lies in its archive.
        others: what else a table says of it, by the names of the columns.
    """

    path: str
    label: int
    split: str = ""
    group: str = ""
    subset: str = ""
    mask: str = ""
    weight: str = ""
    offset: int | str = ""
    bytes: int | str = ""
    others: Mapping[str, str] = MappingProxyType({})


COLUMNS = Row._fields[:-1]  # that mean something here


@dataclass(frozen=True)
class Hints:
    """What the user says of a layout; what is not said is taken from names.

    Attributes:
        real_labels: names of folders, or labels, that mean real; all others mean fake.
        levels: of the other folders from the outermost, what each one's name says, as
            in `LEVELS`; None: not said.
        root: folder from which listed paths start; None: that of the list.
        compression: the level to take, of several that are listed.
        columns: what a table calls those of `COLUMNS` that it calls otherwise.
    """

    real_labels: Sequence[str] = ()
    levels: Sequence[str] | None = None
    root: Path | None = None
    compression: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Found:
    """What was found in a layout.

    Attributes:
        rows: the pictures.
        notes: lines on what was passed over.
        question: what the user is to say before a table is written; '' for nothing.
        group_flags: which flags could say what belongs together.
    """

    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    question: str = ""
    group_flags: str = "--group-by"


def take_split(word: object, path: str) -> str:
    """Return the split that a word means, or '' where it is empty.

    Raises:
        ValueError: it means none; the message names the picture.
    """
    split = read_split(str(word))
    if str(word).strip() and split is None:
        raise ValueError(
            f"split {word!r:.60} of {path} is not {', '.join(SPLITS)} or the like"
        )
    return split or ""


def check_rows(rows: Sequence[Row]) -> None:
    """Raise ValueError unless there are pictures of both classes, each only once."""
    if not rows:
        raise ValueError("no images were found")
    labels = {row.label for row in rows}
    if len(labels) == 1:
        raise ValueError(
            f"all {len(rows)} images are {CLASS_NAMES[labels.pop()]}, such as "
            f"{rows[0].path}: name sources of both classes, or say with --real-labels "
            "which names mean real"
        )
    resolve = cache(os.path.realpath)
    places = (os.path.split(row.path) for row in rows)
    files = Counter((resolve(folder), name) for folder, name in places)
    (folder, name), num = files.most_common(1)[0]
    if num > 1:
        raise ValueError(
            f"{folder}/{name} is there {num} times: name each source, and each "
            "image of a table, once"
        )


def join_families(rows: Sequence[Row]) -> list[Row]:
    """Let groups be families of persons or videos, as `find_families` makes them."""
    groups = ({r.group for r in rows if r.label == x and r.group} for x in (REAL, FAKE))
    families = find_families(*groups) | {"": ""}
    return [row._replace(group=families[row.group]) for row in rows]


def save_rows(rows: Iterable[Row], table: Path) -> None:
    """Write a table as `open_table` reads it; paths become relative to it.

    Columns of which nothing is known are left out.

    Raises:
        OSError: it cannot be written.
    """
    folder = os.path.realpath(table.parent)

    @cache
    def relate(parent: str) -> str:
        try:
            return os.path.relpath(os.path.realpath(parent), folder)
        except ValueError:  # another drive
            return os.path.realpath(parent)

    def spell(path: str) -> str:
        parent, name = os.path.split(path)
        short = Path(relate(parent), name).as_posix()
        return f"./{short}" if short.startswith(_FORMULAS) else short

    rows = [
        row._replace(
            path=spell(row.path),
            label=CLASS_NAMES[row.label],
            mask=row.mask and spell(row.mask),
        )
        for row in rows
    ]
    others = list_others(rows)
    cells = [(*row[:-1], *(row.others.get(n, "") for n in others)) for row in rows]
    used = [i for i, of in enumerate(zip(*cells, strict=True)) if any(map(str, of))]
    header = [(*COLUMNS, *others)[i] for i in used]
    save_csv(([row[i] for i in used] for row in cells), table, header=header)


def list_others(rows: Iterable[Row]) -> list[str]:
    """List the columns that tables have besides `COLUMNS`, in their order."""
    return list(dict.fromkeys(name for row in rows for name in row.others))


def shorten(words: Iterable[str], most: int = 8) -> str:
    """Return the first of some words, sorted."""
    words = sorted(words)
    return ", ".join(words[:most]) + ", ..." * (len(words) > most)
