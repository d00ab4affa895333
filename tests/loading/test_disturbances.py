"""Disturbances: what each does, that it grows, and that it depends on nothing else."""

import numpy as np
import pytest
from PIL import Image

from loading import disturbances
from loading.disturbances import (
    BACKDROP,
    LEVELS,
    PHOTOGRAPHS,
    UNITS,
    Condition,
    disturb,
    draw_photograph,
    make_backdrop,
    parse_condition,
    parse_conditions,
)
from loading.face_finding import Face, crop_face


def make_picture(width: int = 96, height: int = 64) -> Image.Image:
    """Coloured stripes and a gradient, with detail of every size."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    stripes = 128 + 90 * np.sin(x**2 / 40), 40 + 2 * y, 128 + 60 * np.cos(y / 2)
    return Image.fromarray(np.clip(np.stack(stripes, 2), 0, 255).astype(np.uint8))


def change(
    name: str, level: int, seed: int = 0, picture: Image.Image | None = None
) -> Image.Image:
    rng = np.random.default_rng(seed)
    return disturb(picture or make_picture(), name, level, rng)


def to_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float64)


@pytest.fixture
def nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `found` find no face, and do without its network."""
    monkeypatch.setattr(disturbances, "find_faces", lambda photograph: [])


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_found")
@pytest.mark.parametrize("name", LEVELS)
def test_every_disturbance_grows_is_pure_and_decided_by_its_generator(name):
    is_in_pixels = name in disturbances.SIDES
    picture = make_picture(288, 192) if is_in_pixels else make_picture()
    before = picture.tobytes()

    images = [change(name, level, picture=picture) for level in range(6)]

    assert images[0] is picture
    assert (images[3].mode, picture.tobytes()) == ("RGB", before)
    assert images[3].tobytes() == change(name, 3, picture=picture).tobytes()
    if name not in ("crop", "screenshot"):  # which leave no pixel in its place
        resized = [to_array(image.resize(picture.size)) for image in images]
        errors = [np.abs(pixels - to_array(picture)).mean() for pixels in resized]
        assert (np.diff(errors) > 0).all()
    is_drawn = len({change(name, 3, seed).tobytes() for seed in range(8)}) > 1
    fixed = ("jpeg", "webp", "blur", "downscale", "chat", "face")
    assert is_drawn == (name not in fixed)
    tiny = Image.new("RGB", (1, 1), (10, 20, 30))
    assert change(name, 5, picture=tiny).size == (1, 1)
    assert (len(LEVELS[name]), name in UNITS) == (5, True)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_a_factor_goes_to_one_side_at_every_level_of_a_picture(name):
    measure = {
        "brightness": np.mean,
        "contrast": np.std,
        "saturation": lambda image: np.ptp(image, axis=2).mean(),
    }[name]
    for seed in range(8):
        steps = np.diff([measure(to_array(change(name, n, seed))) for n in range(6)])
        assert (steps > 0).all() or (steps < 0).all()


def test_noise_has_the_deviation_that_the_table_says():
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    for level, deviation in enumerate(LEVELS["noise"], start=1):
        noisy = to_array(change("noise", level, picture=grey))
        assert noisy.std() == pytest.approx(deviation, rel=0.03)
        assert noisy.mean() == pytest.approx(128, abs=0.5)


def test_saturation_at_its_last_level_is_grey_or_doubled():
    picture = Image.new("RGB", (4, 4), (100, 120, 140))
    images = [change("saturation", 5, seed, picture) for seed in range(8)]
    assert {int(np.ptp(to_array(image)[0, 0])) for image in images} == {0, 80}


@pytest.mark.parametrize("name", ["crop", "chat", "screenshot"])
def test_crop_chat_and_screenshot_are_smaller_by_the_table(name):
    for level, share in enumerate(LEVELS[name], start=1):
        assert change(name, level).size == (round(share * 96), round(share * 64))


def test_crop_is_a_part_of_the_picture_as_it_is():
    base, part = to_array(make_picture()), to_array(change("crop", 4, seed=1))
    windows = np.lib.stride_tricks.sliding_window_view(base, part.shape)
    assert (windows == part).all(axis=(3, 4, 5)).sum() == 1


def test_face_has_the_longer_side_that_the_table_says_and_is_never_larger():
    for level, side in enumerate(LEVELS["face"], start=1):
        small = change("face", level, picture=make_picture(300, 200))
        assert small.size == (side, round(side * 2 / 3))
    assert change("face", 3).tobytes() == make_picture().tobytes()


def test_framing_mirrors_the_edges_around_the_picture_at_a_place_that_is_drawn():
    picture, places = to_array(make_picture()), set()
    for seed in range(8):
        framed = to_array(change("framing", 4, seed))
        assert framed.shape == (64 + 22, 96 + 34, 3)  # 0.35 of both sides
        windows = np.lib.stride_tricks.sliding_window_view(framed, picture.shape)
        ((top, left, _),) = np.argwhere((windows == picture).all(axis=(3, 4, 5)))
        around = ((top, 22 - top), (left, 34 - left), (0, 0))
        assert np.array_equal(framed, np.pad(picture, around, "reflect"))
        places.add((top, left))
    assert len(places) > 4


def test_found_is_the_crop_of_the_face_that_holds_the_pictures_middle(monkeypatch):
    """A red square of 128 pixels in the photograph is the face."""
    seen = []

    def find(photograph: Image.Image) -> list[Face]:
        pixels = to_array(photograph)
        red = np.argwhere(pixels[..., 0] - pixels[..., 1:].max(axis=2) > 100)
        (top, left), (bottom, right) = red.min(axis=0), red.max(axis=0) + 1
        boxes = [(left - 90, top - 90, left + 9, top + 9), (left, top, right, bottom)]
        faces = [Face(tuple(map(float, box)), 0.9, ()) for box in boxes]
        seen.append((photograph, faces[1]))
        return faces

    monkeypatch.setattr(disturbances, "find_faces", find)
    square = Image.new("RGB", (256, 256), (250, 0, 0))

    crops = [change("found", 3, seed, square) for seed in range(3)]

    for crop, (photograph, face) in zip(crops, seen, strict=True):
        assert photograph.size == BACKDROP
        assert face.height == pytest.approx(128, abs=2)
        assert crop.tobytes() == crop_face(photograph, face).tobytes()
    assert len({face.box for _, face in seen}) == 3


@pytest.mark.usefixtures("nothing_found")
def test_found_where_no_face_is_found_is_the_place_of_the_picture():
    picture = make_picture(256, 256)
    small = picture.resize((128, 128), Image.Resampling.BICUBIC)
    place = change("found", 3, picture=picture)
    assert place.size == (128, 128)
    assert np.abs(to_array(place) - to_array(small)).mean() < 12  # JPEG alone


def test_make_backdrop_is_soft_dull_and_drawn():
    backdrops = [make_backdrop(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert [b.size for b in backdrops] == [BACKDROP] * 3
    assert backdrops[0].tobytes() == backdrops[1].tobytes() != backdrops[2].tobytes()
    pixels = to_array(backdrops[0])
    assert 30 < pixels.std() < 60
    steps = np.abs(np.diff(pixels, axis=1)).mean()
    assert 0 < steps < 0.15 * pixels.std()
    colours = np.corrcoef(pixels.reshape(-1, 3).T)
    assert 0.9 < colours[0, 2] < 0.999


def test_draw_photograph_leaves_a_quarter_and_draws_between_its_strengths(monkeypatch):
    given, qualities = [], []

    def note(name: str):
        return lambda image, strength, _: given.append((name, strength)) or image

    def compress(image: Image.Image, kind: str, quality: int) -> Image.Image:
        qualities.append(quality)
        return image

    for name in disturbances._DRAWN_STRENGTHS:
        monkeypatch.setitem(disturbances._CHANGES, name, note(name))
    monkeypatch.setattr(disturbances, "compress", compress)
    rng, picture = np.random.default_rng(0), make_picture()

    for _ in range(2000):
        draw_photograph(picture, rng)

    names = [name for name, _ in given]
    assert len(given) == pytest.approx(1500, abs=80)  # four standard deviations
    assert len(qualities) == pytest.approx(len(given) / 2, abs=80)
    assert (min(qualities), max(qualities)) == (60, 95)
    assert names.count("face") == pytest.approx(len(given) / 4, abs=70)
    for name, (weak, strong) in disturbances._DRAWN_STRENGTHS.items():
        found = [strength for n, strength in given if n == name]
        low, high = sorted((weak, strong))
        assert low <= min(found) < low + 0.1 * (high - low)
        assert high >= max(found) > high - 0.1 * (high - low)
        assert all(isinstance(strength, int) for strength in found) == (weak > 2)


def test_draw_photograph_is_pure_and_decided_by_its_generator():
    picture = make_picture(256, 256)
    before = picture.tobytes()
    drawn, again = (
        [draw_photograph(picture, np.random.default_rng(seed)) for seed in range(30)]
        for _ in range(2)
    )
    assert [a.tobytes() for a in drawn] == [b.tobytes() for b in again]
    assert picture.tobytes() == before
    assert {image.mode for image in drawn} == {"RGB"}
    sizes = {image.size for image in drawn}
    assert len(sizes) > 5
    assert min(map(min, sizes)) < 160 < 256 < max(map(max, sizes))


def test_every_condition_is_spelt_parsed_and_described_apart():
    every = [Condition(n, k + 1) for n in LEVELS for k in range(5)]
    assert [parse_condition(str(condition)) for condition in every] == every
    assert len({condition.describe() for condition in every}) == len(every)
    face = Condition("face", 3)
    assert (str(face), face.strength) == ("face=96", 96)
    assert face.describe() == "with a crop of only 96 pixels"
    assert parse_condition("none") == Condition() == Condition("none", 0)
    assert (str(Condition()), Condition().strength) == ("none", 0)
    assert Condition().describe() == "as they are"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("face=97", "'face=97'; choose from face=160, .*face=48"),
        ("face", "'face'; choose from face=160"),
        ("fog=1", r"'fog=1'; choose from none, jpeg=\.\.\."),
        ("", "''; choose from none"),
    ],
)
def test_parse_condition_that_is_not_one_says_which_there_are(text, message, refused):
    with refused(message):
        parse_condition(text)


def test_parse_conditions_begins_with_none_and_names_each_once():
    jpegs = [Condition("jpeg", level) for level in range(1, 6)]
    named = parse_conditions(["jpeg", "face=96", "jpeg=70", "none"])
    assert named == (Condition(), *jpegs, Condition("face", 3))
    assert parse_conditions(["photographs"]) == PHOTOGRAPHS
    assert PHOTOGRAPHS[0] == Condition()
    assert parse_conditions([]) == (Condition(),)


@pytest.mark.parametrize("text", ["found", "found=96"])
def test_parse_conditions_found_needs_the_finder(text, monkeypatch, refused):
    monkeypatch.setattr(disturbances, "can_find_faces", lambda: True)
    assert parse_conditions([text])[-1].name == "found"
    monkeypatch.setattr(disturbances, "can_find_faces", lambda: False)
    with refused("requirements-faces"):
        parse_conditions([text])
    assert parse_conditions(["face"])[-1].name == "face"


def test_screenshot_of_one_colour_has_no_dark_edge():
    white = Image.new("RGB", (50, 40), (255, 255, 255))
    for level in range(1, 6):
        assert to_array(change("screenshot", level, level, white)).min() == 255


@pytest.mark.parametrize(("name", "level"), [("fog", 1), ("blur", 6), ("blur", -1)])
def test_unknown_disturbance_or_level_raises(name, level):
    with pytest.raises(ValueError, match="fog|0 to 5"):
        change(name, level)
