"""What a probe reads of a network, and how far the network runs."""

import pytest
import torch
from conftest import TinyNet
from torch import nn

from models import Layout, build_model, get_network
from tuning import hash_start
from tuning.probe import Probe, list_stages, run_layers


class Tokens(nn.Module):
    """A transformer's shape: blocks of tokens (N, 1 + 16, 3), of which one is read."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 3, 4, stride=4)
        kinds = (nn.LayerNorm(3), nn.Linear(3, 3))
        self.blocks = nn.ModuleList(nn.Sequential(k, nn.Identity()) for k in kinds)
        self.head = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        squares = self.cut(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([squares.mean(dim=1, keepdim=True), squares], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[:, 0])


IMAGES = torch.randn(3, 3, 16, 16, generator=torch.manual_seed(0))


def test_probe_reads_means_and_deviations_and_the_first_token():
    network = Tokens().eval()
    probe = Probe(network, ["cut", "blocks.1"], Layout(num_prefix=1), 16)
    cut = network.cut(IMAGES)
    seen = {}
    network.blocks[1].register_forward_hook(lambda *a: seen.update(out=a[2]))
    network(IMAGES)
    tokens = seen["out"]
    expected = [cut.mean(dim=(2, 3)), cut.std(dim=(2, 3), correction=0)]
    places = tokens[:, 1:]
    expected += [places.mean(dim=1), places.std(dim=1, correction=0), tokens[:, 0]]
    features = probe.compute_features(IMAGES)
    torch.testing.assert_close(features, torch.cat(expected, dim=1))
    assert probe.widths == [6, 9]
    torch.testing.assert_close(probe(IMAGES), probe.head(features))
    channels_last = Probe(network, ["cut"], Layout(channels_last=True), 16)
    assert channels_last.widths == [8]  # 4 x 4 places of 3 taken for 4 channels


def test_probe_stays_frozen_runs_no_further_and_passes_gradients_to_images(tiny_net):
    network = tiny_net().train()
    runs = []
    network.norm.register_forward_hook(lambda *_: runs.append(1))
    probe = Probe(network, ["conv"], Layout(), 64).train()
    assert not network.training
    assert probe.head.training
    assert [n for n, p in probe.named_parameters() if p.requires_grad] == [
        "head.first.weight",
        "head.first.bias",
    ]
    images = torch.zeros(2, 3, 64, 64, requires_grad=True)  # deviations of 0
    probe(images).sum().backward()
    assert runs == []
    assert images.grad.isfinite().all()
    assert images.grad.any()
    assert not network.conv._forward_hooks


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("nope", "there is no layer 'nope'; choose from conv"),
        ("", "there is no layer ''"),
        ("fc", "do not all give maps or tokens"),
        ("spare", "the layer spare is not computed"),
    ],
)
def test_probe_refuses_layers_it_cannot_read(layer, reason, tiny_net, refused):
    network = tiny_net()
    network.spare = nn.Conv2d(1, 1, 1)
    with refused(reason):
        Probe(network, [layer], Layout(), 64)


def test_xceptions_blocks_are_the_same_fused_and_by_hooks():
    network = build_model("XceptionBased", from_scratch=True).eval()
    images = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    with torch.no_grad():
        fused = run_layers(network, ["block3", "block12"], images)
        network.fuse = False
        hooked = run_layers(network, ["block3", "block12"], images)
        for values, others in zip(fused, hooked, strict=True):
            torch.testing.assert_close(values, others, rtol=1e-4, atol=1e-5)
    blocks = [f"block{number}" for number in range(1, 13)]
    before = hash_start(network.state_dict())
    assert list_stages(network.train(), 64) == blocks
    assert hash_start(network.state_dict()) == before
    assert network.training


def test_list_stages_takes_blocks_or_else_convolutions():
    assert list_stages(TinyNet(), 64) == ["conv"]
    assert list_stages(Tokens(), 16) == ["blocks.0", "blocks.1"]
    layers = list_stages(get_network("timm:test_vit").build().eval(), 160)
    assert layers == [f"blocks.{number}" for number in range(len(layers))]
