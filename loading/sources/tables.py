"""A table of pictures as a dataset: a row a picture, in CSV or Parquet."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from sys import intern

import numpy as np

from files.classes import FAKE, list_kinds, read_labels, read_split
from files.csv_files import open_csv
from files.names import SPLITS
from loading.image_files import ImageFile
from loading.sources.archives import ArchivedFile, split_archive
from loading.sources.pictures import Pictures, Texts
from loading.sources.splitting import SHARES, deal_rows

try:  # an extra
    from pyarrow import parquet
except ImportError:
    parquet = None

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
WHOLE_NUMBERS = ("offset", "bytes")  # of a picture in an archive


@dataclass(frozen=True, eq=False)
class TablePictures(Pictures):
    """The rows of one split of a table."""

    table: Path = Path()
    split: str = ""

    def __str__(self) -> str:
        return f"the split {self.split} of {self.table}"

    def describe_lack(self, label: int) -> str:
        advice = "give it images of both classes, in the column split"
        if self.is_dealt:
            advice = (
                "the images were dealt out by chance: make_table.py --shares gives "
                "each split both classes"
            )
        return f"{super().describe_lack(label)}; {advice}"

    def get_file(self, index: int) -> ImageFile:
        """Return the picture at `index`: a file, or a part of an archive."""
        path = self.table.parent / self.names[index]  # or what is absolute
        if not self.places:
            return ImageFile(path)
        place = (int(self.places[name][index]) for name in WHOLE_NUMBERS)
        return ArchivedFile(*split_archive(path), *place)

    def get_mask(self, index: int) -> ImageFile | None:
        """Return a fake's mask, if the table's column `mask` names a file."""
        masks = self.columns.get("mask")
        if masks is None or self.labels[index] != FAKE or not masks[index]:
            return None
        path = self.table.parent / masks[index]
        return ImageFile(path) if path.is_file() else None


def open_table(
    path: Path,
    splits: Collection[str],
    *,
    real_labels: Sequence[str] = (),
    shares: Sequence[float] | None = None,
) -> dict[str, TablePictures]:
    """Open splits of a table with the columns path, label and more.

    Where the labels are of several kinds of fakes and there is no column `subset`, the
    kinds are the subsets. Without a column `split` groups are dealt out, or pictures
    where there are no groups, always in the same way.

    Args:
        path: CSV as `open_csv` takes it, or Parquet; its paths are relative to it.
        real_labels: as for `files.classes.read_labels`.
        shares: of the pictures in train, val and test; None: as `SHARES`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a table; the message says why.
    """
    columns = read_columns(path)
    try:
        return _open_columns(path, columns, splits, real_labels, shares)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def list_table_splits(path: Path, shares: Sequence[float] | None = None) -> list[str]:
    """List the splits that a table's rows belong to, or will be dealt out to.

    Raises:
        OSError, ValueError: as for `open_table`.
    """
    words = read_columns(path).get("split")
    if words is not None:
        found = set(map(read_split, set(words)))
        return [split for split in SPLITS if split in found]
    parts = zip(SPLITS, shares or SHARES, strict=True)
    return [split for split, share in parts if share]


def read_columns(path: Path) -> dict[str, list[str]]:
    """Return a table's columns by name; those without a name are left out.

    Raises:
        OSError, ValueError: as for `open_table`.
    """
    if path.suffix == ".parquet":
        return _read_parquet(path)
    with open_csv(path) as content:
        places = [(name, i) for i, name in enumerate(content.header) if name]
        columns: dict[str, list[str]] = {name: [] for name, _ in places}
        keep = [
            # Words that many rows share are kept in memory once.
            (columns[name].append, i, str if name == "path" else intern)
            for name, i in places
        ]
        for _, row in content.rows:
            for append, i, share in keep:
                append(share(row[i]))
    return columns


def _read_parquet(path: Path) -> dict[str, list[str]]:
    if parquet is None:
        raise ValueError(
            f"{path}: reading Parquet needs the package pyarrow: pip install -r "
            "requirements-datasets.txt"
        )
    try:
        table = parquet.read_table(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error
    columns = zip(table.column_names, table.columns, strict=True)
    return {
        name: ["" if value is None else str(value) for value in column.to_pylist()]
        for name, column in columns
    }


def _open_columns(
    path: Path,
    columns: dict[str, list[str]],
    splits: Collection[str],
    real_labels: Sequence[str],
    shares: Sequence[float] | None,
) -> dict[str, TablePictures]:
    """Make pictures of a table's columns, split by split."""
    _check_names(columns)
    labels = np.array(read_labels(columns["label"], real_labels), dtype=np.int64)
    kinds = list_kinds(columns["label"], labels)
    if any(kinds) and "subset" not in columns:
        columns["subset"] = kinds
    split_of = np.array(_take_splits(columns, shares))
    kept = {
        name: Texts(values)
        for name, values in columns.items()
        if name not in ("path", "label", "split", *WHOLE_NUMBERS)
    }
    numbers = {
        name: _read_whole_numbers(name, columns[name])
        for name in WHOLE_NUMBERS
        if name in columns
    }
    whole = TablePictures(
        *(Texts(columns["path"]), labels, kept, numbers),
        is_dealt="split" not in columns,
        table=path,
    )
    found = {}
    for split in splits:
        rows = np.flatnonzero(split_of == split)
        if not rows.size:
            there = ", ".join(name for name in SPLITS if name in split_of)
            raise ValueError(
                f"no row is of the split {split}, only of {there}; name the split in "
                "the table, or deal it out anew: make_table.py --shares"
            )
        rows = rows[np.argsort(labels[rows], kind="stable")]
        found[split] = replace(whole.take(rows), split=split)
    return found


def _check_names(columns: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError unless each row names another picture."""
    if missing := [name for name in ("path", "label") if name not in columns]:
        raise ValueError(
            f"it has no column {missing[0]!r}, its columns are {', '.join(columns)}; "
            "make_table.py takes tables with other columns"
            if columns
            else "it is empty"
        )
    names = columns["path"]
    if not names:
        raise ValueError("it has no rows")
    if "" in names:
        raise ValueError(f"row {names.index('') + 1} has no path")
    # Of one file spelt in two ways, too.
    plain = [os.path.normpath(n) if "./" in n or "//" in n else n for n in names]
    if len(set(plain)) < len(plain):
        seen: set[str] = set()
        again = next(name for name in plain if name in seen or seen.add(name))
        raise ValueError(f"the path {again!r:.200} occurs twice")
    if ("offset" in columns) != ("bytes" in columns):
        raise ValueError("the columns offset and bytes go together")


def _read_whole_numbers(name: str, texts: Sequence[str]) -> np.ndarray:
    try:
        numbers = np.array(texts, dtype=np.int64)
    except (ValueError, OverflowError):
        numbers = np.array([-1])
    if numbers.min() < 0:
        raise ValueError(f"the column {name} does not hold whole numbers from 0")
    return numbers


def _take_splits(
    columns: Mapping[str, Sequence[str]], shares: Sequence[float] | None
) -> list[str]:
    """Return each row's split: what the table says, or what is dealt out."""
    if "split" not in columns:
        groups = columns.get("group", columns["path"])
        pairs = zip(groups, columns["path"], strict=True)
        return deal_rows([group or path for group, path in pairs], shares)
    words = columns["split"]
    meanings = {word: read_split(word) for word in dict.fromkeys(words)}
    if unknown := [words.index(w) for w, split in meanings.items() if split is None]:
        row = min(unknown)
        raise ValueError(
            f"split {words[row]!r:.60} in row {row + 1} is not {', '.join(SPLITS)} or "
            "the like"
        )
    return [meanings[word] for word in words]
