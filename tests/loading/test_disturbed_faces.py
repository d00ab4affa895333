"""A split under conditions: which image is which sample, its label and its size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from faces_dataset import FacesDataset
from loading import Preprocessing, ResizeToTensor, disturbed_faces
from loading.augmentation import Augmentation
from loading.disturbances import AS_IT_IS, Condition, disturb
from loading.disturbed_faces import DisturbedFaces, find_size

SIZE = 64
JPEG, NOISE, FACE = Condition("jpeg", 5), Condition("noise", 3), Condition("face", 5)
CONDITIONS = (AS_IT_IS, JPEG, NOISE, FACE)


def open_faces(root: Path) -> FacesDataset:
    any_mean = (0.5,) * 3
    transform = ResizeToTensor(Preprocessing(any_mean, any_mean, SIZE))
    return FacesDataset(root / "test", transform)


@pytest.fixture
def faces(faces_root) -> FacesDataset:
    return open_faces(faces_root)


def test_disturbed_faces_have_an_images_conditions_in_a_row(faces):
    images = DisturbedFaces(faces, CONDITIONS, seed=0)

    assert len(images) == len(faces) * len(CONDITIONS) == 20
    for index in range(len(images)):
        number, place = divmod(index, len(CONDITIONS))
        sample, label = images[index]
        assert (sample.dtype, sample.shape) == (torch.uint8, (3, SIZE, SIZE))
        assert label == images.get_label(index) == faces.get_label(number)
        name = f"{faces.get_name(number)} ({CONDITIONS[place]})"
        assert images.get_name(index) == name
        is_clean = torch.equal(sample, faces[number][0])
        assert is_clean == (CONDITIONS[place] == AS_IT_IS)


def test_disturbed_faces_disturb_the_image_as_the_network_sees_it(faces):
    images = DisturbedFaces(faces, CONDITIONS, seed=0)
    for number in range(len(faces)):
        whole = Image.fromarray(faces[number][0].permute(1, 2, 0).numpy())
        small = disturb(whole, *FACE, np.random.default_rng(0))  # draws nothing
        assert small.size == (48, 48)
        sample = images[number * len(CONDITIONS) + 3][0]
        assert torch.equal(sample, faces.transform(small))


def test_disturbed_faces_draw_by_seed_disturbance_and_image_alone(faces, monkeypatch):
    """The draws at every level of a disturbance are those of the first."""
    conditions = (NOISE, Condition("noise", 4), Condition("crop", 3))

    def draw(seed: int, conditions=conditions) -> np.ndarray:
        drawn = []

        def note(image, name, level, generator):
            drawn.append(generator.random())
            return image

        monkeypatch.setattr(disturbed_faces, "disturb", note)
        images = DisturbedFaces(faces, conditions, seed)
        for index in range(len(images)):
            images.read(index)
        return np.reshape(drawn, (len(faces), len(conditions)))

    draws = draw(0)
    assert (draws[:, 0] == draws[:, 1]).all()
    assert len(np.unique(draws[:, 1:])) == 2 * len(faces)
    assert np.array_equal(draw(0, conditions[1:]), draws[:, 1:])
    assert not np.isin(draw(1), draws).any()


def test_disturbed_faces_once_show_one_condition_after_another(faces):
    images = DisturbedFaces(faces, CONDITIONS, seed=0, once=True)
    everything = DisturbedFaces(faces, CONDITIONS, seed=0)
    assert len(images) == len(faces) == 5
    for index in range(len(images)):
        place = index * len(CONDITIONS) + index % len(CONDITIONS)
        assert torch.equal(images[index][0], everything[place][0])
        assert images.get_name(index) == everything.get_name(place)
        assert images.get_label(index) == everything.get_label(place)


def test_disturbed_faces_are_augmented_first(faces):
    blended = DisturbedFaces(faces, CONDITIONS, 0, Augmentation("none", 1.0))
    for index in range(0, len(blended), len(CONDITIONS)):
        number, is_fake = index // len(CONDITIONS), blended.get_label(index)
        (sample, label), (width, height) = blended[index], blended.read(index)[1]
        assert torch.equal(sample, faces[number][0]) == (not is_fake)
        assert label == faces.get_label(number)
        assert (width, height) == (SIZE, SIZE)
        again = Image.fromarray(sample.permute(1, 2, 0).numpy())
        small = disturb(again, *FACE, np.random.default_rng(0))
        assert torch.equal(blended[index + 3][0], faces.transform(small))


def test_read_gives_the_size_that_such_a_picture_has(own_faces_root):
    """Files of 80 x 40 pixels, whatever the network's size."""
    for path in own_faces_root.rglob("*.png"):
        with Image.open(path) as image:
            image.resize((80, 40)).save(path)
    conditions = (AS_IT_IS, JPEG, Condition("chat", 5), Condition("crop", 5), FACE)
    images = DisturbedFaces(open_faces(own_faces_root), conditions, seed=0)

    sizes = [images.read(index)[1] for index in range(len(images))]

    # Shares of 64 pixels are whole pixels: 26 of 64 for 0.4, 38 for 0.6.
    assert sizes == [(80, 40), (80, 40), (32, 16), (48, 24), (48, 24)] * 5
    assert torch.equal(images.read(6)[0], images[6][0])


@pytest.mark.parametrize(
    ("size", "after", "condition", "expected"),
    [
        ((1000, 500), (64, 64), JPEG, (1000, 500)),
        ((1000, 500), (32, 32), Condition("chat", 4), (500, 250)),
        ((100, 100), (96, 80), Condition("framing", 5), (150, 125)),
        ((1000, 500), (48, 48), FACE, (48, 24)),
        ((40, 30), (48, 48), FACE, (40, 30)),
        ((1000, 500), (96, 96), Condition("found", 4), (96, 48)),
        ((3, 1), (6, 6), Condition("crop", 5), (1, 1)),
    ],
)
def test_find_size_known_answers(size, after, condition, expected):
    assert find_size(size, SIZE, after, condition=condition) == expected
