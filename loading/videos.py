"""Frames of a video, at the times at which they are shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
from PIL import Image

from files.names import VIDEO_SUFFIXES

INSTANT = 1e-4  # seconds, by which times are rounded


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at.

    Attributes:
        every: seconds between them.
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
    """Yield a video's frames, in order.

    Raises:
        ValueError: it cannot be read, or breaks off.
    """
    name = str(path.absolute())  # a relative one may read like an address
    if name != name.encode(errors="ignore").decode():
        raise ValueError(f"cannot read the video {path}: its name is not UTF-8")
    video = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    try:
        yield from _take_frames(video, sampling)
    except ValueError as error:
        raise ValueError(f"cannot read the video {path}: {error}") from None
    finally:
        video.release()


def _take_frames(video: cv2.VideoCapture, sampling: Sampling) -> Iterator[Frame]:
    """Yield a frame each so many seconds, by the times at which frames are shown."""
    rate = video.get(cv2.CAP_PROP_FPS) or 25.0
    num_grabbed = num_taken = 0
    seconds = due = 0.0
    while num_taken < sampling.most_frames and video.grab():
        seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1000 or num_grabbed / rate
        num_grabbed += 1
        if seconds + INSTANT >= due:
            is_read, pixels = video.retrieve()
            if is_read:
                picture = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
                yield Frame(seconds, picture)
                num_taken += 1
            due = sampling.every * ((seconds + INSTANT) // sampling.every + 1)
    count = video.get(cv2.CAP_PROP_FRAME_COUNT)  # of some formats from the duration
    if not num_taken:
        raise ValueError("none of its frames can be decoded")
    is_short = max(num_grabbed, seconds * rate) < 0.9 * count
    if is_short and num_taken < sampling.most_frames:
        raise ValueError(f"it breaks off after {num_grabbed} of {count:.0f} frames")
