"""Make a dataset of face crops from photographs and videos.

Each class's photographs and videos are named, files or folders. All faces of one source
go to one split, and sources of one name in both classes to the same split (a video and
the forgery made of it). File names begin with their source's name, so that
numerical_analysis.py --group-by prefix keeps its frames together.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

import command_line
from files.atomic import check_writable, grow_folder, save_csv
from files.names import CLASS_NAMES, SPLITS, VIDEO_SUFFIXES
from hardware import show_progress
from loading import IMAGE_SIZE, list_images, read_image
from loading.face_finding import CROP_SIDE, Face, FaceFinder, crop_face

QUALITY = 95  # of the JPEG files, the same in both classes
HEADER = ("crop", "source", "seconds", "left", "top", "right", "bottom", "confidence")

EPILOG = """example:
  python extract_faces.py --real videos/real photos --fake videos/fake --to datasets/own
  python train_main.py -d own --data-root datasets

writes, to the folder of --to, {train,val,test}/{real,fake}/SOURCE_NUMBER_FACE.jpg and
faces.csv: each crop's source, time and box. Sources that cannot be read are named on
stderr, the others are still used, and the exit status is 1."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    for name in CLASS_NAMES:
        parser.add_argument(
            f"--{name}",
            type=Path,
            nargs="+",
            default=[],
            metavar="PATH",
            help=f"{name} photographs and videos, or folders of them",
        )
    parser.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="DIR",
        help="the dataset's folder; it must not be there yet",
    )
    positive = command_line.number_type(float, lambda x: x > 0, "a number above 0")
    for flag, kind, default, metavar, text in (
        ("--every", positive, 1.0, "SECONDS", "of a video: a frame each so often"),
        ("--most-frames", command_line.positive_int, 50, "N", "of a video"),
        ("--least-height", positive, 64.0, "PIXELS", "smaller faces are left out"),
        (
            "--margin",
            positive,
            CROP_SIDE,
            "RATIO",
            "a crop's side in heights of a face",
        ),
        ("--size", command_line.positive_int, IMAGE_SIZE, "PIXELS", "of the crops"),
    ):
        parser.add_argument(
            flag, type=kind, default=default, metavar=metavar, help=text
        )
    parser.add_argument(
        "--shares",
        type=command_line.number_type(
            float, lambda x: 0 <= x <= 1, "a number from 0 to 1"
        ),
        nargs=3,
        default=[0.6, 0.2, 0.2],
        metavar=("TRAIN", "VAL", "TEST"),
        help="of the sources, in each split",
    )
    command_line.add_seed_flag(parser)
    args = parser.parse_args(argv)
    if not (args.real or args.fake):
        parser.error("nothing to extract from: give --real, --fake or both")
    if abs(sum(args.shares) - 1) > 1e-6:
        parser.error(f"--shares must sum to 1, not {sum(args.shares):g}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 when a source could not be read, else 0."""
    args = parse_args(argv)
    if args.to.exists() or args.to.is_symlink():
        raise ValueError(f"{args.to} is already there: give --to another name")
    check_writable(args.to.parent)
    finder = FaceFinder()
    sources = {name: list_sources(getattr(args, name)) for name in CLASS_NAMES}
    splits = choose_splits(sources, args.shares, args.seed)
    rows, failures, counts = [], [], {}
    with grow_folder(args.to) as folder:
        for name in CLASS_NAMES:
            for source in show_progress(sources[name], f"{name} sources"):
                place = f"{splits[name_group(source)]}/{name}"
                num_before = len(rows)
                try:
                    for frame in read_frames(source, args.every, args.most_frames):
                        faces = finder.find(frame.picture)
                        rows += save_crops(frame, faces, folder, place, args)
                except (ValueError, OSError) as error:
                    failures.append(str(error))
                counts[place] = counts.get(place, 0) + len(rows) - num_before
        if not rows:
            raise ValueError(
                "no face was found: name photographs or videos that show faces of at "
                f"least {args.least_height:g} pixels (--least-height)"
            )
        save_csv(rows, folder / "faces.csv", header=HEADER)
    for failure in failures:
        command_line.say(failure, file=sys.stderr)
    for split in SPLITS:
        numbers = [f"{counts.get(f'{split}/{n}', 0)} {n}" for n in CLASS_NAMES]
        command_line.say(f"{split}: {', '.join(numbers)}")
    command_line.say(f"wrote {args.to}")
    return 1 if failures else 0


class Frame(NamedTuple):
    """A photograph, or a video's frame.

    Attributes:
        source: its file.
        number: of the frames taken, from 0.
        seconds: from the video's start; 0 of a photograph.
        picture: upright, RGB.
    """

    source: Path
    number: int
    seconds: float
    picture: Image.Image


def list_sources(paths: Sequence[Path]) -> list[Path]:
    """Replace folders by the photographs and videos directly in them, sorted by name.

    Raises:
        ValueError: there is no such path, or two sources go by the same name.
    """
    sources = []
    for path in paths:
        if path.is_dir():
            images = {path / name for name in list_images(path)[0]}
            videos = {p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES}
            sources += sorted(images | videos)
        elif path.is_file():
            sources.append(path)
        else:
            raise ValueError(f"there is no file or folder {path}")
    groups: dict[str, Path] = {}
    for source in sources:
        other = groups.setdefault(name_group(source), source)
        if other is not source:
            raise ValueError(
                f"{other} and {source} would both be called {name_group(source)}: "
                "rename one"
            )
    return sources


def name_group(source: Path) -> str:
    """Return what a source's crops begin with: its name, with no '_' in it."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", source.stem) or "source"


def choose_splits(
    sources: dict[str, Sequence[Path]], shares: Sequence[float], seed: int
) -> dict[str, str]:
    """Draw a split for each group of sources, so that the shares hold in each class.

    Groups that are in one class and those in both are shared out each by themselves.
    """
    groups = {name: {name_group(s) for s in sources[name]} for name in sources}
    kinds: dict[tuple[str, ...], list[str]] = {}
    for group in sorted(set().union(*groups.values())):
        kind = tuple(name for name in groups if group in groups[name])
        kinds.setdefault(kind, []).append(group)
    rng = np.random.default_rng(seed)
    splits = {}
    for members in kinds.values():
        bounds = np.rint(np.cumsum(shares) * len(members))
        for rank, position in enumerate(rng.permutation(len(members))):
            place = int(np.searchsorted(bounds, rank, side="right"))
            splits[members[position]] = SPLITS[min(place, len(SPLITS) - 1)]
    return splits


def read_frames(source: Path, every: float, most: int) -> Iterator[Frame]:
    """Yield a photograph, or a video's frames.

    Args:
        source: an image, or a video by its ending.
        every: seconds from one frame to the next.
        most: frames of a video.

    Raises:
        ValueError: it cannot be read.
    """
    if source.suffix.lower() not in VIDEO_SUFFIXES:
        yield Frame(source, 0, 0.0, read_image(source))
        return
    video = cv2.VideoCapture(str(source))
    try:
        rate = video.get(cv2.CAP_PROP_FPS) or 25.0
        position = number = 0
        while number < most and video.grab():
            if position >= round(number * every * rate):
                is_read, pixels = video.retrieve()
                if is_read:
                    picture = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
                    yield Frame(source, number, position / rate, picture)
                number += 1
            position += 1
    finally:
        video.release()
    if not position:
        raise ValueError(f"cannot read the video {source}")


def save_crops(
    frame: Frame,
    faces: Sequence[Face],
    folder: Path,
    place: str,
    args: argparse.Namespace,
) -> list[tuple]:
    """Save a frame's faces below `folder`/`place`; return their rows of faces.csv."""
    rows = []
    for number, face in enumerate(faces):
        _, top, _, bottom = face.box
        if bottom - top < args.least_height:
            continue
        name = f"{name_group(frame.source)}_{frame.number:05d}_{number}.jpg"
        path = folder / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        crop = crop_face(frame.picture, face, side=args.margin)
        size = (args.size, args.size)
        crop.resize(size, Image.Resampling.LANCZOS).save(path, quality=QUALITY)
        box = [round(x, 1) for x in face.box]
        seconds, confidence = round(frame.seconds, 3), round(face.confidence, 4)
        rows.append((f"{place}/{name}", str(frame.source), seconds, *box, confidence))
    return rows


if __name__ == "__main__":
    command_line.run(main)
