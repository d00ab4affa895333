"""Self-blended fakes: what they keep of the image, and where they change it."""

import numpy as np
import pytest
from PIL import Image

from loading.self_blending import (
    change_look,
    deform,
    draw_outline,
    fit_outline,
    raster_outline,
    self_blend,
)


@pytest.fixture(scope="module")
def image() -> Image.Image:
    """Smooth noise: it has detail to lose and colours to shift."""
    noise = np.random.default_rng(0).integers(40, 216, (32, 32, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC)


def to_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float)


@pytest.mark.slow
def test_self_blend_depends_on_the_generator_and_keeps_what_the_mask_leaves(image):
    """Beyond the mask a blend is one source; where that is the original, it is kept."""
    before, num_kept, num_placed = image.tobytes(), 0, 0
    landmarks = ((100, 20), (112, 20), (106, 26), (101, 32), (111, 32))
    for seed in range(40):
        blend, again, other = (
            self_blend(image, np.random.default_rng(n)) for n in (seed, seed, seed + 99)
        )
        assert blend.tobytes() == again.tobytes() != other.tobytes()
        changed = np.abs(to_array(blend) - to_array(image)).max(axis=2) > 0
        assert changed[40:110, 40:90].any()
        num_kept += not changed[:4].any()
        placed = self_blend(image, np.random.default_rng(seed), landmarks)
        changed = np.abs(to_array(placed) - to_array(image)).max(axis=2) > 0
        num_placed += changed[:64, 64:].any() and not changed[:, :64].any()
    assert image.tobytes() == before
    assert 10 <= num_placed <= 30
    assert 10 <= num_kept <= 30  # every second one


def test_self_blend_image_of_any_size_keeps_it():
    for size in ((6, 6), (17, 300), (256, 256)):
        grey = Image.new("RGB", size, (90, 120, 150))
        blend = self_blend(grey, np.random.default_rng(0))
        assert (blend.mode, blend.size) == ("RGB", size)


def test_change_look_shifts_colours_by_little(image):
    looks = [change_look(image, np.random.default_rng(seed)) for seed in range(30)]
    means = np.array([to_array(look).mean((0, 1)) for look in looks])
    shifts = np.abs(means - to_array(image).mean((0, 1)))
    assert 3 < np.mean(shifts) < 15
    assert np.max(shifts) < 50


def test_deform_moves_no_part_far():
    """A ramp of positions is read at most a tenth of the width from where it was."""
    ramp = np.broadcast_to(np.linspace(0, 255, 128)[None, :, None], (128, 128, 3))
    ramp = Image.fromarray(ramp.astype(np.uint8))
    for seed in range(20):
        moved = to_array(deform(ramp, np.random.default_rng(seed)))
        inner = np.s_[20:-20, 20:-20]
        distance = np.abs(moved[inner] - to_array(ramp)[inner]) / 255
        assert 0 < distance.max() < 0.1


def test_raster_outline_is_soft_and_within_the_picture():
    for seed in range(30):
        generator = np.random.default_rng(seed)
        outline = draw_outline(generator)
        assert outline.shape[1] == 2
        assert (outline > -0.1).all() and (outline < 1.2).all()
        mask = raster_outline(outline, (128, 128), generator)
        values = np.asarray(mask)
        assert (mask.mode, values.max() > 0) == ("L", True)
        assert len(np.unique(values)) > 5  # no hard edge
        assert (values == 0).mean() > 0.3


def test_fit_outline_moves_turns_and_scales_to_the_landmarks():
    outline = np.array([[0.5, 0.474], [0.5, 0.737], [0.6, 0.6]])
    aligned = np.array(
        [[0.4, 0.474], [0.6, 0.474], [0.5, 0.6], [0.4, 0.737], [0.6, 0.737]]
    )
    assert np.allclose(fit_outline(outline, aligned), outline)
    turned = np.array([[0.3, 0.1], [0.3, 0.2], [0, 0], [0.2, 0.1], [0.2, 0.2]])
    scale = 0.1 / 0.263  # its eyes are 0.1 right of its mouth: a quarter turn, smaller
    expected = [[0.3, 0.15], [0.2, 0.15], [0.3 - 0.126 * scale, 0.15 + 0.1 * scale]]
    assert np.allclose(fit_outline(outline, turned), expected)
