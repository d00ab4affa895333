"""Make a dataset of face crops from photographs and videos.

Name each class's photographs and videos, as files or folders. All faces of one source go
to one split, and so do sources of one name (a video and the forgery made from it). File
names begin with the source's name, so that numerical_analysis.py --group-by prefix keeps
its frames together.
"""

import argparse
import math
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

import command_line
from files.atomic import check_writable, grow_folder, save_csv
from files.bounds import SHARE, Bounds
from files.names import CLASS_NAMES, SPLITS, VIDEO_SUFFIXES
from hardware import show_progress
from loading import CROP_MARGIN, IMAGE_SIZE, list_images, read_image
from loading.face_finding import Face, FaceFinder, crop_face
from loading.preprocessing import MARGINS

QUALITY = 95  # of the JPEG files, the same in both classes
FACES_TABLE = "faces.csv"
HEADER = ("crop", "source", "seconds", "left", "top", "right", "bottom", "confidence")
HEADER = (*HEADER, "margin")
LONGEST_NAME = 50  # characters, of up to 4 bytes: files have names of 255 bytes at most
SHOWN = 3  # reasons that an error names
INSTANT = 1e-4  # seconds, by which times are rounded

EPILOG = """example:
  python extract_faces.py --real videos/real photos --fake videos/fake --to datasets/own
  python train_main.py -d own --data-root datasets

writes, to the folder of --to, {train,val,test}/{real,fake}/SOURCE_NUMBER_FACE.jpg and
faces.csv: each crop's source, time, box and margin. Sources that cannot be read or show
no face are named on stderr, and the others are still used. The exit status is 1 when a
source could not be read, or when a split has no face of a class."""


@dataclass(frozen=True)
class Cropping:
    """Which faces are cut out, and how.

    Attributes:
        every: seconds from one frame of a video to the next.
        most_frames: of a video.
        least_height: of a face's box, pixels.
        margin: a crop's side, in heights of the face's box.
        size: of the crops, pixels.
    """

    every: float = 1.0
    most_frames: int = 50
    least_height: float = 64.0
    margin: float = CROP_MARGIN
    size: int = IMAGE_SIZE


# Field of `Cropping` -> what it may be, metavar, help.
_FLAGS = {
    "every": (
        Bounds(0, 86_400, above=True),
        "SECONDS",
        "take a video's frame so often",
    ),
    "most_frames": (Bounds(1, 100_000, int), "N", "frames of a video, at most"),
    "least_height": (Bounds(1, 10_000), "PIXELS", "leave out smaller faces"),
    "margin": (MARGINS, "RATIO", "a crop's side in heights of a face"),
    "size": (Bounds(8, 4096, int), "PIXELS", "of the crops"),
}


class Frame(NamedTuple):
    """A photograph, or a video's frame: seconds from its start, upright RGB."""

    seconds: float
    picture: Image.Image


@dataclass
class Haul:
    """What a source gave.

    Attributes:
        source: its file.
        class_name: real or fake.
        group: what its crops' names begin with.
        num_frames: looked at.
        rows: of faces.csv; the first cell is the crop's name.
        error: why it could not be read, or not to its end; empty if it was.
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
    for name, (allowed, metavar, text) in _FLAGS.items():
        add(
            f"--{name.replace('_', '-')}",
            type=command_line.take(allowed),
            default=getattr(Cropping, name),
            metavar=metavar,
            help=text,
        )
    add(
        "--shares",
        type=command_line.take(SHARE),
        nargs=3,
        default=[0.6, 0.2, 0.2],
        metavar=("TRAIN", "VAL", "TEST"),
        help="of the sources that give faces, in each split",
    )
    command_line.add_seed_flag(parser)
    args = parser.parse_args(argv)
    if not (args.real or args.fake):
        parser.error("nothing to extract from: give --real, --fake or both")
    if abs(sum(args.shares) - 1) > 1e-6:
        parser.error(f"--shares must sum to 1, not {sum(args.shares):g}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 when something is missing of what was asked, else 0."""
    args = parse_args(argv)
    if args.to.exists() or args.to.is_symlink():
        raise ValueError(f"{args.to} is already there: give --to another name")
    check_writable(args.to.parent)
    sources = {name: list_sources(getattr(args, name)) for name in CLASS_NAMES}
    refuse_shared(sources)
    cropping, finder = command_line.take_fields(args, Cropping), FaceFinder()
    with grow_folder(args.to) as folder:
        hauls = extract(sources, folder, cropping, finder)
        refuse_nothing(hauls, cropping)
        classes: dict[str, set[str]] = {}
        for haul in hauls:
            if haul.rows:
                classes.setdefault(haul.group, set()).add(haul.class_name)
        splits = choose_splits(classes, args.shares, args.seed)
        counts = move_to_splits(hauls, splits, folder)
    failures = [haul.error for haul in hauls if haul.error]
    failures += [
        f"{split} has no {name} face: name more sources that show one"
        for split, share in zip(SPLITS, args.shares, strict=True)
        for name in CLASS_NAMES
        if share and sources[name] and not counts[split, name]
    ]
    command_line.say(*describe_empty(hauls, cropping), *failures, file=sys.stderr)
    for split in SPLITS:
        numbers = [f"{counts[split, name]} {name}" for name in CLASS_NAMES]
        command_line.say(f"{split}: {', '.join(numbers)}")
    command_line.say(f"wrote {args.to}")
    return 1 if failures else 0


def list_sources(paths: Iterable[Path]) -> list[Path]:
    """List photographs and videos, each once; of a folder those directly in it, by name.

    Raises:
        ValueError: a path is not a file or folder, or a folder holds none.
    """
    sources: dict[tuple[int, int], Path] = {}
    for path in paths:
        found = [path]
        if path.is_dir():
            named = {path / name for name in list_images(path)[0]}
            named |= {p for p in path.iterdir() if is_video(p) and p.name[0] != "."}
            found = sorted(p for p in named if p.is_file())
            if not found:
                raise ValueError(f"there is no photograph or video in {path}")
        elif not path.is_file():
            raise ValueError(f"there is no file or folder {path}")
        for source in found:
            sources.setdefault(_identify(source), source)
    return list(sources.values())


def is_video(path: Path) -> bool:
    """Say whether a file has a video's ending."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def _identify(path: Path) -> tuple[int, int]:
    """Return what two names of one file have in common."""
    status = path.stat()
    return status.st_dev, status.st_ino


def refuse_shared(sources: Mapping[str, Sequence[Path]]) -> None:
    """Raise ValueError if a file is named in both classes."""
    real, fake = ({_identify(p): p for p in sources[name]} for name in CLASS_NAMES)
    if shared := [path for key, path in fake.items() if key in real]:
        raise ValueError(
            f"{len(shared)} files are named as real and as fake, first {shared[0]}: "
            "name each in one class"
        )


def name_groups(sources: Iterable[Path]) -> dict[Path, str]:
    """Name what the crops of each source begin with: readable, and without '_'.

    Sources whose names differ only in the ending, in case or in how accents are encoded
    are one group; different groups have different names.
    """
    groups: dict[str, str] = {}
    sources = list(sources)
    keys = [unicodedata.normalize("NFC", source.stem) for source in sources]
    for key in keys:
        kept = (
            c if c in ".+-" or unicodedata.category(c)[0] in "LMN" else " " for c in key
        )
        base = "-".join("".join(kept).split())[:LONGEST_NAME].strip(".-") or "source"
        name, number, taken = base, 1, set(map(str.casefold, groups.values()))
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        groups.setdefault(key.casefold(), name)
    return {s: groups[key.casefold()] for s, key in zip(sources, keys, strict=True)}


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
    groups = name_groups(source for name in CLASS_NAMES for source in sources[name])
    hauls = []
    for name in CLASS_NAMES:
        (folder / name).mkdir()
        num_frames: Counter[str] = Counter()  # of each group
        for source in show_progress(sources[name], f"{name} sources"):
            haul = Haul(source, name, groups[source])
            start = num_frames[haul.group]
            try:
                for frame in read_frames(source, cropping):
                    number = start + haul.num_frames
                    path = folder / name / f"{haul.group}_{number:05d}"
                    haul.num_frames += 1
                    faces = finder.find(frame.picture)
                    haul.rows += save_crops(frame, faces, path, source, cropping)
            except ValueError as error:
                haul.error = str(error)
            num_frames[haul.group] += haul.num_frames
            hauls.append(haul)
    return hauls


def read_frames(source: Path, cropping: Cropping) -> Iterator[Frame]:
    """Yield a photograph, or a video's frames at their presentation times.

    Raises:
        ValueError: it cannot be read, or breaks off.
    """
    if not is_video(source):
        yield Frame(0.0, read_image(source))
        return
    path = str(source.absolute())  # what is relative might be the name of a protocol
    if not path.isascii() and any(unicodedata.category(c) == "Cs" for c in path):
        raise ValueError(f"cannot read the video {source}: its name is not UTF-8")
    video = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    try:
        yield from _take_frames(video, cropping)
    except ValueError as error:
        raise ValueError(f"cannot read the video {source}: {error}") from None
    finally:
        video.release()


def _take_frames(video: cv2.VideoCapture, cropping: Cropping) -> Iterator[Frame]:
    """Yield frames at least so many seconds apart; raise ValueError if it breaks off."""
    rate = video.get(cv2.CAP_PROP_FPS) or 25.0
    num_taken = num_grabbed = 0
    seconds = due = 0.0
    while num_taken < cropping.most_frames and video.grab():
        seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1000 or num_grabbed / rate
        num_grabbed += 1
        if seconds + INSTANT >= due:
            due = cropping.every * (
                math.floor((seconds + INSTANT) / cropping.every) + 1
            )
            is_read, pixels = video.retrieve()
            if is_read:
                num_taken += 1
                picture = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
                yield Frame(seconds, picture)
    if not num_taken:
        raise ValueError("none of its frames can be decoded")
    count = video.get(cv2.CAP_PROP_FRAME_COUNT)  # some formats only know the duration
    is_asked = num_taken < cropping.most_frames
    if is_asked and max(num_grabbed, seconds * rate) < 0.9 * count:
        whole = f"{count / rate:.1f} seconds"
        raise ValueError(f"it breaks off after {seconds:.1f} of {whole}")


def save_crops(
    frame: Frame, faces: Sequence[Face], start: Path, source: Path, cropping: Cropping
) -> list[tuple]:
    """Save a frame's faces as START_FACE.jpg; return their rows of faces.csv."""
    rows = []
    for number, face in enumerate(faces):
        _, top, _, bottom = face.box
        if bottom - top >= cropping.least_height:
            path = start.with_name(f"{start.name}_{number}.jpg")
            crop = crop_face(frame.picture, face, margin=cropping.margin)
            size = (cropping.size, cropping.size)
            crop.resize(size, Image.Resampling.LANCZOS).save(path, quality=QUALITY)
            box = [round(x, 1) for x in face.box]
            numbers = round(face.confidence, 4), cropping.margin
            seconds = round(frame.seconds, 3)
            rows.append((path.name, str(source), seconds, *box, *numbers))
    return rows


def refuse_nothing(hauls: Sequence[Haul], cropping: Cropping) -> None:
    """Raise ValueError, with the reason, if no source gave a face."""
    if any(haul.rows for haul in hauls):
        return
    reasons = []
    if num_frames := sum(haul.num_frames for haul in hauls):
        reasons.append(
            f"no face of at least {cropping.least_height:g} pixels (--least-height) was "
            f"found in {num_frames} pictures"
        )
    if errors := [haul.error for haul in hauls if haul.error]:
        shown = "; ".join([*errors[:SHOWN], *(["..."] if errors[SHOWN:] else [])])
        reasons.append(f"{len(errors)} of {len(hauls)} sources are unreadable: {shown}")
    raise ValueError("; ".join(reasons))


def describe_empty(hauls: Iterable[Haul], cropping: Cropping) -> list[str]:
    """Name the sources that could be read but gave nothing."""
    height = f"{cropping.least_height:g} pixels"
    return [
        f"{haul.source}: no face of at least {height} in {haul.num_frames} frames"
        for haul in hauls
        if not haul.rows and not haul.error
    ]


def choose_splits(
    classes: Mapping[str, set[str]], shares: Sequence[float], seed: int
) -> dict[str, str]:
    """Draw a split for each group, so that the shares hold in each class.

    Groups of one class and those of both are shared out each by themselves. A split
    that lacks a class is served first.

    Args:
        classes: group -> the classes of which it gave faces.
        shares: of the groups, in each split.
        seed: of the order in which groups are dealt out.
    """
    order = np.random.default_rng(seed).permutation(sorted(classes)).tolist()
    sizes = Counter(map(frozenset, classes.values()))
    splits, dealt = {}, Counter()
    for group in sorted(order, key=lambda group: -len(classes[group])):
        kind = frozenset(classes[group])
        needs = {}
        for split, share in zip(SPLITS, shares, strict=True):
            num_lacking = sum(not dealt[name, split] for name in kind)
            missing = share * sizes[kind] - dealt[kind, split]
            needs[split] = (num_lacking if share else 0, missing)
        splits[group] = split = max(needs, key=needs.get)
        dealt.update([(kind, split), *((name, split) for name in kind)])
    return splits


def move_to_splits(
    hauls: Iterable[Haul], splits: Mapping[str, str], folder: Path
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
            path = folder.joinpath(*place, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            (folder / haul.class_name / name).rename(path)
            rows.append(("/".join((*place, name)), *cells))
    for name in CLASS_NAMES:
        (folder / name).rmdir()
    save_csv(rows, folder / FACES_TABLE, header=HEADER)
    return counts


if __name__ == "__main__":
    command_line.run(main)
