"""Who is who in made clips, whose persons are drawn."""

import numpy as np
import pytest
from made_clips import KINDS, Clip, change, draw_background, draw_cutout, make_clip
from PIL import Image

from loading.face_finding import Face
from loading.videos import tracking
from loading.videos.frames import Frame
from loading.videos.tracking import Tracker, describe

PEOPLE = [draw_cutout(seed) for seed in range(3)]
PLACES = [draw_background(seed) for seed in (10, 11)]


def follow(clip: Clip, tracker: Tracker, *, start: float = 0) -> list[list[tuple]]:
    """Return each frame's persons, and their numbers."""
    found = []
    for frame, seen in zip(clip.frames, clip.seen, strict=True):
        faces, persons = [s.face for s in seen[::-1]], [s.person for s in seen[::-1]]
        numbers = tracker.follow(frame._replace(seconds=frame.seconds + start), faces)
        found.append(list(zip(persons, numbers, strict=True)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_tracker_gives_each_person_one_number(kind):
    clip = make_clip(kind, PEOPLE, PLACES, fakes=PEOPLE)
    found = follow(clip, Tracker())
    if kind == "flash":  # whose bright faces may be others'
        assert dict(found[0]) == dict(found[-1])
        return
    pairs = {pair for pairs in found for pair in pairs}
    people = {person for person, _ in pairs}
    assert len(pairs) == len(people) > 1
    assert sorted(number for _, number in pairs) == list(range(1, len(people) + 1))


def test_tracker_tells_when_scenes_change():
    tracker = Tracker()
    follow(make_clip("cut and back", PEOPLE, PLACES, every=0.5), tracker)
    assert tracker.cut_times == [3, 6, 9]


def test_tracker_after_a_cut_takes_who_is_not_clearly_alike_for_another(monkeypatch):
    monkeypatch.setattr(tracking, "CLEAR", 7)  # more than looks alone can say
    clip = make_clip("cut to one of them", PEOPLE, PLACES)
    before, after = map(dict, follow(clip, Tracker())[4:6])
    assert (before, after) == ({0: 2, 1: 1}, {1: 3})


def test_tracker_forgets_who_was_not_seen_for_longest(monkeypatch):
    monkeypatch.setattr(tracking, "MOST_PERSONS", 2)
    tracker = Tracker()
    numbers = [
        pairs[0][1]
        for start, person in enumerate((0, 1, 2, 2, 1, 0))
        for clip in [make_clip("other at the place", [PEOPLE[person]] * 2, PLACES)]
        for pairs in follow(Clip(clip.frames[:1], clip.seen[:1]), tracker, start=start)
    ]
    assert numbers == [1, 2, 3, 3, 2, 4]


def test_tracker_bears_no_faces_faces_beyond_the_edge_and_times_that_repeat():
    tracker, picture = Tracker(), Image.new("L", (90, 60), 100)
    boxes = [(-80, -90, -20, -10), (85, 50, 140, 130), (5, 5, 5, 5)]
    faces = [Face(box, 0.9, ((0.0, 0.0),) * 5) for box in boxes]
    assert tracker.follow(Frame(0.0, picture), []) == []
    for _ in range(2):
        assert tracker.follow(Frame(1.0, picture), faces) == [1, 2, 3]
    assert tracker.follow(Frame(2.0, picture), faces[::-1]) == [3, 2, 1]


def test_describe_is_the_same_whatever_turn_size_and_light():
    person, other = PEOPLE[:2]
    look, others = (describe(p.image, p.face) for p in (person, other))
    assert look.shape == (432,)
    assert look @ look == pytest.approx(1)
    assert look @ others < 0.5
    lying = person.face.turn(person.image.size, 1)
    turned = person.image.transpose(Image.Transpose.ROTATE_90)
    small = person.image.resize((80, 80))
    dark = person.image.point(lambda value: value // 2)
    changed = [(turned, lying), (small, person.face.place(0.4)), (dark, person.face)]
    for image, face in changed:
        assert describe(image, face) @ look > 0.95
    boxed = person.face._replace(landmarks=((3.0, 3.0),) * 5)
    assert describe(person.image, boxed) @ look > 0.8
    assert describe(*change(person, np.random.default_rng(0))) @ look > 0.6
