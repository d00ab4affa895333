"""Which weights are trained, and how the frozen ones are found again."""

import copy
from dataclasses import replace

import pytest
import torch
from conftest import TINY
from torch import nn

from files.tensors import save_tensors
from models import get_network
from records.checkpoint import CheckpointRecord
from tuning import (
    Tuning,
    hash_start,
    keep_start,
    list_frozen,
    load_start,
    merge_low_ranks,
    select_start,
    tune,
)
from tuning.backbones import name_kept

VIT = "timm:test_vit"


def list_trained(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_tune_norms_trains_norms_and_the_head(tiny_net):
    model = tune(tiny_net(), TINY, Tuning("norms"))
    trained = {"norm.weight", "norm.bias", "fc.weight", "fc.bias"}
    assert list_trained(model) == trained
    assert list_frozen(model) == {"conv.weight", "conv.bias"}
    whole = tune(tiny_net(), TINY, Tuning())
    assert list_frozen(whole) == set()
    probe = tune(tiny_net(), TINY, Tuning("head", ("conv",)))
    assert {n for n in probe.state_dict() if n not in list_frozen(probe)} == {
        *("head.mean", "head.scale", "head.first.weight", "head.first.bias")
    }


def test_tune_keeps_what_the_network_expects_of_a_picture(tiny_net):
    model = tiny_net()
    model.preprocessing = replace(TINY.preprocessing, crop_margin=2.0)
    probe = tune(model, TINY, Tuning("head", ("conv",)))
    assert probe.preprocessing.crop_margin == 2
    with pytest.raises(ValueError, match="up to 64 layers, each once"):
        Tuning("head", ("conv", "conv"))


def test_tune_lora_starts_at_no_change_and_merges_into_the_weights():
    network = get_network(VIT)
    torch.manual_seed(0)
    model = network.build().eval()
    images = torch.randn(2, 3, *[network.preprocessing.size] * 2)
    with torch.no_grad():
        before = model(images)
        tune(model, network, Tuning("lora", rank=2))
        torch.testing.assert_close(model(images), before)
        trained = list_trained(model)
        assert {n.rsplit(".", 1)[-1] for n in trained} == {
            "down",
            "up",
            "weight",
            "bias",
        }
        assert any("attn.qkv" in name for name in trained)
        assert {n for n in trained if n.startswith("head.")} == {
            "head.weight",
            "head.bias",
        }
        for name, parameter in model.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.1)
        changed = model(images)
        assert not torch.allclose(changed, before)
        merge_low_ranks(model)
        torch.testing.assert_close(model(images), changed)
    assert model.state_dict().keys() == network.build().state_dict().keys()


@pytest.mark.parametrize(
    ("tuning", "reason"),
    [
        (Tuning("lora", rank=2), "--tune lora: the network has no linear layers but"),
        (Tuning("norms"), "--tune norms: the network has no normalisation layers"),
    ],
)
def test_tune_refuses_a_network_without_such_layers(tuning, reason, refused):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    with refused(reason):
        tune(model, TINY, tuning)


def test_start_is_found_beside_the_checkpoint_or_by_the_network(tiny_net, tmp_path):
    model = tiny_net()
    start = select_start(model, TINY)
    assert start.keys() == model.state_dict().keys()  # it names no head
    headed = replace(TINY, heads=("fc",))
    assert start.keys() - select_start(model, headed).keys() == {"fc.weight", "fc.bias"}
    sha256 = hash_start(start)
    path = keep_start(start, sha256, tmp_path)
    assert path == name_kept(tmp_path, sha256)
    assert keep_start(start, sha256, tmp_path) is None
    record = CheckpointRecord(model_name="TinyNet", backbone_sha256=sha256)
    fresh = TINY.build()
    load_start(fresh, TINY, record, tmp_path)
    assert hash_start(select_start(fresh, TINY)) == sha256

    def load(network: nn.Module, path: None) -> str:
        network.load_state_dict(model.state_dict())
        return "its own"

    findable = replace(TINY, load_weights=load)
    fresh = TINY.build()
    load_start(fresh, findable, record, tmp_path / "elsewhere")
    assert torch.equal(fresh.conv.weight, model.conv.weight)


def test_start_that_is_missing_or_another_is_refused(tiny_net, tmp_path, refused):
    model = tiny_net()
    sha256 = hash_start(select_start(model, TINY))
    record = CheckpointRecord(model_name="TinyNet", backbone_sha256=sha256)

    def fail(network: nn.Module, path: None) -> str:
        raise OSError("no weights were found")

    other = copy.deepcopy(model)
    with torch.no_grad():
        other.conv.bias[0] += 1e-6
    cases = [
        (TINY, None, "not hold its frozen weights, and .*backbone_.* is missing"),
        (replace(TINY, load_weights=fail), None, "is missing, and no weights were fou"),
        (replace(TINY, load_weights=lambda *_: "its own"), None, "those of its own"),
        (TINY, {"model": select_start(other, TINY)}, f"hash {sha256[:16]}, and those"),
        (TINY, {"model": {"conv.weight": torch.ones(1)}}, "conv.weight"),
        (TINY, {"other": 1}, "does not hold weights"),
    ]
    for network, content, reason in cases:
        if content is not None:
            save_tensors(content, name_kept(tmp_path, sha256))
        with refused(reason):
            load_start(TINY.build(), network, record, tmp_path)
