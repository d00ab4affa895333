"""Frames of a video, at the times at which they are shown.

A video may come from a stranger, and decoders have had many faults. So each is decoded
in a process of its own, `decoder.py`, which reads the file from its standard
input and writes frames to a pipe: what crashes, hangs or grows there is an error of one
line.

The decoder is FFmpeg in PyAV. OpenCV's has the same times and speed, but decodes no
AV1, says nothing of why it fails, and takes no list of allowed formats but from the
environment ([docs/videos.md](../docs/videos.md)).
"""

import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, NamedTuple

from PIL import Image

from files.names import VIDEO_SUFFIXES
from loading.image_files import MOST_SIDE, ImageFile, as_file

SILENT = 600  # seconds that a decoder may work for the next frame
PULSE = 0.1  # seconds, at which who waits for frames is told so
LONGEST_LINE = 10_000  # bytes of a message of the decoder
_DECODER = Path(__file__).with_name("decoder.py")
_ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads take memory
# Told the seconds of the last frame, and how long the file says that it lasts.
Heed = Callable[[float, float | None], object]


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at.

    `every` are the seconds of a period, of which the sharpest of a few frames is taken.
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


def read_frames(
    file: ImageFile | Path,
    sampling: Sampling = Sampling(),
    heed: Heed = lambda *_: None,
) -> Iterator[Frame]:
    """Yield a video's frames, in order; memory does not grow with their number.

    Of each period the sharpest of `LOOKED_AT` frames (decoder.py) is taken.

    Args:
        heed: is called before each frame, and every `PULSE` while the decoder works.
            What it raises ends the decoder; a ValueError says why it cannot be read.

    Raises:
        ValueError: it cannot be read, breaks off, or makes the decoder crash, hang for
            `SILENT` seconds or ask for too much memory; frames may have come before.
    """
    file = as_file(file)
    progress: tuple[float, float | None] = 0.0, None
    try:
        with (
            _open(file) as stream,
            ThreadPoolExecutor(1) as reader,
            _start_decoder(stream, sampling) as process,
        ):
            while received := _receive(process, reader, partial(heed, *progress)):
                frame, lasts = received
                progress = frame.seconds, lasts
                heed(*progress)
                yield frame
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the video {file.name}: {error}") from None


def _open(file: ImageFile) -> IO[bytes]:
    """Open a regular file: a pipe would be waited for, and a folder says little."""
    if file.is_regular:
        try:
            stream = file.open()
        except PermissionError:
            raise ValueError("permission denied") from None
        return _put_down(stream) if isinstance(stream, io.BytesIO) else stream
    path = Path(file.name)
    if path.is_dir():
        raise ValueError("it is a folder")
    if path.exists():
        raise ValueError("it is not a file")
    raise ValueError("a broken link" if path.is_symlink() else "there is no such file")


def _put_down(content: IO[bytes]) -> IO[bytes]:
    """Copy what is in memory to a file without a name, for a decoder to be handed."""
    file = _make_nameless()
    shutil.copyfileobj(content, file)
    file.seek(0)  # writes what is left, too
    return file


def _make_nameless() -> IO[bytes]:
    """Return a file that is gone with the processes that have it open.

    On Linux it is in memory.
    """
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("video"), "w+b")
    return tempfile.TemporaryFile()


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


def _receive(
    process: Popen[bytes], reader: Executor, on_pulse: Callable[[], object]
) -> tuple[Frame, float | None] | None:
    """Return the next frame, and how long the video lasts; None after the last.

    While `reader` waits for the decoder, `on_pulse` is called; a ValueError says what
    the decoder says, or that it says nothing.
    """
    reading = reader.submit(_read_message, process.stdout)
    start = time.monotonic()
    while not wait([reading], PULSE).done:
        on_pulse()
        if time.monotonic() - start >= SILENT:
            raise ValueError(f"the decoder gave no frame for {SILENT} seconds")
    try:
        message, frame = reading.result()
    except (ValueError, TypeError, KeyError, RecursionError):  # it is no message
        raise ValueError("the decoder crashed") from None
    if "error" in message:
        raise ValueError(message["error"])
    return frame and (frame, message.get("lasts"))


def _read_message(pipe: IO[bytes]) -> tuple[dict, Frame | None]:
    """Read a message, and the frame whose pixels follow, if it is one."""
    message = json.loads(pipe.readline(LONGEST_LINE))
    if "size" not in message:
        return message, None
    width, height = message["size"]
    if max(width, height) > MOST_SIDE:
        raise ValueError("the decoder does not keep its bounds")
    pixels = pipe.read(3 * width * height)
    picture = Image.frombytes("RGB", (width, height), pixels)
    return message, Frame(message["seconds"], picture)
