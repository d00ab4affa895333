"""Swaps, generator traces and the camera."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import laplace

from drawn_faces import forgeries
from drawn_faces.forgeries import (
    add_generator_traces,
    encode_mask,
    photograph,
    resample,
    swap_face,
)
from drawn_faces.portraits import Portrait, draw_face, sample_person, sample_shot

SIZE = 96


@pytest.fixture(scope="module")
def pair() -> tuple[Portrait, Portrait]:
    """Return a host and a donor in the same pose."""
    rng = np.random.default_rng(1)
    shot = sample_shot(rng)
    host = draw_face(sample_person(rng), shot, rng, size=SIZE)
    other = sample_shot(rng, pose_of=shot)
    return host, draw_face(sample_person(rng), other, rng, size=SIZE)


@pytest.mark.parametrize("careful_share", [0.0, 1.0])
def test_swap_face_changes_the_inner_face_and_its_mask_says_where(
    pair, careful_share, monkeypatch
):
    monkeypatch.setattr(forgeries, "CAREFUL_SHARE", careful_share)
    host, donor = pair
    image, mask = swap_face(host, donor, np.random.default_rng(0))
    change = np.abs(image - host.image).max(axis=2)
    assert change[host.inner_mask == 0].max() < 0.02
    assert change[host.inner_mask > 0.9].mean() > 0.01
    assert 0 <= mask.min() < mask.max() <= 1
    assert (change[mask == 0] == 0).all()
    assert (change[mask > 0.05] > 0).mean() > 0.99
    levels = np.asarray(Image.open(io.BytesIO(encode_mask(mask))))
    np.testing.assert_allclose(levels / 255, mask, atol=0.5 / 255 + 1e-6)


def test_swap_face_sloppy_loses_more_detail_than_careful(pair, monkeypatch):
    host, donor = pair
    details = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(forgeries, "CAREFUL_SHARE", share)
        swaps = [swap_face(host, donor, np.random.default_rng(n)) for n in range(8)]
        edges = np.array([np.abs(laplace(swap.image.mean(2))) for swap in swaps])
        details.append(edges[:, host.inner_mask > 0.9].mean())
    assert details[0] < 0.8 * details[1]


def test_swap_face_with_itself_changes_little(pair, monkeypatch):
    monkeypatch.setattr(forgeries, "CAREFUL_SHARE", 1.0)
    swaps = [swap_face(pair[0], donor, np.random.default_rng(0)) for donor in pair]
    own, foreign = (np.abs(swap.image - pair[0].image).mean() for swap in swaps)
    assert own < foreign / 1.5


def test_fit_affine_known_map_is_recovered_and_warp_follows_it():
    matrix = np.array([[1.1, 0.2, 3.0], [-0.1, 0.9, -4.0]])
    points = np.array([[0, 0], [10, 0], [0, 10], [7, 5.0]])
    targets = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(forgeries._fit_affine(points, targets), matrix)
    image = np.zeros((5, 6, 3), np.float32)
    image[1, 4] = 1.0
    shift = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])  # reads at (x + 2, y - 1)
    assert forgeries._warp(image, shift)[2, 2].tolist() == [1, 1, 1]
    assert forgeries._warp(image[..., 0], shift)[2, 2] == 1


def test_match_colours_full_strength_takes_over_mean_and_deviation():
    rng = np.random.default_rng(0)
    target = rng.normal(0.6, 0.10, (20, 20, 3))
    patch = rng.normal(0.3, 0.08, (20, 20, 3))
    matched = forgeries._match_colours(patch, target, np.ones((20, 20)), 1.0)
    np.testing.assert_allclose(matched.mean((0, 1)), target.mean((0, 1)))
    np.testing.assert_allclose(matched.std((0, 1)), target.std((0, 1)), rtol=0.02)
    nowhere = np.zeros((20, 20))
    assert forgeries._match_colours(patch, target, nowhere, 1.0) is patch


def test_add_generator_traces_are_faint_and_peak_at_periods_two_and_four(pair):
    image = pair[0].image
    error = add_generator_traces(image, np.random.default_rng(0)) - image
    assert -10 * np.log10(np.mean(error**2)) > 40  # PSNR in dB
    power = np.abs(np.fft.fft2(error.mean(2))) ** 2
    lattice = power[:: SIZE // 4, :: SIZE // 4].sum() - power[0, 0]
    assert lattice > 0.3 * power.sum()  # 15 of 9216 frequencies
    strongest = np.argwhere(power >= np.sort(power.ravel())[-4])
    assert (strongest % (SIZE // 4) == 0).all()
    black = np.zeros((16, 16, 3), np.float32)
    assert (add_generator_traces(black, np.random.default_rng(0)) == 0).all()


@pytest.mark.parametrize("factor", [1.0, 1.7, 4.0])
def test_resample_any_factor_keeps_size_and_mean(pair, factor):
    image = np.clip(pair[0].image, 0, 1)
    soft = resample(image, factor)
    assert soft.shape == image.shape
    assert soft.mean() == pytest.approx(image.mean(), abs=0.01)


def test_photograph_same_camera_gives_jpegs_of_the_same_compression(pair):
    first, second = (
        Image.open(io.BytesIO(photograph(face.image, np.random.default_rng(2))))
        for face in pair
    )
    assert (first.format, first.mode, first.size) == ("JPEG", "RGB", (SIZE, SIZE))
    assert (first.quantization, first.layer) == (second.quantization, second.layer)
