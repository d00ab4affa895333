"""What detectors say of pictures: real, fake or inconclusive, and why."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from files.classes import CLASS_NAMES, FAKE, NEITHER, REAL
from judging.base import BaseDetector, Scored, decide
from judging.guarding.guard import Unlikeness, describe_unlike
from judging.guarding.stability import VERSIONS, is_flipped, make_versions
from judging.pictures import Batch, InputSpec, Picture
from judging.tracks import Reason, Track
from loading.disturbances import parse_condition
from records.checkpoint import ErrorCounts

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
    doubts: tuple[Reason, ...] = ()
    flips: tuple[str, ...] = ()
    error: str | None = None
    sample: np.ndarray | None = field(default=None, repr=False)
    track: Track | None = field(default=None, repr=False)

    @property
    def zone(self) -> tuple[float, float]:
        """P(fake) below which such a picture is real, and at or above which fake."""
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
    def reasons(self) -> tuple[Reason, ...]:
        """Why it is inconclusive; empty where it is not."""
        if self.is_withheld:
            return (*self.picture.reasons, *self.doubts)
        if self.flips:
            versions = ", ".join(self.flips)
            return (Reason("harmless versions get the opposite verdict", versions),)
        if self.decision == NEITHER:
            return (Reason("its score lies between those called real and fake"),)
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
    def error_counts(self) -> ErrorCounts | None:
        """The errors on validation images of this condition; None if not known."""
        return self.detector.record.error_counts.get(self.condition)


Faces = Sequence[Sequence[Verdict]]  # of a picture, each with every detector's verdict


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
                samples.get(InputSpec.of(detector)),
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
    """Put together what `judge_batches` says of the faces of each picture.

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
) -> tuple[Scored | None, list[dict[str, Unlikeness]]]:
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


def _heed_guard(verdict: Verdict, comparisons: dict[str, Unlikeness]) -> Verdict:
    """Add what speaks against the picture being like the calibration images."""
    record, guard = verdict.detector.record, verdict.detector.guard
    least, doubts = verdict.detector.least_side, []
    if verdict.picture.side < LEAST_OF_SIDE * least:
        extent = (
            f"{verdict.picture.side} a side, and what it was calibrated on has "
            f"{least:g} or more"
        )
        doubts.append(Reason("few pixels", extent))
    unlike = [
        describe_unlike(kind, comparison)
        for kind, comparison in comparisons.items()
        if comparison.excess > 1
    ]
    if unlike:
        doubts.append(Reason("unlike the calibration images", ", ".join(unlike)))
    name = guard.conditions[comparisons["detail"].nearest]
    if not doubts and name not in record.told_conditions:
        condition = parse_condition(name).describe()
        kind = f"of images {condition}, which it is like, too few can be told apart"
        doubts.append(Reason(kind))
    excess = max(comparison.excess for comparison in comparisons.values())
    return replace(verdict, condition=name, excess=excess, doubts=tuple(doubts))


def _try_versions(
    verdicts: list[Verdict], detector: BaseDetector, precision: "Precision"
) -> None:
    """Judge harmless versions of what has a verdict; it must not flip."""
    stable = detector.record.stable_versions
    names = [name for name in VERSIONS if stable is None or name in stable]
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
