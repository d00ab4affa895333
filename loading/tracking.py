"""Who is who in a video: faces of one person, from frame to frame."""

from collections.abc import Sequence

from loading.face_finding import Face
from loading.videos import Frame


class Tracker:
    """Number the persons in a video's frames, one frame after the other.

    A cut ends all tracks: who is seen after it is another person, unless the faces are
    alike.
    """

    def __init__(self) -> None:
        self._last: dict[int, Face] = {}
        self._num_persons = 0

    def follow(self, frame: Frame, faces: Sequence[Face]) -> list[int]:
        """Return the number of the person, from 1, to whom each face belongs.

        Args:
            frame: the next one.
            faces: in it, as `FaceFinder.find` returns them.
        """
        raise NotImplementedError
