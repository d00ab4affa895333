"""Who is who in a video: faces of one person, from frame to frame.

Where a face is and how it looks are weighed as one: the log odds that it is a person's
who was seen before, against another one's. Within a scene the place says most; after a
cut only the looks count, and they must be clear. A person who is taken for two does
less harm than two who are taken for one, so doubts make a new person.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image
from scipy.optimize import linear_sum_assignment

from loading.face_finding import Face
from loading.videos.frames import Frame
from loading.videos.scenes import SceneFinder

MOST_PERSONS = 200  # that are remembered; those not seen for longest are forgotten
MOST_LOOKS = 5  # of a person
OTHER_LOOK = 0.85  # likeness below which a look is kept beside the others

# Where eyes, nose and corners of the mouth are in what is compared, in its sides.
_PLACES = ((0.34, 0.40), (0.66, 0.40), (0.5, 0.60), (0.37, 0.78), (0.63, 0.78))
_BOX_CENTRE = (0.5, 0.53)
_SIDE, _CELLS = 48, 12  # pixels of an aligned face; cells a side of its look
_LEAST_SPREAD = 0.1  # of landmarks, in heights of the face; else they say nothing
_LEAST_CONTRAST = 1.0  # levels; less is noise, as the colours of grey faces are

# Log odds at a likeness, to the most alike of five looks. Of 113 real faces, changed by
# turn, light and size, 99 % of pairs of one person (n = 339) exceed 0.79; 5 % of those
# of two (n = 37,968) exceed 0.57, 0.1 % 0.77. Even odds lie lower than between them, as
# faces that talk change more: of a real one, within 4 s, 0.5 to 0.8.
SLOPE, EVEN = 15.0, 0.58
MOST_ODDS = 5.0  # of looks, and of places
HIDDEN_ODDS = 1.5  # of looks, where a face may be hidden in part
_NEAR = 1.2  # heights between the centres of faces of which one may hide the other
CLEAR = 3.0  # log odds of looks alone: a likeness of 0.78
# Faces move by so many of their heights, and more a second; in scenes of so many
# heights squared, in which another person may be anywhere.
_STILL, _MOVED, _ROOM = 0.15, 0.45, 60.0
_SAME_SIZE, _SIZED = 0.12, 0.12  # the same for the logarithm of the height
_FORESEEN = 2.0  # seconds, for which a motion goes on
# Of a person who was missing in the frame before, and not behind another one: the log
# odds of a place at first, what they lose a second, and their least, for somebody else
# may have come.
_MISSING, _LOST, _GONE = 2.0, 1.5, -1.0


@dataclass(eq=False)
class _Person:
    """Who was seen.

    Attributes:
        number: from 1.
        scene: number of the one in which the person was last seen.
        seconds: when.
        centre: of the face, in pixels of the scene's first frame.
        height: of the face, pixels.
        is_crowded: whether another face is near, and may hide a part of it.
        is_hidden: whether that or the frame's edge may.
        speed: of the centre, pixels a second.
        looks: a few that differ; of a face that may be hidden only the first.
    """

    number: int
    scene: int
    seconds: float
    centre: np.ndarray
    height: float
    is_crowded: bool
    is_hidden: bool
    speed: np.ndarray = field(default_factory=lambda: np.zeros(2))
    looks: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=MOST_LOOKS))


class Tracker:
    """Number the persons in a video's frames, one frame after the other.

    A cut ends all tracks: who is seen after it is another person, unless the faces are
    clearly alike, or the scene is one that was seen before. Memory does not grow with
    the video's length, but for the times of cuts.

    Attributes:
        cut_times: seconds of the frames that show another scene than those before.
    """

    def __init__(self) -> None:
        self.cut_times: list[float] = []
        self._scenes = SceneFinder()
        self._last_seconds = -math.inf  # of the frame before
        self._persons: list[_Person] = []  # who was seen last comes last
        self._num_persons = 0

    def follow(self, frame: Frame, faces: Sequence[Face]) -> list[int]:
        """Return for each face of the next frame the number of its person, from 1.

        Faces are as `FaceFinder.find` returns them.
        """
        sight = self._scenes.follow(frame.picture)
        if sight.is_cut:
            self.cut_times.append(frame.seconds)
        offset = sight.shift * frame.picture.size
        seen = []
        for face in faces:
            looks = deque([describe(frame.picture, face)], maxlen=MOST_LOOKS)
            centre, crowded = _find_centre(face) - offset, _is_crowded(face, faces)
            hidden = crowded or _is_cut_off(face, frame.picture.size)
            height, when = max(face.height, 1.0), (sight.scene, frame.seconds)
            place = centre, height, crowded, hidden
            seen.append(_Person(0, *when, *place, looks=looks))
        matches = zip(seen, self._match(seen), strict=True)
        persons = [self._meet(face, person) for face, person in matches]
        self._persons = [p for p in self._persons if p not in persons] + persons
        del self._persons[:-MOST_PERSONS]
        self._last_seconds = frame.seconds
        return [person.number for person in persons]

    def _match(self, seen: Sequence[_Person]) -> list[_Person | None]:
        """Return whose each face is, None for somebody new.

        That is the assignment of the highest log odds in all, by the Hungarian method.
        """
        number = len(self._persons)
        odds = np.zeros((len(seen), number + len(seen)))  # the last ones: new persons
        for row, face in enumerate(seen):
            odds[row, :number] = [self._weigh(person, face) for person in self._persons]
        _, chosen = linear_sum_assignment(odds, maximize=True)
        return [self._persons[c] if c < number else None for c in chosen.tolist()]

    def _weigh(self, person: _Person, face: _Person) -> float:
        """Return the log odds that a face is a person's."""
        most = HIDDEN_ODDS if face.is_hidden else MOST_ODDS
        looks = SLOPE * (_compare(person, face) - EVEN)
        was_covered = person.is_crowded or face.is_crowded
        is_missing = person.seconds < self._last_seconds and not was_covered
        place = max(_weigh_place(person, face, is_missing), -CLEAR)
        return float(np.clip(looks, -most, most)) + place

    def _meet(self, face: _Person, person: _Person | None) -> _Person:
        """Note where a person is now, and how the person looks."""
        if person is None:
            self._num_persons += 1
            face.number = self._num_persons
            return face
        passed = face.seconds - person.seconds
        if face.scene != person.scene:
            person.speed = face.speed
        elif passed > 0:
            share = passed / (passed + 0.5)  # the longer, the less it is jitter
            moved = (face.centre - person.centre) / passed
            person.speed = (1 - share) * person.speed + share * moved
        if not face.is_hidden and _compare(person, face) < OTHER_LOOK:
            person.looks.extend(face.looks)
        person.scene, person.seconds = face.scene, face.seconds
        person.centre, person.height = face.centre, face.height
        person.is_crowded = face.is_crowded
        return person


def _compare(person: _Person, face: _Person) -> float:
    """Return the likeness of a face to the most alike look of a person."""
    return max(float(look @ face.looks[0]) for look in person.looks)


def _is_crowded(face: Face, faces: Sequence[Face]) -> bool:
    """Say whether another face is near."""
    reach, centre = _NEAR * face.height, _find_centre(face)
    near = [np.linalg.norm(_find_centre(other) - centre) < reach for other in faces]
    return sum(near) > 1


def _is_cut_off(face: Face, size: tuple[int, int]) -> bool:
    """Say whether a face reaches beyond the picture."""
    return min(face.box) < 0 or any(np.array(face.box[2:]) > size)


def _weigh_place(person: _Person, face: _Person, is_missing: bool) -> float:
    """Return what the place of a face says for a person, as log odds."""
    if face.scene != person.scene:
        return -math.inf
    passed = max(0.0, face.seconds - person.seconds)
    foreseen = person.centre + person.speed * min(passed, _FORESEEN)
    unit = math.sqrt(face.height * person.height)
    distance = float(np.linalg.norm(face.centre - foreseen)) / unit
    spread = min(_STILL + _MOVED * passed, math.sqrt(_ROOM / (2 * math.pi)))
    growth = math.log(face.height / person.height) / (_SAME_SIZE + _SIZED * passed)
    most = max(_MISSING - _LOST * passed, _GONE) if is_missing else MOST_ODDS
    place = min(math.log(_ROOM / (2 * math.pi * spread**2)), most)
    return place - (distance / spread) ** 2 / 2 - growth**2 / 2


def _find_centre(face: Face) -> np.ndarray:
    left, top, right, bottom = face.box
    return np.array([left + right, top + bottom]) / 2


def describe(picture: Image.Image, face: Face) -> np.ndarray:
    """Return how a face looks: coarse light and colours, once it is upright.

    It is aligned by its landmarks, or by its box where they lie together.

    Returns:
        float32 (432,), of length 1: the product of two is their likeness, up to 1.
    """
    pixels = cv2.cvtColor(_align(picture, face), cv2.COLOR_RGB2LAB).astype(np.float32)
    cells = cv2.resize(pixels, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    cells = cells.reshape(-1, 3) - cells.mean(axis=(0, 1))  # (144, 3)
    cells /= np.maximum(np.linalg.norm(cells, axis=0), _LEAST_CONTRAST * _CELLS)
    look = cells.ravel() + 1e-3  # faces without any contrast are alike
    return look / np.linalg.norm(look)


def _align(picture: Image.Image, face: Face) -> np.ndarray:
    """Cut out a face so that its landmarks are at `_PLACES`, uint8 (48, 48, 3)."""
    centre, reach = _find_centre(face), max(face.height, 1.0)
    limits = np.array(picture.size)
    start = np.clip(np.floor(centre - reach), 0, limits - 1)
    end = np.clip(np.ceil(centre + reach), start + 1, limits)
    scale = min(1.0, 1.5 * _SIDE / reach)
    size = np.maximum(np.rint(scale * (end - start)), 1).astype(int)
    small = picture.convert("RGB").resize(tuple(size.tolist()), box=(*start, *end))
    marks = np.array(face.landmarks)
    places = np.array(_PLACES)
    if marks.std(axis=0).max() < _LEAST_SPREAD * reach:
        marks = centre + reach * (places - _BOX_CENTRE)
    marks = (marks - start) * size / (end - start)
    matrix, edge = _fit(marks, _SIDE * places), cv2.BORDER_REPLICATE
    return cv2.warpAffine(np.asarray(small), matrix, (_SIDE, _SIDE), borderMode=edge)


def _fit(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return what turns, scales and moves points (5, 2) nearest to others, (2, 3)."""
    first, second = (points @ [1, 1j] for points in (source, target))
    middle = first.mean()
    turn = np.vdot(first - middle, second) / np.vdot(first - middle, first - middle)
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    move = target.mean(axis=0) - matrix @ source.mean(axis=0)
    return np.column_stack([matrix, move])
