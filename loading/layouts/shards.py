"""WebDataset's tar files: pictures, each beside a file that holds its label."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from files.classes import list_kinds, read_labels
from hardware import show_progress
from loading.image_files import get_extensions
from loading.layouts.folders import tell_folders, tell_splits, walk
from loading.layouts.rows import Found, Hints, Row, shorten, take_split
from loading.sources.archives import SUFFIX, Member, list_members, read_member

MOST_BYTES = 1 << 20  # of a file that says something of a picture
_SIDECARS = (".cls", ".json")


class Shard(NamedTuple):
    """An archive, and the names of it and its folders from the source down."""

    path: Path
    parts: tuple[str, ...]


class Sample(NamedTuple):
    """A picture in an archive, and what is said of it there."""

    shard: Shard
    member: Member
    sidecar: Mapping[str, Any]

    @property
    def path(self) -> str:
        """ARCHIVE.tar/MEMBER."""
        return (self.shard.path / self.member.name).as_posix()

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its folders, the archive's with them."""
        return *self.shard.parts, *PurePosixPath(self.member.name).parts[:-1]


def read_shards(sources: Sequence[Path], said: Hints) -> Found:
    """Take the pictures of uncompressed tar files, and where they lie in them.

    A picture KEY.jpg is of the class that KEY.cls says, or KEY.json as `label`; or else
    the folders in the archive. Its split is in KEY.json, or else in the archive's name
    or folder. Of several members of one name the last counts, as for tar.

    Raises:
        OSError: an archive cannot be read.
        ValueError: it is compressed, or does not say what is real and fake.
    """
    shards = _list_shards(sources)
    samples = [
        sample
        for shard in show_progress(shards, "archives")
        for sample in _list_samples(shard)
    ]
    if not samples:
        raise ValueError(f"no images in {shorten(str(shard.path) for shard in shards)}")
    labels, subsets = _tell_labels(samples, said)
    splits, _ = tell_splits([sample.parts for sample in samples])
    rows, told = [], zip(samples, labels, subsets, splits, strict=True)
    for sample, label, subset, split in told:
        own = take_split(sample.sidecar.get("split") or "", sample.path)
        group = str(sample.sidecar.get("group", sample.sidecar.get("video", "")))
        place = {"offset": sample.member.offset, "bytes": sample.member.num_bytes}
        rows.append(Row(sample.path, label, own or split, group, subset, **place))
    return Found(rows)


def _list_shards(sources: Sequence[Path]) -> list[Shard]:
    """List the archives that are sources, or lie below them."""
    files = [Shard(p, (p.parent.name, p.stem)) for p in sources if p.is_file()]
    folders = [path for path in sources if path.is_dir()]
    inner = [
        Shard(folder.path / name, (*folder.parts, Path(name).stem))
        for folder in (walk(folders) if folders else ())
        for name in folder.others
        if name.lower().endswith(SUFFIX)
    ]
    return [*files, *inner]


def _list_samples(shard: Shard) -> Iterator[Sample]:
    """List an archive's pictures, and read what its small files say of them."""
    images, beside = {}, defaultdict(list)
    for member in list_members(shard.path):
        path = PurePosixPath(member.name)
        if path.suffix.lower() in get_extensions() and path.name[0] != ".":
            images[path] = member
        elif path.suffix in _SIDECARS and member.num_bytes <= MOST_BYTES:
            beside[_find_key(path)].append(member)
    for path, image in images.items():
        sidecar: dict[str, Any] = {}
        for name, *place in beside.get(_find_key(path), ()):
            content = read_member(shard.path, *place)
            sidecar |= _read_sidecar(shard.path / name, content)
        yield Sample(shard, image, sidecar)


def _find_key(path: PurePosixPath) -> str:
    """Return what the files of one sample have in common: all up to the first dot."""
    return str(path.with_name(path.name.split(".")[0]))


def _read_sidecar(path: Path, content: bytes) -> dict[str, Any]:
    try:
        if path.suffix == ".cls":
            return {"label": content.decode().strip()}
        entries = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path} does not hold {path.suffix[1:]}: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path} is not a JSON object, as {{'label': 'fake'}}")
    return entries


def _tell_labels(
    samples: Sequence[Sample], said: Hints
) -> tuple[Sequence[int], Sequence[str]]:
    """Return each picture's label, and what kind of fake it is, '' for real ones."""
    words = [str(sample.sidecar.get("label", "")) for sample in samples]
    if not any(words):
        meanings = tell_folders([sample.parts for sample in samples], said)
        return [one.label for one in meanings], [one.subset for one in meanings]
    if "" in words:
        raise ValueError(f"{samples[words.index('')].path} has no label")
    if not said.real_labels and any(word.lstrip("-").isdigit() for word in words):
        raise ValueError(
            f"the labels are numbers ({shorten(set(words))}): say which mean real with "
            "--real-labels"
        )
    labels = read_labels(words, said.real_labels)
    return labels, list_kinds(words, labels)
