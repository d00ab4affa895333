"""Which scene a video's frame belongs to, and how far the camera has turned."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

# Measured on made clips (tests/made_clips.py), a frame each second: of 450 pairs of
# frames of two places, some parts of one photograph, 4.7 % are taken for one; of 3,390
# of one place 0.6 % for two: where a third of the frame is covered at once, or zoom.
# In ten frames of a real film no cut is missed, and two fast pans are cuts.
SIZE = (64, 36)  # of what is compared, pixels
ALIKE = 0.7  # correlation of two views once they are shifted: whatever the light
ALIKE_IN_ALL = 1.3  # sum of the correlation and the share of colours that they share
MOST_SHIFT = 0.6  # of a side; beyond it too little is left to compare
MOST_SCENES = 8  # that are remembered, so that a dialogue's are known again
_SHADES = 8  # of each colour
_WINDOW = cv2.createHanningWindow(SIZE, cv2.CV_32F)


class Sight(NamedTuple):
    """What a frame shows.

    Attributes:
        scene: its number, from 1.
        shift: how far what is seen has moved since the scene's first frame, to the
            right and down, in sides of the frame.
        is_cut: whether the frame before showed another scene.
    """

    scene: int
    shift: np.ndarray
    is_cut: bool


@dataclass(eq=False)
class _Thumbnail:
    """A frame as it is compared.

    Attributes:
        light: float32 (36, 64), logarithms.
        colours: float64 (512,), shares.
        shift: as that of a `Sight`.
    """

    light: np.ndarray
    colours: np.ndarray
    shift: np.ndarray


class SceneFinder:
    """Tell a video's scenes apart, one frame after the other.

    A frame belongs to the scene of the frame before when it is alike, shifted or not. A
    scene that is seen again, after another one or a flash, keeps its number. A frame in
    which a pan leaves little of what was there is a cut, too.
    """

    def __init__(self) -> None:
        self._scenes: dict[int, _Thumbnail] = {}  # the last of each, in order
        self._num_scenes = 0

    def follow(self, picture: Image.Image) -> Sight:
        """Return what the next frame shows."""
        thumbnail = _look(picture)
        last = next(reversed(self._scenes), None)
        scene = self._find_scene(thumbnail, last)
        self._scenes.pop(scene, None)
        self._scenes[scene] = thumbnail
        if len(self._scenes) > MOST_SCENES:
            del self._scenes[next(iter(self._scenes))]
        return Sight(scene, thumbnail.shift, last not in (None, scene))

    def _find_scene(self, thumbnail: _Thumbnail, last: int | None) -> int:
        """Return the number of a thumbnail's scene, and note the thumbnail's shift."""
        for scene, earlier in reversed(self._scenes.items()):
            likeness, shift = _compare(earlier.light, thumbnail.light)
            in_all = likeness + np.minimum(earlier.colours, thumbnail.colours).sum()
            if likeness >= ALIKE or (scene == last and in_all >= ALIKE_IN_ALL):
                thumbnail.shift = earlier.shift + shift
                return scene
        self._num_scenes += 1
        return self._num_scenes


def _look(picture: Image.Image) -> _Thumbnail:
    pixels = np.asarray(picture.convert("RGB").resize(SIZE, Image.Resampling.BOX))
    light = np.log(pixels.mean(axis=-1) + 16).astype(np.float32)  # 16: dark is noisy
    shades = (pixels // (256 // _SHADES)).reshape(-1, 3).astype(int)
    bins = shades @ [_SHADES**2, _SHADES, 1]
    colours = np.bincount(bins, minlength=_SHADES**3) / len(bins)
    return _Thumbnail(light - light.mean(), colours, np.zeros(2))


def _compare(first: np.ndarray, second: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the correlation of two lights, and the shift at which it is highest."""
    copies = first.copy(), second.copy()  # OpenCV changes what it is given
    moved, _ = cv2.phaseCorrelate(*copies, _WINDOW)
    shifts = np.array([(0, 0), np.rint(moved)], int)
    shifts = shifts[(np.abs(shifts) <= MOST_SHIFT * np.array(SIZE)).all(axis=1)]
    found = [(_correlate(first, second, *shift), shift / SIZE) for shift in shifts]
    return max(found, key=lambda pair: pair[0])


def _correlate(first: np.ndarray, second: np.ndarray, x: int, y: int) -> float:
    """Correlate what two lights share when the second is shifted."""
    height, width = first.shape
    first = first[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    second = second[max(0, y) : height - max(0, -y), max(0, x) : width - max(0, -x)]
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 1e-3 else 1.0
