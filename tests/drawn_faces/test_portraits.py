"""Portraits: what a seed decides, and that every trait shows."""

import numpy as np
import pytest

from drawn_faces.portraits import (
    PERSON_RANGES,
    SHOT_RANGES,
    Portrait,
    draw_face,
    sample_person,
    sample_shot,
)

SIZE = 96


def draw(seed: int, **changes) -> Portrait:
    """Draw a small face; `changes` replace traits of the person or the shot."""
    rng = np.random.default_rng(seed)
    person, shot = sample_person(rng), sample_shot(rng)
    for name, value in changes.items():
        setattr(person if hasattr(person, name) else shot, name, value)
    return draw_face(person, shot, rng, size=SIZE)


@pytest.mark.parametrize(
    ("sample", "ranges"), [(sample_person, PERSON_RANGES), (sample_shot, SHOT_RANGES)]
)
def test_sample_many_draws_stay_in_range(sample, ranges):
    rng = np.random.default_rng(0)
    for _ in range(50):
        traits = sample(rng)
        for name, (low, high) in ranges.items():
            least = 0 if name == "hair" else low  # which depends on the skin as well
            assert least <= getattr(traits, name) <= high, name


def test_sample_shot_light_follows_its_angle_and_not_another_shots_pose():
    rng = np.random.default_rng(0)
    first = sample_shot(rng)
    second = sample_shot(rng, pose_of=first)
    for name in ("scale", "tilt", "yaw"):
        assert getattr(second, name) == getattr(first, name)
    assert second.light_angle != first.light_angle
    direction = complex(second.light_right, second.light_down)
    assert direction == pytest.approx(np.exp(1j * second.light_angle))


def test_draw_face_same_seed_is_identical_and_other_seed_differs():
    face = draw(3)
    assert (face.image.shape, face.image.dtype) == ((SIZE, SIZE, 3), np.float32)
    assert np.isfinite(face.image).all()
    np.testing.assert_array_equal(face.image, draw(3).image)
    assert np.abs(face.image - draw(4).image).mean() > 0.02


@pytest.mark.parametrize("seed", range(8))
def test_draw_face_landmarks_lie_in_the_inner_face_and_on_the_drawn_eyes(seed):
    # Iris and white replace skin: other irises change pixels of the eyes alone.
    face, other = draw(seed, iris=0.0, glasses=0.0), draw(seed, iris=1.0, glasses=0.0)
    assert 0.05 < face.inner_mask.mean() < 0.4
    for x, y in face.landmarks.round().astype(int):
        assert face.inner_mask[y, x] > 0.5
    left, right, nose = face.landmarks[:3]
    assert left[0] < nose[0] < right[0]
    assert nose[1] > max(left[1], right[1])
    change = np.abs(face.image - other.image).sum(2)
    ys, xs = np.mgrid[:SIZE, :SIZE]
    shares = [
        change[np.hypot(xs - x, ys - y) < 0.07 * SIZE].sum() / change.sum()
        for x, y in (left, right)
    ]
    assert sum(shares) > 0.5


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("glasses", (0.0, 0.85)),
        ("beard", (-1.0, 0.8)),
        ("freckles", (-0.3, 0.25)),
        ("hair_length", (-0.6, 1.4)),
        ("mouth_open", (-0.05, 0.05)),
        ("jaw", (1.5, 2.6)),
        ("skin", (0.0, 1.0)),
    ],
)
def test_draw_face_each_trait_shows(name, values):
    first, second = (draw(5, **{name: value}).image for value in values)
    assert (np.abs(first - second).max(axis=2) > 0.05).sum() > 10


def test_draw_face_light_from_the_right_brightens_the_right_cheek():
    still = {"yaw": 0.0, "tilt": 0.0, "light_side": 0.7, "light_down": 0.0}
    lit, other = (draw(6, light_right=side, **still) for side in (1.0, -1.0))
    middle = int(lit.landmarks[2, 0])
    brighter = (lit.image - other.image).mean(2) * lit.inner_mask
    assert brighter[:, middle + 5 :].sum() > 0 > brighter[:, : middle - 5].sum()
