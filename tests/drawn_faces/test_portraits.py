"""Portraits: what a seed decides, and that every trait shows."""

import numpy as np
import pytest

from drawn_faces.portraits import (
    PERSON_RANGES,
    SHOT_RANGES,
    Face,
    draw_face,
    sample_person,
    sample_shot,
)

SIZE = 96


def draw(seed: int, **changes) -> Face:
    """Draw a small face; `changes` replace traits of the person or the shot."""
    rng = np.random.default_rng(seed)
    person, shot = sample_person(rng), sample_shot(rng)
    for name, value in changes.items():
        traits = person if hasattr(person, name) else shot
        setattr(traits, name, value)
    return draw_face(person, shot, rng, size=SIZE)


@pytest.mark.parametrize(
    ("sample", "ranges"), [(sample_person, PERSON_RANGES), (sample_shot, SHOT_RANGES)]
)
def test_sample_many_draws_stay_in_range(sample, ranges):
    rng = np.random.default_rng(0)
    for _ in range(50):
        traits = sample(rng)
        for name, (low, high) in ranges.items():
            if name != "hair":  # depends on the skin as well
                assert low <= getattr(traits, name) <= high, name
    assert 0 <= getattr(traits, "hair", 0) <= 1


def test_sample_shot_pose_of_another_keeps_pose_and_redraws_light():
    rng = np.random.default_rng(0)
    first = sample_shot(rng)
    second = sample_shot(rng, pose_of=first)
    assert (second.scale, second.tilt, second.yaw) == (
        first.scale,
        first.tilt,
        first.yaw,
    )
    assert second.light_angle != first.light_angle


def test_sample_shot_light_direction_follows_the_angle():
    shot = sample_shot(np.random.default_rng(0))
    direction = complex(shot.light_right, shot.light_down)
    assert direction == pytest.approx(np.exp(1j * shot.light_angle))


def test_draw_face_result_has_documented_shapes():
    face = draw(0)
    assert face.image.shape == (SIZE, SIZE, 3)
    assert face.image.dtype == np.float32
    assert face.inner_mask.shape == (SIZE, SIZE)
    assert face.landmarks.shape == (5, 2)
    assert np.isfinite(face.image).all()


def test_draw_face_same_seed_is_identical_and_other_seed_differs():
    np.testing.assert_array_equal(draw(3).image, draw(3).image)
    assert np.abs(draw(3).image - draw(4).image).mean() > 0.02


@pytest.mark.parametrize("seed", range(12))
def test_draw_face_landmarks_lie_in_the_inner_face(seed):
    face = draw(seed)
    assert 0.05 < face.inner_mask.mean() < 0.4
    for x, y in face.landmarks.round().astype(int):
        assert face.inner_mask[y, x] > 0.5
    left, right, nose = face.landmarks[:3]
    assert left[0] < nose[0] < right[0]
    assert nose[1] > max(left[1], right[1])


@pytest.mark.parametrize("seed", [0, 1])
def test_draw_face_landmarks_of_eyes_lie_on_the_drawn_eyes(seed):
    # Iris and white replace skin: painting other irises changes pixels there only.
    brown, blue = draw(seed, iris=0.0, glasses=0.0), draw(seed, iris=1.0, glasses=0.0)
    change = np.abs(brown.image - blue.image).sum(2)
    for x, y in brown.landmarks[:2]:
        ys, xs = np.mgrid[:SIZE, :SIZE]
        near = np.hypot(xs - x, ys - y) < 0.07 * SIZE
        assert change[near].sum() > 0.2 * change.sum()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("glasses", (0.0, 0.85)),
        ("beard", (-1.0, 0.8)),
        ("freckles", (-0.3, 0.25)),
        ("hair_length", (-0.6, 1.4)),
        ("mouth_open", (-0.05, 0.05)),
        ("jaw", (1.5, 2.6)),
        ("light_angle", (0.0, 3.0)),
        ("skin", (0.0, 1.0)),
    ],
)
def test_draw_face_each_trait_shows(name, values):
    changes = [{name: value} for value in values]
    if name == "light_angle":
        changes = [{"light_right": -1.0, "light_down": 0.0}, {"light_right": 1.0}]
    first, second = (draw(5, **change).image for change in changes)
    assert (np.abs(first - second).max(axis=2) > 0.05).sum() > 10


def test_draw_face_light_from_the_right_brightens_the_right_cheek():
    still = {"yaw": 0.0, "tilt": 0.0, "light_side": 0.7, "light_down": 0.0}
    lit = draw(6, light_right=1.0, **still)
    other = draw(6, light_right=-1.0, **still)
    middle = int(lit.landmarks[2, 0])
    brighter = (lit.image - other.image).mean(2) * lit.inner_mask
    assert brighter[:, middle + 5 :].sum() > 0 > brighter[:, : middle - 5].sum()
