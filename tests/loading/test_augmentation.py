"""What the augmentation draws, and what it does to an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loading.augmentation import crop_and_mirror, draw_crops


def test_draw_crops_gives_every_place_and_both_sides():
    draws = draw_crops(5000, np.random.default_rng(0))
    assert draws.shape == (5000, 3)
    assert [set(column) for column in draws.T.tolist()] == [
        set(range(9)),
        set(range(9)),
        {0, 1},
    ]


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
    expected = [
        [image[r, c] if 0 <= r < 3 and 0 <= c < 5 else 0 for c in columns] for r in rows
    ]
    expected = np.array(expected)[:, ::-1] if mirrored else np.array(expected)
    images = torch.from_numpy(image).expand(1, 3, 3, 5)
    result = crop_and_mirror(images, np.array([draw]))
    assert result.shape == (1, 3, 3, 5)
    assert result.dtype == torch.uint8
    for channel in result[0]:
        np.testing.assert_array_equal(channel.numpy(), expected)
