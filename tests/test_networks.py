"""Networks of one's own and of timm's: registered, found, given weights, refused."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from script_helpers import make_checkpoint
from torch import Tensor, nn

import grad_cam_analysis
import models
import networks
from files.imagenet_weights import PACKAGES, find_packaged_weights
from loading import IMAGENET
from models import NETWORKS, Layout, build_model, get_network, register
from tuning.backbones import select_start
from utils import load_checkpoint


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.conv(images).mean((2, 3)))


@pytest.fixture(autouse=True)
def own_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for files of one's own; what a test registers is forgotten."""
    folder = tmp_path / "networks"
    folder.mkdir()
    monkeypatch.setattr(models, "OWN_NETWORKS", folder)
    monkeypatch.setattr(networks, "__path__", [str(folder)])
    with patch.dict(NETWORKS):
        yield folder
    sys.modules.pop("networks.good", None)


def test_register_adds_a_network_with_its_entries():
    assert register("Mine", layer="conv")(Net) is Net

    mine = get_network("Mine")
    assert (mine.build, mine.layer, mine.preprocessing) == (Net, "conv", IMAGENET)
    assert (mine.load_weights, mine.heads, mine.layout) == (None, (), Layout())
    assert build_model("Mine").preprocessing == IMAGENET


@pytest.mark.parametrize(
    ("name", "reason"), [("SimpleNet", "is taken"), ("a/b", "must be at most 60 let")]
)
def test_register_refuses_a_name(name, reason, refused):
    with refused(f"a network's name {reason}"):
        register(name, layer="conv")


@pytest.mark.parametrize("kind", ["address", "pth", "safetensors"])
def test_registered_weights_load_all_but_the_head(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    torch.manual_seed(5)
    head = {"fc.weight": torch.rand(9, 4), "fc.bias": torch.rand(9)}  # of another task
    state, path = Net().state_dict() | head, tmp_path / f"weights.{kind}"
    save_file(state, path) if kind == "safetensors" else torch.save(state, path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    if kind == "address":
        path = path.rename(tmp_path / f"net-{digits}.pth")
    register("Mine", layer="conv", head="fc", weights=path.as_uri(), licence="MIT")(Net)

    model = build_model("Mine", weights_path=None if kind == "address" else path)

    assert torch.equal(model.conv.weight, state["conv.weight"])
    assert model.fc.weight.shape == (2, 4)
    assert get_network("Mine").licence == "MIT"
    if kind == "address":
        assert (tmp_path / "hub" / "checkpoints" / path.name).exists()


def test_weights_that_are_not_there_or_wrong_never_mean_a_random_start(
    tmp_path, monkeypatch, refused
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    nowhere = (tmp_path / "net-01234567.pth").as_uri()
    register("Mine", layer="conv", head="fc", weights=nowhere)(Net)
    register("NoAddress", layer="conv", head="fc")(Net)
    (tmp_path / "bad.safetensors").write_bytes(b"damaged")
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "other.pth")

    for name, file, reason in (
        (
            "Mine",
            None,
            "no ImageNet weights were found: give --weights FILE, or --from",
        ),
        ("NoAddress", None, "have no address: give --weights FILE, or --from-scratch"),
        ("Mine", "none.pth", "there is no weights file .*none.pth"),
        ("Mine", "bad.safetensors", "it is damaged"),
        ("Mine", "other.pth", "does not hold weights of Mine: 2 of 2 tensors missing"),
    ):
        with refused(reason, (OSError, ValueError)):
            build_model(name, weights_path=file and tmp_path / file)
    assert build_model("Mine", from_scratch=True)


def test_a_file_of_ones_own_is_found_and_one_that_fails_is_named(own_networks, refused):
    (own_networks / "good.py").write_text(
        "from models import register\nfrom torch import nn\n"
        "register('Good', layer='0')(lambda: nn.Sequential(nn.Conv2d(3, 2, 1)))\n"
    )
    (own_networks / "_helper.py").write_text("1 / 0\n")

    assert get_network("Good").layer == "0"
    (own_networks / "other.py").write_text("raise KeyError('a\\nb')\n")
    assert get_network("SimpleNet") is NETWORKS["SimpleNet"]
    with refused("networks/other.py fails: KeyError"):
        get_network("Nobody")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Nobody", "'Nobody': choose from SimpleNet, .* own, its file in networks/ is"),
        ("timm:resnet19", "no network 'resnet19' .*; timm has .*resnet18"),
        ("timm:test_vit.nobody", "no network 'test_vit.nobody' .*timm has test_vit"),
        ("timm:hf-hub:nobody/net", "it lists none of that name"),
        ("timm:", "it lists none of that name"),
    ],
)
def test_get_network_refuses_an_unknown_name_in_a_line(name, reason, refused):
    with refused(reason):
        get_network(name)


def test_get_network_without_timm_says_how_to_install_it(monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "timm", None)
    with refused("pip install -r requirements-net"):
        get_network("timm:anything")


def test_timm_networks_say_what_they_expect_and_take_weights_of_a_file(tmp_path):
    network = get_network("timm:test_resnet")
    assert (network.preprocessing.size, network.layer) == (160, "layer4")
    assert (network.heads, network.licence) == (("fc",), "apache-2.0")
    assert get_network("timm:test_vit").layout.num_prefix == 1
    state = network.build().state_dict()
    save_file(state, tmp_path / "weights.safetensors")

    model = build_model(
        "timm:test_resnet", weights_path=tmp_path / "weights.safetensors"
    )

    assert torch.equal(model.conv1[0].weight, state["conv1.0.weight"])
    assert not torch.equal(model.fc.weight, state["fc.weight"])


def test_timm_network_takes_the_weights_of_an_installed_package(tmp_path, monkeypatch):
    monkeypatch.setitem(PACKAGES, "test_resnet", "packaged_weights")
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "packaged_weights" / "models"
    folder.mkdir(parents=True)
    own = timm.create_model("test_resnet", num_classes=10).state_dict()
    plain = tmp_path / "weights.pth"
    torch.save({f"layer{n}": value for n, value in enumerate(own.values())}, plain)
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    path = plain.rename(folder / f"weights-{digest[:8]}.pth")
    network = get_network("timm:test_resnet")
    model = network.build()
    assert network.load_weights(model, None) == str(path)
    start = select_start(model, network)
    assert all(torch.equal(own[name], value) for name, value in start.items())
    path.rename(folder / "weights-00000000.pth")  # another file than its name says
    assert find_packaged_weights("test_resnet") is None
    assert find_packaged_weights("test_vit") is None


def test_timm_network_without_weights_to_be_had_is_refused(
    tmp_path, monkeypatch, refused
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with refused("no weights of timm:test_resnet were", OSError) as error:
        build_model("timm:test_resnet")
    assert "--weights FILE" in str(error.value)


def test_detector_of_timm_is_loaded_and_explained_under_a_name_for_every_system(
    faces_root, tmp_path
):
    network = get_network("timm:test_vit")
    checkpoint = make_checkpoint(
        tmp_path / "vit.pt",
        model=network.build().state_dict(),
        model_name="timm:test_vit",
        preprocessing=network.preprocessing.to_dict(),
    )
    flags = ["-cpp", checkpoint, "--image", faces_root / "test" / "fake" / "01.png"]
    flags += ["--figures-dir", tmp_path, "-m", "timm:test_vit"]

    grad_cam_analysis.main(list(map(str, flags)))

    numbers = json.loads((tmp_path / "timm-test_vit_01_grad_cam_map.json").read_text())
    assert (numbers["model"], numbers["layer"]) == ("timm:test_vit", network.layer)
    detector = load_checkpoint(checkpoint)
    assert (detector.file_name, detector.layout) == ("timm-test_vit", network.layout)


@pytest.mark.parametrize("first", [0, 1, 5])
def test_layout_puts_tokens_back_into_their_places(first):
    maps = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    tokens = maps.flatten(2).transpose(1, 2)
    others = torch.full((2, first, 3), -1.0)
    layout = Layout(first)

    assert torch.equal(layout.to_maps(torch.cat([others, tokens], dim=1)), maps)
    assert torch.equal(layout.to_maps(tokens), maps)  # before the others are added
    assert torch.equal(layout.to_maps(maps), maps)
    last = Layout(channels_last=True)
    assert torch.equal(last.to_maps(maps.permute(0, 2, 3, 1)), maps)


@pytest.mark.parametrize("activations", [torch.ones(2, 7, 3), torch.ones(2, 9), (1,)])
def test_layout_refuses_what_has_no_places(activations):
    with pytest.raises(ValueError, match="it gives a t.* which is neither a map"):
        Layout(1).to_maps(activations)
