"""Every kind of network passes all checks, and each check catches what it is for."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from map_models import SMALL, Small
from torch import Tensor, nn

import check_network
from check_network import CHECKS, NEEDED
from models import NETWORKS, Network, get_network

# Each timm's of another kind; the last has registers, and no class token.
NAMES = {
    **{"SimpleNet": None, "XceptionBased": 96, "timm:test_resnet": 64},
    **{"timm:test_efficientnet": 64, "timm:test_convnext": 64},
    **{"timm:test_vit": None, "timm:test_vit3": None},
}
SMALLEST = Network(Small, SMALL, layer="body", heads=("head",))


SLOW = pytest.param("XceptionBased", marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize("name", [SLOW, *(n for n in NAMES if n != "XceptionBased")])
def test_check_network_passes_each_kind(name):
    network, size = get_network(name), NAMES[name]
    if size:
        smaller = replace(network.preprocessing, size=size)
        network = replace(network, preprocessing=smaller)
    random_state = torch.get_rng_state()

    found = check_network.check_network(network)

    assert [finding.check for finding in found] == list(CHECKS)
    assert [str(finding) for finding in found if finding.fault] == []
    assert torch.equal(torch.get_rng_state(), random_state)


class Mixes(Small):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(0))


class Draws(Small):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(F.dropout(images))


class Detours(Small):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)


class Hides(Small):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hidden", torch.rand(1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.hidden


class Counts(Small):
    steps = 0

    def forward(self, images: Tensor) -> Tensor:
        self.steps += self.training
        return super().forward(images) * (1 + self.steps * self.training)


class Averages(Small):
    def forward(self, images: Tensor) -> Tensor:
        flat = images.mean((2, 3), keepdim=True).expand(images.shape)
        return super().forward(flat)


class Overflows(Small):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / 0


class Wraps(Small):
    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (super().forward(images),)


def change(**entries: object) -> Network:
    return replace(SMALLEST, **entries)


@pytest.mark.parametrize(
    ("network", "check", "fault"),
    [
        (change(layer="conv9"), "builds", "no layer 'conv9'; at the top it has body, "),
        (change(heads=("fc",)), "builds", "no head 'fc'"),
        (change(build=lambda: 1 / 0), "builds", "ZeroDivisionError: division by zero"),
        (change(build=dict), "builds", "it builds a dict, not an nn.Module"),
        (change(build=lambda: Small().requires_grad_(False)), "builds", "no parameter"),
        (change(build=Wraps), "gives logits", "it gives a tuple, not logits"),
        (change(build=Overflows), "gives logits", "NaN or infinite logits in fp32"),
        (change(build=Detours), "trains a step", "idle.weight, idle.bias: forward doe"),
        (change(build=Mixes), "scores the same alone and in a batch", "a logit chang"),
        (change(build=Draws), "scores the same twice", "from call to call"),
        (change(build=Hides), "saves and loads", "loaded, it gives other scores"),
        (change(build=Averages), "saliency map", "every map is constant"),
        (change(layer="head"), "Grad-CAM", "layer head has no places to map"),
        (change(build=Counts), "resumes bit for bit", "body.weight, body.bias, head."),
    ],
)
def test_each_check_catches_what_it_is_for(network, check, fault):
    found = {f.check: f.fault for f in check_network.check_network(network)}

    with pytest.raises(AssertionError, match=fault):
        assert not found[check]
    # A network that draws at random fails more than one.
    assert list(found) == list(CHECKS)[: len(found)]
    assert len(found) == len(CHECKS) or check in NEEDED


def test_check_network_takes_a_name_and_a_registered_function(monkeypatch):
    monkeypatch.setitem(NETWORKS, "Small", SMALLEST)

    assert check_network.find_network("Small") is SMALLEST
    assert check_network.find_network(Small) is SMALLEST
    with pytest.raises(ValueError, match="is not registered: decorate it"):
        check_network.find_network(Mixes)


@pytest.mark.parametrize(("build", "status"), [(Small, 0), (Detours, 1)])
def test_main_prints_a_line_a_check(
    build: Callable[[], nn.Module], status: int, monkeypatch, capsys
):
    monkeypatch.setitem(NETWORKS, "Small", change(build=build))

    assert check_network.main(["-m", "Small"]) == status

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == list(CHECKS)
    wrong = [line.split(": ")[0] for line in lines if ": wrong: " in line]
    assert wrong == ["trains a step"] * status
