"""Which datasets there are, and what their splits hold: folders, tables, hubs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from files.bounds import COUNT, SHARE
from files.classes import CLASS_NAMES
from files.hub import PREFIX
from files.names import SPLITS
from loading.sources.hub import open_hub
from loading.sources.pictures import (
    FolderPictures,
    Pictures,
    describe_content,
    join_pictures,
    list_folder,
    suggest_table,
)
from loading.sources.tables import TABLE_SUFFIXES, list_table_splits, open_table
from records.checkpoint import CheckpointRecord


@dataclass(frozen=True)
class Source:
    """Where a dataset's images come from.

    Attributes:
        data_root: folder that holds the datasets.
        split: train, val or test.
        limit: use only the first `limit` images of each class and split; None: all.
        real_labels: of a table or a hub's dataset, the labels that mean real; none:
            the usual words.
        shares: of the images in train, val and test, where nothing says which are;
            None: as `loading.sources.splitting.SHARES`.
    """

    data_root: Path = Path("datasets")
    split: str = "test"
    limit: int | None = None
    real_labels: Sequence[str] = ()
    shares: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "data_root", Path(self.data_root))
        if self.shares is not None and abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"--shares must sum to 1, not {sum(self.shares):g}")

    @classmethod
    def from_untrusted(cls, data_root: Path, flags: Mapping[str, Any]) -> "Source":
        """Return where a training's images came from, as far as its record says."""
        words, shares = flags.get("real_labels"), flags.get("shares")
        limit = flags.get("limit")
        has_words = isinstance(words, list) and all(isinstance(w, str) for w in words)
        has_shares = isinstance(shares, list) and len(shares) == len(SPLITS)
        return cls(
            data_root,
            limit=limit if limit in COUNT else None,
            real_labels=words if has_words else (),
            shares=shares if has_shares and all(s in SHARE for s in shares) else None,
        )

    def follow(self, record: CheckpointRecord, dataset: str) -> "Source":
        """Return this source, read as a training read it, if that had the dataset.

        So no image is tested that was trained on. What the source says of labels or
        shares itself comes first.
        """
        path = find_dataset(dataset, self.data_root)
        is_folder = path is not None and path.is_dir()  # which says both itself
        if is_folder or dataset not in (record.dataset, *record.dataset.split("+")):
            return self
        trained = Source.from_untrusted(self.data_root, record.flags)
        return replace(
            self,
            real_labels=self.real_labels or trained.real_labels,
            shares=self.shares or trained.shares,
        )

    def to_words(self) -> list[object]:
        """Return the flags that say so on a command line, but for the split."""
        words: list[object] = ["--data-root", self.data_root]
        words += ["--limit", self.limit] if self.limit else []
        words += ["--shares", *self.shares] if self.shares else []
        return words + (
            ["--real-labels", *self.real_labels] if self.real_labels else []
        )

    def to_flags(self) -> dict[str, Any]:
        """Return what a record says of how a training's data were read."""
        real_labels, shares = list(self.real_labels), self.shares and list(self.shares)
        return {"limit": self.limit, "real_labels": real_labels, "shares": shares}


def open_pictures(
    name: str,
    source: Source,
    splits: Collection[str] = SPLITS,
    without_fakes: Collection[str] = (),
) -> Mapping[str, Pictures]:
    """Return what the splits of a dataset, or of several together, hold.

    As `utils.open_splits`, but the source is required, and a class may be empty.
    """
    opened = _open_parts(name, source, splits, without_fakes)
    if source.shares and not any(of.is_dealt for of in opened.values()):
        raise ValueError(
            f"{name} says what its splits are, so --shares does not go with it: name "
            "it in a call of its own, or write a table by make_table.py --shares"
        )
    parts = [p for of in opened.values() for p in getattr(of, "parts", [of])]
    if source.real_labels and all(isinstance(p, FolderPictures) for p in parts):
        raise ValueError(
            f"the folders of {name} say what is real, so --real-labels does not go "
            "with it: leave the flag out, or name the dataset in a call of its own"
        )
    return opened


def _open_parts(
    name: str, source: Source, splits: Collection[str], without_fakes: Collection[str]
) -> Mapping[str, Pictures]:
    """Return what the splits of a dataset, or of each of several, hold."""
    path = find_dataset(name, source.data_root)
    if path is None and "+" in name:
        parts = {
            part: _open_parts(part, source, splits, without_fakes)
            for part in name.split("+")
        }
        return {
            split: join_pictures({part: of[split] for part, of in parts.items()})
            for split in splits
        }
    reading = {"real_labels": source.real_labels, "shares": source.shares}
    if name.startswith(PREFIX):
        found = open_hub(name.removeprefix(PREFIX), splits, **reading)
    elif path is None:
        raise FileNotFoundError(_describe_missing(name, source.data_root))
    elif path.is_file():
        found = open_table(path, splits, **reading)
    else:
        num = {split: 1 if split in without_fakes else 2 for split in splits}
        found = {s: list_folder(path / s, CLASS_NAMES[: num[s]]) for s in splits}
    return {split: of.take_first(source.limit) for split, of in found.items()}


def find_dataset(name: str, data_root: str | Path) -> Path | None:
    """Return a dataset's folder or table under `data_root`; None if there is none."""
    path = Path(data_root) / name
    tables = (path.with_name(f"{path.name}{suffix}") for suffix in TABLE_SUFFIXES)
    table = next((table for table in tables if table.is_file()), None)
    is_folder = path.is_dir() and (list_splits(path) or table is None)
    return path if is_folder else table


def _describe_missing(name: str, data_root: Path) -> str:
    """Say that there is no such dataset, and which there are."""
    path = Path(data_root) / name
    if path.suffix in TABLE_SUFFIXES and path.is_file():
        return f"name the table {path} without its ending: -d {path.stem}"
    for file in (path, *(path.with_name(path.name + s) for s in (".tar", ".zip"))):
        if file.is_file():
            is_zip = file.suffix == ".zip"
            first = "unpack it, then " if is_zip else ""
            command = suggest_table(file.with_suffix("") if is_zip else file)
            return f"{file} is not a dataset: {first}{command} makes one of it"
    found, state = list_datasets(data_root), "which is not there"
    if found:
        state = f"found: {', '.join(found)}"
    elif data_root.is_dir():
        state = f"which holds no dataset; it {describe_content(data_root)}"
    return (
        f"there is no dataset {name!r} under {data_root} ({state}); name another "
        "with -d and --data-root, or make examples with make_demo_datasets.py"
    )


def list_datasets(data_root: str | Path) -> list[str]:
    """List what `open_splits` can open under `data_root`: folders and tables."""
    if not Path(data_root).is_dir():
        return []
    entries = sorted(Path(data_root).iterdir())
    tables = {e.stem for e in entries if e.suffix in TABLE_SUFFIXES and e.is_file()}
    folders = {e.name for e in entries if e.is_dir() and list_splits(e)}
    return sorted(tables | folders)


def list_splits(path: Path, shares: Sequence[float] | None = None) -> list[str]:
    """List the splits of a dataset's folder or table, in the order of `SPLITS`.

    A table that names no splits is dealt out by `shares`.

    Raises OSError or ValueError if a table cannot be read.
    """
    if path.suffix in TABLE_SUFFIXES and path.is_file():
        return list_table_splits(path, shares)
    return [split for split in SPLITS if (path / split).is_dir()]
