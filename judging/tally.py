"""How often a detector said what, of how many pictures, faces and persons."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from judging.verdicts import Verdict
from judging.words import describe_judged


class Said(NamedTuple):
    """What counts of a verdict, named as the columns of a row are."""

    error: str | None
    verdict: str
    person: int | None
    num_faces: int | None
    fake_score: float | None

    @classmethod
    def of(cls, verdict: Verdict) -> "Said":
        """Return what counts of a verdict."""
        picture, score = verdict.picture, verdict.fake_score
        kind = picture.person, picture.num_faces
        return cls(verdict.error, verdict.name, *kind, score)

    @property
    def kind(self) -> str:
        """What was judged, as `describe_judged` has it."""
        if self.person is not None:
            return "person"
        return "" if self.num_faces == 0 or self.fake_score is None else "face"


class VerdictCounts:
    """How often a detector said what, of how many pictures.

    Attributes:
        names: how often each verdict was given.
        kinds: on what, likewise.
        num_files: with a verdict.
        num_failures: files without one.
    """

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.num_files = self.num_failures = 0

    def add(self, picture: Sequence[Said]) -> None:
        """Count what is said of a picture or a video."""
        judged = [said for said in picture if not said.error]
        self.names.update(said.verdict for said in judged)
        self.kinds.update(said.kind for said in judged)
        self.num_files += bool(judged)
        self.num_failures += not judged

    def complete(self, summary: str) -> str:
        """Return a summary of verdicts with what they are on, and what has none."""
        judged = describe_judged(self.kinds, self.num_files)
        start = f"{judged}: " if judged else ""
        num = self.num_failures
        return f"{start}{summary}{f'; {num} could not be judged' if num else ''}"
