"""Videos judged: faces found in their frames, followed, and summed up by person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from files.classes import FAKE, REAL
from files.names import make_printable
from hardware import show_progress
from judging.base import BaseDetector
from judging.pictures import (
    InputSpec,
    Picture,
    Read,
    Reading,
    collate_pictures,
    cut_out,
    cut_stream,
    fail,
    identify,
    is_crop,
    list_input_specs,
)
from judging.tracks import Clip, Moment, Reason, Shown, Track
from judging.verdicts import Verdict, drop_ratio, judge_batches
from loading import ImageFile
from loading.face_finding import find_faces
from loading.image_files import as_file
from loading.videos.frames import Frame, Heed, read_frames
from loading.videos.tracking import Tracker

if TYPE_CHECKING:
    from hardware import Compute

SHOWN_SIDE = 96  # pixels of a face beside a time line
_BAR = "{desc}: {n:.0f} s of the video [{elapsed}]"


def judge_clip(
    file: ImageFile | Path,
    detectors: Sequence[BaseDetector],
    compute: "Compute",
    reading: Reading,
    *,
    heed: Heed = lambda *_: None,
) -> list[list[Verdict]]:
    """Judge a video: each person in it by the frames that show it.

    Of each person only numbers are held, and two small faces. Harmless versions of
    frames are not tried: the frames themselves are versions of one another.

    Args:
        heed: as for `read_frames`.

    Returns:
        For each person each detector's verdict; one on the video where it shows nobody.
        One with an error is last where it cannot be read, or not to its end.
    """
    watched = _Watched(as_file(file), list_input_specs(detectors), reading, heed=heed)
    batches = map(collate_pictures, cut_stream(watched, compute.batch_size))
    found: dict[int, list[_Sightings]] = {}
    for picture, verdicts in judge_batches(
        batches, detectors, compute.precision, stability=False
    ):
        person = found.setdefault(picture.person, [_Sightings() for _ in detectors])
        for sightings, verdict in zip(person, verdicts, strict=True):
            sightings.add(verdict)
    picture = watched.picture._replace(clip=watched.clip)
    faces = [
        [
            sightings.sum_up(picture._replace(person=number), detector)
            for sightings, detector in zip(found[number], detectors, strict=True)
        ]
        for number in sorted(found)
    ]
    if watched.error:
        picture, _ = fail(picture, watched.error)
        faces.append([Verdict(picture, d, error=picture.error) for d in detectors])
    elif not faces:
        doubt = Reason(f"no face was found in it, in {len(watched.seconds)} frames")
        faces.append([Verdict(picture, d, doubts=(doubt,)) for d in detectors])
    return faces


class _Watched:
    """The faces in a video as they come; then, what was looked at."""

    def __init__(
        self, file: ImageFile, specs: list[InputSpec], reading: Reading, *, heed: Heed
    ) -> None:
        self._file = file
        self._heed = heed
        self._specs = specs
        self._margins = [reading.margin or spec.margin for spec in specs]
        self._sampling = reading.sampling
        self._tracker = Tracker()
        self.picture = identify(file, reading)
        self.seconds: list[float] = []  # of the frames looked at
        self.error: str | None = None  # why it cannot be read, or not to its end

    @property
    def clip(self) -> Clip:
        """What was looked at."""
        is_whole = not self.error and len(self.seconds) < self._sampling.most_frames
        cuts = tuple(self._tracker.cut_times)
        return Clip(tuple(self.seconds), self._sampling.every, cuts, is_whole)

    def __iter__(self) -> Iterator[Read]:
        name = make_printable(Path(self._file.name).name)
        with show_progress(desc=name, bar_format=_BAR) as bar:
            try:
                for frame in read_frames(self._file, self._sampling, self._heed):
                    bar.update(frame.seconds - bar.n)
                    self.seconds.append(frame.seconds)
                    yield from self._take(frame)
            except ValueError as error:
                self.error = str(error)

    def _take(self, frame: Frame) -> Iterator[Read]:
        """Yield each face in a frame, as every network wants it."""
        image = frame.picture
        self.picture = self.picture._replace(width=image.width, height=image.height)
        faces = find_faces(image)
        is_whole = bool(faces) and is_crop(faces[0], image.size, self._margins)
        faces = faces[:1] if is_whole else faces
        persons = self._tracker.follow(frame, faces)
        in_frame = self.picture._replace(seconds=frame.seconds, num_faces=len(faces))
        for face, person in zip(faces, persons, strict=True):
            picture = in_frame._replace(person=person)
            if is_whole:  # as a picture that is a crop already
                yield picture, {s: s.make_transform()(image) for s in self._specs}
            else:
                yield cut_out(picture, image, face, self._specs, self._margins)


@dataclass
class _Sightings:
    """What a detector says of one person, frame after frame."""

    moments: list[Moment] = field(default_factory=list)
    # Of each class the face to be shown, and its rank.
    shown: dict[int, tuple[tuple[bool, float], Shown]] = field(default_factory=dict)
    error: str | None = None  # of the last frame without a score

    def add(self, verdict: Verdict) -> None:
        """Keep what is said of a frame."""
        if verdict.error:
            self.error = verdict.error
            return
        picture = verdict.picture
        whole = (0.0, 0.0, float(picture.width), float(picture.height))
        moment = Moment(
            picture.seconds,
            picture.face.box if picture.face else whole,
            verdict.difference,
            verdict.fake_score,
            verdict.decision,
            verdict.reasons,
            verdict.is_withheld,
            verdict.condition,
        )
        self.moments.append(moment)
        score = None if verdict.is_withheld else verdict.fake_score
        for label, sign in ((REAL, -1), (FAKE, 1)):
            rank = not verdict.is_withheld, sign * verdict.difference
            if label not in self.shown or rank > self.shown[label][0]:
                shown = Shown(picture.seconds, score, _shrink(verdict.sample))
                self.shown[label] = rank, shown

    def sum_up(self, picture: Picture, detector: BaseDetector) -> Verdict:
        """Return the verdict on the person.

        The mean of the logits goes through the line and the bounds of one image, or of
        validation's groups where it had any: frames do not multiply the evidence.
        """
        if not self.moments:
            return Verdict(picture, detector, error=self.error)
        shown = tuple(self.shown[label][1] for label in sorted(self.shown))
        own = detector.of_tracks
        track = Track(tuple(self.moments), shown, own.llr_line.slope)
        logits = np.array([[0.0, track.difference]])
        scored = own.calibrate(logits, np.zeros(1, dtype=np.int64))
        scores = [moment.fake_score for moment in track.judged]
        verdict = Verdict(
            picture,
            own,
            float(scored.fake_scores[0]),
            track.difference,
            float(scored.llrs[0]),
            lowest=min(scores),
            highest=max(scores),
            condition=track.condition,
            track=track,
        )
        doubts = track.list_doubts(verdict.decision, picture.clip.every)
        return drop_ratio(replace(verdict, doubts=tuple(map(Reason, doubts))))


def _shrink(sample: np.ndarray) -> np.ndarray:
    """Return a sample, uint8 (S, S, 3), as a small picture (H, W, 3) of its own."""
    image = Image.fromarray(sample)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    return np.asarray(image)
