"""Read thousands of hostile videos, and say what became of them.

    python benchmarks/video_reading.py --videos 2000

Each is damaged, lies, or is something else under a video's name; every twentieth is
sound, and must give all its frames. A run fails if a reader raises anything but an
error of one line, hangs or leaves a decoder, or opens an address that a video names.
"""

import argparse
import contextlib
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import command_line

from hostile_videos import KINDS, Stranger
from machine import describe_machine
from tqdm import tqdm

from files.bounds import COUNT
from loading.videos import frames
from loading.videos.frames import Sampling, read_frames

OFTEN = Sampling(every=0.1)
NUM_SOUND = 12  # frames
SOUND_EACH = 20  # videos
SILENT = 60  # seconds, in which such small videos are read many times
LONGEST_ERROR = 1000  # characters


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    count = command_line.take(COUNT)
    parser.add_argument("--videos", type=count, default=2000, metavar="N")
    command_line.add_seed_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 if something went wrong, else 0."""
    args = parse_args(argv)
    frames.SILENT = SILENT
    before, start = list_children(), time.monotonic()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        stranger = Stranger(args.seed, address)
        counts, slowest = read_videos(stranger, args.videos, Path(folder))
        counts["addresses opened"] = was_called(server)
    counts["decoders left"] = len(list_children() - before)
    minutes, machine = (time.monotonic() - start) / 60, describe_machine()
    faults = ("sound but not whole", "hung", "addresses opened", "decoders left")
    command_line.say(
        f"{args.videos} videos in {minutes:.0f} minutes on {machine['cores']} cores of "
        f"a {machine['processor']}; the slowest took {slowest:.1f} s",
        *(f"{name}: {counts[name]:d}" for name in sorted({*counts, *faults})),
    )
    return int(any(counts[name] for name in faults))


def read_videos(
    stranger: Stranger, number: int, folder: Path
) -> tuple[Counter[str], float]:
    """Read so many videos, one after the other.

    Returns:
        What became of them, and the seconds that the slowest took.
    """
    counts, slowest = Counter(), 0.0
    for place in tqdm(range(number)):
        is_sound = place % SOUND_EACH == 0
        ending = list(KINDS)[place // SOUND_EACH % len(KINDS)]
        sound = f"sound{ending}", stranger.sound[ending]
        name, content = sound if is_sound else stranger.make()
        path = folder / name
        path.write_bytes(content)
        start = time.monotonic()
        num_frames, error = read(path)
        slowest = max(slowest, time.monotonic() - start)
        path.unlink()
        counts[describe(num_frames, error)] += 1
        counts["sound but not whole"] += is_sound and num_frames != NUM_SOUND
    return counts, slowest


def read(path: Path) -> tuple[int, str]:
    """Return how many frames a video gives, and the error after them.

    Raises:
        AssertionError: the error is not one line that names the video.
    """
    num_frames, start = 0, f"cannot read the video {path}: "
    try:
        for _ in read_frames(path, OFTEN):
            num_frames += 1
    except ValueError as error:
        message = str(error)
        assert message.startswith(start), message
        reason = message.removeprefix(start)
        assert reason.isprintable() and len(reason) < LONGEST_ERROR, message
        return num_frames, reason
    return num_frames, ""


def describe(num_frames: int, error: str) -> str:
    """Say in a few words what became of a video."""
    if "the decoder" in error:
        return "hung" if "gave no frame" in error else "the decoder crashed or failed"
    if error:
        return "read in part, then an error" if num_frames else "refused"
    return "read"


def was_called(server: socket.socket) -> bool:
    """Say whether anybody has connected."""
    server.setblocking(False)
    try:
        server.accept()
    except BlockingIOError:
        return False
    return True


def list_children() -> set[Path]:
    """Return the folders of this process's children in /proc, on Linux."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # it has ended
            if f"\nPPid:\t{os.getpid()}\n" in status.read_text():
                found.add(status.parent)
    return found


if __name__ == "__main__":
    command_line.run(main)
