"""What is said of a picture with several faces: many looks find something sooner."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from files.names import CLASS_NAMES, FAKE, REAL
from judging.detector import Detector
from judging.verdicts import INCONCLUSIVE, Verdict
from metrics.error_rates import compute_proportion_interval

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
        num_looks: how many of its faces have a verdict.
        num_fake: how many of these are called fake.
        chance: share of the pictures with so many real faces, one of which would score
            as high as the highest here; None if that is not known.
        any_chance: share of such pictures with a face that is called fake, likewise.
    """

    name: str
    num_looks: int
    num_fake: int
    chance: Chance | None
    any_chance: Chance | None


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
        any_chance = find_any_chance(detector, len(looks))
    if len(verdicts) == 1:
        name = verdicts[0].name
    elif fakes:
        most = detector.record.most_false_alarms
        most = MOST_BY_CHANCE if most is None else min(most, MOST_BY_CHANCE)
        is_rare = chance is not None and chance.share <= most
        name = CLASS_NAMES[FAKE] if is_rare else INCONCLUSIVE
    else:
        name = CLASS_NAMES[REAL] if len(looks) == len(verdicts) else INCONCLUSIVE
    return Headline(name, len(looks), len(fakes), chance, any_chance)


def find_any_chance(detector: Detector, num_looks: int) -> Chance | None:
    """Return how often one of so many real faces is called fake; None if not known.

    By validation's real images as they are.
    """
    rows = list(detector.record.errors.values())
    return _find(rows[0][1], rows[0][0], num_looks) if rows else None


def find_chance(detector: Detector, difference: float, num_looks: int) -> Chance | None:
    """Return how often one of so many real faces scores at least so high.

    By the scores of validation's real images, one more counted above all of them (a
    p-value of Šidák's); None if they are not known.
    """
    known = detector.record.real_differences
    above = sum(value >= difference for value in known)
    return _find(above + 1, len(known) + 1, num_looks) if known else None


def _find(num: int, of: int, num_looks: int) -> Chance | None:
    """Return how often one or more of independent events occur, by one's count."""
    if not of:
        return None
    shares = num / of, *compute_proportion_interval(num, of)
    return Chance(*(1 - (1 - share) ** num_looks for share in shares))


def describe_headline(headline: Headline, num_faces: int) -> str:
    """Say what a picture with several faces is called, and how many looks it took."""
    looks = f"{num_faces} faces, {headline.num_looks} of them with a verdict"
    if not headline.num_looks:
        return f"{headline.name}: {looks}"
    called = f"{headline.num_fake} called fake"
    if headline.any_chance is None:
        return f"{headline.name}: {looks}, {called}"
    one = headline.num_looks == 1
    real_faces = "one real face" if one else f"{headline.num_looks} real faces"
    sentence = (
        f"{headline.name}: {looks}, {called}; of pictures with {real_faces} "
        f"{_format(headline.any_chance)} have one that "
        "is"
    )
    if headline.num_fake and headline.chance is not None:
        sentence += f", and {_format(headline.chance)} one that scores so high"
    return sentence


def _format(chance: Chance) -> str:
    share, low, high = (100 * value for value in chance)
    return f"{share:.0f} % (95 % interval {low:.0f} to {high:.0f} %)"
