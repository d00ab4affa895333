"""Disturbances: what each does, that it grows, and that it depends on nothing else."""

import numpy as np
import pytest
from PIL import Image

from loading.disturbances import LEVELS, UNITS, disturb


def make_picture() -> Image.Image:
    """Coloured stripes and a gradient, with detail of every size."""
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    stripes = 128 + 90 * np.sin(x**2 / 40), 40 + 2 * y, 128 + 60 * np.cos(y / 2)
    return Image.fromarray(np.clip(np.stack(stripes, 2), 0, 255).astype(np.uint8))


def change(
    name: str, level: int, seed: int = 0, picture: Image.Image | None = None
) -> Image.Image:
    rng = np.random.default_rng(seed)
    return disturb(picture or make_picture(), name, level, rng)


def to_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float64)


@pytest.mark.parametrize("name", LEVELS)
def test_every_disturbance_grows_is_pure_and_decided_by_its_generator(name):
    picture = make_picture()
    before = picture.tobytes()

    images = [change(name, level, picture=picture) for level in range(6)]

    assert images[0] is picture
    assert (images[3].mode, picture.tobytes()) == ("RGB", before)
    assert images[3].tobytes() == change(name, 3).tobytes()
    if name not in ("crop", "screenshot"):  # which leave no pixel in its place
        resized = [to_array(image.resize(picture.size)) for image in images]
        errors = [np.abs(pixels - to_array(picture)).mean() for pixels in resized]
        assert (np.diff(errors) > 0).all()
    is_drawn = len({change(name, 3, seed).tobytes() for seed in range(8)}) > 1
    fixed = ("jpeg", "webp", "blur", "downscale", "chat")
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


def test_screenshot_of_one_colour_has_no_dark_edge():
    white = Image.new("RGB", (50, 40), (255, 255, 255))
    for level in range(1, 6):
        assert to_array(change("screenshot", level, level, white)).min() == 255


@pytest.mark.parametrize(("name", "level"), [("fog", 1), ("blur", 6), ("blur", -1)])
def test_unknown_disturbance_or_level_raises(name, level):
    with pytest.raises(ValueError, match="fog|0 to 5"):
        change(name, level)
