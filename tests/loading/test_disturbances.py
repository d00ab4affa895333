"""Disturbances: what each does, that it grows, and that it depends on nothing else."""

import numpy as np
import pytest
from PIL import Image

from loading.disturbances import LEVELS, UNITS, disturb


def make_picture(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Coloured stripes and a gradient, with detail of every size."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    red = 128 + 90 * np.sin(x**2 / 40)
    green = 40 + 2 * y
    blue = 128 + 60 * np.cos(y / 2)
    pixels = np.stack([red, green, blue], axis=2)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def change(name: str, level: int, seed: int = 0) -> np.ndarray:
    """Return the disturbed picture's pixels, of the picture's size again."""
    picture = make_picture()
    disturbed = disturb(picture, name, level, np.random.default_rng(seed))
    return np.asarray(disturbed.resize(picture.size), np.float64)


@pytest.mark.parametrize("name", sorted(LEVELS.keys() - {"crop", "screenshot"}))
def test_what_leaves_pixels_in_place_changes_them_more_with_each_level(name):
    before = np.asarray(make_picture(), np.float64)

    errors = [np.abs(change(name, level) - before).mean() for level in range(6)]

    assert errors[0] == 0
    assert (np.diff(errors) > 0).all()


@pytest.mark.parametrize("name", LEVELS)
def test_every_disturbance_is_pure_and_decided_by_its_generator(name):
    picture = make_picture()
    before = picture.tobytes()

    disturbed = disturb(picture, name, 3, np.random.default_rng(5))

    again = disturb(picture, name, 3, np.random.default_rng(5))
    assert disturbed.tobytes() == again.tobytes()
    assert (disturbed.mode, picture.tobytes()) == ("RGB", before)


@pytest.mark.parametrize("name", ["noise", "brightness", "crop", "screenshot"])
def test_what_is_drawn_differs_between_generators(name):
    pictures = {change(name, 3, seed).tobytes() for seed in range(8)}
    assert len(pictures) > 1


def test_brightness_goes_to_one_side_at_every_level_of_a_picture():
    base = make_picture()
    for seed in range(8):
        means = [
            np.mean(disturb(base, "brightness", n, np.random.default_rng(seed)))
            for n in range(6)
        ]
        steps = np.diff(means)
        assert (steps > 0).all() or (steps < 0).all()


def test_noise_has_the_deviation_that_the_table_says():
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    for level, deviation in enumerate(LEVELS["noise"], start=1):
        noisy = disturb(grey, "noise", level, np.random.default_rng(0))
        assert np.std(np.asarray(noisy)) == pytest.approx(deviation, rel=0.03)


def test_saturation_at_its_last_level_is_grey_or_doubled():
    picture = Image.new("RGB", (4, 4), (100, 120, 140))
    spreads = {
        int(np.ptp(np.asarray(disturb(picture, "saturation", 5, rng))[0, 0]))
        for rng in map(np.random.default_rng, range(8))
    }
    assert spreads == {0, 80}


@pytest.mark.parametrize("name", ["crop", "chat", "screenshot"])
def test_crop_chat_and_screenshot_are_smaller_by_the_table(name):
    for level, share in enumerate(LEVELS[name], start=1):
        disturbed = disturb(make_picture(), name, level, np.random.default_rng(0))
        assert disturbed.size == (round(share * 96), round(share * 64))


def test_crop_is_a_part_of_the_picture_as_it_is():
    base = np.asarray(make_picture())
    part = np.asarray(disturb(make_picture(), "crop", 4, np.random.default_rng(1)))
    height, width = part.shape[:2]
    places = [
        (top, left)
        for top in range(base.shape[0] - height + 1)
        for left in range(base.shape[1] - width + 1)
        if np.array_equal(base[top : top + height, left : left + width], part)
    ]
    assert len(places) == 1


def test_screenshot_of_one_colour_has_no_dark_edge():
    white = Image.new("RGB", (50, 40), (255, 255, 255))
    for level in range(1, 6):
        shot = disturb(white, "screenshot", level, np.random.default_rng(level))
        assert np.asarray(shot).min() == 255


@pytest.mark.parametrize("name", LEVELS)
def test_the_smallest_picture_survives_everything(name):
    tiny = Image.new("RGB", (1, 1), (10, 20, 30))
    assert disturb(tiny, name, 5, np.random.default_rng(0)).size == (1, 1)


@pytest.mark.parametrize(("name", "level"), [("fog", 1), ("blur", 6), ("blur", -1)])
def test_unknown_disturbance_or_level_raises(name, level):
    with pytest.raises(ValueError, match="fog|0 to 5"):
        disturb(make_picture(), name, level, np.random.default_rng(0))


def test_every_disturbance_has_five_levels_and_a_unit():
    assert {len(levels) for levels in LEVELS.values()} == {5}
    assert UNITS.keys() == LEVELS.keys()
