"""The pictures of a split: what each is called, its label, where it is read from."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from files.classes import CLASS_NAMES, FAKE, REAL
from files.csv_files import open_csv
from files.names import name_mask
from files.provenance import format_command
from loading.image_files import ImageFile, Listing, list_images

NUM_SHOWN = 5  # names of what is found in a folder, in a message
FACES_TABLE = "faces.csv"  # says more of the images of the folder that it lies in
# Columns that mean something to this suite.
KNOWN = ("path", "label", "split", "group", "subset", "mask", "weight", "margin")
KNOWN += ("offset", "bytes")
AnyPictures = TypeVar("AnyPictures", bound="Pictures")


class Texts(Sequence[str]):
    """Texts in one block of memory, which worker processes share.

    A million of them need little more than their letters.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        block, ends = bytearray(), array("q")
        for text in texts:
            block += os.fsencode(text)
            ends.append(len(block))
        self._block = np.frombuffer(bytes(block), np.uint8)
        self._ends = np.array(ends, dtype=np.int64)
        self._starts = np.concatenate([[0], self._ends[:-1]]) if ends else self._ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        start, end = self._starts[index], self._ends[index]
        return os.fsdecode(self._block[start:end].tobytes())

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def take(self, indices: np.ndarray) -> Texts:
        """Return the texts at `indices`; the block is shared."""
        chosen = Texts()
        chosen._block = self._block
        chosen._starts, chosen._ends = self._starts[indices], self._ends[indices]
        return chosen


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a split consists of, whatever holds it: columns of N rows.

    A subclass says what is read for a row. Pictures of one class lie together, real
    ones first.

    Attributes:
        names: of the pictures, as their dataset gives them.
        labels: int64 (N,), 0 real, 1 fake.
        columns: more that is known of each, by name: `group` (what belongs together, a
            video or a person), `subset` (a forgery method), `mask`, and whatever else
            a table has.
        places: int64 (N,) by name: where each is found, in a way of the subclass; and
            `dataset`, the number of its dataset, where several are joined.
        num_skipped: what lies beside them and is not used.
        is_dealt: nothing said which split they are of: it was drawn.
    """

    names: Texts
    labels: np.ndarray
    columns: Mapping[str, Texts] = field(default_factory=dict)
    places: Mapping[str, np.ndarray] = field(default_factory=dict)
    num_skipped: int = 0
    is_dealt: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def get_name(self, index: int) -> str:
        """Return what the picture at `index` is called."""
        return self.names[index]

    def get_file(self, index: int) -> ImageFile:
        """Return the picture at `index`, to be read."""
        raise NotImplementedError

    def get_mask(self, index: int) -> ImageFile | None:
        """Return which pixels of the fake at `index` are planted, if that is known."""
        return None

    def take(self: AnyPictures, indices: Sequence[int] | np.ndarray) -> AnyPictures:
        """Return some of the pictures."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            names=self.names.take(chosen),
            labels=self.labels[chosen],
            columns={name: of.take(chosen) for name, of in self.columns.items()},
            places={name: of[chosen] for name, of in self.places.items()},
        )

    def take_first(self: AnyPictures, limit: int | None) -> AnyPictures:
        """Return the first `limit` pictures of each class."""
        if limit is None:
            return self
        found = [np.flatnonzero(self.labels == label)[:limit] for label in (REAL, FAKE)]
        return self.take(np.concatenate(found))

    def call_real_fake(self: AnyPictures) -> AnyPictures:
        """Return the real pictures, and the same once more as fakes."""
        real = np.flatnonzero(self.labels == REAL)
        twice = self.take(np.concatenate([real, real]))
        return replace(twice, labels=np.repeat([REAL, FAKE], len(real)))

    def describe_lack(self, label: int) -> str:
        """Say that a class has no picture, and what to do."""
        return f"no {CLASS_NAMES[label]} images in {self}"

    def describe_rest(self) -> str:
        """Say what lies beside the pictures and might be taken for some of them."""
        return ""


@dataclass(frozen=True, eq=False)
class FolderPictures(Pictures):
    """The images in ROOT/real and ROOT/fake, sorted by name.

    `names` are those of the files. What a table `faces.csv` in the folder above says of
    them are columns.

    Attributes:
        root: folder of a split.
        folders: in it, by label.
    """

    root: Path = Path()
    folders: Sequence[str] = CLASS_NAMES

    def __str__(self) -> str:
        return str(self.root)

    def get_name(self, index: int) -> str:
        """Return the picture's path from the dataset's folder."""
        folder = self.folders[self.labels[index]]
        return f"{self.root.name}/{folder}/{self.names[index]}"

    def get_file(self, index: int) -> ImageFile:
        folder = self.root / self.folders[self.labels[index]]
        return ImageFile(folder / self.names[index])

    def get_mask(self, index: int) -> ImageFile | None:
        """Return a fake's mask, white: masks/SPLIT/NAME.png beside the splits."""
        path = name_mask(self.get_file(index).name)
        is_there = self.labels[index] == FAKE and path.is_file()
        return ImageFile(path) if is_there else None

    def call_real_fake(self) -> FolderPictures:
        return replace(super().call_real_fake(), folders=[self.folders[REAL]] * 2)

    def describe_lack(self, label: int) -> str:
        folder = self.root / self.folders[label]
        readable = "readable " * bool(list_images(folder).images)
        return (
            f"no {readable}images in {folder}, which {describe_content(folder)}; put "
            "at least one image file (.jpg, .png, ...) directly there"
            f"{_describe_inner(folder)}"
        )

    def describe_rest(self) -> str:
        """Say which folders beside the classes' are not used."""
        folders = list_images(self.root).folders
        used = (*CLASS_NAMES, *self.folders)
        unused = [f for f in folders if f not in used and f[0] != "."]
        return f"folders that are not used: {shorten_list(unused)}" if unused else ""


@dataclass(frozen=True, eq=False)
class JoinedPictures(Pictures):
    """The pictures of several datasets or splits, one after the other in each class."""

    parts: Sequence[Pictures] = ()

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))

    def get_file(self, index: int) -> ImageFile:
        part, place = self._find(index)
        return part.get_file(place)

    def get_mask(self, index: int) -> ImageFile | None:
        part, place = self._find(index)
        return part.get_mask(place)

    def _find(self, index: int) -> tuple[Pictures, int]:
        """Return the part that a picture is of, and its place there."""
        part, place = (int(self.places[name][index]) for name in ("part", "place"))
        return self.parts[part], place


def join_pictures(
    parts: Mapping[str, Pictures], *, of_one: bool = False
) -> JoinedPictures:
    """Put several datasets' pictures together, or several splits' of one.

    Args:
        parts: by the name of the dataset, with which names and groups begin, and which
            is the subset; or by that of the split, which changes nothing.
        of_one: they are splits of one dataset.
    """
    names: list[str] = []
    kept = {name for part in parts.values() for name in part.columns}
    columns: dict[str, list[str]] = {name: [] for name in sorted({*kept, "subset"})}
    for title, part in parts.items():
        start, blank = "" if of_one else f"{title}/", [""] * len(part)
        own = [f"{start}{part.get_name(i)}" for i in range(len(part))]
        names += own
        found = {name: list(part.columns.get(name, blank)) for name in columns}
        if "group" in found:
            groups = zip(found["group"], own, strict=True)
            found["group"] = [f"{start}{of}" if of else name for of, name in groups]
        if not of_one:
            found["subset"] = [title] * len(part)
        for name, values in found.items():
            columns[name] += values
    sizes = [len(part) for part in parts.values()]
    number = np.repeat(np.arange(len(sizes)), sizes)
    numbers = [p.places.get("dataset", np.zeros(len(p), int)) for p in parts.values()]
    labels = np.concatenate([part.labels for part in parts.values()])
    whole = JoinedPictures(
        Texts(names),
        labels,
        {name: Texts(values) for name, values in columns.items()},
        {
            "dataset": np.concatenate(numbers) if of_one else number,
            "part": number,
            "place": np.concatenate([np.arange(size) for size in sizes]),
        },
        num_skipped=sum(part.num_skipped for part in parts.values()),
        is_dealt=any(part.is_dealt for part in parts.values()),
        parts=tuple(parts.values()),
    )
    return whole.take(np.argsort(labels, kind="stable"))


def list_folder(root: Path, classes: Sequence[str] = CLASS_NAMES) -> FolderPictures:
    """List some classes of a split's folder, without opening an image.

    Raises:
        FileNotFoundError: a folder is missing; the message says what there is.
    """
    listed = [_list_class(root / name) for name in classes]
    names = [name for listing in listed for name in listing.images]
    labels = np.repeat(range(len(listed)), [len(found.images) for found in listed])
    num_skipped = sum(len(x.others) + len(x.folders) for x in listed)
    root = root if root.name else root.absolute()
    pictures = FolderPictures(
        Texts(names), labels, num_skipped=num_skipped, root=root, folders=classes
    )
    table = root.parent / FACES_TABLE
    columns = _read_columns(table, pictures) if table.is_file() else {}
    return replace(pictures, columns=columns)


def _read_columns(table: Path, pictures: Pictures) -> dict[str, Texts]:
    """Return what a table says of pictures, '' where it does not know one."""
    places = {pictures.get_name(i): i for i in range(len(pictures))}
    with open_csv(table) as content:
        key = next((name for name in ("path", "crop") if name in content.header), None)
        if key is None:
            return {}
        columns = {
            name: ([""] * len(pictures), place)
            for place, name in enumerate(content.header)
            if name and name not in (key, "label", "split")
        }
        key_place = content.header.index(key)
        for _, row in content.rows:
            index = places.get(row[key_place])
            if index is not None:
                for values, place in columns.values():
                    values[index] = row[place]
    return {name: Texts(values) for name, (values, _) in columns.items()}


def _list_class(folder: Path) -> Listing:
    """List a class's folder; say what there is where it is missing."""
    try:
        return list_images(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        there = next(path for path in folder.absolute().parents if path.is_dir())
        raise FileNotFoundError(
            f"there is no folder {folder}; {there} {describe_content(there)}, and a "
            "dataset has {train,val,test}/{real,fake}; of another layout "
            f"{suggest_table(folder.parent.parent)} makes one"
        ) from error


def describe_content(folder: Path) -> str:
    """Say what a folder holds, as what follows its name in a sentence."""
    images, others, folders = list_images(folder)
    parts = [
        f"{len(names)} {noun}{'s' * (len(names) > 1)} ({shorten_list(names)})"
        for noun, names in (("folder", folders), ("image", images), ("file", others))
        if names
    ]
    return f"holds {' and '.join(parts) or 'nothing'}"


def suggest_table(source: Path) -> str:
    """Return the command that makes a dataset of what lies otherwise."""
    source = source if source.name else source.absolute()
    table = source.with_name(f"{source.stem}_table.csv")
    return format_command("make_table.py", [source, "--to", table])


def _describe_inner(folder: Path) -> str:
    """Say how folders of another layout are used, where they hold images."""
    folders = list_images(folder).folders
    num = sum(len(list_images(folder / name).images) for name in folders)
    if not num:
        return ""
    command = suggest_table(folder.parent.parent)
    return f"; {num} images lie one folder below: {command} makes a dataset of them"


def shorten_list(names: Sequence[str]) -> str:
    """Return the first five names."""
    return ", ".join(names[:NUM_SHOWN]) + ", ..." * (len(names) > NUM_SHOWN)
