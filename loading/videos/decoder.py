"""The process that decodes one video: the file is its input, frames are its output.

`frames.py` starts it as a script of its own and says what to take. It imports nothing
of the suite, so it starts in a quarter of a second. A decoder that crashes, or that a
video takes over, has this process only: no name of a file, no way to open another one
or an address, and bounded memory.

A message is a line of JSON: an `error`; the `end`; or `seconds` and `size` of a frame,
before its RGB bytes, and how long the file says that it `lasts`.
"""

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

try:
    import resource
except ImportError:  # Windows
    resource = None
try:  # an extra; with all that it would import later, when it can open no file
    import av
    import av.audio.stream
    import av.sidedata.encparams
    import av.sidedata.motionvectors
    import av.subtitles.codeccontext
    import av.subtitles.stream
    import av.video.stream
except ImportError:
    av = None

LOOKED_AT = 4  # frames a period, of which the sharpest is taken
LOOKED_AT_SIDE = 512  # pixels of the longer side, at which sharpness is measured
SHARPER = 1.1  # times as sharp a later frame must be; noise alone is less
LEAST_SHARPNESS = 1.0  # squared grey levels; below, there is nothing to be sharp
MOST_DECODED = 1_000_000  # frames: 9 hours of 30 a second
MOST_BYTES = 4 << 30  # of memory; 8K of 10 bits needs 2
MOST_STREAMS = 1000
MOST_THREADS = 4  # each holds frames
MOST_PARTS = 10_000  # of a file, at its outermost level
MOST_STRETCH = 4  # of pixels that are not square
LEAP = 1.0  # seconds that times may go back, before the clock is taken for a new one
INSTANT = 1e-4  # seconds, by which times are rounded
HD_WIDTH, HD_HEIGHT = 1280, 577  # pixels, from which colours are BT.709's if none say

# Containers that open no other file, and what is usually in them.
FORMATS = ("avi", "asf", "flv", "matroska", "mov", "mpeg", "mpegts", "mpegvideo", "ogg")
CODECS = frozenset(
    (
        *("h264", "hevc", "vvc", "av1", "vp8", "vp9", "theora", "mjpeg", "prores"),
        *("mpeg1video", "mpeg2video", "mpeg4", "h263", "flv1", "vp6", "vp6f", "dnxhd"),
        *("msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "wmv3", "vc1"),
        *("dvvideo", "svq1", "svq3", "ffv1", "huffyuv", "ffvhuff", "rawvideo"),
    )
)
_UNSPECIFIED = 2  # of AVColorSpace
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof")
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"


@dataclass(frozen=True)
class Wish:
    """What is wanted of a video.

    Attributes:
        every: seconds of a period, of which a frame is taken.
        most_frames: that are taken.
        most_pixels, most_side: of a frame that is safe to decode.
    """

    every: float
    most_frames: int
    most_pixels: int
    most_side: int

    def check_size(self, width: int, height: int) -> None:
        """Raise ValueError for frames that are too large."""
        if width * height > self.most_pixels or max(width, height) > self.most_side:
            raise ValueError(
                f"its frames have too many pixels to be decoded safely ({width} x "
                f"{height}; at most {self.most_side:,} a side, and "
                f"{self.most_pixels:,} in all)"
            )


class Reader:
    """A video's frames in order, within the bounds of a wish, and when they are shown.

    Attributes:
        num_decoded: frames so far.
        seconds: from the start to the last of them.
        breaks_off: the container leads to no more of them, before its end.

    Raises:
        ValueError: there is nothing to decode, or no decoder for it.
    """

    def __init__(self, container: Any, wish: Wish) -> None:
        self.num_decoded, self.seconds, self.breaks_off = 0, 0.0, False
        self._container, self._wish = container, wish
        self._stream = find_stream(container)
        codec = self._stream.codec_context
        wish.check_size(codec.width, codec.height)
        codec.options = {"max_pixels": str(wish.most_pixels)}
        codec.thread_type = "AUTO"
        codec.thread_count = min(MOST_THREADS, os.cpu_count() or 1)
        self._step = 1 / float(self._stream.average_rate or 25)
        self._start: float | None = None

    def read(self) -> Iterator[tuple[float, Any]]:
        """Yield the seconds from the start, and the frame, of all sound frames."""
        for packet in self._read_packets():
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except av.error.FFmpegError:  # a damaged packet; others may be sound
                frames = []
            for frame in frames:
                self.num_decoded += 1
                self.seconds = self._time(frame)
                if not frame.is_corrupt:
                    yield self.seconds, frame
            if self.num_decoded > MOST_DECODED:
                raise ValueError(f"it has more than {MOST_DECODED:,} frames")

    def _read_packets(self) -> Iterator[Any]:
        """Yield the packets, as far as the container leads to them."""
        try:
            yield from self._container.demux(self._stream)
        except MemoryError:
            raise
        except IndexError:  # PyAV's, at the end, of a stream that came late
            return
        except (av.error.FFmpegError, OSError):  # or it leads out of the file
            self.breaks_off = True

    def _time(self, frame: Any) -> float:
        """Return a frame's seconds, where the clock runs backwards by its place."""
        following = self.seconds + self._step if self.num_decoded > 1 else 0.0
        if frame.time is None:
            return following
        if self._start is None:
            start = (self._container.start_time or 0) / 1e6
            self._start = min(start, frame.time)
        if frame.time - self._start < self.seconds - LEAP:
            self._start = frame.time - following
        return frame.time - self._start

    def to_pixels(self, frame: Any) -> np.ndarray:
        """Return a frame as it is shown: uint8 (H, W, 3), RGB, upright.

        Raises:
            ValueError: it is too large.
        """
        width, height = frame.width, frame.height
        shape = self._stream.sample_aspect_ratio or 1
        if 1 / MOST_STRETCH <= shape <= MOST_STRETCH:
            width = max(1, round(width * shape))
        self._wish.check_size(width, height)
        options: dict[str, Any] = {"width": width, "height": height}
        is_hd = frame.width >= HD_WIDTH or frame.height >= HD_HEIGHT
        if is_hd and frame.colorspace == _UNSPECIFIED:
            options["src_colorspace"] = "ITU709"
        return turn_upright(frame.to_ndarray(format="rgb24", **options), frame)


def find_stream(container: Any) -> Any:
    """Return the container's best stream of video.

    Raises:
        ValueError: there is none, or its codec is not read.
    """
    stream = container.streams.best("video")
    cover = av.stream.Disposition.attached_pic
    if stream is None or stream.disposition & cover:
        raise ValueError("there are no moving pictures in it")
    codec = stream.codec_context and stream.codec_context.codec.canonical_name
    if codec in CODECS:
        return stream
    av.logging.set_level(av.logging.INFO)  # else there is no description
    found = re.search(r"Video: (?:none \()?([\w.-]+)", container.dumps_format())
    av.logging.set_level(None)
    kind = codec or (found[1] if found else "unknown")
    raise ValueError(f"its codec, {kind}, is not one that is read")


def turn_upright(pixels: np.ndarray, frame: Any) -> np.ndarray:
    """Turn and mirror a frame's pixels (H, W, 3) as its file asks.

    Source: AVFrame's display matrix; x' = ax + cy, y' = bx + dy.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def take_sharpest(
    frames: Iterator[tuple[float, Any]], every: float
) -> Iterator[tuple[float, Any]]:
    """Yield of each period of so many seconds the sharpest of a few frames."""
    step, due = every / LOOKED_AT, 0.0
    best, period, sharpness = None, 0.0, 0.0
    for seconds, frame in frames:
        if seconds + INSTANT < due:
            continue
        due = step * ((seconds + INSTANT) // step + 1)
        if best and (seconds + INSTANT) // every != period:
            yield best
            best = None
        found = measure_sharpness(frame)
        if not best or found > SHARPER * sharpness + LEAST_SHARPNESS:
            best, sharpness = (seconds, frame), found
            period = (seconds + INSTANT) // every
    if best:
        yield best


def measure_sharpness(frame: Any) -> float:
    """Return the variance of the Laplacian of a frame's small grey copy.

    Source: Pech-Pacheco et al. 2000, *Diatom autofocusing in brightfield microscopy*.
    """
    scale = min(1.0, LOOKED_AT_SIDE / max(frame.width, frame.height))
    width, height = (max(3, round(n * scale)) for n in (frame.width, frame.height))
    options = {"width": width, "height": height, "interpolation": "AREA"}
    grey = frame.to_ndarray(format="gray", **options).astype(np.float32)  # (H', W')
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * inner).var())


def is_cut(file: IO[bytes]) -> bool:
    """Say whether a file's outermost parts, as they state it, reach beyond its end.

    That is known of MP4 and its kin, AVI, Matroska and WebM.
    """
    size, position = file.seek(0, os.SEEK_END), 0
    for _ in range(MOST_PARTS):
        file.seek(position)
        length = _read_length(file.read(16))
        if not length or position + length >= size:
            return bool(length) and position + length > size
        position += length
    return False


def _read_length(head: bytes) -> int:
    """Return the bytes of the part that begins so; 0 where that is not known."""
    if head[4:8] in _ISO_BOXES:
        length = int.from_bytes(head[:4], "big")
        return int.from_bytes(head[8:16], "big") if length == 1 else length
    if head[:4] == b"RIFF":
        length = int.from_bytes(head[4:8], "little")
        return length and 8 + length + length % 2
    if head[:4] in (_EBML, _SEGMENT) and head[4:5] > b"\0":
        num_bytes = 9 - head[4].bit_length()
        length = int.from_bytes(head[4 : 4 + num_bytes], "big") - (1 << 7 * num_bytes)
        is_known = length != (1 << 7 * num_bytes) - 1
        return 4 + num_bytes + length if is_known else 0
    return 0


def decode(file: IO[bytes], wish: Wish, output: IO[bytes]) -> None:
    """Write a video's frames, and that they were all.

    Raises:
        ValueError: it cannot be read, or breaks off.
    """
    cut = is_cut(file)
    file.seek(0)
    with _open_container(file, cut) as container:
        reader = Reader(container, wish)
        lasts = container.duration and container.duration / 1e6
        num_taken = 0
        for seconds, frame in take_sharpest(reader.read(), wish.every):
            pixels = reader.to_pixels(frame)
            height, width = pixels.shape[:2]
            message = {"seconds": seconds, "size": (width, height), "lasts": lasts}
            say(output, message)
            output.write(np.ascontiguousarray(pixels))
            output.flush()
            num_taken += 1
            if num_taken == wish.most_frames:
                return
    if (cut or reader.breaks_off) and reader.num_decoded:
        place = f"{reader.seconds:.1f} seconds (frame {reader.num_decoded})"
        raise ValueError(f"it breaks off after {place}")
    if not num_taken:
        raise ValueError("none of its frames can be decoded")


def _open_container(file: IO[bytes], cut: bool) -> Any:
    """Open what is in the file, and nothing else."""
    if av is None:
        raise ValueError("videos need pip install -r requirements-faces.txt")
    if not file.read(1):
        raise ValueError("the file is empty")
    file.seek(0)
    lists = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    options = {**lists, "max_streams": str(MOST_STREAMS)}
    try:
        return av.open(file, options=options, io_open=_refuse)
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError):
        if cut:
            raise ValueError("it breaks off before its first frame") from None
        kinds = "MP4, MOV, AVI, Matroska, WebM, MPEG, ASF (WMV), FLV or Ogg"
        raise ValueError(f"it is damaged, or not a video in {kinds}") from None


def _refuse(*_: object) -> None:
    """Open nothing for a container that asks for more files."""
    raise PermissionError("a video is one file")


def say(output: IO[bytes], message: Mapping[str, Any]) -> None:
    """Write a message."""
    output.write(json.dumps(message).encode() + b"\n")
    output.flush()


def confine() -> None:
    """Give up what decoding does not need: more files, addresses and memory."""
    limits = {"RLIMIT_NOFILE": 0, "RLIMIT_CORE": 0, "RLIMIT_AS": MOST_BYTES}
    for name, most in limits.items() if resource else ():
        with contextlib.suppress(ValueError, OSError):  # the platform lacks it
            resource.setrlimit(getattr(resource, name), (most, most))


def end_with(parent: int) -> None:
    """End when the process does that wants the frames."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main(every: str, *bounds: str) -> None:
    """Decode standard input; Ctrl-C is for who wants the frames."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, output = sys.stdin.buffer, sys.stdout.buffer
    confine()
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    try:
        decode(source, Wish(float(every), *map(int, bounds)), output)
        say(output, {"end": True})
    except MemoryError:
        most = f"{MOST_BYTES / 2**30:g} GiB of memory or {MOST_STREAMS:,} streams"
        say(output, {"error": f"it asks for more than {most}"})
    except ValueError as error:
        say(output, {"error": str(error)})
    except Exception as error:  # a decoder raises nearly any of the built-in errors
        say(output, {"error": f"the decoder failed ({error})"})


if __name__ == "__main__":
    main(*sys.argv[1:])
