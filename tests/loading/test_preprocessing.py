"""Bytes to floats by hand, and what checkpoints may say of it."""

import pytest
import torch

from loading.preprocessing import PUBLISHED, Preprocessing

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("byte", "expected"), [(0, (-1.0, -2.0, 0.0)), (255, (1.0, 3.0, 10.0))]
)
def test_normalise_ends_of_the_range_known_answers(byte, expected):
    preprocessing = Preprocessing(mean=(0.5, 0.4, 0.0), std=(0.5, 0.2, 0.1))
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
def test_normalise_wrong_images_are_refused(images, refused):
    with refused(r"uint8 \(N, 3, H, W\)"):
        Preprocessing(HALF, HALF).normalise(images)


def test_preprocessing_round_trip_is_exact_and_plain():
    value = PUBLISHED.to_dict()
    assert value["mean"] == [0.4914, 0.4822, 0.4465]
    assert Preprocessing.from_untrusted(value) == PUBLISHED
    old = {name: value[name] for name in ("mean", "std")}
    assert Preprocessing.from_untrusted({**old, "other": 1}) == PUBLISHED
    own = Preprocessing(HALF, HALF, 224, full_decoding=True, crop_margin=1.5)
    assert Preprocessing.from_untrusted(own.to_dict()) == own
    whole = Preprocessing.from_untrusted({"mean": (0, 0, 0), "std": (1, 1, 1)})
    assert all(type(item) is float for item in whole.mean + whole.std)


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize(
    "entry",
    [
        None,
        "123",
        [0.5, 0.5],
        [0.5, 0.5, True],
        [0.5, 0.5, float("nan")],
        [0.5, 0.5, -(10**5000)],
        torch.full((3,), 0.5),
        [0.5, 0.5, torch.tensor(0.5)],
    ],
    ids=range(8),
)
def test_from_untrusted_bad_entry_one_line_error(name, entry, refused):
    value = {"mean": list(HALF), "std": list(HALF), name: entry}
    with refused(f"{name} must be 3 numbers"):
        Preprocessing.from_untrusted(value)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"std": HALF}, "mean must be"),
        ({"mean": HALF, "std": [0.5, 0.5, 0.0]}, "3 numbers from 1e-06 to 1000"),
        ({"mean": HALF, "std": [0.5, 0.5, -1]}, "3 numbers from 1e-06 to 1000"),
        ({"mean": HALF, "std": [0.5, 0.5, 1e-7]}, "3 numbers from 1e-06 to 1000"),
        ({"mean": HALF, "std": HALF, "size": "64"}, "to 4,096, got '64'"),
        ({"mean": HALF, "std": HALF, "size": 6}, "size must be .* got 6"),
        ({"mean": HALF, "std": HALF, "size": 0}, "size must be a whole number from 8"),
        ({"mean": HALF, "std": HALF, "size": 256.0}, "size must be a whole number"),
        ({"mean": HALF, "std": HALF, "crop_margin": 1e9}, "crop_margin must be"),
    ],
)
def test_preprocessing_incomplete_or_out_of_range_one_line_error(value, match, refused):
    with refused(match):
        Preprocessing.from_untrusted(value)
    with refused(match):
        Preprocessing(**{"mean": None, **value})
