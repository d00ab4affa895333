"""A network that cannot be trained, or judged by its layer, is refused in one line."""

from dataclasses import replace

import pytest
import torch
from map_models import SMALL, Small
from torch import Tensor, nn

from models import NETWORKS, Network
from tuning import check_before_training

SMALLEST = Network(Small, SMALL, layer="body", heads=("head",))


class Detours(Small):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Conv2d(3, 2, 1)


class Answers(Small):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, :1].repeat(1, 3)  # a third class


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"layer": "conv9"}, "no layer 'conv9'; at the top it has body, head"),
        (
            {"layer": "head"},
            r"its layer 'head': it gives a tensor \(2, 2\), which is n",
        ),
        ({"build": Detours, "layer": "idle"}, "does not compute its layer 'idle'"),
        ({"build": Answers}, r"2 images give torch.float32 \(2, 3\), not floats"),
        ({"preprocessing": replace(SMALL, size=224)}, "of 224 pixels.* mat1 and mat2"),
        ({"build": lambda: 1 / 0}, "ZeroDivisionError: division by zero"),
    ],
)
def test_check_before_training_names_network_fault_and_script(
    changes, fault, monkeypatch, refused
):
    monkeypatch.setitem(NETWORKS, "Mine", replace(SMALLEST, **changes))
    with refused(f"the network Mine cannot.*{fault}.*check_network.py -m Mine"):
        check_before_training("Mine")


def test_check_before_training_passes_others_and_builds_none_that_come_along(
    monkeypatch,
):
    monkeypatch.setitem(NETWORKS, "Mine", SMALLEST)
    monkeypatch.setitem(NETWORKS, "XceptionBased", None)
    for name in ("Mine", "timm:test_vit", "XceptionBased"):
        check_before_training(name)
    assert torch.is_grad_enabled()
