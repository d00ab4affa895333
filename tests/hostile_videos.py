"""Videos as strangers might make them: sound, damaged, lying, or something else."""

import io
import os
import random
import re
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np

RATE = 10  # frames a second
LEVELS = 10  # grey levels from frame to frame
SIDES = (64, 48)  # pixels
# Of each container the format's name for FFmpeg, and a codec that is quickly encoded.
KINDS = {
    **{".mp4": ("mp4", "mpeg4"), ".mov": ("mov", "mjpeg"), ".avi": ("avi", "mpeg4")},
    **{
        ".mkv": ("matroska", "libx264"),
        ".webm": ("webm", "libvpx"),
        ".flv": ("flv",) * 2,
    },
    **{".ts": ("mpegts", "mpeg2video"), ".mpg": ("mpeg", "mpeg2video")},
    **{".wmv": ("asf", "wmv2"), ".3gp": ("3gp", "mpeg4")},
}
EXTREMES = (0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_MP4_BOXES = rb"(?:moov|trak|mdia|minf|stbl|st(?:sd|ts|sc|sz|co)|mvhd|tkhd|mdat|elst)"
_AVI_CHUNKS = rb"(?:RIFF|LIST|avih|strh|strf|idx1|00dc|JUNK)"
_EBML_IDS = rb"(?:\x1aE\xdf\xa3|\x18S\x80g|\x15I\xa9f|\x16T\xaek|\x1fC\xb6u|\xae|\xe0)"


def draw(number: int, size: tuple[int, int] = SIDES) -> np.ndarray:
    """Draw a grey frame, brighter with its number; uint8 (H, W, 3)."""
    return np.full((size[1], size[0], 3), LEVELS * number % 256, np.uint8)


def encode(
    ending: str = ".mp4",
    pictures: Sequence[np.ndarray] = tuple(map(draw, range(12))),
    times: Sequence[float] | None = None,
    *,
    codec: str = "",
    pixels: str = "",
    turn: int | None = None,
    **options: str,
) -> bytes:
    """Encode RGB frames, uint8 (H, W, 3), shown at `times` in seconds.

    Players turn it counter-clockwise by `turn` degrees; `options` are the container's.
    """
    file = io.BytesIO()
    name, usual = KINDS[ending]
    clock = Fraction(1, RATE * 100)
    with av.open(file, "w", format=name, options=options) as container:
        stream = container.add_stream(codec or usual, rate=RATE)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels or ("yuvj420p" if usual == "mjpeg" else "yuv420p")
        if turn is not None:
            stream.set_display_rotation(turn)
        if times:
            stream.codec_context.time_base = clock
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            seconds = times[number] if times else number / RATE
            frame.time_base = clock if times else Fraction(1, RATE)
            frame.pts = round(seconds / frame.time_base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if hasattr(os, "sched_setscheduler"):
        # SVT-AV1 makes root's threads real-time, and so all that they start.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return file.getvalue()


def flip_bytes(rng: random.Random, data: bytes) -> bytes:
    """Change a few bytes, or many."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 5, 50, 500))):
        changed[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(changed)


def cut_off(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def splice(rng: random.Random, data: bytes) -> bytes:
    """Let a part come again, or drop it."""
    start, end = sorted(rng.randrange(len(data)) for _ in range(2))
    place = rng.randrange(len(data))
    part = data[start:end] if rng.random() < 0.5 else b""
    return data[:place] + part + data[rng.randrange(place, len(data)) :]


def lie(rng: random.Random, data: bytes) -> bytes:
    """Set a length, or a number soon after one, to an extreme."""
    found = [m.start() - 4 for m in re.finditer(_MP4_BOXES, data)]
    found += [m.end() for m in re.finditer(_AVI_CHUNKS, data)]
    found += [m.end() for m in re.finditer(_EBML_IDS, data[:2000])]
    place = rng.choice(found or [0]) + rng.choice((0, 0, 0, 8, 12, 16, 20, 28, 36))
    changed, number = bytearray(data), rng.choice(EXTREMES)
    changed[place : place + 4] = number.to_bytes(4, rng.choice(("big", "little")))
    return bytes(changed)


def repeat_tracks(times: int) -> bytes:
    """An MP4 with thousands of streams."""
    data = encode(".mp4")
    start = data.index(b"trak") - 4
    end = start + int.from_bytes(data[start : start + 4], "big")
    moov = data.index(b"moov") - 4
    length = int.from_bytes(data[moov : moov + 4], "big") + times * (end - start)
    more = data[start:end] * times
    return (
        data[:moov]
        + length.to_bytes(4, "big")
        + data[moov + 4 : end]
        + more
        + data[end:]
    )


def claim_size(width: int, height: int) -> bytes:
    """An AVI whose header claims large frames."""
    data = bytearray(encode(".avi", codec="rawvideo", pixels="bgr24"))
    place = data.index(b"strf") + 12
    data[place : place + 8] = struct.pack("<II", width, height)
    return bytes(data)


def claim_frames(number: int) -> bytes:
    """An AVI whose headers claim many frames."""
    data = bytearray(encode(".avi"))
    for chunk, behind in ((b"avih", 24), (b"strh", 40)):
        place = data.index(chunk) + behind
        data[place : place + 4] = struct.pack("<I", number)
    return bytes(data)


def list_playlists(address: str) -> list[bytes]:
    """Texts that players take for lists of videos to be fetched from an address."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{0}/a.ts\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="1"><BaseURL>{0}/a.mp4</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    session = (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:{0}\n"
    )
    texts = [hls, dash, session, "ffconcat version 1.0\nfile '{0}/a.mp4'\n"]
    texts += [
        "[Reference]\nRef1={0}/a.asf\n",
        '<asx><entry><ref href="{0}"/></entry></asx>',
    ]
    return [text.format(address).encode() for text in texts]


class Stranger:
    """Makes one hostile video after the other; some name an address not to open."""

    def __init__(self, seed: int, address: str) -> None:
        self._rng = random.Random(seed)
        self.sound = {ending: encode(ending) for ending in KINDS}
        self._changes: tuple[Callable[[random.Random, bytes], bytes], ...]
        self._changes = (flip_bytes, cut_off, splice, lie, lie, lie)
        self._others = [
            *list_playlists(address),
            *(b"", bytes(5000), self._rng.randbytes(5000), encode(".mp4", [draw(1)])),
            *(claim_size(65_535, 65_535), claim_size(0, 0), claim_size(2**31 - 1, 1)),
            *(claim_frames(2**31 - 1), repeat_tracks(3000), b"\x89PNG\r\n\x1a\n" * 99),
        ]

    def make(self) -> tuple[str, bytes]:
        """Return what a video is called, and its content."""
        names = (
            "{}",
            "12:30 {}",
            "%02d {}",
            "tcp:{}",
            "-i {}",
            "é\udce9 {}",
            "\x1b[2K{}",
        )
        ending = self._rng.choice(list(KINDS))
        name = self._rng.choice(names).format(f"clip{ending}")
        if self._rng.random() < 0.1:
            return name, self._rng.choice(self._others)
        kind = ending if self._rng.random() < 0.9 else self._rng.choice(list(KINDS))
        data = self.sound[kind]
        for _ in range(self._rng.choice((1, 1, 1, 3))):
            data = self._rng.choice(self._changes)(self._rng, data or b"\0")
        return name, data
