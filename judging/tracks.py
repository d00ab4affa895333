"""A person in a video, in numbers: what its frames say, together and in stretches.

Frames of one person are alike, and not so many witnesses. So their scores become one,
and beside it stands how far the frames agree.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np

from files.classes import CLASS_NAMES, FAKE, NEITHER, REAL
from scores.pooling import GROUP_SCORES

STRETCH = 3.0  # seconds: the shortest part of a video that is spoken of
LEAST_FRAMES = 5  # that are judged, of a person who gets a verdict
MOST_WITHHELD = 0.5  # of a person's frames, that alone get no verdict
LEAST_APART = 2  # times that one stretch is likelier fake than another: weak support
MOST_AGAINST = 1 / 3  # of the judged frames, that alone are called the other class
_LISTED = 3  # stretches, or reasons
_INSTANT = 1e-6  # seconds
_POOL = GROUP_SCORES["mean-logit"][1]


class Clip(NamedTuple):
    """What was looked at of a video.

    Attributes:
        seconds: (F,) when its frames are shown, from the start.
        every: seconds between frames, as they were asked for.
        cuts: seconds at which the scene changes.
        is_whole: whether it was looked at to its end.
    """

    seconds: tuple[float, ...] = ()
    every: float = 1.0
    cuts: tuple[float, ...] = ()
    is_whole: bool = True


class Reason(str):
    """Why there is no verdict: its kind, and how far it goes; a text for all others."""

    kind: str

    def __new__(cls, kind: str, extent: str = "") -> "Reason":
        """Join both; without an extent the kind says all."""
        self = super().__new__(cls, f"{kind}: {extent}" if extent else kind)
        self.kind = kind
        return self


class Moment(NamedTuple):
    """A person in one frame, and what a detector says of that frame alone.

    Attributes:
        seconds: when the frame is shown.
        box: of the face: left, top, right, bottom, pixels of the frame.
        difference: fake's logit less real's.
        fake_score: P(fake).
        decision: what the score says: real, fake or `NEITHER`.
        reasons: why it is inconclusive; empty where it is not.
        is_withheld: whether nothing like the frame was tried.
        condition: under which calibration images are most like it.
    """

    seconds: float
    box: tuple[float, float, float, float]
    difference: float
    fake_score: float
    decision: int
    reasons: tuple[Reason, ...] = ()
    is_withheld: bool = False
    condition: str = ""


class Stretch(NamedTuple):
    """A part of a person's time: seconds, label or `NEITHER`, mean logit difference."""

    start: float
    end: float
    label: int
    difference: float


class Shown(NamedTuple):
    """A face to be shown: seconds, P(fake) if it is given, pixels uint8 (H, W, 3)."""

    seconds: float
    fake_score: float | None
    pixels: np.ndarray


@dataclass(frozen=True)
class Track:
    """What a detector says of a person, frame by frame; numbers, and two small faces.

    Attributes:
        moments: the frames that show the person, in order; at least one.
        shown: of these the most real one and the most fake one, of those that are
            judged if there are any.
        slope: of the detector's line from logit differences to log-likelihood ratios.
    """

    moments: tuple[Moment, ...]
    shown: tuple[Shown, ...] = ()
    slope: float = 1.0

    @cached_property
    def judged(self) -> tuple[Moment, ...]:
        """The frames that are judged; all, where every single one is withheld."""
        judged = tuple(m for m in self.moments if not m.is_withheld)
        return judged or self.moments

    @cached_property
    def num_judged(self) -> int:
        """How many frames are not withheld."""
        return sum(not moment.is_withheld for moment in self.moments)

    @cached_property
    def seconds(self) -> np.ndarray:
        """When the judged frames are shown, float64 (T,)."""
        return np.array([moment.seconds for moment in self.judged])

    @cached_property
    def differences(self) -> np.ndarray:
        """The judged frames' logit differences, float64 (T,)."""
        return np.array([moment.difference for moment in self.judged])

    @property
    def difference(self) -> float:
        """The person's score: the mean of the judged frames' logit differences."""
        return float(_POOL(self.differences))

    @property
    def spread(self) -> float:
        """Standard deviation of the judged frames' logit differences."""
        return float(self.differences.std())

    @property
    def ends(self) -> tuple[float, float]:
        """When the person is first and last seen, seconds."""
        return self.moments[0].seconds, self.moments[-1].seconds

    @property
    def condition(self) -> str:
        """The condition of most judged frames."""
        return Counter(moment.condition for moment in self.judged).most_common(1)[0][0]

    @property
    def share_inconclusive(self) -> float:
        """Share of the frames that show the person which alone have no verdict."""
        return sum(bool(m.reasons) for m in self.moments) / len(self.moments)

    @cached_property
    def extremes(self) -> tuple[Stretch, Stretch]:
        """The parts of about `STRETCH` seconds with the lowest and the highest mean."""
        return find_extremes(self.seconds, self.differences)

    @cached_property
    def stretches(self) -> list[Stretch]:
        """The parts in which the frames are called real and fake, in order.

        Empty where they differ by less than evidence does: by a ratio of
        `LEAST_APART`.
        """
        decisions = np.array([moment.decision for moment in self.judged])
        parts = find_stretches(self.seconds, self.differences, decisions)
        means = [part.difference for part in parts]
        has_both = {REAL, FAKE} <= {part.label for part in parts}
        apart = abs(self.slope) * (max(means) - min(means)) if has_both else 0.0
        return parts if apart >= math.log(LEAST_APART) else []

    @property
    def unjudged(self) -> list[tuple[float, float]]:
        """When the person is seen and cannot be judged, for as long as a stretch."""
        seconds = np.array([moment.seconds for moment in self.moments])
        least, parts = count_least(seconds), []
        for is_withheld, run in groupby(self.moments, lambda m: m.is_withheld):
            times = [moment.seconds for moment in run]
            if is_withheld and len(times) >= least:
                parts.append((times[0], times[-1]))
        return parts

    def list_doubts(self, decision: int, every: float = 1.0) -> Iterator[str]:
        """Yield why the person gets no verdict.

        The decision is the mean's: real, fake or `NEITHER`. `every` are the seconds
        between frames, as they were asked for.
        """
        num, num_withheld = len(self.moments), len(self.moments) - self.num_judged
        if num_withheld > MOST_WITHHELD * num:
            why = count_reasons(m for m in self.moments if m.is_withheld)
            frames = "frame" if num == 1 else "frames"
            yield f"{num_withheld} of {num} {frames} cannot be judged: {why}"
        elif self.num_judged < LEAST_FRAMES:
            halvings = math.ceil(math.log2((LEAST_FRAMES + 1) / self.num_judged))
            yield (
                f"too few frames, {self.num_judged} of the {LEAST_FRAMES} that are "
                f"needed: try --every {every / 2**halvings:.2g}"
            )
        elif self.stretches:
            yield describe_stretches(self.stretches)
        elif decision == REAL and self.unjudged:  # a forgery may be there
            parts = ", ".join(format_span(*part) for part in self.unjudged[:_LISTED])
            yield f"it looks real, but cannot be judged from {parts}"
        elif decision != NEITHER:
            other = FAKE if decision == REAL else REAL
            against = sum(moment.decision == other for moment in self.judged)
            if against > MOST_AGAINST * self.num_judged:
                yield (
                    f"the frames disagree: {against} of {self.num_judged} are called "
                    f"{CLASS_NAMES[other]}"
                )


def find_extremes(
    seconds: np.ndarray, differences: np.ndarray
) -> tuple[Stretch, Stretch]:
    """Return the stretches with the lowest and the highest mean score.

    They last `STRETCH`, or all the time where that is shorter, and hold at least half
    as many frames as the stretch with most.

    Args:
        seconds: (T,) of the frames, ascending.
        differences: (T,) their scores.
    """
    last = np.searchsorted(seconds, seconds + STRETCH + _INSTANT, side="right")
    starts = np.arange(len(seconds))
    is_full = (seconds + STRETCH <= seconds[-1] + _INSTANT) | (starts == 0)
    starts, last = starts[is_full], last[is_full]
    counts = last - starts
    starts, last = (ends[counts >= counts.max() / 2] for ends in (starts, last))
    sums = np.concatenate([[0.0], differences.cumsum()])
    means = (sums[last] - sums[starts]) / (last - starts)
    lowest, highest = (
        Stretch(
            *(float(seconds[starts[n]]), float(seconds[last[n] - 1])),
            *(NEITHER, float(means[n])),
        )
        for n in (means.argmin(), means.argmax())
    )
    return lowest, highest


def find_stretches(
    seconds: np.ndarray, differences: np.ndarray, decisions: np.ndarray
) -> list[Stretch]:
    """Part a person's time where what the frames are called changes, and stays changed.

    Single frames that are called otherwise change nothing: a part lasts about
    `STRETCH`, three frames or more. Shorter ones at both ends are left out. The
    arguments are as for `find_extremes`, and decisions int (T,).
    """
    least = count_least(seconds)
    evidence = (decisions == FAKE).astype(float) - (decisions == REAL)
    labels = choose_labels(evidence, least - 0.5)
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    parts = zip(starts, np.append(starts[1:], len(labels)), strict=True)
    return [
        Stretch(
            *(float(seconds[start]), float(seconds[end - 1])),
            *(int(labels[start]), float(differences[start:end].mean())),
        )
        for start, end in parts
        if (decisions[start:end] == labels[start]).sum() >= least
    ]


def count_least(seconds: np.ndarray) -> int:
    """Return how many of the frames shown at these times (T,) make a stretch."""
    gap = float(np.median(np.diff(seconds))) if len(seconds) > 1 else STRETCH
    return max(3, round(STRETCH / max(gap, _INSTANT)))


def choose_labels(evidence: np.ndarray, price: float) -> np.ndarray:
    """Label frames so that labels agree with the evidence, and seldom change.

    Args:
        evidence: (T,) above 0 for fake, below 0 for real.
        price: of a change, in units of evidence.

    Returns:
        The labels of the highest sum, int (T,).

    Source: Viterbi 1967, of two states.
    """
    best, before = np.zeros(2), np.empty((len(evidence), 2), int)
    for number, value in enumerate(evidence):
        changed = best[::-1] - price
        before[number] = np.where(changed > best, [FAKE, REAL], [REAL, FAKE])
        best = np.maximum(best, changed) + np.array([-value, value])
    labels = np.empty(len(evidence), int)
    label = int(best.argmax())
    for number in reversed(range(len(evidence))):
        labels[number] = label
        label = before[number, label]
    return labels


def describe_stretches(stretches: Sequence[Stretch]) -> str:
    """Say which parts are called otherwise than the rest."""
    length = dict.fromkeys((REAL, FAKE), 0.0)
    for stretch in stretches:
        length[stretch.label] += stretch.end - stretch.start
    usual, label = sorted((REAL, FAKE), key=lambda label: -length[label])
    parts = [s for s in stretches if s.label == label]
    said = [f"from {format_span(s.start, s.end)}" for s in parts[:_LISTED]]
    if len(parts) > _LISTED:
        said.append(f"{len(parts) - _LISTED} more times")
    return f"{CLASS_NAMES[label]} {', '.join(said)}, else {CLASS_NAMES[usual]}"


def count_reasons(moments: Iterable[Moment]) -> str:
    """Say the most frequent kinds of moments' reasons, and how often each is."""
    kinds = Counter(reason.kind for moment in moments for reason in moment.reasons)
    return ", ".join(f"{kind} ({n})" for kind, n in kinds.most_common(_LISTED))


def format_span(start: float, end: float) -> str:
    """Return '12 s to 19.5 s'."""
    return f"{format_seconds(start)} to {format_seconds(end)}"


def format_seconds(seconds: float) -> str:
    """Return '12 s', or '12.5 s'."""
    return f"{seconds:.1f}".removesuffix(".0") + " s"
