"""Videos judged by person; squares stand for faces, and their place for who it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from script_helpers import find_squares, follow_from_left, make_checkpoint, make_clip

from hardware import Compute, Precision
from judging import clips
from judging.clips import judge_clip
from judging.detector import Detector
from judging.pictures import Reading
from judging.tracks import LEAST_FRAMES
from judging.verdict_tables import list_frame_rows, list_row
from judging.verdicts import Verdict
from loading.face_finding import Face
from loading.videos.frames import Sampling
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")


class LeftToRight:
    cut_times = (3.0,)
    follow = follow_from_left


@pytest.fixture(scope="module")
def detector(small_simple_net, tmp_path_factory) -> Detector:
    """It calls red real and blue fake, as it happens."""
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    line = {"llr_slope": 2.0, "llr_intercept": 0.5, "llr_lower": -9, "llr_upper": 3.0}
    return load_checkpoint(make_checkpoint(path, temperature=0.01, **line))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "a.avi")


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "find_faces", find_squares)
    monkeypatch.setattr(clips, "Tracker", LeftToRight)


def judge(path: Path, *detectors: Detector, **sampling):
    reading = Reading(with_origin=True, sampling=Sampling(**{"every": 1.0, **sampling}))
    return judge_clip(path, detectors, Compute(Precision("fp32"), 3), reading)


def test_judge_clip_sums_up_each_person_for_each_detector(clip, detector):
    other = replace(detector, record=replace(detector.record, threshold=0.0))
    persons = judge(clip, detector, other)
    assert [[v.picture.person for v in person] for person in persons] == [
        [1, 1],
        [2, 2],
    ]
    (left, left_too), (right, _) = persons
    assert left.track.ends == (0.0, 7.0)
    assert right.track.ends == (2.0, 7.0)
    assert left.track.moments[2].box == (60, 60, 140, 140)
    assert left.difference == pytest.approx(np.mean(left.track.differences))
    assert left.difference != right.difference
    assert left_too.difference == left.difference
    # One image's line and bounds, for all frames together.
    assert left.llr == pytest.approx(min(3.0, 2 * left.difference + 0.5))
    assert left.lowest <= left.fake_score <= left.highest
    looked = left.picture.clip
    assert looked.seconds == tuple(map(float, range(8)))
    assert (looked.cuts, looked.is_whole) == ((3.0,), True)
    assert (left.picture.width, len(left.picture.origin.sha256)) == (400, 64)
    real, fake = left.track.shown
    assert real.pixels.shape == fake.pixels.shape == (64, 64, 3)
    assert real.fake_score <= fake.fake_score
    rows = list_frame_rows(right)
    assert [row[1:3] for row in rows] == [[2, float(n)] for n in range(2, 8)]


def test_judge_clip_crops_faces_with_the_margin_that_is_given(clip, detector):
    how = Compute(Precision("fp32"), 3), Reading(margin=4.0, sampling=Sampling(1.0))
    wide, _ = judge_clip(clip, [detector], *how)
    usual, _ = judge(clip, detector)
    assert wide[0].track.moments[0].box == usual[0].track.moments[0].box
    assert wide[0].difference != usual[0].difference


def test_judge_clip_looks_at_no_more_frames_than_it_may(clip, detector):
    persons = judge(clip, detector, most_frames=LEAST_FRAMES)
    assert [v.picture.clip.is_whole for (v,) in persons] == [False, False]
    assert persons[0][0].reasons == ()
    assert persons[1][0].reasons == (
        "too few frames, 3 of the 5 that are needed: try --every 0.5",
    )
    assert persons[1][0].llr is None


@pytest.mark.slow
def test_judge_clip_uses_what_was_chosen_on_groups(clip, detector):
    chosen = {"threshold": 1.0, "llr_slope": 3.0, "errors": {"none": [20, 1, 20, 1]}}
    record = replace(detector.record, track_calibration=chosen)
    ((before,), _), ((after,), _) = (
        judge(clip, d) for d in (detector, replace(detector, record=record))
    )
    assert after.zone[1] == 1.0 != before.zone[1]
    assert after.llr == pytest.approx(min(3.0, 3 * after.difference + 0.5))
    assert after.difference == before.difference


@pytest.mark.slow
def test_judge_clip_says_why_there_is_no_person(clip, detector, tmp_path, monkeypatch):
    cut, missing = tmp_path / "cut.avi", tmp_path / "none.avi"
    content = clip.read_bytes()
    cut.write_bytes(content[: len(content) * 3 // 4])
    *persons, (broken,) = judge(cut, detector)
    assert [v.picture.person for (v,) in persons] == [1, 2]
    assert f"{cut}: it breaks off after" in broken.error
    assert not persons[0][0].picture.clip.is_whole
    for path in (missing, Path("http:/a.b/c.mp4")):
        ((verdict,),) = judge(path, detector)
        assert verdict.name == "none"
        assert str(path)[-5:] in verdict.error
    monkeypatch.setattr(clips, "find_faces", lambda picture: [])
    ((nobody,),) = judge(clip, detector)
    assert nobody.reasons == ("no face was found in it, in 8 frames",)
    assert (nobody.name, list_row(nobody)["verdict"]) == ("inconclusive",) * 2
    assert list_frame_rows(nobody) == []


def test_judge_clip_of_one_cropped_face_takes_whole_frames(clip, detector, monkeypatch):
    face = Face((150, 40, 250, 140), 0.9, ())
    monkeypatch.setattr(clips, "find_faces", lambda picture: [face])
    monkeypatch.setattr(clips, "is_crop", lambda *args: True)
    ((verdict,),) = judge(clip, detector)
    assert isinstance(verdict, Verdict)
    assert verdict.track.moments[0].box == (0, 0, 400, 200)
