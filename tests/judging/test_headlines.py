"""What is said of a picture with several faces."""

from dataclasses import replace

import pytest
from script_helpers import make_checkpoint

from judging.detector import Detector
from judging.headlines import (
    describe_headline,
    find_chance,
    judge_picture,
    judge_several,
)
from judging.pictures import Picture
from judging.tracks import Clip
from judging.verdicts import Verdict
from metrics.error_rates import compute_proportion_interval
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")


@pytest.fixture
def detector(tmp_path) -> Detector:
    """Of 99 real validation images 4 score above 2, one above 5; 5 are called fake."""
    known = [0.0] * 95 + [3.0] * 3 + [6.0]
    errors = {"none": [100, 5, 50, 1]}
    entries = {"real_differences": known, "errors": errors}
    return load_checkpoint(make_checkpoint(tmp_path / "net.pt", **entries))


def make_verdicts(detector: Detector, *faces: tuple[float, float]) -> list[Verdict]:
    """Verdicts on faces with a P(fake) and a difference; a negative one is refused."""
    picture = Picture("a.png", 900, 900, num_faces=len(faces))
    return [
        Verdict(
            picture._replace(number=number),
            detector,
            abs(score),
            difference,
            doubts=("it is odd",) if score < 0 else (),
        )
        for number, (score, difference) in enumerate(faces, start=1)
    ]


REAL, FAKE, ODD = (0.1, 0.0), (0.9, 7.0), (-0.9, 9.0)


@pytest.mark.parametrize(
    ("faces", "name", "num_looks", "num_fake"),
    [
        ([REAL], "real", 1, 0),
        ([(0.9, 4.0)], "fake", 1, 1),
        ([ODD], "inconclusive", 0, 0),
        ([REAL, REAL], "real", 2, 0),
        ([REAL, FAKE], "fake", 2, 1),  # 1 in 100, twice: 2 %
        ([REAL] * 4 + [FAKE], "fake", 5, 1),  # 4.9 %
        ([REAL] * 5 + [FAKE], "inconclusive", 6, 1),  # 5.9 %
        ([REAL, (0.9, 2.0)], "inconclusive", 2, 1),  # 5 in 100, twice
        ([REAL, ODD], "inconclusive", 1, 0),
        ([FAKE, ODD], "fake", 1, 1),  # the refused face's score is no look
        ([ODD, ODD], "inconclusive", 0, 0),
    ],
)
def test_judge_picture_asks_more_of_the_highest_of_many_looks(
    faces, name, num_looks, num_fake, detector
):
    headline = judge_picture(make_verdicts(detector, *faces))
    assert headline.name == name
    assert (headline.num_looks, headline.num_fake) == (num_looks, num_fake)


@pytest.mark.parametrize(
    ("most", "num", "name"),
    [(0.01, 1, "inconclusive"), (0.5, 1, "fake"), (0.5, 5, "inconclusive")],
)
def test_judge_picture_calls_no_more_fake_than_was_promised(most, num, name, detector):
    record = replace(detector.record, most_false_alarms=most)
    verdicts = make_verdicts(replace(detector, record=record), *[REAL] * num, FAKE)
    assert judge_picture(verdicts).name == name


def test_chances_grow_with_the_looks_and_have_intervals(detector):
    interval = compute_proportion_interval(5, 100)
    for num_looks in (1, 3):
        expected = [1 - (1 - p) ** num_looks for p in (0.05, *interval)]
        looks = make_verdicts(detector, *[REAL] * num_looks)
        chance = judge_picture(looks).any_chance
        assert chance == pytest.approx(expected)
        assert chance.low < chance.share < chance.high
    for difference, num_looks, share in (
        (9.0, 1, 0.01),
        (6.0, 1, 0.02),  # ties count
        (9.0, 2, 1 - 0.99**2),
    ):
        looks = make_verdicts(detector, *[(0.9, difference)] * num_looks)
        assert find_chance(looks).share == pytest.approx(share)


def test_a_face_between_the_bounds_is_a_look_and_so_is_one_that_versions_change(
    detector,
):
    record = replace(detector.record, real_below=0.05)
    between = make_verdicts(replace(detector, record=record), *[REAL] * 7, FAKE)
    assert judge_picture(between).num_looks == 8
    assert judge_picture(between).name == "inconclusive"
    changed = make_verdicts(detector, *[REAL] * 7, FAKE)
    changed[:7] = [replace(v, flips=("mirrored",)) for v in changed[:7]]
    assert judge_picture(changed).num_looks == 8


def test_a_face_of_a_kind_with_bounds_of_its_own_counts_by_its_kind(detector):
    errors = {**detector.record.errors, "face=48": [100, 10, 50, 1]}
    known = {"errors": errors, "kept_conditions": ["none"]}
    record = replace(detector.record, zones={"face=48": [0.2, 0.8]}, **known)
    verdicts = make_verdicts(replace(detector, record=record), REAL, FAKE)
    verdicts[1] = replace(verdicts[1], condition="face=48")
    headline = judge_picture(verdicts)
    assert headline.chance.share == pytest.approx(1 - 0.99 * 0.9)
    assert headline.any_chance.share == pytest.approx(1 - 0.95 * 0.9)
    assert headline.name == "inconclusive"


def test_headline_of_an_older_checkpoint_says_no_chances(tmp_path):
    older = load_checkpoint(make_checkpoint(tmp_path / "old.pt"))
    headline = judge_picture(make_verdicts(older, REAL, FAKE))
    assert headline.name == "inconclusive"
    assert headline.chance is headline.any_chance is None
    assert "; ".join(describe_headline(headline, 2)) == (
        "2 faces, 1 called fake, 1 called real; how often one of as many real faces "
        "scores so high is unknown, so the picture is inconclusive"
    )


def test_describe_headline_says_what_faces_are_called_and_how_often_by_chance(detector):
    def say(*faces):
        headline = judge_picture(make_verdicts(detector, *faces))
        return "; ".join(describe_headline(headline, len(faces)))

    assert say(REAL, FAKE, ODD) == (
        "3 faces, 1 called fake, 1 called real, 1 inconclusive; in 9.8 % (95 % "
        "interval 3 to 21 %) of pictures with 2 real faces that can be judged at "
        "least one would be called fake, and in 2.0 % (95 % interval 0 to 11 %) of "
        "them one would score so high in its worst condition"
    )
    assert "of pictures with one real face that can be judged it would" in say(
        FAKE, ODD
    )
    assert say(*[REAL] * 5, FAKE).endswith(
        "of pictures with 6 real faces at least one would be called fake, and in 5.9 "
        "% (95 % interval 0 to 29 %) of them one would score so high in its worst "
        "condition, too often for a verdict (at most 5 %)"
    )
    assert say(REAL, REAL) == "2 faces, 0 called fake, 2 called real"
    assert say(REAL, ODD) == (
        "2 faces, 0 called fake, 1 called real, 1 inconclusive; so the picture is "
        "inconclusive"
    )


def test_judge_several_speaks_of_persons_in_a_video_and_of_no_single_face(detector):
    verdicts = [
        replace(v, picture=Picture("a.mp4", clip=Clip(), person=number))
        for number, v in enumerate(make_verdicts(detector, REAL, FAKE), start=1)
    ]
    broken = Verdict(Picture("a.mp4", clip=Clip()), detector, error="it breaks off")
    said = judge_several([*verdicts, broken])
    assert said.startswith("fake: 2 persons, 1 called fake, 1 called real; in ")
    assert "of videos with 2 real persons at least one" in said
    assert judge_several([verdicts[0], broken]) is None
    assert judge_several(make_verdicts(detector, REAL, FAKE)).startswith(
        "fake: 2 faces"
    )
