"""Folders of images, whose names say what they hold."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from files.classes import FAKE, REAL, SPLIT_OF, find_label, list_words
from hardware import show_progress
from loading.image_files import list_images
from loading.layouts.rows import Found, Hints, Row, shorten

Parts = tuple[str, ...]  # names of the folders from the source down
MASKS = ("mask", "masks")
MOST_STRAYS = 10  # images above the folders of classes that are passed over
PLAIN = ("frames", "images", "imgs", "faces", "crops")  # names that say nothing


class Folder(NamedTuple):
    """A folder: its path, the folders from the source down to it, its files."""

    path: Path
    parts: Parts
    images: list[str]
    others: list[str]


def walk(sources: Sequence[Path]) -> Iterator[Folder]:
    """List each folder below the sources; of several, parts start where they meet.

    Raises:
        OSError: a folder cannot be listed.
    """
    base = Path(os.path.commonpath([source.absolute() for source in sources]))
    with show_progress(desc="folders", unit="") as bar:
        for source in sources:
            seen: set[tuple[int, int]] = set()  # a link may lead back
            waiting = [source.absolute()]
            while waiting:
                path = waiting.pop()
                status = path.stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                images, others, folders = list_images(path)
                yield Folder(path, path.relative_to(base).parts, images, others)
                bar.update()
                inner = [n for n in folders if n[0] != "." and n != "__MACOSX"]
                waiting += [path / name for name in reversed(inner)]


def read_folders(sources: Sequence[Path], said: Hints) -> Found:
    """Take classes, splits and more out of the names of folders.

    Raises:
        OSError: a folder cannot be listed.
        ValueError: names do not say what is real and fake; the message asks.
    """
    listed = list(walk(sources))
    with_images = [folder for folder in listed if folder.images]
    is_mask = [any(p.casefold() in MASKS for p in f.parts) for f in with_images]
    masks = [f for f, is_one in zip(with_images, is_mask, strict=True) if is_one]
    folders = [f for f, is_one in zip(with_images, is_mask, strict=True) if not is_one]
    if not folders:
        raise ValueError(
            f"no images below {shorten(map(str, sources))}{_describe_others(listed)}"
        )
    strays = _find_strays(folders, said)
    folders = [folder for folder in folders if folder not in strays]
    meanings = tell_folders([folder.parts for folder in folders], said)
    rows = [
        Row(str(folder.path / name), one.label, one.split, one.group, one.subset)
        for folder, one in zip(folders, meanings, strict=True)
        for name in folder.images
    ]
    names = [f.parts for f in folders for _ in f.images]
    rows, notes = _add_masks(rows, names, masks)
    if strays:
        names = shorten(str(f.path / name) for f in strays for name in f.images)
        notes.append(f"passed over images above the folders of classes: {names}")
    if others := _describe_others(listed):
        notes.append(f"passed over{others.removeprefix(', but')}")
    question = _ask_levels(folders, meanings, said)
    return Found(rows, notes, question, "--group-by or --levels")


def _find_strays(folders: Sequence[Folder], said: Hints) -> list[Folder]:
    """List the folders above those that tell the class, if they hold few images."""
    outer = {f.parts[:depth] for f in folders for depth in range(len(f.parts))}
    paths = [folder.parts for folder in folders if folder.parts not in outer]
    _, places = _tell_classes(paths, _find_shared(paths), said.real_labels)
    above = {
        path[:depth]
        for path, place in zip(paths, places, strict=True)
        for depth in range(place + 1)
    }
    strays = [folder for folder in folders if folder.parts in above]
    num = sum(len(folder.images) for folder in strays)
    if num > MOST_STRAYS:
        raise ValueError(
            f"{num} images lie above the folders that tell the class, such as "
            f"{strays[0].path / strays[0].images[0]}: move them into one"
        )
    return strays


def _describe_others(listed: Sequence[Folder]) -> str:
    """Count the files that are not images, by their endings."""
    kinds = Counter(Path(n).suffix.lower() or n for f in listed for n in f.others)
    some = [f"{num} {kind}" for kind, num in kinds.most_common(5)]
    return f", but other files: {', '.join(some)}" if some else ""


class Meaning(NamedTuple):
    """What the folders above an image say of it.

    Attributes:
        unclear: the names of folders that say nothing by themselves.
    """

    label: int
    split: str
    group: str
    subset: str
    unclear: Parts


def tell_folders(paths: Sequence[Parts], said: Hints) -> list[Meaning]:
    """Say what each path, names from the source down, says of the images in it.

    Raises:
        ValueError: they do not say what is real and fake, or which split; or there are
            more or fewer folders than levels.
    """
    shared = _find_shared(paths)
    labels, class_places = _tell_classes(paths, shared, said.real_labels)
    splits, split_places = tell_splits(paths)
    classes = [path[place] for path, place in zip(paths, class_places, strict=True)]
    kinds = list(map(_name_kind, classes))
    fakes = {k.casefold() for k, x in zip(kinds, labels, strict=True) if x == FAKE}
    meanings = []
    for i, (path, label) in enumerate(zip(paths, labels, strict=True)):
        taken = shared | {class_places[i], split_places[i]}
        unclear = tuple(
            name
            for place, name in enumerate(path)
            if place not in taken and name.casefold() not in PLAIN
        )
        named = _take_levels(path, unclear, label, said.levels or ())
        kind = kinds[i] if label == FAKE and len(fakes) > 1 else ""
        subset = named["subset"] or kind
        meanings.append(Meaning(label, splits[i], named["group"], subset, unclear))
    return meanings


def _find_shared(paths: Sequence[Parts]) -> set[int]:
    """Return the places at which all paths have the same name."""
    depth = min(map(len, paths))
    return {i for i in range(depth) if len({path[i] for path in paths}) == 1}


def _tell_classes(
    paths: Sequence[Parts], shared: set[int], real_labels: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Return each path's label, and the place of the name that says so."""
    if real_labels:
        return _tell_said_classes(paths, real_labels)
    labels, places, unknown = [], [], set()
    all_found = [
        {i: find_label(name) for i, name in enumerate(path) if i not in shared}
        for path in paths
    ]
    parents = _find_parents_of_both(paths, all_found)
    for path, found in zip(paths, all_found, strict=True):
        telling = [
            i
            for i, label in found.items()
            if label is not None and path[: i + 1] not in parents
        ]
        if len({found[i] for i in telling}) > 1:
            names = " and ".join(path[i] for i in telling)
            raise ValueError(
                f"{'/'.join(path)} is real and fake, by its folders {names}: name the "
                "folders that hold real images with --real-labels"
            )
        if telling:
            labels.append(found[telling[0]])
            places.append(telling[0])
        else:
            others = [path[i] for i in found if path[i].casefold() not in SPLIT_OF]
            unknown.add((others or path or ("the source",))[0])
    if unknown:
        raise ValueError(
            f"no folder's name says whether its images are real or fake: "
            f"{shorten(unknown)}; --real-labels NAME ... names the folders of real "
            "ones, and those beside them are fakes"
        )
    return labels, places


def _find_parents_of_both(
    paths: Sequence[Parts], all_found: Sequence[dict[int, int | None]]
) -> set[Parts]:
    """Return the folders whose own subfolders are of both classes.

    Whatever their names mean, as fakes_dataset's, it is the subfolders that tell.
    """
    below: dict[Parts, set[int | None]] = {}
    for path, found in zip(paths, all_found, strict=True):
        for i, label in found.items():
            for j in range(i):
                below.setdefault(path[: j + 1], set()).add(label)
    return {parent for parent, labels in below.items() if labels >= {REAL, FAKE}}


def _tell_said_classes(
    paths: Sequence[Parts], real_labels: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Do the same where the user says what the folders of real images are called."""
    real = {name.casefold() for name in real_labels}
    there = Counter(name for path in paths for name in path)
    if missing := real - {name.casefold() for name in there}:
        raise ValueError(
            f"no folder is called {min(missing)!r}, as --real-labels says; there are "
            f"{shorten(name for name, _ in there.most_common(8))}"
        )
    places = {i for p in paths for i, name in enumerate(p) if name.casefold() in real}
    place = min(places)
    if lost := [path for path in paths if len(places) > 1 or len(path) <= place]:
        raise ValueError(
            f"the folders of real images lie {' and '.join(map(str, sorted(places)))} "
            f"folders below the source, so of {'/'.join(lost[0]) or 'it'} it is not "
            "clear which folder is the class: name sources one by one, or move folders"
        )
    labels = [REAL if path[place].casefold() in real else FAKE for path in paths]
    return labels, [place] * len(paths)


def tell_splits(paths: Sequence[Parts]) -> tuple[list[str], list[int]]:
    """Return each path's split, '' where none is said, and its name's place or -1.

    A folder called train, or the like, says so; a part of a name, such as in
    training_real, only where it does of all paths.

    Raises:
        ValueError: a path is of two splits.
    """
    exact = [
        {i: SPLIT_OF[n.casefold()] for i, n in enumerate(p) if n.casefold() in SPLIT_OF}
        for p in paths
    ]
    partly = [
        {
            i: SPLIT_OF[word]
            for i, name in enumerate(path)
            for word in list_words(name)
            if word in SPLIT_OF
        }
        for path in paths
    ]
    found = exact if any(exact) or not all(partly) else partly
    for path, splits in zip(paths, found, strict=True):
        if len(set(splits.values())) > 1:
            names = " and ".join(path[place] for place in splits)
            raise ValueError(
                f"{'/'.join(path)} is of two splits, {names}: rename a folder"
            )
    places = [min(splits, default=-1) for splits in found]
    return [next(iter(splits.values()), "") for splits in found], places


def _name_kind(name: str) -> str:
    """Return what a class's folder is called, without a split."""
    words = list_words(name)
    others = [word for word in words if word not in SPLIT_OF]
    return name if len(others) == len(words) else "_".join(others)


def _take_levels(
    path: Parts, unclear: Parts, label: int, levels: Sequence[str]
) -> dict[str, str]:
    """Return what the remaining folders say: the group, and the subset."""
    if label == REAL and len(unclear) == sum(level != "subset" for level in levels):
        levels = [level for level in levels if level != "subset"]  # a forgery's
    lacking = [level for level in levels[len(unclear) :] if level != "-"]
    if levels and (lacking or len(unclear) > len(levels)):
        raise ValueError(
            f"--levels {' '.join(levels)} does not fit {'/'.join(path)}: its folders "
            f"besides class and split are {' '.join(unclear) or 'none'}"
        )
    named = {
        role: [n for n, level in zip(unclear, levels, strict=False) if level == role]
        for role in ("group", "subset")
    }
    return {role: "/".join(names) for role, names in named.items()}


def _ask_levels(folders: Sequence[Folder], found: list[Meaning], said: Hints) -> str:
    """Ask what folders mean that say nothing by themselves, if there are some."""
    deepest = max(range(len(found)), key=lambda i: len(found[i].unclear))
    unclear = found[deepest].unclear
    if said.levels is not None or not unclear:
        return ""
    example = "/".join((*folders[deepest].parts, folders[deepest].images[0]))
    usual = " ".join(("subset", "group")[-len(unclear) :])
    return (
        f"--levels is to say what these folders of {example} mean: "
        f"{' and '.join(unclear)}; each a group (video, person), a subset (forgery "
        f"method) or nothing (-), as in --levels {usual}"
    )


def _add_masks(
    rows: Sequence[Row], names: Sequence[Parts], masks: Sequence[Folder]
) -> tuple[list[Row], list[str]]:
    """Give fakes the masks that lie as they do, but for `masks` and maybe a folder."""
    paths, found = {}, []
    for folder in masks:
        own = [part for part in folder.parts if part.casefold() not in MASKS]
        for name in folder.images:
            paths[(*own, Path(name).stem)] = str(folder.path / name)
    for row, parts in zip(rows, names, strict=True):
        stem = Path(row.path).stem
        keys = [(*parts, stem)]
        keys += [(*parts[:i], *parts[i + 1 :], stem) for i in range(len(parts))]
        mask = next((paths[key] for key in keys if key in paths), "")
        found.append(row._replace(mask=mask) if row.label == FAKE else row)
    num = len(set(paths.values()) - {row.mask for row in found})
    return found, [f"passed over {num} masks that lie as no fake does"] * bool(num)
