"""What is said of several faces in a picture, or several persons in a video.

Many looks find something sooner.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import metrics
from files.classes import CLASS_NAMES, FAKE, REAL
from judging.verdicts import INCONCLUSIVE, NONE, Verdict

MOST_BY_CHANCE = 0.05  # of the pictures that show only real faces


class Chance(NamedTuple):
    """How often something occurs, and the ends of its 95 % interval."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Headline:
    """What is said of a picture as a whole.

    Attributes:
        name: real, fake or inconclusive.
        num_looks: how many of its faces could have been called fake.
        num_inconclusive: how many of all are called neither.
        chance: share of the pictures with so many real faces, one of which would score
            as high as the highest here; None if that is not known.
        any_chance: share of such pictures with a face that is called fake, likewise.
        most: of the former, that a picture which is called fake may have.
    """

    name: str
    num_looks: int
    num_fake: int
    num_real: int
    num_inconclusive: int
    chance: Chance | None
    any_chance: Chance | None
    most: float


def judge_picture(verdicts: Sequence[Verdict]) -> Headline:
    """Put together a detector's verdicts, none with an error, on faces or persons.

    Several faces are called fake only where a picture with as many real ones seldom has
    one that scores so high: in at most 5 of 100, and no more often than a single real
    face is called fake.
    """
    looks = [verdict for verdict in verdicts if not verdict.is_withheld]
    names = Counter(verdict.name for verdict in verdicts)
    num_real, num_fake = (names[CLASS_NAMES[label]] for label in (REAL, FAKE))
    most = verdicts[0].detector.record.most_false_alarms
    most = MOST_BY_CHANCE if most is None else min(most, MOST_BY_CHANCE)
    chance = any_chance = None
    if looks:
        chance = find_chance(looks)
        any_chance = _join([_count_alarms(verdict) for verdict in looks])
    if len(verdicts) == 1:
        name = verdicts[0].name
    elif num_fake:
        is_rare = chance is not None and chance.share <= most
        name = CLASS_NAMES[FAKE] if is_rare else INCONCLUSIVE
    else:
        name = CLASS_NAMES[REAL] if num_real == len(verdicts) else INCONCLUSIVE
    counts = len(looks), num_fake, num_real, names[INCONCLUSIVE]
    return Headline(name, *counts, chance, any_chance, most)


def find_chance(looks: Sequence[Verdict]) -> Chance | None:
    """Return how often one of as many real faces scores as high as the highest.

    By the scores of validation's real images, one more counted above all of them (a
    p-value of Šidák's). A face of a kind with bounds of its own counts as often as real
    images of its kind are called fake. None if they are not known.
    """
    highest = max(verdict.difference for verdict in looks)
    differences = looks[0].detector.record.real_differences
    above = sum(value >= highest for value in differences)
    usual = (above + 1, len(differences) + 1) if differences else None
    return _join([usual if v.is_calibrated else _count_alarms(v) for v in looks])


def _count_alarms(verdict: Verdict) -> tuple[int, int] | None:
    """Return how many real images of a face's kind are called fake, and of how many."""
    counts = verdict.detector.record.error_counts
    as_they_are = next(iter(counts.values()), None)  # for a kind that is not known
    errors = verdict.error_counts or as_they_are
    return None if errors is None else (errors.num_alarms, errors.num_real)


def _join(counts: Sequence[tuple[int, int] | None]) -> Chance | None:
    """Return how often one or more of independent events occur, by their counts."""
    if None in counts:
        return None
    shares = [
        (num / of, *metrics.compute_proportion_interval(num, of)) for num, of in counts
    ]
    never = [
        math.prod(1 - share for share in ends) for ends in zip(*shares, strict=True)
    ]
    return Chance(*(1 - share for share in never))


def name_picture(verdicts: Sequence[Verdict]) -> str:
    """Return what a detector calls a picture, or a video, by its faces or persons.

    What could not be judged, or not to its end, is inconclusive; 'none' where nothing
    was judged.
    """
    judged = [verdict for verdict in verdicts if not verdict.error]
    if not judged:
        return NONE
    name = judge_picture(judged).name
    return name if len(judged) == len(verdicts) else INCONCLUSIVE


def judge_several(verdicts: Sequence[Verdict]) -> str | None:
    """Put together in words what a detector says of a picture's faces, or persons.

    Returns the name of the headline, and what `describe_several` says; None where that
    says nothing.
    """
    if not (clauses := describe_several(verdicts)):
        return None
    headline = judge_picture([verdict for verdict in verdicts if not verdict.error])
    return f"{headline.name}: {'; '.join(clauses)}"


def describe_several(verdicts: Sequence[Verdict]) -> list[str]:
    """Say the same in clauses, without the headline's name; [] of one face or none."""
    pictures = [verdict.picture for verdict in verdicts]
    num = sum(not (p.number is None and p.person is None) for p in pictures)
    judged = [verdict for verdict in verdicts if not verdict.error]
    if num < 2 or not judged:
        return []
    of_video = pictures[0].clip is not None
    return describe_headline(judge_picture(judged), num, of_video=of_video)


def describe_headline(
    headline: Headline, num_faces: int, *, of_video: bool = False
) -> list[str]:
    """Say in clauses what faces in a picture, or persons in a video, are called.

    The first says how many are called what. The others say why the whole is
    inconclusive, or how often real ones would look as fake.
    """
    faces, picture = ("persons", "video") if of_video else ("faces", "picture")
    called = [f"{headline.num_fake} called fake", f"{headline.num_real} called real"]
    if num := headline.num_inconclusive:
        called.append(f"{num} inconclusive")
    clauses = [f"{num_faces} {faces}, {', '.join(called)}"]
    is_open = headline.name == INCONCLUSIVE
    if not headline.num_fake:
        return clauses + [f"so the {picture} is inconclusive"] * is_open
    num = headline.num_looks
    real = f"one real {faces[:-1]}" if num == 1 else f"{num} real {faces}"
    able = " that can be judged" if num < num_faces else ""
    if chances := _list_chances(headline, f"of {picture}s with {real}{able}"):
        clauses.append(", and ".join(chances))
    if is_open and headline.chance is None:
        unknown = f"how often one of as many real {faces} scores so high is unknown"
        clauses.append(f"{unknown}, so the {picture} is inconclusive")
    elif is_open:
        most = f"{100 * headline.most:g} %"
        clauses[-1] += f", too often for a verdict (at most {most})"
    return clauses


def _list_chances(headline: Headline, of_which: str) -> list[str]:
    """Say how often one of as many real faces looks as fake, as far as it is known."""
    chances, is_one = [], headline.num_looks == 1
    if headline.any_chance is not None:
        share, which = _format(headline.any_chance), "it" if is_one else "at least one"
        chances.append(f"in {share} {of_which} {which} would be called fake")
    if headline.chance is not None:
        share, of = _format(headline.chance), "of them" if chances else of_which
        which = "it" if is_one else "one"
        chances.append(
            f"in {share} {of} {which} would score so high in its worst condition"
        )
    return chances


def _format(chance: Chance) -> str:
    share, low, high = (100 * value for value in chance)
    digits = 1 if share < 10 else 0  # 5.4 % is too often where 5 % is not
    return f"{share:.{digits}f} % (95 % interval {low:.0f} to {high:.0f} %)"
