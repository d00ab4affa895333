"""Clips of pasted faces that move along known paths: who is where, and when.

A kind of clip is a row of `KINDS`. Faces are anybody's: drawn ones in tests, and
photographs in benchmarks/tracking.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from drawn_photos import draw_photo
from PIL import Image, ImageDraw, ImageFilter

from loading.face_finding import Face
from loading.videos.frames import Frame

SIZE = (640, 360)  # of frames, pixels
LEAST_SEEN = 0.6  # share of a face's box that is not hidden, where it is to be found
# Of drawn faces, in sides of the picture, as in aligned photographs.
BOX = (0.22, 0.18, 0.78, 0.94)
LANDMARKS = ((0.38, 0.48), (0.62, 0.48), (0.5, 0.62), (0.4, 0.77), (0.6, 0.77))


class Cutout(NamedTuple):
    """A picture of a person, and the face in it."""

    image: Image.Image
    face: Face


class Stop(NamedTuple):
    """Where a face's centre is at a time, in sides of the frame, and its height."""

    seconds: float
    x: float
    y: float = 0.5
    height: float = 0.3


class Walk(NamedTuple):
    """A person's way, from the first stop's time to the last one's."""

    person: int
    stops: tuple[Stop, ...]
    fake: tuple[float, float] = (0, 0)  # seconds, between which the face is a fake


@dataclass(frozen=True)
class Shot:
    """What one camera sees until the next cut, nearer walks last."""

    end: float  # seconds from the clip's start
    walks: tuple[Walk, ...]
    background: int = 0
    pan: float = 0.0  # to the right, in widths of the frame a second
    zoom: float = 1.0  # a second
    flash: float = -1.0  # seconds at which a frame is much brighter; none if negative
    cover: tuple[float, float, float] = (0, 0, 0)  # before all: x, seconds from and to


class Seen(NamedTuple):
    """A face that is to be found in a frame."""

    person: int
    face: Face
    is_fake: bool


@dataclass
class Clip:
    """Frames, the faces in each of them, and the seconds of its cuts."""

    frames: list[Frame] = field(default_factory=list)
    seen: list[list[Seen]] = field(default_factory=list)
    cut_times: list[float] = field(default_factory=list)


def _sit(person: int, x: float, start: float = 0, end: float = 12, **more) -> Walk:
    middle = (start + end) / 2
    stops = (Stop(start, x), Stop(middle, x + 0.04, 0.47, 0.32), Stop(end, x))
    return Walk(person, stops, **more)


def _go(person: int, start: float, end: float, *xs: float, y: float = 0.5) -> Walk:
    return Walk(person, tuple(map(Stop, np.linspace(start, end, len(xs)), xs, [y] * 9)))


_PAIR = (_sit(0, 0.25), _sit(1, 0.7))
KINDS: dict[str, tuple[Shot, ...]] = {
    "still": (Shot(12, _PAIR),),
    "crossing": (Shot(10, (_go(0, 0, 9, 0.1, 0.9), _go(1, 0, 9, 0.9, 0.1, y=0.55))),),
    "covered": (Shot(12, _PAIR, cover=(0.25, 4, 8)),),
    "other at the place": (Shot(12, (_sit(0, 0.3, 0, 5), _sit(1, 0.3, 7, 12))),),
    "other through a door": (
        Shot(14, (_go(0, 0, 6, 0.5, 0.5, 1.2), _go(1, 8, 14, 1.2, 0.5, 0.5))),
    ),
    "cut to another": (
        Shot(5, (_sit(0, 0.4),)),
        Shot(10, (_sit(1, 0.4),), background=1),
    ),
    "cut to one of them": (
        Shot(5, _PAIR),
        Shot(10, (Walk(1, (Stop(0, 0.5, 0.5, 0.6), Stop(12, 0.5, 0.5, 0.6))),), 1),
    ),
    "cut and back": (
        Shot(3, (_sit(0, 0.35),)),
        Shot(6, (_sit(1, 0.6),), background=1),
        Shot(9, (_sit(0, 0.35),)),
        Shot(12, (_sit(1, 0.6),), background=1),
    ),
    "pan": (Shot(8, _PAIR, pan=0.05),),
    "fast pan": (Shot(5, (_sit(0, 0.3), _sit(1, 0.9), _sit(2, 1.4)), pan=0.2),),
    "zoom": (Shot(6, (_sit(0, 0.35), _sit(1, 0.6)), zoom=1.12),),
    "flash": (Shot(8, _PAIR, flash=4),),
    "fake stretch": (Shot(12, (_sit(0, 0.25, fake=(4, 8)), _sit(1, 0.7))),),
}


def draw_cutout(seed: int, edge: int = 200) -> Cutout:
    """Draw what stands for a person's picture."""
    box = tuple(edge * x for x in BOX)
    marks = tuple((edge * x, edge * y) for x, y in LANDMARKS)
    return Cutout(draw_photo(seed, edge), Face(box, 0.9, marks))


def draw_background(seed: int) -> Image.Image:
    """Draw a place, three frames wide."""
    return draw_photo(seed, 256).resize((3 * SIZE[0], SIZE[1]))


def make_clip(
    kind: str,
    people: Sequence[Cutout],
    backgrounds: Sequence[Image.Image],
    *,
    every: float = 1.0,
    seed: int = 0,
    fakes: Sequence[Cutout] = (),
) -> Clip:
    """Make a clip of a kind in `KINDS`, with a frame `every` so many seconds.

    Each frame shows the people, three or more, a little changed, and the middle third
    of one of two backgrounds or more. `fakes` are the people in a fake stretch.
    """
    rng, clip, start = np.random.default_rng(seed), Clip(), 0.0
    for shot in KINDS[kind]:
        if start:
            clip.cut_times.append(start)
        place = backgrounds[shot.background].resize((3 * SIZE[0], SIZE[1]))
        for seconds in np.arange(start, shot.end - 1e-6, every).tolist():
            picture, zoom, pan = _open_view(shot, place, seconds - start)
            seen: list[Seen] = []
            for walk in shot.walks:
                is_fake = walk.fake[0] <= seconds < walk.fake[1]
                if (stop := _interpolate(walk.stops, seconds)) is None:
                    continue
                cutout = change((fakes if is_fake else people)[walk.person], rng)
                x, y = ((p - 0.5) * zoom + 0.5 for p in (stop.x - pan, stop.y))
                face = _paste(picture, cutout, Stop(0, x, y, stop.height * zoom))
                seen = [s for s in seen if _share_seen(s.face.box, face.box)]
                seen.append(Seen(walk.person, face, is_fake))
            x, first, last = shot.cover
            if first <= seconds < last:
                bar = (SIZE[0] * (x - 0.15), 0, SIZE[0] * (x + 0.2), SIZE[1])
                ImageDraw.Draw(picture).rectangle(bar, fill=(70, 60, 50))
                seen = [s for s in seen if _share_seen(s.face.box, bar)]
            if abs(seconds - shot.flash) < every / 2:
                picture = picture.point(lambda value: min(255, int(2.2 * value + 20)))
            clip.frames.append(Frame(seconds, picture))
            clip.seen.append([s for s in seen if _is_inside(s.face.box)])
        start = shot.end
    return clip


def write_clip(path: Path, clip: Clip, rate: float, codec: str = "MJPG") -> None:
    """Write a clip's frames as a video of so many a second."""
    four = cv2.VideoWriter_fourcc(*codec)
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, four, rate, SIZE)
    for frame in clip.frames:
        video.write(cv2.cvtColor(np.asarray(frame.picture), cv2.COLOR_RGB2BGR))
    video.release()


def _open_view(
    shot: Shot, place: Image.Image, seconds: float
) -> tuple[Image.Image, float, float]:
    """Return what of a place is seen, the zoom and the pan."""
    zoom, pan = shot.zoom**seconds, shot.pan * seconds
    width, height = SIZE
    half = width / zoom / 2, height / zoom / 2
    x, y = (1.5 + pan) * width, height / 2
    box = (x - half[0], y - half[1], x + half[0], y + half[1])
    return place.convert("RGB").resize(SIZE, box=box), zoom, pan


def _interpolate(stops: Sequence[Stop], seconds: float) -> Stop | None:
    times, *ways = zip(*stops, strict=True)
    if not times[0] <= seconds < times[-1]:
        return None
    return Stop(seconds, *(float(np.interp(seconds, times, way)) for way in ways))


def change(cutout: Cutout, rng: np.random.Generator) -> Cutout:
    """Turn, tilt, squeeze and light a face, as it is in another moment."""
    turn, angle, squeeze, shear = rng.normal(0, [0.1, 0.1, 0.06, 0.05])
    pixels = np.asarray(cutout.image.convert("RGB"), np.float32)
    half = np.array(cutout.image.size) / 2
    y, x = np.indices(pixels.shape[:2], np.float32)
    across, down = x / half[0] - 1, y / half[1] - 1
    x = (x + _swing(across, turn) * half[0]).astype(np.float32)
    pixels = cv2.remap(pixels, x, y, cv2.INTER_LINEAR)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    matrix = matrix @ [[1 - abs(squeeze), shear], [0, 1]]
    moves = np.column_stack([matrix, half - matrix @ half])
    border = {"borderMode": cv2.BORDER_REFLECT}
    pixels = cv2.warpAffine(pixels, moves, cutout.image.size, **border)
    light = rng.uniform(0.75, 1.2) + rng.normal(0, 0.15) * across
    light = (light + rng.normal(0, 0.15) * down)[..., None] * rng.normal(1, 0.04, 3)
    image = Image.fromarray(np.clip(pixels * light, 0, 255).astype(np.uint8))
    return Cutout(image, _move(cutout.face, moves, turn, half))


def _swing(across: np.ndarray, turn: float) -> np.ndarray:
    """Return by how much a turn of the head moves what is at a place, from -1 to 1."""
    return turn * (1 - across**2)


def _move(face: Face, moves: np.ndarray, turn: float, half: np.ndarray) -> Face:
    """Return where a face is once its picture is changed; the box keeps its size."""
    points = np.reshape([*face.box, *np.ravel(face.landmarks)], (-1, 2))
    size = points[1] - points[0]
    points[:2] = points[:2].mean(axis=0)
    across = points[:, 0] / half[0] - 1
    points[:, 0] -= half[0] * _swing(across - _swing(across, turn), turn)
    points = points @ moves[:, :2].T + moves[:, 2]
    box = (*(points[0] - size / 2).tolist(), *(points[1] + size / 2).tolist())
    return Face(box, face.confidence, tuple(map(tuple, points[2:].tolist())))


def _paste(picture: Image.Image, cutout: Cutout, stop: Stop) -> Face:
    """Paste a face, by an oval that fades out; return where it is."""
    scale = stop.height * SIZE[1] / cutout.face.height
    size = [max(1, round(scale * side)) for side in cutout.image.size]
    left, top, right, bottom = cutout.face.box
    x = round(stop.x * SIZE[0] - scale * (left + right) / 2)
    y = round(stop.y * SIZE[1] - scale * (top + bottom) / 2)
    oval = Image.new("L", size)
    width, height = size
    inner = (0.04 * width, 0.02 * height, 0.96 * width, 0.98 * height)
    ImageDraw.Draw(oval).ellipse(inner, fill=255)
    oval = oval.filter(ImageFilter.GaussianBlur(width / 50))
    picture.paste(cutout.image.resize(size), (x, y), oval)
    return cutout.face.place(scale, x, y)


def _share_seen(box: Sequence[float], cover: Sequence[float]) -> bool:
    """Say whether enough of a box is not covered."""
    sides = [min(box[i + 2], cover[i + 2]) - max(box[i], cover[i]) for i in (0, 1)]
    area = (box[2] - box[0]) * (box[3] - box[1])
    return 1 - max(0, sides[0]) * max(0, sides[1]) / area >= LEAST_SEEN


def _is_inside(box: Sequence[float]) -> bool:
    whole = (0, 0, *SIZE)
    return not _share_seen(box, whole) and box[0] < SIZE[0] and box[2] > 0
