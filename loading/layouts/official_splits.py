"""Splits that a dataset's authors published beside it, and what they leave open."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from files.classes import CLASS_NAMES, FAKE, REAL, SPLIT_OF
from files.names import SPLITS
from loading.layouts.frame_lists import load_json
from loading.layouts.rows import Found, Row, join_families
from loading.sources.splitting import SHARES, deal_evenly

ListedVideo = tuple[str, str]  # its folder and its name, in lowercase


def split_by_pairs(found: Found, files: Sequence[Path]) -> Found:
    """Let FaceForensics++'s split files say which split a video is of.

    A pair, its real videos 071 and 054 and all fakes 071_054 and 054_071, is a group.
    Videos that no pair names are passed over.

    Args:
        found: whose groups, or folders or files, are called like videos.
        files: train.json, val.json and test.json, lists of pairs of names.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is not such a file, or names no video that is there.
    """
    places = {}  # of each name the split, and the pair
    for file in files:
        split = SPLIT_OF.get(file.stem.casefold())
        if split is None:
            raise ValueError(f"{file} is not called train.json, val.json or test.json")
        places |= {
            name: (split, "_".join(sorted(pair)))
            for pair in _read_pairs(file)
            for name in (*pair, "_".join(pair), "_".join(reversed(pair)))
        }
    _refuse_told(found.rows, "--splits")
    rows = []
    for row in found.rows:
        path = PurePath(row.path)
        names = [row.group] if row.group else [*reversed(path.parts[:-1]), path.stem]
        if name := next((name for name in names if name in places), None):
            split, group = places[name]
            rows.append(row._replace(split=split, group=group))
    if not rows:
        raise ValueError(
            f"no pair of {files[0]} is called like a folder or file, such as "
            f"{found.rows[0].path}: --group-by REGEX finds the video in a file's name"
        )
    num = len(found.rows) - len(rows)
    lost = f"passed over {num} images of videos that --splits does not name"
    return Found(rows, [*found.notes, *[lost] * bool(num)])


def _read_pairs(file: Path) -> list[list[str]]:
    pairs = load_json(file)
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(name, str) for name in pair)
        for pair in pairs
    ):
        raise ValueError(f'{file} is not a list of pairs, as [["071", "054"], ...]')
    return pairs


def _refuse_told(rows: Sequence[Row], flag: str) -> None:
    if row := next((row for row in rows if row.split), None):
        raise ValueError(
            f"{row.path} is of the split {row.split} already: {flag} goes without"
        )


def split_by_test_list(
    found: Found, file: Path, shares: Sequence[float] | None = None
) -> Found:
    """Let Celeb-DF's list say which videos are for testing, and deal the others out.

    Families of persons, as `find_families` makes them of videos' names, are groups.

    Args:
        found: groups, or else folders or files, are called like videos.
        file: lines such as `1 YouTube-real/00170.mp4`, in which 1 means real.
        shares: of the others, in train and val; None: as `SHARES`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a list, or names no video that is there.
    """
    _refuse_told(found.rows, "--test-list")
    listed = _read_test_list(file)
    videos = _find_videos(found.rows, listed, file)
    rows = []
    for row, video in zip(found.rows, videos, strict=True):
        if listed.get(video, row.label) != row.label:
            raise ValueError(
                f"{row.path} is {CLASS_NAMES[row.label]}, but not in {file}"
            )
        split = "test" if video in listed else ""
        rows.append(row._replace(split=split, group=video[1]))
    return Found(deal_rest(join_families(rows), shares or SHARES), found.notes)


def _read_test_list(file: Path) -> dict[ListedVideo, int]:
    """Return the label of each listed video."""
    listed = {}
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        words, path = line.split(), PurePath(line.split()[-1] if line.split() else "")
        if not words:
            continue
        if len(words) != 2 or words[0] not in ("0", "1") or len(path.parts) < 2:
            raise ValueError(
                f"{file}, line {number}: {line!r:.80} is not as "
                "'1 YouTube-real/00170.mp4'"
            )
        video = path.parent.name.casefold(), path.stem.casefold()
        listed[video] = REAL if words[0] == "1" else FAKE
    return listed


def _find_videos(
    rows: Sequence[Row], listed: Mapping[ListedVideo, int], file: Path
) -> list[ListedVideo]:
    """Return each picture's video: its group, or what lies where listed ones do."""
    folders = {folder for folder, _ in listed}
    places: list[tuple[str, Sequence[str]]] = []
    for row in rows:
        parts = [part.casefold() for part in PurePath(row.path).with_suffix("").parts]
        tops = [i for i, part in enumerate(parts[:-1]) if part in folders]
        below = parts[tops[-1] + 1 :] if tops else parts[-1:]
        folder = parts[tops[-1]] if tops else ""
        places.append((folder, [row.group.casefold()] if row.group else below))
    depths = Counter(
        depth
        for folder, names in places
        for depth, name in enumerate(names)
        if (folder, name) in listed
    )
    if not depths:
        raise ValueError(
            f"{file} names no video that is there, such as {rows[0].path}; --group-by "
            "REGEX finds the video in a file's name"
        )
    depth = depths.most_common(1)[0][0]
    return [(folder, names[: depth + 1][-1]) for folder, names in places]


def deal_rest(rows: Sequence[Row], shares: Sequence[float] | None) -> list[Row]:
    """Deal the pictures that are of no split out to those splits that are not there.

    Where all are of a split, but there is no val, those of train are dealt out to train
    and val.

    Args:
        rows: groups stay whole; a picture without one is one by itself.
        shares: in train, val and test, of which those count that are dealt to; None:
            leave all to whoever reads the table.

    Raises:
        ValueError: some pictures are of no split, and there are no shares; or there are
            some, but nothing to deal out.
    """
    taken = {row.split for row in rows} - {""}
    free = [i for i, row in enumerate(rows) if not row.split]
    if shares is None:
        if taken and free:
            raise ValueError(
                f"{len(free)} images are of no split, such as {rows[free[0]].path}, "
                f"and others of {' and '.join(sorted(taken))}: --shares deals them out"
            )
        return list(rows)
    open_splits = [split for split in SPLITS if split not in taken] or SPLITS
    if not free and "val" not in taken and "train" in taken:
        free = [i for i, row in enumerate(rows) if row.split == "train"]
        open_splits = ("train", "val")
    if not free:
        raise ValueError("all images are of a split already: --shares goes without")
    own = [x if s in open_splits else 0 for s, x in zip(SPLITS, shares, strict=True)]
    if not sum(own):
        raise ValueError(f"--shares leaves nothing for {' and '.join(open_splits)}")
    dealt = deal_evenly(
        [rows[i].group or rows[i].path for i in free],
        np.array([rows[i].label for i in free]),
        [share / sum(own) for share in own],
    )
    split_of = dict(zip(free, dealt, strict=True))
    return [r._replace(split=split_of.get(i, r.split)) for i, r in enumerate(rows)]
