"""Verdicts in words."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from origin_files import PARAMETERS, encode_texts, read
from script_helpers import make_checkpoint

from files.names import STARTER
from judging.detector import Detector
from judging.pictures import Picture
from judging.tracks import Clip, Moment, Track
from judging.verdicts import Verdict
from judging.words import (
    describe_bounds,
    describe_counting,
    describe_faces,
    describe_judged,
    describe_knowledge,
    describe_limits,
    describe_one_class,
    describe_qualification,
    describe_scope,
    explain_verdict,
    format_verdict,
    summarise,
)
from loading.face_finding import Face
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")

LYING = ((20, 20), (20, 40), (30, 30), (40, 22), (40, 38))
TILTED = Face((1.0, 2.0, 90.0, 91.0), 0.9, LYING)
CROP = Picture("a.png", 9, 9)


@pytest.fixture
def detector(tmp_path) -> Detector:
    return load_checkpoint(make_checkpoint(tmp_path / "net.pt"))


@pytest.mark.parametrize(
    ("fake_score", "expected"),
    [
        (0.00049, "real  P(fake)<0.001"),
        (0.0006, "real  P(fake)=0.001"),
        (0.5, "fake  P(fake)=0.500"),
        (0.9994, "fake  P(fake)=0.999"),
        (0.9995, "fake  P(fake)>0.999"),  # f"{0.9995:.3f}" is 1.000
    ],
)
def test_format_verdict_rounds_no_score_to_certainty(fake_score, expected, detector):
    verdict = Verdict(CROP, detector, fake_score, 0.0)
    assert format_verdict(verdict) == f"{expected}  a.png"


@pytest.mark.parametrize(
    ("picture", "doubts", "expected"),
    [
        (
            Picture("a.png", 1920, 1080),
            (),
            "a.png  by {}  (not a face crop: 1920 x 1080; crop the face, or: pip "
            "install -r requirements-faces.txt)",
        ),
        (
            CROP._replace(num_faces=0),
            ("it is odd",),
            "a.png  by {}  (no face was found in it; it is odd)",
        ),
        (
            CROP._replace(num_faces=2, number=2, face=TILTED),
            (),
            "a.png  face 2 at 1,2 to 90,91  by {}  (tilted face: by 90 degrees)",
        ),
        (
            CROP._replace(num_faces=1, number=1, face=TILTED),
            (),
            "a.png  face at 1,2 to 90,91  by {}  (tilted face: by 90 degrees)",
        ),
    ],
)
def test_format_verdict_of_what_is_inconclusive_says_why_and_no_score(
    picture, doubts, expected, detector
):
    verdict = Verdict(picture, detector, 0.1, 0.0, doubts=doubts)
    line = format_verdict(verdict, with_detector=True)
    assert line == f"inconclusive  {expected.format(detector.path)}"


def test_format_verdict_says_that_a_file_says_it_was_generated(detector):
    origin = read(encode_texts({"parameters": PARAMETERS}))
    picture = CROP._replace(origin=origin)
    line = format_verdict(Verdict(picture, detector, 0.1, 0.0))
    assert line == "real  P(fake)=0.100  a.png  (its file says that it was generated)"
    frames = CROP._replace(origin=replace(origin, has_frames=True))
    assert format_verdict(Verdict(frames, detector, 0.1, 0.0)) == (
        f"{line}  (several frames: only the first was judged)"
    )


@pytest.mark.parametrize(
    ("num_faces", "face", "expected"),
    [
        (None, None, "Nobody checked whether it shows a face, or several."),
        (0, None, "No face was found in it."),
        (1, TILTED, "One face was found."),
        (1, None, "One face was found; the picture is a crop to it, and all of it was"),
        (3, TILTED, "3 faces were found; they are numbered from left to right."),
        (3, None, "3 faces were found; the picture is a crop to the largest, and all"),
    ],
)
def test_describe_faces_says_whether_somebody_looked(num_faces, face, expected):
    picture = CROP._replace(num_faces=num_faces, face=face)
    assert describe_faces(picture).startswith(expected)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({}, "0.5 (the default, as the checkpoint has none of its own)"),
        ({"threshold": 0.25}, "0.25 (from the checkpoint)"),
        (
            {"threshold": 0.25, "threshold_policy": "eer on 9 validation images"},
            "0.25 (from the checkpoint: eer on 9 validation images)",
        ),
    ],
)
def test_summarise_says_the_threshold_and_where_it_comes_from(
    entries, expected, detector
):
    detector = replace(detector, record=replace(detector.record, **entries))

    summary = summarise(Counter(fake=1, real=1), detector)

    assert summary == (
        f"1 fake, 1 real by SimpleNet; called fake at or above P(fake) = {expected}"
    )


def test_summarise_counts_what_is_inconclusive_and_names_the_checkpoint(detector):
    detector = replace(detector, record=replace(detector.record, real_below=0.25))

    names = Counter({"fake": 2, "inconclusive": 4})
    summary = summarise(names, detector, with_detector=True)

    assert summary.startswith("2 fake, 0 real, 4 inconclusive by SimpleNet (")
    assert f"SimpleNet ({detector.path}); " in summary
    assert "P(fake) = 0.5, real below 0.25 (" in summary


@pytest.mark.parametrize(
    ("kinds", "num_files", "expected"),
    [
        ({"face": 3}, 3, ""),
        ({"face": 2, "": 1}, 3, ""),
        ({"face": 81}, 25, "25 pictures, 81 faces"),
        ({"face": 2, "": 1}, 2, "2 pictures, 2 faces, 1 without a face"),
        ({"face": 1, "person": 2}, 2, "2 files, 1 face, 2 persons"),
    ],
)
def test_describe_judged_tells_faces_from_pictures(kinds, num_files, expected):
    assert describe_judged(Counter(kinds), num_files) == expected


@pytest.fixture
def calibrated(detector) -> Detector:
    rows = [[0.0, 0.4, 1, 1000], [0.6, 1.0, 19, 20]]
    line = {"llr_slope": 1.0, "llr_intercept": 0.0, "llr_upper": math.log(50)}
    errors = {"none": [900, 0, 120, 3], "jpeg=70": [900, 9, 120, 6]}
    entries = {"reliability": rows, "reliability_split": "test", "errors": errors}
    entries["kept_conditions"] = ["jpeg=70"]
    record = replace(detector.record, **entries, **line, dataset="some faces")
    return replace(detector, record=record)


def test_explain_verdict_says_frequencies_with_intervals_and_of_which_images(
    calibrated,
):
    verdict = Verdict(CROP, calibrated, 0.99, math.log(50), condition="jpeg=70")
    verdict = replace(verdict, llr=math.log(50))

    assert explain_verdict(verdict) == [
        "Of the test images, which chose nothing, those with the scores most like this "
        "(P(fake) from 0.600 to >0.999) were fake in 19 of 20 (95 % interval 75 to 100 "
        "%).",
        "20 of all 1,020 test images were fake. Where fakes are rarer than that, more "
        "of the pictures that are called fake are real.",
        "The likelihood ratio is 50 to 1, fake over real: moderate support for 'fake' "
        "(at its bound: 1,020 validation images support no larger one).",
        "Of validation images compressed as JPEG of quality 70, which also chose the "
        "bounds of the verdicts, 9 of 900 (95 % interval 0 to 2 %) of the real ones "
        "were called fake, and 6 of 120 (95 % interval 2 to 11 %) of the fakes real.",
    ]


def test_explain_verdict_without_ratio_or_rows_says_that_there_are_none(
    calibrated, detector
):
    verdict = Verdict(CROP, calibrated, 0.99, 3.0, condition="none")  # not calibrated
    first, second = explain_verdict(verdict)
    assert first.startswith("There is no likelihood ratio: ")
    assert "0 of 900 (95 % interval" in second
    first, second = explain_verdict(Verdict(CROP, detector, 0.99, 3.0))
    assert first.startswith("How many images with such a score were fake is not known")
    assert second.startswith("There is no likelihood ratio: ")


@pytest.mark.parametrize(
    ("size", "doubts", "expected"),
    [
        ((1920, 1080), (), ["Not a face crop: 1920 x 1080.", "Crop the picture, and"]),
        ((9, 9), ("it is odd",), ["It is odd.", "so it gets no verdict and no ratio."]),
    ],
)
def test_explain_verdict_of_what_is_unlike_all_says_nothing_about_its_score(
    size, doubts, expected, calibrated
):
    verdict = Verdict(Picture("a.png", *size), calibrated, 0.99, 3.0, doubts=doubts)
    sentences = explain_verdict(verdict)
    assert len(sentences) == 2
    assert sentences[0] == expected[0]
    assert expected[1] in sentences[1]


def test_explain_verdict_that_versions_change_says_so_and_how_often_it_errs(calibrated):
    verdict = Verdict(CROP, calibrated, 0.99, 3.0, condition="jpeg=70")
    sentences = explain_verdict(replace(verdict, flips=("mirrored", "JPEG 70")))
    assert sentences[0] == (
        "Harmless versions get the opposite verdict: mirrored, JPEG 70."
    )
    assert (
        "There is no likelihood ratio: harmless versions of the picture get the "
        "opposite verdict." in sentences
    )
    assert "9 of 900 (95 % interval" in sentences[-1]
    assert not any("was not tried" in sentence for sentence in sentences)
    assert sentences[1] == "So the evidence is too weak either way."


@pytest.mark.parametrize(
    ("fake_score", "entries", "expected"),
    [
        (0.99, {}, "fakes are rarer than that, more of the pictures that are called f"),
        (0.01, {}, "fakes are commoner than that, more of the pictures that are calle"),
        (0.7, {"threshold": 0.9, "real_below": 0.4}, "rarer than that, fewer of the p"),
    ],
)
def test_explain_verdict_says_what_another_share_of_fakes_does_to_it(
    fake_score, entries, expected, calibrated
):
    own = replace(calibrated, record=replace(calibrated.record, **entries))
    verdict = Verdict(CROP, own, fake_score, 1.0, condition="jpeg=70")
    sentences = explain_verdict(verdict)
    assert any(f" {expected}" in sentence for sentence in sentences)
    assert ("too weak either way" in "".join(sentences)) == bool(entries)


def test_describe_bounds_are_those_of_the_kind_of_picture(calibrated):
    zones = {"jpeg=70": [0.25, 0.75]}
    detector = replace(calibrated, record=replace(calibrated.record, zones=zones))
    verdict = Verdict(CROP, detector, 0.9, 3.0)
    assert describe_bounds(verdict).startswith("called fake at or above P(fake) = 0.5")
    assert describe_bounds(replace(verdict, condition="jpeg=70")) == (
        "called fake at or above P(fake) = 0.75, real below 0.25 (the bounds of images "
        "compressed as JPEG of quality 70)"
    )


def test_detector_says_what_it_knows_how_it_was_qualified_and_what_it_lacks(calibrated):
    lines = describe_qualification(replace(calibrated.record, stable_versions=["a"]))
    assert lines == [
        "on validation, images as they are: 0 of 900 real ones called fake, 3 of 120 "
        "fakes called real",
        "images compressed as JPEG of quality 70: 9 of 900 real ones called fake, 6 of "
        "120 fakes called real",
        "too few can be told: none; inconclusive",
        "versions that must not get the opposite verdict: a",
    ]
    (limit,) = describe_limits(calibrated)
    assert "calibrate.py adds it" in limit
    errors = {"none": [80, 30, 100, 20], "jpeg=70": [80, 0, 100, 0]}
    weak = replace(calibrated, record=replace(calibrated.record, errors=errors))
    assert describe_limits(weak)[1:] == [
        f"{weak.path} is often wrong: on validation, 30 of 80 real ones called fake, "
        "20 of 100 fakes called real"
    ]
    assert "fakes like those of some faces." in describe_knowledge(calibrated)


def test_what_a_detector_knows_travels_with_it(calibrated):
    assert describe_scope(calibrated) is None
    record = replace(calibrated.record, knows="two kinds of fakes")
    named = replace(calibrated, record=record)
    assert "detector knows two kinds of fakes. On other" in describe_knowledge(named)
    said = "knows two kinds of fakes, and no others"
    assert describe_scope(named) == f"{named.path} {said}"
    starter = describe_scope(replace(named, path=STARTER))
    assert "included detector" in starter and f"it {said} (" in starter


@pytest.mark.parametrize(
    ("seconds", "is_said"),
    [(range(5), True), (range(4), False), (range(0, 35, 5), False)],
)
def test_explain_verdict_speaks_of_stretches_only_where_frames_make_them(
    seconds, is_said, detector
):
    moments = tuple(Moment(n, (0, 0, 9, 9), -1.0, 0.3, 0) for n in seconds)
    picture = Picture("a.mp4", 1920, 1080, clip=Clip(), person=2)
    verdict = Verdict(picture, detector, 0.3, -1.0, track=Track(moments))
    sentences = explain_verdict(verdict)
    assert any(s.startswith("Mean logit, in 3 s: lowest") for s in sentences) == is_said


def test_of_a_person_it_is_said_when_and_what_its_frames_count_as(detector):
    moments = [Moment(n, (0, 0, 9, 9), -1.0, 0.3, 0, (), n > 4) for n in range(8)]
    picture = Picture("a.mp4", 1920, 1080, clip=Clip(), person=2)
    verdict = Verdict(picture, detector, 0.3, -1.0, track=Track(tuple(moments)))
    assert format_verdict(verdict) == (
        "real  P(fake)=0.300  a.mp4  person 2, 5 of 8 frames judged, from 0 s to 7 s, "
        "not from 5 s to 7 s"
    )
    assert "as one image, because this" in describe_counting(detector)
    chosen = {
        "errors": {"none": [20, 1, 30, 1]},
        "threshold_policy": "as it was chosen",
        **{"threshold": 0.8957, "real_below": 0.3838},
    }
    record = replace(detector.record, track_calibration=chosen)
    said = describe_counting(replace(detector, record=record))
    assert said.endswith(
        "as one video: bounds and ratios are of validation's 50 groups, and a person "
        "is called fake at or above P(fake) = 0.8957, real below 0.3838"
    )
    assert "as it was chosen" in "".join(describe_qualification(record))


def test_describe_one_class_nearly_all_images_alike_is_said():
    assert "answers 'real' to 98 %" in describe_one_class(0.02)
    assert "answers 'fake' to 99 %" in describe_one_class(0.99)
    for share in (None, 0.03, 0.5, 0.97):
        assert describe_one_class(share) is None
