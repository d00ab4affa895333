"""A person's frames, summed up: known answers on made-up scores."""

import numpy as np
import pytest

from files.classes import FAKE, NEITHER, REAL
from judging.tracks import (
    Moment,
    Reason,
    Track,
    count_reasons,
    describe_stretches,
    find_extremes,
    find_stretches,
)

OF_FIVE = "of the 5 that are needed: try --every"


def make_track(scores, *, every=1.0, reasons=()) -> Track:
    """A track of logit differences; of the first frames those with reasons are odd."""
    padded = [*reasons, *[()] * (len(scores) - len(reasons))]
    return Track(
        tuple(
            Moment(
                *(every * number, (0, 0, 9, 9), score, 0.5),
                FAKE if score > 0 else REAL if score < 0 else NEITHER,
                *(why, bool(why)),
            )
            for number, (score, why) in enumerate(zip(scores, padded, strict=True))
        )
    )


@pytest.mark.parametrize("every", [0.2, 0.5, 1.0])
@pytest.mark.parametrize(("start", "end"), [(12, 19), (0, 8), (22, 30)])
def test_a_fake_stretch_of_a_real_clip_is_found_within_a_second(every, start, end):
    seconds = np.arange(0, 30 + 1e-9, every)
    scores = np.where((seconds >= start) & (seconds <= end), 2.0, -1.0)
    for odd in (5, 15, 26):  # single frames that are called the other class
        scores[np.abs(seconds - odd).argmin()] *= -1
    track = make_track(scores, every=every)
    (doubt,) = track.list_doubts(REAL)
    words = doubt.removeprefix("fake from ").removesuffix(", else real").split()
    assert abs(float(words[0]) - start) <= 1
    assert abs(float(words[3]) - end) <= 1


def test_find_stretches_of_scattered_errors_is_one_part_and_short_parts_are_left_out():
    decisions = np.array([REAL] * 4 + [FAKE] + [REAL] * 5 + [FAKE] * 2 + [NEITHER])
    seconds = np.arange(13.0)
    (part,) = find_stretches(seconds, np.arange(13.0), decisions)
    assert (part.start, part.label, part.difference) == (0.0, REAL, 4.5)
    assert part.end == 9.0
    assert find_stretches(seconds[:2], seconds[:2], decisions[:2]) == []


def test_describe_stretches_names_the_shorter_class_and_not_too_many():
    scores = ([2.0] * 4 + [-1.0] * 5) * 5
    stretches = make_track(scores).stretches
    assert len(stretches) == 10
    listed = "fake from 0 s to 3 s, from 9 s to 12 s, from 18 s to 21 s, 2 more times"
    assert describe_stretches(stretches) == f"{listed}, else real"


def test_find_extremes_are_the_windows_with_lowest_and_highest_mean():
    seconds = np.array([0.0, 1, 2, 3, 4, 5, 6, 20, 21, 22, 23])
    scores = np.array([0.0, -1, -4, -4, -1, 0, 9, 5, 5, 5, 5])
    lowest, highest = find_extremes(seconds, scores)
    assert lowest[:2] == (1.0, 4.0)
    assert lowest.difference == -2.5
    assert (highest.start, highest.end, highest.difference) == (20.0, 23.0, 5.0)
    lowest, highest = find_extremes(seconds[:2], scores[1:3])
    assert lowest == highest
    assert (lowest.start, lowest.end, lowest.difference) == (0.0, 1.0, -2.5)


def test_track_counts_only_what_is_judged_unless_nothing_is():
    reasons = [(Reason("small face", "9 pixels high"),), (Reason("tilted face"),)]
    track = make_track([9.0, 9.0, -1.0, -3.0], reasons=reasons)
    assert (track.num_judged, track.difference, track.spread) == (2, -2.0, 1.0)
    assert (track.ends, track.share_inconclusive) == ((0.0, 3.0), 0.5)
    none = make_track([8.0, 9.0], reasons=reasons)
    assert (none.num_judged, none.difference) == (0, 8.5)


@pytest.mark.parametrize(
    ("scores", "decision", "num_reasons", "doubt"),
    [
        ([-1.0] * 5, REAL, 0, None),
        ([-1.0] * 4, REAL, 0, f"too few frames, 4 {OF_FIVE} 0.5"),
        ([-1.0], REAL, 0, f"too few frames, 1 {OF_FIVE} 0.12"),
        ([1.0] * 10, FAKE, 5, None),
        ([-1.0] * 9, REAL, 2, None),
        ([-1.0] * 9, REAL, 4, "it looks real, but cannot be judged from 0 s to 3 s"),
        ([-1.0] * 9, REAL, 5, "5 of 9 frames cannot be judged: odd (5), small (5)"),
        ([3.0, -1.0] * 5, FAKE, 0, "the frames disagree: 5 of 10 are called real"),
        ([3.0, 3.0, -1.0] * 5, FAKE, 0, None),
        ([3.0, -1.0] * 5, NEITHER, 0, None),  # that says it already
        ([-1.0] * 6 + [2.0] * 5, REAL, 0, "fake from 6 s to 10 s, else real"),
        ([2.0] * 9 + [-1.0] * 5, FAKE, 0, "real from 9 s to 13 s, else fake"),
    ],
)
def test_list_doubts_says_why_a_person_gets_no_verdict(
    scores, decision, num_reasons, doubt
):
    reasons = Reason("odd", "by 3"), Reason("small", "4")
    track = make_track(scores, reasons=[reasons] * num_reasons)
    assert list(track.list_doubts(decision)) == ([] if doubt is None else [doubt])


def test_parts_that_differ_less_than_evidence_does_are_one():
    scores = [-0.1] * 6 + [0.1] * 4
    assert make_track(scores).stretches == []
    steep = Track(make_track(scores).moments, slope=-9.0)
    assert [part.label for part in steep.stretches] == [REAL, FAKE]


def test_unjudged_names_the_times_that_no_verdict_speaks_of():
    odd = (Reason("odd"),)
    reasons = [odd] * 4 + [()] * 5 + [odd] * 2 + [()] * 3 + [odd] * 3
    assert make_track([-1.0] * 17, reasons=reasons).unjudged == [(0, 3), (14, 16)]


def test_count_reasons_without_their_numbers():
    small, other = (Reason("small", extent) for extent in "12")
    reasons = [(small, Reason("b", "x: y")), (other,), *[(Reason(k),) for k in "cdd"]]
    moments = make_track([1.0] * 5, reasons=reasons).moments
    assert count_reasons(moments) == "small (2), d (2), b (1)"
