"""Frames of a video, at the times at which they are shown.

A video may come from a stranger, and decoders have had many faults. So each is decoded
in a process of its own, `video_decoder.py`, which reads the file from its standard
input and writes frames to a pipe: what crashes, hangs or grows there is an error of one
line.

The decoder is FFmpeg in PyAV. OpenCV's has the same times and speed, but decodes no
AV1, says nothing of why it fails, and takes no list of allowed formats but from the
environment ([docs/videos.md](../docs/videos.md)).
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, NamedTuple

from PIL import Image

from files.names import VIDEO_SUFFIXES
from loading.image_files import MOST_SIDE

SILENT = 600  # seconds that a decoder may work for the next frame
LONGEST_LINE = 10_000  # bytes of a message of the decoder
_DECODER = Path(__file__).with_name("video_decoder.py")
_ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads take memory


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at.

    Attributes:
        every: seconds of a period, of which the sharpest of a few frames is taken.
        most_frames: of a video.
    """

    every: float = 1.0
    most_frames: int = 50


class Frame(NamedTuple):
    """A frame, and when it is shown: seconds from the start; upright, RGB."""

    seconds: float
    picture: Image.Image


def is_video(path: Path) -> bool:
    """Say whether a file has a video's ending."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_frames(path: Path, sampling: Sampling = Sampling()) -> Iterator[Frame]:
    """Yield a video's frames, in order; memory does not grow with their number.

    Of each period the sharpest of `LOOKED_AT` frames (video_decoder.py) is taken.

    Raises:
        ValueError: it cannot be read, breaks off, or makes the decoder crash, hang for
            `SILENT` seconds or ask for too much memory; frames may have come before.
    """
    try:
        with _open(path) as file, _start_decoder(file, sampling) as process:
            while frame := _receive(process):
                yield frame
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the video {path}: {error}") from None


def _open(path: Path) -> IO[bytes]:
    """Open a regular file: a pipe would be waited for, and a folder says little."""
    if path.is_file():
        try:
            return path.open("rb")
        except PermissionError:
            raise ValueError("permission denied") from None
    if path.is_dir():
        raise ValueError("it is a folder")
    if path.exists():
        raise ValueError("it is not a file")
    raise ValueError("a broken link" if path.is_symlink() else "there is no such file")


@contextmanager
def _start_decoder(file: IO[bytes], sampling: Sampling) -> Iterator[Popen[bytes]]:
    """Start a decoder, which ends with the block."""
    most_pixels = Image.MAX_IMAGE_PIXELS or MOST_SIDE**2
    wish = sampling.every, sampling.most_frames, most_pixels, MOST_SIDE
    command = [sys.executable, str(_DECODER), *map(str, wish)]
    options = {"stdin": file, "stdout": PIPE, "stderr": DEVNULL}
    environment = {**os.environ, **_ALONE}
    with Popen(command, env=environment, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def _receive(process: Popen[bytes]) -> Frame | None:
    """Return the next frame, None after the last.

    Raises:
        ValueError: the decoder says why there is none, or says nothing.
    """
    start = time.monotonic()
    watch = threading.Timer(SILENT, process.kill)
    watch.start()
    try:
        message = json.loads(process.stdout.readline(LONGEST_LINE))
        if "size" in message:
            return _read_frame(message, process.stdout)
    except (ValueError, TypeError, KeyError, RecursionError):  # it is no message
        if time.monotonic() - start >= SILENT:
            reason = f"the decoder gave no frame for {SILENT} seconds"
        else:
            reason = "the decoder crashed"
        raise ValueError(reason) from None
    finally:
        watch.cancel()
    if "error" in message:
        raise ValueError(message["error"])
    return None


def _read_frame(message: dict, pipe: IO[bytes]) -> Frame:
    """Read the pixels that follow a message."""
    width, height = message["size"]
    if max(width, height) > MOST_SIDE:
        raise ValueError("the decoder does not keep its bounds")
    pixels = pipe.read(3 * width * height)
    return Frame(message["seconds"], Image.frombytes("RGB", (width, height), pixels))
