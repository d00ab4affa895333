"""Bytes to floats by hand, and what checkpoints may say of it."""

from __future__ import annotations

import pytest
import torch

from loading.preprocessing import PUBLISHED, Preprocessing

HALF = (0.5, 0.5, 0.5)


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 300
    return message


@pytest.mark.parametrize(
    ("byte", "expected"), [(0, (-1.0, -2.0, 0.0)), (255, (1.0, 3.0, 10.0))]
)
def test_normalise_ends_of_the_range_known_answers(byte, expected):
    preprocessing = Preprocessing(2, mean=(0.5, 0.4, 0.0), std=(0.5, 0.2, 0.1))
    images = torch.full((2, 3, 2, 2), byte, dtype=torch.uint8)
    result = preprocessing.normalise(images)
    assert result.dtype == torch.float32
    expected = torch.tensor(expected).view(1, 3, 1, 1).expand(2, 3, 2, 2)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_normalise_memory_format_is_kept_and_input_unchanged(layout):
    images = torch.arange(2 * 3 * 4 * 5).remainder(256).view(2, 3, 4, 5)
    images = images.to(torch.uint8).contiguous(memory_format=layout)
    before = images.clone()
    preprocessing = PUBLISHED
    result = preprocessing.normalise(images)
    mean = torch.tensor(preprocessing.mean).view(3, 1, 1)
    std = torch.tensor(preprocessing.std).view(3, 1, 1)
    torch.testing.assert_close(result, (images / 255 - mean) / std)
    assert result.is_contiguous(memory_format=layout)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 3, 2, 2),
        torch.zeros(3, 2, 2, dtype=torch.uint8),
        torch.zeros(1, 1, 2, 2, dtype=torch.uint8),
    ],
)
def test_normalise_wrong_images_are_refused(images):
    with pytest.raises(ValueError, match=r"uint8 \(N, 3, H, W\)") as error:
        Preprocessing(2, HALF, HALF).normalise(images)
    one_line(error)


def test_preprocessing_round_trip_is_exact_and_plain():
    value = PUBLISHED.to_dict()
    assert value == {
        "size": 256,
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2023, 0.1994, 0.2010],
    }
    assert Preprocessing.from_dict(value) == PUBLISHED
    assert Preprocessing.from_dict({**value, "later": 1}) == PUBLISHED
    whole = Preprocessing.from_dict({"size": 8, "mean": (0, 0, 0), "std": (1, 1, 1)})
    assert all(type(item) is float for item in whole.mean + whole.std)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"size": True}, "size must be"),
        ({"size": 0}, "size must be"),
        ({"size": 4097}, "from 1 to 4096, got 4097"),
        ({"size": 256.0}, "size must be"),
        ({"size": "256\n" * 100}, "size must be"),
        ({"mean": 0.5}, "mean must be 3 numbers"),
        ({"mean": torch.zeros(9, 9)}, "mean must be 3 numbers"),
        ({"mean": "abc"}, "mean must be 3 numbers"),
        ({"mean": [0.5, 0.5]}, "mean must be 3 numbers"),
        ({"mean": [0.5, 0.5, True]}, "mean must be 3 numbers"),
        ({"mean": [0.5, 0.5, float("nan")]}, "mean out of range"),
        ({"std": [0.5, 0.5, float("inf")]}, "std out of range"),
        ({"std": [0.5, 0.5, 10**400]}, "std out of range"),
        ({"std": [0.5, 0.5, 0.0]}, "std must be positive"),
        ({"std": [0.5, 0.5, -1]}, "std must be positive"),
    ],
)
def test_from_dict_bad_entry_one_line_error(change, match):
    value = {"size": 256, "mean": list(HALF), "std": list(HALF)}
    with pytest.raises(ValueError, match=match) as error:
        Preprocessing.from_dict({**value, **change})
    one_line(error)


@pytest.mark.parametrize(
    ("value", "match"),
    [(None, "must be a dict, got NoneType"), ({"size": 1}, "lacks mean, std")],
)
def test_from_dict_no_dict_or_incomplete_one_line_error(value, match):
    with pytest.raises(ValueError, match=match) as error:
        Preprocessing.from_dict(value)
    one_line(error)
