"""The flags on how a user's pictures are read, and what they mean."""

import argparse
from pathlib import Path

from command_line.flags import take_fields
from command_line.parser import take

from files.bounds import Bounds
from judging.pictures import LEAST_HEIGHT, SAMPLING, Reading
from loading.face_finding import FaceFinder
from loading.origin.credentials import load_anchors
from loading.preprocessing import MARGINS
from loading.videos.frames import Sampling

INTERVALS = Bounds(0.001, 86_400)  # seconds
NUMBERS = Bounds(1, 100_000, int)
HEIGHTS = Bounds(1, 4096, int)


def add_reading_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `take_reading` takes."""
    parser.add_argument(
        "--find-faces",
        action=argparse.BooleanOptionalAction,
        help="look for the faces in each picture, and judge each (default: if "
        "requirements-faces.txt is installed; a picture that is a crop to one face "
        "already is judged as it is)",
    )
    parser.add_argument(
        "--margin",
        type=take(MARGINS),
        metavar="RATIO",
        help="a found face's crop: its side in heights of the face's box (default: "
        "that of the data that the detector was trained on, by its checkpoint)",
    )
    parser.add_argument(
        "--least-height",
        type=take(HEIGHTS),
        default=LEAST_HEIGHT,
        metavar="PIXELS",
        help="found faces of less height are inconclusive",
    )
    parser.add_argument(
        "--trusted",
        type=Path,
        metavar="PEM",
        help="certificates of the signers whose content credentials you trust (needs "
        "requirements-credentials.txt; without it no signer is trusted)",
    )
    parser.add_argument(
        "--every",
        type=take(INTERVALS),
        default=SAMPLING.every,
        metavar="SECONDS",
        help="of a video: between the frames looked at",
    )
    parser.add_argument(
        "--most-frames",
        type=take(NUMBERS),
        default=SAMPLING.most_frames,
        metavar="N",
        help="of a video: the most frames looked at, from its start",
    )


def take_reading(args: argparse.Namespace) -> Reading:
    """Return how pictures are to be read, and what files say of themselves.

    Raises:
        ValueError: faces are to be found, and the package is not installed; or there
            are no certificates in the file.
        FileNotFoundError: there is no such file.
    """
    if args.find_faces:
        FaceFinder()  # says now if it is not installed
    if args.trusted is not None:
        load_anchors(args.trusted)
    return Reading(
        faces=args.find_faces,
        margin=args.margin,
        least_height=args.least_height,
        with_origin=True,
        trusted=args.trusted,
        sampling=take_fields(args, Sampling),
    )
