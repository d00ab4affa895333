"""Harmless versions of pictures, and which of them a detector tolerates."""

import numpy as np

from files.classes import FAKE, NEITHER, REAL
from judging.guarding.stability import (
    VERSIONS,
    choose_versions,
    is_flipped,
    make_versions,
)


def test_make_versions_changes_each_picture_a_little_and_none_of_its_size():
    gradient = (np.arange(64 * 64).reshape(64, 64) // 16).astype(np.uint8)
    sample = np.stack([gradient, gradient.T, gradient[::-1]], axis=2)
    samples = np.stack([sample, sample[..., ::-1]])  # (2, 64, 64, 3)
    versions = make_versions(samples, list(VERSIONS))
    assert versions.shape == (2, len(VERSIONS), 64, 64, 3)
    for sample, made in zip(samples, versions, strict=True):
        changes = np.abs(made.astype(int) - sample).mean(axis=(1, 2, 3))
        assert (changes > 0).all()
        assert changes[list(VERSIONS).index("JPEG 90")] < 4
        assert np.array_equal(made[list(VERSIONS).index("mirrored")], sample[:, ::-1])
    alone = make_versions(samples[1:], ["shifted"])
    assert np.array_equal(alone[0, 0], versions[1, list(VERSIONS).index("shifted")])
    assert np.array_equal(alone[0, 0, 2:, 2:], samples[1, :-2, :-2])


def test_choose_versions_takes_the_gentlest_while_together_they_flip_few():
    flips = np.zeros((100, 4), dtype=bool)
    flips[:2, 0] = flips[2:4, 1] = flips[:1, 2] = flips[:50, 3] = True
    assert choose_versions(flips, most=0.03) == [0, 2]
    assert choose_versions(flips, most=0.05) == [0, 1, 2]
    assert choose_versions(flips, most=0.0) == []


def test_is_flipped_only_between_real_and_fake():
    before = np.array([REAL, FAKE, NEITHER, REAL, FAKE])
    after = np.array([FAKE, REAL, FAKE, NEITHER, FAKE])
    assert is_flipped(before, after).tolist() == [True, True, False, False, False]
