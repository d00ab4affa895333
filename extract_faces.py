"""Make a dataset of face crops from photographs and videos.

Name each class's photographs and videos, as files or folders. All faces of one source
go to one split, and so do sources of one name (a video and the forgery made from it).
"""

import argparse
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import command_line

from PIL import Image

from files.atomic import check_writable, grow_folder, save_csv
from files.bounds import SHARE, Bounds
from files.classes import CLASS_NAMES
from files.names import SPLITS
from hardware import show_progress
from loading import CROP_MARGIN, IMAGE_SIZE, list_images, read_image
from loading.face_finding import FaceFinder, crop_face
from loading.preprocessing import MARGINS
from loading.sources.pictures import FACES_TABLE
from loading.sources.splitting import SHARES, deal_splits, find_families
from loading.videos.frames import Frame, Sampling, is_video, read_frames
from loading.videos.tracking import Tracker

QUALITY = 95  # of the JPEG files, the same in both classes
BOX = ("left", "top", "right", "bottom")
HEADER = ("path", "label", "split", "group", "person", "source", "seconds", *BOX)
HEADER += ("confidence", "quarter_turns", "margin")
LONGEST_NAME = 50  # characters, of 4 bytes at most; a file's name has 255 at most
SHOWN = 3  # sources that an error names

EPILOG = """example:
  python extract_faces.py --real videos/real photos --fake videos/fake --to datasets/own
  python train_main.py -d own --data-root datasets

writes, to the folder of --to, {train,val,test}/{real,fake}/, of photographs
SOURCE_NUMBER_FACE.jpg, of videos SOURCE_pPERSON_NUMBER.jpg, and faces.csv: each crop's
person, source, time, box, margin, and its group, so that intervals and audits keep what
belongs together: the source, and of a video the source and the person. With --group-by
prefix it is the source of both. Sources that cannot be read or show no face are named
on stderr, and the others are still used. The exit status is 1 when a source cannot be
read, or when a split has no face of a class."""


def _flag(default: float, allowed: Bounds, metavar: str, text: str) -> Any:
    options = {"type": command_line.take(allowed), "metavar": metavar, "help": text}
    return field(default=default, metadata={**options, "default": default})


@dataclass(frozen=True)
class Cropping:
    """Which faces are cut out, and how; a field is a flag."""

    every: float = _flag(
        1.0, Bounds(0.001, 86_400), "SECONDS", "between the frames taken from a video"
    )
    most_frames: int = _flag(
        50, Bounds(1, 100_000, int), "N", "the most frames taken from a video"
    )
    least_height: float = _flag(
        64.0, Bounds(1, 10_000), "PIXELS", "faces of less height are left out"
    )
    margin: float = _flag(
        CROP_MARGIN, MARGINS, "RATIO", "a crop's side in heights of a face"
    )
    size: int = _flag(IMAGE_SIZE, Bounds(8, 4096, int), "PIXELS", "side of the crops")


@dataclass
class Haul:
    """What a source gave.

    Attributes:
        group: what its crops' names begin with.
        num_frames: looked at.
        rows: of each crop its file's name, and what faces.csv says of it from the
            group on.
        error: why it cannot be read, or not to its end; empty if it can.
    """

    source: Path
    class_name: str
    group: str
    num_frames: int = 0
    rows: list[tuple] = field(default_factory=list)
    error: str = ""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    add = parser.add_argument
    for name in CLASS_NAMES:
        text = f"{name} photographs and videos, or folders of them"
        add(f"--{name}", type=Path, nargs="+", default=[], metavar="PATH", help=text)
    text = "the dataset's folder; it must not be there yet"
    add("--to", type=Path, required=True, metavar="DIR", help=text)
    for entry in fields(Cropping):
        add(f"--{entry.name.replace('_', '-')}", **entry.metadata)
    add(
        "--shares",
        type=command_line.take(SHARE),
        nargs=3,
        default=SHARES,
        metavar=("TRAIN", "VAL", "TEST"),
        help="share of the sources with faces in each split (default: "
        f"{' '.join(map(str, SHARES))})",
    )
    command_line.add_seed_flag(parser)
    args = parser.parse_args(argv)
    if not (args.real or args.fake):
        parser.error("nothing to extract from: give --real, --fake or both")
    if abs(sum(args.shares) - 1) > 1e-6:
        parser.error(f"--shares must sum to 1, not {sum(args.shares):g}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 when sources or classes are missing, else 0."""
    args = parse_args(argv)
    if args.to.exists() or args.to.is_symlink():
        raise ValueError(f"{args.to} is already there: give --to another name")
    check_writable(args.to.parent)
    sources = list_sources({name: getattr(args, name) for name in CLASS_NAMES})
    cropping, finder = command_line.take_fields(args, Cropping), FaceFinder()
    with grow_folder(args.to) as folder:
        hauls = extract(sources, folder, cropping, finder)
        lines = describe_failures(hauls, cropping)
        if not any(haul.rows for haul in hauls):
            more = "; ..." if len(lines) > SHOWN else ""
            raise ValueError(f"nothing to write: {'; '.join(lines[:SHOWN])}{more}")
        splits = choose_splits(hauls, args.shares, args.seed)
        counts = move_to_splits(hauls, splits, folder)
    gaps = [
        f"{split} has no {name} face: name more sources that show one"
        for split, share in zip(SPLITS, args.shares, strict=True)
        for name in CLASS_NAMES
        if share and sources[name] and not counts[split, name]
    ]
    command_line.say(*lines, *gaps, file=sys.stderr)
    for split in SPLITS:
        numbers = [f"{counts[split, name]} {name}" for name in CLASS_NAMES]
        command_line.say(f"{split}: {', '.join(numbers)}")
    command_line.say(f"wrote {args.to}")
    return int(bool(gaps) or any(haul.error for haul in hauls))


def list_sources(named: Mapping[str, Iterable[Path]]) -> dict[str, list[Path]]:
    """List each class's photographs and videos; of folders those directly in them.

    A file that is named twice is listed once.

    Raises:
        ValueError: a path is not a file or folder, a folder holds neither photographs
            nor videos, or a file is named in both classes.
    """
    found: dict[str, dict[tuple[int, int], Path]] = {name: {} for name in named}
    for name, paths in named.items():
        for source in (s for path in paths for s in _list_folder(path)):
            status = source.stat()  # a file may have several names
            found[name].setdefault((status.st_dev, status.st_ino), source)
    if shared := set.intersection(*(set(files) for files in found.values())):
        first = next(iter(found.values()))[shared.pop()]
        raise ValueError(f"{first} is named in both classes: name it in one")
    return {name: list(files.values()) for name, files in found.items()}


def _list_folder(path: Path) -> list[Path]:
    """Return a file itself, or what is to be read in a folder, sorted by name."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"there is no file or folder {path}")
    entries = [path / name for name in list_images(path)[0]]
    entries += [p for p in path.iterdir() if is_video(p) and not p.name.startswith(".")]
    if files := sorted({entry for entry in entries if entry.is_file()}):
        return files
    raise ValueError(f"there is no photograph or video in the folder {path}")


def name_groups(sources: Iterable[Path]) -> dict[Path, str]:
    """Name what the crops of each source begin with: readable, and without '_'.

    Sources whose names differ only in the ending, in case or in how accents are encoded
    are one group; different groups have different names.
    """
    stems = {s: unicodedata.normalize("NFC", s.stem) for s in sources}
    groups: dict[str, str] = {}
    taken: set[str] = set()
    for stem in dict.fromkeys(stems.values()):
        parts = (c if _is_readable(c) else " " for c in stem)
        base = "-".join("".join(parts).split())[:LONGEST_NAME].strip(".-") or "source"
        name, number = base, 1
        while name.casefold() in taken and stem.casefold() not in groups:
            number += 1
            name = f"{base}-{number}"
        taken.add(name.casefold())
        groups.setdefault(stem.casefold(), name)
    return {source: groups[stem.casefold()] for source, stem in stems.items()}


def _is_readable(character: str) -> bool:
    """Say whether it is a letter, an accent or a digit of any script, or of .+-"""
    return character in ".+-" or unicodedata.category(character)[0] in "LMN"


def extract(
    sources: Mapping[str, Sequence[Path]],
    folder: Path,
    cropping: Cropping,
    finder: FaceFinder,
) -> list[Haul]:
    """Save all faces of each class's sources below `folder`/CLASS.

    Raises:
        OSError: a crop cannot be written.
    """
    groups = name_groups(source for of_class in sources.values() for source in of_class)
    hauls = [Haul(s, name, groups[s]) for name, found in sources.items() for s in found]
    num_frames: Counter[Path] = Counter()  # of each group and class
    num_persons: Counter[Path] = Counter()
    for haul in show_progress(hauls, "sources"):
        prefix = folder / haul.class_name / haul.group
        prefix.parent.mkdir(exist_ok=True)
        start = num_frames[prefix], num_persons[prefix]
        cut = cut_faces(haul.source, prefix, start, cropping=cropping, finder=finder)
        try:
            for rows in cut:
                haul.num_frames += 1
                haul.rows += rows
        except ValueError as error:
            haul.error = str(error)
        num_frames[prefix] += haul.num_frames
        num_persons[prefix] = max([start[1], *(row[2] or 0 for row in haul.rows)])
    return hauls


def cut_faces(
    source: Path,
    prefix: Path,
    start: tuple[int, int],
    *,
    cropping: Cropping,
    finder: FaceFinder,
) -> Iterator[list[tuple]]:
    """Save each frame's faces; yield their rows.

    Args:
        source: a photograph, whose faces are saved as PREFIX_NUMBER_FACE.jpg; or a
            video, whose faces are saved as PREFIX_pPERSON_NUMBER.jpg.
        prefix: of the files, with the folder.
        start: how many frames and persons there are of other sources of this name.

    Raises:
        ValueError: the source cannot be read, or breaks off.
        OSError: a crop cannot be written.
    """
    if is_video(source):
        sampling = Sampling(cropping.every, cropping.most_frames)
        tracker, frames = Tracker(), read_frames(source, sampling)
    else:
        tracker, frames = None, [Frame(0.0, read_image(source))]
    for number, frame in enumerate(frames, start[0]):
        found = finder.find(frame.picture)
        faces = [face for face in found if face.height >= cropping.least_height]
        if tracker:
            persons = [start[1] + n for n in tracker.follow(frame, faces)]
            names = [f"p{person}_{number:05d}" for person in persons]
            groups = [f"{prefix.name}-p{person}" for person in persons]
        else:
            persons, groups = [None] * len(faces), [prefix.name] * len(faces)
            names = [f"{number:05d}_{place}" for place in range(len(faces))]
        rows = []
        for face, name, *who in zip(faces, names, groups, persons, strict=True):
            path = prefix.with_name(f"{prefix.name}_{name}.jpg")
            crop = crop_face(frame.picture, face, margin=cropping.margin)
            crop = crop.resize((cropping.size,) * 2, Image.Resampling.LANCZOS)
            crop.save(path, quality=QUALITY)
            box = [round(x, 1) for x in face.box]
            found = round(face.confidence, 4), face.quarter_turns, cropping.margin
            place = str(source), round(frame.seconds, 3), *box
            rows.append((path.name, *who, *place, *found))
        yield rows


def describe_failures(hauls: Iterable[Haul], cropping: Cropping) -> list[str]:
    """Name the sources that cannot be read or show no face, each with the reason."""
    no_face = f"no face of at least {cropping.least_height:g} pixels (--least-height)"
    lines = []
    for haul in hauls:
        if haul.rows and not haul.error:
            continue
        line = haul.error or f"{haul.source}: {no_face}"
        if haul.num_frames:
            line += f"; frames looked at: {haul.num_frames}"
            line += f", faces kept: {len(haul.rows)}" * bool(haul.rows)
        lines.append(line)
    return lines


def choose_splits(
    hauls: Iterable[Haul], shares: Sequence[float], seed: int
) -> dict[str, str]:
    """Draw a split for each group that gave faces, as `deal_splits` does for families.

    All groups of a family go to one split.
    """
    hauls = [haul for haul in hauls if haul.rows]
    groups = ([h.group for h in hauls if h.class_name == n] for n in CLASS_NAMES)
    families = find_families(*groups)
    held: dict[str, dict[str, int]] = {}  # the classes of each family
    for haul in hauls:
        held.setdefault(families[haul.group], {})[haul.class_name] = 1
    splits = deal_splits(held, shares, seed)
    return {group: splits[family] for group, family in families.items()}


def move_to_splits(
    hauls: Sequence[Haul], splits: Mapping[str, str], folder: Path
) -> Counter[tuple[str, str]]:
    """Move crops from FOLDER/CLASS to FOLDER/SPLIT/CLASS, and write faces.csv.

    Returns:
        The number of crops of each split and class.
    """
    rows, counts = [], Counter()
    for haul in hauls:
        for name, *cells in haul.rows:
            place = splits[haul.group], haul.class_name
            counts[place] += 1
            target = folder.joinpath(*place, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / haul.class_name / name).rename(target)
            path = "/".join((*place, name))
            rows.append((path, haul.class_name, place[0], *cells))
    for name in {haul.class_name for haul in hauls}:
        (folder / name).rmdir()
    save_csv(rows, folder / FACES_TABLE, header=HEADER)
    return counts


if __name__ == "__main__":
    command_line.run(main)
