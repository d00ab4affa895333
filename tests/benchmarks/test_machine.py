"""Operations are counted as by hand."""

import machine
import pytest
import torch
from torch import nn


@pytest.mark.parametrize(
    ("layers", "first", "forward"),
    [
        # 2 images, 5 x 5 places, 4 filters of 3 * 3 * 3 products.
        ([nn.Conv2d(3, 4, 3)], 2 * 2 * 25 * 4 * 27, 2 * 2 * 25 * 4 * 27),
        # Depthwise: each filter sees a single channel.
        ([nn.Conv2d(3, 3, 3, groups=3)], 2 * 2 * 25 * 3 * 9, 2 * 2 * 25 * 3 * 9),
        (
            [nn.Conv2d(3, 1, 7), nn.Flatten(), nn.Linear(1, 10)],
            2 * 2 * 147,
            2 * 2 * 147 + 2 * 2 * 10,
        ),
    ],
)
def test_count_task_flops_of_small_layers_as_by_hand(layers, first, forward):
    counts = machine.count_task_flops(nn.Sequential(*layers), torch.zeros(2, 3, 7, 7))
    train = 3 * forward - first
    assert counts == {"train": train, "eval": forward, "saliency": 2 * forward}


def test_describe_machine_and_measure_matmul_speed_say_something(monkeypatch):
    monkeypatch.setattr(machine, "SIZES", (8,))
    monkeypatch.setitem(machine.OPERATIONS_A_TRIAL, "cpu", 1e3)
    assert machine.measure_matmul_speed(torch.float32, torch.device("cpu")) > 0
    described = machine.describe_machine()
    assert described["torch"] == torch.__version__
    assert described["processor"]
