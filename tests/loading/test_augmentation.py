"""What the augmentation draws, and what it does to an image."""

import numpy as np
import pytest
import torch
from PIL import Image

from loading import augmentation
from loading.augmentation import (
    Augmentation,
    ChangedImages,
    crop_and_mirror,
    degrade,
    draw_crops,
    mix_parts,
)
from loading.disturbances import rescale


def test_draw_crops_gives_every_place_and_both_sides():
    draws = draw_crops(5000, np.random.default_rng(0))
    assert draws.shape == (5000, 3)
    places = set(range(9))
    assert [set(column) for column in draws.T.tolist()] == [places, places, {0, 1}]


@pytest.mark.parametrize(
    ("draw", "rows", "columns", "mirrored"),
    [
        ((4, 4, 0), range(0, 3), range(0, 5), False),
        ((4, 4, 1), range(0, 3), range(0, 5), True),
        ((0, 4, 0), range(-4, -1), range(0, 5), False),
        ((5, 3, 0), range(1, 4), range(-1, 4), False),
        ((8, 8, 1), range(4, 7), range(4, 9), True),
    ],
)
def test_crop_and_mirror_known_answer(draw, rows, columns, mirrored):
    image = np.arange(1, 16, dtype=np.uint8).reshape(3, 5)
    padded = np.pad(image, 4)[np.ix_(np.array(rows) + 4, np.array(columns) + 4)]
    expected = padded[:, ::-1] if mirrored else padded
    images = torch.from_numpy(image).expand(1, 3, 3, 5)
    result = crop_and_mirror(images, np.array([draw]))
    assert result.shape == (1, 3, 3, 5)
    assert result.dtype == torch.uint8
    for channel in result[0]:
        np.testing.assert_array_equal(channel.numpy(), expected)


class Reals:
    """Samples whose first pixel tells the index: real ones, then fakes that are black.

    A change is seen where a fake is no longer black.
    """

    reads_in_threads = False

    def __init__(self, num_real: int = 4, num_fake: int = 6) -> None:
        self.labels = np.repeat([0, 1], [num_real, num_fake])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if self.labels[index]:
            return torch.zeros(3, 64, 64, dtype=torch.uint8), 1
        pixels = np.random.default_rng(index).integers(60, 200, (64, 64, 3))
        return torch.from_numpy(pixels.astype(np.uint8)).permute(2, 0, 1), 0

    def get_label(self, index: int) -> int:
        return int(self.labels[index])

    def get_labels(self) -> np.ndarray:
        return self.labels


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_changed_images_self_blend_replaces_that_share_of_the_fakes_alone(share):
    dataset = Reals(num_fake=200)
    changed = ChangedImages(dataset, 1, Augmentation("published", share))
    samples = changed.__getitems__([(0, index) for index in range(len(dataset))])
    assert [label for _, label in samples] == dataset.labels.tolist()
    for index in range(4):
        assert torch.equal(samples[index][0], dataset[index][0])
    num_blended = sum(bool(image.any()) for image, _ in samples[4:])
    assert abs(num_blended - 200 * share) <= 25  # 3.9 standard deviations


def test_changed_images_depend_on_seed_epoch_and_index_alone():
    def make(seed: int, epoch: int, index: int) -> torch.Tensor:
        changed = ChangedImages(Reals(), seed, Augmentation("robust", 1.0))
        return changed[epoch, index][0]

    for place in [(0, 0, 5), (0, 0, 6), (0, 1, 5), (1, 0, 5)]:
        assert torch.equal(make(*place), make(*place))
    assert not torch.equal(make(0, 0, 5), make(0, 1, 5))
    assert not torch.equal(make(0, 0, 5), make(1, 0, 5))


@pytest.mark.parametrize("is_asked", [False, True])
def test_changed_images_ask_for_landmarks_where_they_are_wanted(is_asked, monkeypatch):
    given = []

    def note(image, generator, landmarks):
        given.append(landmarks)
        return image

    monkeypatch.setattr(augmentation, "find_landmarks", lambda image: "found")
    monkeypatch.setattr(augmentation, "self_blend", note)
    style = Augmentation("none", 1.0, face_landmarks=is_asked)
    ChangedImages(Reals(), 1, style)[0, 5]
    assert given == ["found" if is_asked else None]


def test_changed_images_photographs_go_through_it_and_keep_their_size():
    changed = ChangedImages(Reals(num_real=40), 1, Augmentation("photographs"))
    assert Augmentation("photographs").changes_images

    samples = [changed[0, index][0] for index in range(40)]

    assert {(s.dtype, tuple(s.shape)) for s in samples} == {(torch.uint8, (3, 64, 64))}
    same = sum(torch.equal(s, changed.dataset[n][0]) for n, s in enumerate(samples))
    assert 2 <= same <= 22  # a quarter, and faces of more than 64 pixels
    for index in range(5):
        assert torch.equal(changed[0, index][0], samples[index])
    later = [changed[1, index][0] for index in range(10)]
    assert not all(map(torch.equal, later, samples))


def test_changed_images_photographs_are_drawn_of_both_classes_and_after_blending(
    monkeypatch,
):
    def draw(image: Image.Image, _: object) -> Image.Image:
        return Image.new("RGB", (20, 10), image.getpixel((0, 0)))

    blend = Image.new("RGB", (64, 64), (9, 9, 9))
    monkeypatch.setattr(augmentation, "self_blend", lambda *_: blend)
    monkeypatch.setattr(augmentation, "draw_photograph", draw)
    changed = ChangedImages(Reals(), 1, Augmentation("photographs", 1.0))
    for index, color in ((1, Reals()[1][0][:, 0, 0]), (7, torch.tensor([9, 9, 9]))):
        sample, _ = changed[0, index]
        assert sample.shape == (3, 64, 64)
        assert (sample == color[:, None, None]).all()


def test_degrade_changes_most_images_and_keeps_size_and_mode():
    image = Image.fromarray(Reals()[0][0].permute(1, 2, 0).numpy())
    results = [degrade(image, np.random.default_rng(seed)) for seed in range(40)]
    assert {(r.size, r.mode) for r in results} == {((64, 64), "RGB")}
    num_changed = sum(r.tobytes() != image.tobytes() for r in results)
    assert 20 < num_changed < 40


def test_rescale_of_factor_one_changes_nothing_and_of_four_smooths():
    image = Image.fromarray(Reals()[0][0].permute(1, 2, 0).numpy())
    assert rescale(image, 1.0).tobytes() == image.tobytes()
    assert np.asarray(rescale(image, 4.0)).std() < np.asarray(image).std() / 2


@pytest.mark.parametrize("seed", range(5))
def test_mix_parts_label_shares_are_those_of_the_pixels(seed):
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 20, 30).clone()
    labels = torch.tensor([0, 1, 1])
    mixed, shares = mix_parts(images, labels, np.random.default_rng(seed))
    for number in range(3):
        neighbour = number - 1 if number else 2
        share = (mixed[number] == neighbour).float().mean()
        assert ((mixed[number] == number) | (mixed[number] == neighbour)).all()
        expected = torch.zeros(2)
        expected[labels[number]] += 1 - share
        expected[labels[neighbour]] += share
        torch.testing.assert_close(shares[number], expected)
