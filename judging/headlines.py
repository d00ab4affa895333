"""What is said of a picture with several faces: many looks find something sooner."""

from collections.abc import Sequence
from dataclasses import dataclass

from files.names import CLASS_NAMES, FAKE, REAL
from judging.detector import Detector
from judging.verdicts import INCONCLUSIVE, Verdict

MOST_BY_CHANCE = 0.05  # of the pictures that show only real faces


@dataclass(frozen=True)
class Headline:
    """What is said of a picture as a whole.

    Attributes:
        name: real, fake or inconclusive.
        num_looks: how many of its faces have a verdict.
        num_fake: how many of these are called fake.
        chance: share of the pictures with so many real faces, one of which would score
            as high as the highest here; None if that is not known.
        any_chance: share of such pictures with a face that is called fake, likewise.
    """

    name: str
    num_looks: int
    num_fake: int
    chance: float | None
    any_chance: float | None


def judge_picture(verdicts: Sequence[Verdict]) -> Headline:
    """Put together a detector's verdicts on all faces of a picture.

    Several faces are called fake only where a picture with as many real ones seldom has
    one that scores so high: in at most 5 of 100, and no oftener than a single real face
    is called fake.

    Args:
        verdicts: one or more, of one detector, none with an error.
    """
    looks = [verdict for verdict in verdicts if verdict.name != INCONCLUSIVE]
    fakes = [verdict for verdict in looks if verdict.name == CLASS_NAMES[FAKE]]
    detector = verdicts[0].detector
    chance = any_chance = None
    if looks:
        highest = max(verdict.difference for verdict in looks)
        chance = find_chance(detector, highest, len(looks))
        any_chance = _combine(find_false_alarms(detector), len(looks))
    if len(verdicts) == 1:
        name = verdicts[0].name
    elif fakes:
        most = detector.record.most_false_alarms
        most = MOST_BY_CHANCE if most is None else min(most, MOST_BY_CHANCE)
        is_rare = chance is not None and chance <= most
        name = CLASS_NAMES[FAKE] if is_rare else INCONCLUSIVE
    else:
        name = CLASS_NAMES[REAL] if len(looks) == len(verdicts) else INCONCLUSIVE
    return Headline(name, len(looks), len(fakes), chance, any_chance)


def find_false_alarms(detector: Detector) -> float | None:
    """Return the share of validation's real images called fake; None if not known."""
    rows = list(detector.record.errors.values())
    return rows[0][1] / rows[0][0] if rows and rows[0][0] else None


def find_chance(detector: Detector, difference: float, num_looks: int) -> float | None:
    """Return how often one of so many real faces scores at least so high.

    By the scores of validation's real images, one more counted above all of them (a
    p-value of Šidák's); None if they are not known.
    """
    known = detector.record.real_differences
    if not known:
        return None
    above = sum(value >= difference for value in known)
    return _combine((above + 1) / (len(known) + 1), num_looks)


def _combine(share: float | None, num_looks: int) -> float | None:
    """Return how often at least one of independent events occurs."""
    return None if share is None else 1 - (1 - share) ** num_looks


def describe_headline(headline: Headline, num_faces: int) -> str:
    """Say what a picture with several faces is called, and how many looks it took."""
    looks = f"{num_faces} faces, {headline.num_looks} of them with a verdict"
    if not headline.num_looks:
        return f"{headline.name}: {looks}"
    called = f"{headline.num_fake} called fake"
    if headline.any_chance is None:
        return f"{headline.name}: {looks}, {called}"
    often = f"{100 * headline.any_chance:.0f} %"
    sentence = (
        f"{headline.name}: {looks}, {called}; of pictures with "
        f"{headline.num_looks} real faces {often} have one that is"
    )
    if headline.num_fake and headline.chance is not None:
        sentence += f", and {100 * headline.chance:.0f} % one that scores so high"
    return sentence
