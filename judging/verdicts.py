"""What detectors say of pictures: real, fake or inconclusive, and why."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from files.names import CLASS_NAMES, FAKE, NEITHER, REAL
from files.provenance import VERSION
from judging.base import BaseDetector, Scored, decide
from judging.guard import Comparison, describe_unlike
from judging.pictures import Batch, Picture, View
from judging.stability import VERSIONS, is_flipped, make_versions
from judging.tracks import Track
from loading.disturbances import parse_condition
from loading.origin import Origin

if TYPE_CHECKING:
    from hardware import Precision

INCONCLUSIVE, NONE = "inconclusive", "none"
EVEN = 0.5  # P(fake) at which both classes are equally likely
LEAST_OF_SIDE = 0.9  # of the smallest calibration image's, that a picture must have


@dataclass(frozen=True)
class Verdict:
    """What a detector says of a picture.

    Attributes:
        picture: what is known of it.
        detector: whose verdict it is.
        fake_score: P(fake); None where there is none.
        difference: fake's logit less real's; None likewise.
        llr: logarithm of the likelihood ratio, fake over real; None where there is no
            score, and where it would mean nothing.
        lowest, highest: P(fake) of the picture and its harmless versions, or of a
            person's judged frames; None where these were not tried.
        condition: under which calibration images are most like it; '' if not known.
        excess: how far it is from them, over how far it may be; above 1 it is unlike
            them. None if that is not known.
        doubts: in what the picture is unlike those that the detector was tried on.
        flips: the harmless versions that get the opposite verdict.
        error: why there is no verdict; None where there is one.
        sample: uint8 (S, S, 3), as the detector saw it; None where it did not.
        track: of a person in a video, what it says of each frame.
    """

    picture: Picture
    detector: BaseDetector = field(repr=False)
    fake_score: float | None = None
    difference: float | None = None
    llr: float | None = None
    lowest: float | None = None
    highest: float | None = None
    condition: str = ""
    excess: float | None = None
    doubts: tuple[str, ...] = ()
    flips: tuple[str, ...] = ()
    error: str | None = None
    sample: np.ndarray | None = field(default=None, repr=False)
    track: Track | None = field(default=None, repr=False)

    @property
    def zone(self) -> tuple[float, float]:
        """P(fake) below which such a picture is called real, and from which fake."""
        return self.detector.find_zone(self.condition)

    @property
    def decision(self) -> int:
        """What the score alone says: real, fake or `NEITHER`."""
        return int(decide(np.array(self.fake_score), *self.zone))

    @property
    def label(self) -> int:
        """What the score says, and between the bounds the likelier class: for maps."""
        if self.decision != NEITHER:
            return self.decision
        return FAKE if self.fake_score >= EVEN else REAL

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is inconclusive; empty where it is not."""
        if self.is_withheld:
            return (*self.picture.reasons, *self.doubts)
        if self.flips:
            versions = ", ".join(self.flips)
            return (f"harmless versions get the opposite verdict: {versions}",)
        if self.decision == NEITHER:
            return ("its score lies between those called real and fake",)
        return ()

    @property
    def is_withheld(self) -> bool:
        """Whether what the score says is not given: nothing like it was tried."""
        return bool(self.picture.reasons or self.doubts)

    @property
    def is_calibrated(self) -> bool:
        """Whether ratios and frequencies rest on images of its kind."""
        kept = self.detector.record.kept_conditions
        return not self.condition or self.condition in kept

    @property
    def name(self) -> str:
        """Real, fake or inconclusive; 'none' where it cannot be judged."""
        if self.error or (self.fake_score is None and not self.reasons):
            return NONE
        return INCONCLUSIVE if self.reasons else CLASS_NAMES[self.decision]

    @property
    def llr_limit(self) -> float | None:
        """The bound of ratios like this one; None where none is known, or no ratio."""
        return None if self.llr is None else self.detector.llr_line.get_limit(self.llr)

    @property
    def errors(self) -> list[int] | None:
        """The errors on validation images of this condition; None if not known.

        As a row of `CheckpointRecord.errors`.
        """
        return self.detector.record.errors.get(self.condition)

    def to_row(self, **known: Any) -> dict[str, Any]:
        """Return plain values by `COLUMNS`; None where there is nothing to say.

        Args:
            known: of the columns which a verdict alone cannot fill.
        """
        return {name: get(self) for name, get in _COLUMNS.items()} | known


Faces = Sequence[Sequence[Verdict]]  # of a picture, each with every detector's verdict


def _get_place(verdict: Verdict, number: int) -> float | None:
    face = verdict.picture.face
    return None if face is None else (*face.box, face.confidence)[number]


def _get_origin(verdict: Verdict, name: str) -> Any:
    origin: Origin | None = verdict.picture.origin
    return None if origin is None else getattr(origin, name)


def _name_origin(*names: str) -> dict[str, Callable[[Verdict], Any]]:
    """Return columns that are called as what they hold of an `Origin`."""
    return {name: partial(_get_origin, name=name) for name in names}


def _list_generators(verdict: Verdict) -> str | None:
    traces = _get_origin(verdict, "generators") or ()
    return "; ".join(dict.fromkeys(trace.program for trace in traces)) or None


def _name_stretch(name: str, number: int) -> dict[str, Callable[[Verdict], Any]]:
    """Return the columns of an extreme stretch: mean logit difference, seconds."""

    def get(verdict: Verdict, entry: str) -> float | None:
        track = verdict.track
        return track and getattr(track.extremes[number], entry)

    entries = {"": "difference", "_from": "start", "_to": "end"}
    return {f"{name}{end}": partial(get, entry=e) for end, e in entries.items()}


_PLACE = ("face_left", "face_top", "face_right", "face_bottom", "face_confidence")
# Of the tables of predict.py, in their order.
_COLUMNS = {
    "path": lambda v: v.picture.name,
    "verdict": lambda v: None if v.name == NONE else v.name,
    "reason": lambda v: None if v.error else "; ".join(v.reasons) or None,
    "picture_verdict": lambda v: None,  # on all its faces, which a table knows
    "fake_score": lambda v: v.fake_score,
    "lowest": lambda v: v.lowest,
    "highest": lambda v: v.highest,
    "real_below": lambda v: v.zone[0],
    "threshold": lambda v: v.zone[1],
    "llr": lambda v: v.llr,
    "llr_limit": lambda v: v.llr_limit,
    "condition": lambda v: v.condition or None,
    "excess": lambda v: v.excess,
    "width": lambda v: v.picture.width,
    "height": lambda v: v.picture.height,
    "num_faces": lambda v: v.picture.num_faces,
    "face": lambda v: v.picture.number,
    **{name: partial(_get_place, number=n) for n, name in enumerate(_PLACE)},
    "person": lambda v: v.picture.person,
    "frames": lambda v: v.track and len(v.track.moments),
    "judged_frames": lambda v: v.track and v.track.num_judged,
    "inconclusive_frames": lambda v: v.track and v.track.share_inconclusive,
    "first_s": lambda v: v.track and v.track.ends[0],
    "last_s": lambda v: v.track and v.track.ends[1],
    "spread": lambda v: v.track and v.track.spread,
    **_name_stretch("lowest_stretch", 0),
    **_name_stretch("highest_stretch", 1),
    **_name_origin("sha256", "format", "num_bytes", "jpeg_quality", "camera"),
    **_name_origin("software", "taken", "source_type"),
    "generators": _list_generators,
    **_name_origin("credentials", "signer", "claim_generator"),
    "examined": lambda v: v.picture.examined,
    "version": lambda v: VERSION,
    "model": lambda v: v.detector.title,
    "checkpoint": lambda v: v.detector.provenance["path"],
    "checkpoint_sha256": lambda v: v.detector.provenance["sha256"],
    "precision": lambda v: None,  # of the run, likewise
    "error": lambda v: v.error,
}
COLUMNS = tuple(_COLUMNS)
# Of the table of a video's frames.
FRAME_COLUMNS = ("path", "person", "seconds", *_PLACE[:4], "fake_score", "verdict")
FRAME_COLUMNS += ("reason", "checkpoint")


def list_frame_rows(verdict: Verdict) -> list[list[Any]]:
    """Return a row for each frame that shows a person, by `FRAME_COLUMNS`."""
    person = verdict.picture.name, verdict.picture.person
    checkpoint = verdict.detector.provenance["path"]
    return [
        [
            *(*person, moment.seconds, *moment.box, moment.fake_score),
            INCONCLUSIVE if moment.reason else CLASS_NAMES[moment.decision],
            *(moment.reason or None, checkpoint),
        ]
        for moment in (verdict.track.moments if verdict.track else ())
    ]


def judge_batches(
    batches: Iterable[Batch],
    detectors: Sequence[BaseDetector],
    precision: "Precision",
    *,
    stability: bool = True,
) -> Iterator[tuple[Picture, list[Verdict]]]:
    """Judge pictures batch by batch, as a dataset's images are scored.

    Args:
        batches: as `judging.pictures.load_pictures` yields them.
        stability: also judge harmless versions of each picture.

    Yields:
        In order, each picture and each detector's verdict; where it cannot be read, or
        a network gives it no finite score, the verdicts say why.
    """
    for pictures, samples in batches:
        columns = [
            _judge(
                pictures,
                samples.get(View.of(detector)),
                detector,
                precision,
                stability=stability,
            )
            for detector in detectors
        ]
        yield from zip(pictures, map(list, zip(*columns, strict=True)), strict=True)


def group_faces(
    judged: Iterable[tuple[Picture, list[Verdict]]],
) -> Iterator[list[list[Verdict]]]:
    """Put the verdicts on the faces of each picture together.

    Args:
        judged: as `judge_batches` yields them.

    Yields:
        For each picture its faces, from the left, each with every detector's verdict;
        one of the whole picture where it was not cut up.
    """
    faces: list[list[Verdict]] = []
    for picture, verdicts in judged:
        faces.append(verdicts)
        if picture.number in (None, picture.num_faces):
            yield faces
            faces = []


def _judge(
    pictures: Sequence[Picture],
    samples: np.ndarray | None,
    detector: BaseDetector,
    precision: "Precision",
    *,
    stability: bool,
) -> list[Verdict]:
    """Return a detector's verdicts on a batch, of which some pictures may be broken."""
    scored, comparisons = _score(samples, detector, precision)
    verdicts, number = [], 0
    for picture in pictures:
        if picture.error:
            verdicts.append(Verdict(picture, detector, error=picture.error))
            continue
        verdict = _read_score(picture, detector, scored, number, samples[number])
        if comparisons and not verdict.error:
            verdict = _heed_guard(verdict, comparisons[number])
        verdicts.append(verdict)
        number += 1
    if stability:
        _try_versions(verdicts, detector, precision)
    return [v if v.error else drop_ratio(v) for v in verdicts]


def _score(
    samples: np.ndarray | None, detector: BaseDetector, precision: "Precision"
) -> tuple[Scored | None, list[dict[str, Comparison]]]:
    """Score samples; compare them with the calibration images if these are known."""
    if samples is None or detector.guard is None:
        scored = None if samples is None else detector.score_samples(samples, precision)
        return scored, []
    scored, numbers = detector.examine(samples, precision)
    # What is not a number, of a network without a finite score, compares as far away.
    finite = {kind: np.nan_to_num(values) for kind, values in numbers.items()}
    return scored, detector.guard.compare(finite)


def _read_score(
    picture: Picture,
    detector: BaseDetector,
    scored: Scored,
    number: int,
    sample: np.ndarray,
) -> Verdict:
    values = (scored.fake_scores, scored.differences, scored.llrs)
    row = [float(column[number]) for column in values]
    if np.isfinite(row).all():
        return Verdict(picture, detector, *row, sample=sample)
    error = f"the network gives {picture.name} no finite score"
    return Verdict(picture, detector, error=error)


def _heed_guard(verdict: Verdict, comparisons: dict[str, Comparison]) -> Verdict:
    """Add what speaks against the picture being like the calibration images."""
    record, guard = verdict.detector.record, verdict.detector.guard
    least, doubts = verdict.detector.least_side, []
    if verdict.picture.side < LEAST_OF_SIDE * least:
        doubts.append(
            f"few pixels: {verdict.picture.side} a side, and what it was calibrated on "
            f"has {least:g} or more"
        )
    unlike = [
        describe_unlike(kind, comparison)
        for kind, comparison in comparisons.items()
        if comparison.excess > 1
    ]
    if unlike:
        doubts.append(f"unlike the calibration images: {', '.join(unlike)}")
    name = guard.conditions[comparisons["detail"].nearest]
    if not doubts and name not in record.told_conditions:
        what = parse_condition(name).describe()
        doubts.append(f"of images {what}, which it is like, too few can be told apart")
    excess = max(comparison.excess for comparison in comparisons.values())
    return replace(verdict, condition=name, excess=excess, doubts=tuple(doubts))


def _try_versions(
    verdicts: list[Verdict], detector: BaseDetector, precision: "Precision"
) -> None:
    """Judge harmless versions of what has a verdict; it must not flip."""
    known = detector.record.stable_versions
    names = [name for name in VERSIONS if known is None or name in known]
    tried = [n for n, v in enumerate(verdicts) if not v.error and not v.reasons]
    if not names or not tried:
        return
    samples = np.stack([verdicts[n].sample for n in tried])
    versions = make_versions(samples, names)  # (n, V, S, S, 3)
    versions = versions.reshape(-1, *samples.shape[1:])
    size = len(verdicts)
    parts = [versions[n : n + size] for n in range(0, len(versions), size)]
    scores = [detector.score_samples(part, precision).fake_scores for part in parts]
    table = np.concatenate(scores).reshape(len(tried), len(names))
    for n, row in zip(tried, table, strict=True):
        verdict = verdicts[n]
        flipped = is_flipped(np.array(verdict.decision), decide(row, *verdict.zone))
        everything = [verdict.fake_score, *row.tolist()]
        verdicts[n] = replace(
            verdict,
            lowest=min(everything),
            highest=max(everything),
            flips=tuple(np.array(names)[flipped].tolist()),
        )


def drop_ratio(verdict: Verdict) -> Verdict:
    """Leave out a ratio that would mean nothing."""
    if verdict.is_withheld or verdict.flips or not verdict.is_calibrated:
        return replace(verdict, llr=None)
    return verdict
