"""Verdicts in words."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from script_helpers import make_checkpoint

from judging.detector import Detector
from judging.pictures import Picture
from judging.verdicts import Verdict
from judging.words import explain_verdict, format_verdict, summarise
from utils import load_checkpoint


@pytest.fixture
def detector(tmp_path) -> Detector:
    return load_checkpoint(make_checkpoint(tmp_path / "net.pt"))


@pytest.mark.parametrize(
    ("fake_score", "expected"),
    [
        (0.0, "real  P(fake)<0.001"),
        (0.00049, "real  P(fake)<0.001"),
        (0.0006, "real  P(fake)=0.001"),
        (0.5, "fake  P(fake)=0.500"),
        (0.9994, "fake  P(fake)=0.999"),
        (0.9995, "fake  P(fake)>0.999"),  # f"{0.9995:.3f}" is 1.000
        (1.0, "fake  P(fake)>0.999"),
    ],
)
def test_format_verdict_rounds_no_score_to_certainty(fake_score, expected, detector):
    verdict = Verdict(Picture("a.png", 9, 9), detector, fake_score, 0.0)
    assert format_verdict(verdict) == f"{expected}  a.png"


def test_format_verdict_of_what_is_not_a_face_crop_is_uncertain_and_warns(detector):
    verdict = Verdict(Picture("a.png", 1920, 1080), detector, 0.1, 0.0)

    line = format_verdict(verdict, with_detector=True)

    assert line == (
        f"real?  P(fake)=0.100  a.png  by {detector.path}  "
        "(not a face crop: 1920 x 1080; crop the face, or --find-faces)"
    )


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


def test_summarise_counts_what_is_uncertain_and_names_the_checkpoint(detector):
    names = Counter({"fake": 2, "fake?": 1, "real?": 3})

    summary = summarise(names, detector, with_detector=True)

    assert summary.startswith(
        "2 fake, 0 real, 4 uncertain (see the warnings) by SimpleNet"
    )
    assert f"SimpleNet ({detector.path}); " in summary


def test_explain_verdict_counts_the_fakes_among_images_like_it(detector):
    rows = [[0.0, 0.4, 1, 1000], [0.6, 1.0, 19, 20]]
    line = {"llr_slope": 1.0, "llr_intercept": 0.0, "llr_upper": math.log(50)}
    record = replace(detector.record, reliability=rows, **line)
    detector = replace(detector, record=record)
    verdict = Verdict(Picture("a.png", 9, 9), detector, 0.99, math.log(50))

    sentences = explain_verdict(verdict)

    assert sentences[:3] == [
        "Of the 20 validation images with the scores most like this (P(fake) from "
        "0.600 to >0.999), 19 were fake.",
        "20 of all 1,020 validation images were fake. Where fakes are rarer than that, "
        "more of the pictures that are called fake are real.",
        "The likelihood ratio is 50 to 1, fake over real: moderate support for 'fake' "
        "(at its bound: 1,020 validation images support no larger one).",
    ]
    assert sentences[3].endswith("A verdict is evidence to weigh, not proof.")


def test_explain_verdict_of_what_is_not_a_face_crop_says_nothing_about_its_score(
    detector,
):
    verdict = Verdict(Picture("a.png", 1920, 1080), detector, 0.99, 3.0)
    (sentence,) = explain_verdict(verdict)
    assert "Crop the picture" in sentence
