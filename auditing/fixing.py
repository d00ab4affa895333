"""Write a copy of a dataset without the faults that an audit can mend."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from auditing.duplicates import Pair, group_equal
from auditing.properties import Inspection, map_files
from files.atomic import check_free, grow_folder, save_csv
from files.classes import CLASS_NAMES
from files.names import SPLITS, shorten
from loading import IMAGE_SIZE, ImageFile, read_image
from loading.sources.pictures import FACES_TABLE

QUALITY = 90
SUBSAMPLING = "4:2:0"
ACTIONS = ("kept", "moved", "left out")
MANIFEST = "manifest.csv"
HEADER = ("path", "action", "reason", "new_path")
FACES_HEADER = ("path", "label", "split", "group")
# Whose copy stays: the split that is measured on should lose least.
PRIORITY = ("test", "val", "train")


@dataclass(frozen=True)
class Fate:
    """What becomes of a file.

    Attributes:
        split: where its copy goes; None: it is left out.
        reason: why it is left out or moved; empty if it stays where it is.
        new_path: of the copy, below the new dataset; empty if there is none.
        group: what it belongs to; empty where nothing says so.
    """

    file: ImageFile
    split: str | None
    reason: str = ""
    new_path: str = ""
    group: str = ""

    @property
    def action(self) -> str:
        """Return kept, moved or left out."""
        kept, moved, left_out = ACTIONS
        if self.split is None:
            return left_out
        return moved if self.reason else kept

    def leave_out(self, reason: str) -> "Fate":
        """Return the fate of the same file, left out."""
        return replace(self, split=None, reason=reason)


def plan_fix(
    inspection: Inspection, pairs: Sequence[Pair], groups: Sequence[str] | None = None
) -> list[Fate]:
    """Decide what becomes of each file, the unreadable ones last.

    Of images that show the same, one is kept: the test split's, else validation's;
    images with equal pixels but both labels all go. One of the `groups`, names (N,), in
    several splits goes as a whole to the one that lacks most of its images. A fake that
    resembles a real image stays if both end in one split.

    Raises:
        ValueError: a class of a split would be left without an image.
    """
    files, splits = inspection.files, inspection.splits.tolist()
    columns = zip(files, splits, groups or [""] * len(files), strict=True)
    fates = [Fate(file, split, group=group) for file, split, group in columns]
    keepers = _drop_equal(inspection, fates)
    if groups is not None:
        _move_groups(inspection, groups, fates)
    _drop_near(inspection, pairs, keepers, fates)
    _refuse_empty_class(inspection, fates)
    unreadable = [Fate(file, None, reason) for file, reason in inspection.unreadable]
    return _name_copies(inspection, fates) + unreadable


def _drop_equal(inspection: Inspection, fates: list[Fate]) -> dict[int, int]:
    """Keep one of equal images, none if labels differ; return first -> kept."""
    keepers = {}
    for copies in group_equal(inspection):
        keeper = min(copies, key=lambda index: _rank(fates, index))
        keepers[copies[0]] = keeper
        contradict = len({int(inspection.labels[index]) for index in copies}) > 1
        reason = f"equal to {shorten(fates[keeper].file.name)}"
        for index in copies:
            if contradict:
                fates[index] = fates[index].leave_out("equal pixels, both labels")
            elif index != keeper:
                fates[index] = fates[index].leave_out(reason)
    return keepers


def _rank(fates: Sequence[Fate], index: int) -> tuple[int, int]:
    """Return an image's place in the order of keeping: the lowest stays."""
    return PRIORITY.index(fates[index].split), index


def _move_groups(
    inspection: Inspection, groups: Sequence[str], fates: list[Fate]
) -> None:
    """Send each group of several splits to the one that lacks most, largest first."""
    members = defaultdict(list)
    for index, fate in enumerate(fates):
        if fate.split is not None:
            members[groups[index]].append(index)
    scattered = [
        indices
        for indices in members.values()
        if len({fates[index].split for index in indices}) > 1
    ]
    lacking = Counter(
        (fates[index].split, inspection.labels[index])
        for indices in scattered
        for index in indices
    )
    for indices in sorted(scattered, key=len, reverse=True):
        labels = inspection.labels[indices].tolist()
        needs = {s: sum(lacking[s, label] for label in labels) for s in SPLITS}
        target = max(needs, key=needs.get)
        lacking.subtract((target, label) for label in labels)
        for index in indices:
            if fates[index].split != target:
                reason = f"its group {groups[index]!r} was in several splits"
                fates[index] = replace(fates[index], split=target, reason=reason)


def _drop_near(
    inspection: Inspection,
    pairs: Sequence[Pair],
    keepers: Mapping[int, int],
    fates: list[Fate],
) -> None:
    """Leave out each image that shows the same as one that is kept."""
    neighbours = defaultdict(set)
    for pair in pairs:
        if pair.kind in ("near", "mirrored"):
            first, second = keepers[pair.first], keepers[pair.second]
            neighbours[first].add(second)
            neighbours[second].add(first)

    def clash(index: int, other: int) -> bool:
        """Say whether two images cannot both stay; a fake beside its photo can."""
        is_of_one_class = inspection.labels[index] == inspection.labels[other]
        return is_of_one_class or fates[index].split != fates[other].split

    waiting = [index for index in neighbours if fates[index].split is not None]
    stay = set()
    for index in sorted(waiting, key=lambda index: _rank(fates, index)):
        clashing = [o for o in sorted(neighbours[index] & stay) if clash(index, o)]
        if clashing:
            reason = f"shows the same as {shorten(fates[clashing[0]].file.name)}"
            fates[index] = fates[index].leave_out(reason)
        else:
            stay.add(index)


def _refuse_empty_class(inspection: Inspection, fates: Sequence[Fate]) -> None:
    """Raise ValueError if a class of a split has no image left."""
    left = {(f.split, c) for f, c in zip(fates, inspection.labels, strict=True)}
    for split in dict.fromkeys(inspection.splits.tolist()):
        for label, name in enumerate(CLASS_NAMES):
            if (split, label) not in left:
                raise ValueError(
                    f"--fix would leave no {name} image in the split {split}: all of "
                    "them are unreadable, or are in another split too"
                )


def _name_copies(inspection: Inspection, fates: Sequence[Fate]) -> list[Fate]:
    """Give each copy a name of its own, with the ending .jpg."""
    taken, named = {""}, []
    for fate, label in zip(fates, inspection.labels.tolist(), strict=True):
        stem, number, new_path = PurePath(fate.file.name).stem, 1, ""
        while fate.split is not None and _fold(new_path) in taken:
            suffix = f"_{number}" if number > 1 else ""
            new_path = f"{fate.split}/{CLASS_NAMES[label]}/{stem}{suffix}.jpg"
            number += 1
        taken.add(_fold(new_path))
        named.append(replace(fate, new_path=new_path))
    return named


def _fold(path: str) -> str:
    """Return what is equal for paths that some systems hold for the same."""
    return unicodedata.normalize("NFC", path).casefold()


def check_destination(destination: str | Path, dataset_path: str | Path) -> None:
    """Raise if a copy cannot be written there; it leaves nothing.

    Raises:
        ValueError: something is there already, or it lies within the dataset.
        OSError: the folder cannot be written.
    """
    destination = Path(destination)
    check_free(destination, "--fix")
    if Path(dataset_path).resolve() in destination.resolve().parents:
        raise ValueError(
            f"--fix {destination}: it lies within the dataset {dataset_path}; name a "
            "folder beside it"
        )


def save_fix(fates: Sequence[Fate], destination: str | Path) -> None:
    """Write the copies, the manifest and faces.csv, whole or not at all.

    Each copy is upright, RGB, 256 x 256, a JPEG of quality 90 with 4:2:0 subsampling,
    without metadata. The destination is a folder that is not there, or empty.

    Raises:
        OSError: the folder cannot be written.
        ValueError: an image can no longer be read.
    """
    copied = [fate for fate in fates if fate.split is not None]
    with grow_folder(Path(destination)) as folder:
        for parent in {(folder / fate.new_path).parent for fate in copied}:
            parent.mkdir(parents=True)
        jobs = [(fate.file, folder / fate.new_path) for fate in copied]
        map_files(_save_copy, jobs, "fix")
        rows = [(shorten(f.file.name), f.action, f.reason, f.new_path) for f in fates]
        save_csv(rows, folder / MANIFEST, header=HEADER)
        faces = [
            (f.new_path, PurePath(f.new_path).parts[1], f.split, f.group)
            for f in copied
        ]
        save_csv(faces, folder / FACES_TABLE, header=FACES_HEADER)


def _save_copy(job: tuple[ImageFile, Path]) -> None:
    """Re-encode one image."""
    file, target = job
    image = read_image(file)
    if image.size != (IMAGE_SIZE, IMAGE_SIZE):
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
    image = Image.fromarray(np.asarray(image))  # without what came with the file
    image.save(target, "JPEG", quality=QUALITY, subsampling=SUBSAMPLING)
