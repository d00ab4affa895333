"""A video's time line: which persons, and what is said of them."""

import numpy as np
import pytest
from script_helpers import make_checkpoint

from explaining import time_lines
from explaining.time_lines import draw_time_line, name_shown
from judging.detector import Detector
from judging.pictures import Picture
from judging.tracks import Clip, Moment, Shown, Track
from judging.verdicts import Verdict
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")


@pytest.fixture
def detector(tmp_path) -> Detector:
    return load_checkpoint(make_checkpoint(tmp_path / "net.pt"))


def make_person(detector: Detector, person: int, num_frames: int) -> Verdict:
    moments = [Moment(n, (0, 0, 9, 9), -1.0, 0.3, 0) for n in range(num_frames)]
    clip = Clip(tuple(map(float, range(9))))
    faces = [
        Shown(n, score, np.zeros((9, 9, 3))) for n, score in enumerate((0.2, None))
    ]
    track = Track(tuple(moments), tuple(faces))
    picture = Picture("in/a.mp4", clip=clip, person=person)
    doubts = ("it is odd",) if person == 3 else ()
    return Verdict(picture, detector, 0.3, -1.0, doubts=doubts, track=track)


def test_draw_time_line_takes_the_persons_seen_longest(detector, monkeypatch):
    monkeypatch.setattr(time_lines, "MOST_LINES", 2)
    persons = [make_person(detector, *p) for p in ((1, 7), (2, 5), (3, 9))]
    broken = Verdict(Picture("in/a.mp4", clip=Clip()), detector, error="it breaks off")
    figure = draw_time_line([*persons, broken])
    titles = [axes.get_title(loc="left") for axes in figure.axes[::3]]
    assert titles == [
        "Person 1: real, P(fake)=0.300",
        "Person 3: inconclusive, it is odd",
    ]
    assert figure.get_suptitle() == (
        "a.mp4, by SimpleNet; 2 of 3 persons, those seen longest"
    )


def test_name_shown_gives_no_score_of_what_cannot_be_judged(detector):
    shown = name_shown(make_person(detector, 1, 5).track)
    captions = [drawn.caption for drawn in shown]
    assert captions == ["most real, at 0 s; P(fake)=0.200", "at 1 s"]
