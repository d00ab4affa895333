"""Lists of videos' frames in JSON, as DeepfakeBench and DF40 write them."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from files.classes import FAKE, REAL, SPLIT_OF, find_label, read_labels
from files.names import SPLITS
from hardware import show_progress
from loading.layouts.rows import Found, Hints, Row, join_families, shorten

COMPRESSIONS = ("raw", "c0", "c23", "c40")
Keys = tuple[str, ...]  # from the file's outermost object to an entry


@dataclass
class Video:
    """What lists say of a video.

    Attributes:
        kind: its label in words.
        splits: in which ones it is listed.
    """

    name: str
    kind: str
    splits: set[str] = field(default_factory=set)
    frames: list[str] = field(default_factory=list)


def read_frame_lists(files: Sequence[Path], said: Hints) -> Found:
    """Take the frames of videos that JSON files list with their labels.

    A video that is in several splits, as in what DeepfakeBench writes for Celeb-DF,
    counts in test, or else in train. Where all of a kind are in all three splits, they
    say nothing.

    Args:
        files: each holds {"label": ..., "frames": [...]} below names of a set, a kind,
            a split, a level of compression and a video.

    Raises:
        OSError: a file cannot be read.
        ValueError: it does not hold such lists, or it is not clear which to take.
    """
    found = [(f, *entry) for f in files for entry in list_entries(load_json(f), f)]
    keys = [keys for _, keys, _ in found]
    chosen = _choose_compression(keys, said.compression)
    videos: dict[tuple[str, str], Video] = {}
    for (file, names, entry), is_chosen in zip(found, chosen, strict=True):
        frames = [name.replace("\\", "/") for name in entry["frames"]]
        if is_chosen and frames:
            root, kind = said.root or file.parent, str(entry["label"])
            name = _name_video(names, frames[0])
            place = str(root / PurePosixPath(frames[0]).parent)
            video = videos.setdefault((place, name), Video(name, kind))
            if video.kind != kind:
                raise ValueError(f"{place} is {video.kind} and {kind}: name one list")
            video.splits |= {SPLIT_OF[n] for n in names[:-1] if n in SPLIT_OF}
            video.frames = [(root / frame).as_posix() for frame in frames]
    return _make_rows(list(videos.values()), said)


def load_json(file: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON.
    """
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from error


def list_entries(content: Any, file: Path) -> list[tuple[Keys, Mapping[str, Any]]]:
    """List the entries with a label and frames, and the names above each.

    Raises:
        ValueError: there is none.
    """

    def descend(node: Any, keys: Keys) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
        if not isinstance(node, dict):
            return
        frames = node.get("frames")
        if "label" in node and isinstance(frames, list):
            if not all(isinstance(name, str) for name in frames):
                raise ValueError(f"{file}: the frames of {keys[-1:]} are not names")
            yield keys, node
            return
        for name, inner in node.items():
            yield from descend(inner, (*keys, name))

    found = list(descend(content, ()))
    if not found:
        raise ValueError(
            f'{file} lists no frames, as {{"label": ..., "frames": [...]}} (split '
            "files of pairs go to --splits, with the folder of frames as SOURCE)"
        )
    return found


def _choose_compression(keys: Sequence[Keys], wanted: str | None) -> list[bool]:
    """Say which entries are of the wanted level of compression, or of none."""
    levels = [next((n for n in names if n in COMPRESSIONS), None) for names in keys]
    there = set(levels) - {None}
    if wanted not in there if wanted else len(there) > 1:
        raise ValueError(
            f"frames of these levels of compression are listed: {shorten(there)}; "
            "choose one with --compression"
            if there
            else "no level of compression is listed: --compression goes without"
        )
    return [level in (None, wanted or level) for level in levels]


def _name_video(names: Keys, frame: str) -> str:
    """Return an entry's name, or of one without that of the folder of its frames."""
    is_named = names and names[-1] not in SPLIT_OF and names[-1] not in COMPRESSIONS
    return names[-1] if is_named else PurePosixPath(frame).parent.name


def _make_rows(videos: Sequence[Video], said: Hints) -> Found:
    """Make rows of those frames that are there."""
    labels = _label_kinds({video.kind for video in videos}, said.real_labels)
    repeated = _settle_splits(videos)
    rows, missing, is_there = [], [], _Folders()
    for video in show_progress(videos, "videos"):
        label, (split,) = labels[video.kind], video.splits or {""}
        subset = video.kind if label == FAKE else ""
        for frame in video.frames:
            mask = frame.replace("/frames/", "/masks/") if label == FAKE else frame
            mask = mask if mask != frame and is_there(mask) else ""
            row = Row(frame, label, split, video.name, subset, mask)
            (rows if is_there(frame) else missing).append(row)
    if missing and not rows:
        raise FileNotFoundError(
            f"none of the {len(missing)} frames is there, such as {missing[0].path}: "
            "--root DIR says where their paths start"
        )
    notes = [
        f"{len(missing)} frames are not there, such as {row.path}"
        for row in missing[:1]
    ]
    if repeated:
        notes.append(
            f"{repeated} videos are listed in several splits: taken for test, or else "
            "for train; or left open where all of a kind are in all splits"
        )
    return Found(join_families(rows), notes)


def _label_kinds(kinds: set[str], real_labels: Sequence[str]) -> dict[str, int]:
    """Return the label of each kind; those that do not say they are real are fakes."""
    if real_labels:
        return dict(zip(kinds, read_labels(kinds, real_labels), strict=True))
    if all(kind.isdigit() for kind in kinds):
        raise ValueError(
            f"the labels are {shorten(kinds)}: say which mean real with --real-labels"
        )
    return {kind: REAL if find_label(kind) == REAL else FAKE for kind in kinds}


def _settle_splits(videos: Sequence[Video]) -> int:
    """Leave each video in one split at most; return how many were in several."""
    by_kind: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        by_kind[video.kind].append(video)
    num = sum(len(video.splits) > 1 for video in videos)
    for members in by_kind.values():
        says_nothing = all(len(video.splits) == len(SPLITS) for video in members)
        for video in members:
            first = next((s for s in ("test", "train", "val") if s in video.splits), "")
            video.splits = set() if says_nothing or not first else {first}
    return num


class _Folders:
    """Says whether a file is there; lists each folder once."""

    def __init__(self) -> None:
        self._names: dict[Path, set[str]] = {}

    def __call__(self, path: str) -> bool:
        folder = Path(path).parent
        if folder not in self._names:
            names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
            self._names[folder] = set(names)
        return Path(path).name in self._names[folder]
