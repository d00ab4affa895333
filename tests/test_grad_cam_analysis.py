"""Grad-CAM maps against known answers, and the script that draws them."""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from map_models import SMALL, Normed, OneConvolution, make_images, make_small_checkpoint
from script_helpers import make_checkpoint
from torch import Tensor, nn

import grad_cam_analysis
from explaining.cams import (
    METHODS,
    build_cam_method,
    compute_grad_cam_maps,
    suggest_layers,
)
from files.classes import FAKE, REAL
from grad_cam_analysis import get_grad_cam_visualization
from judging.detector import Detector, as_detector
from models import Layout, build_model

pytestmark = pytest.mark.usefixtures("small_simple_net")
# Two feature maps and an idle channel.
IMAGE = torch.tensor(
    [[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 4.0], [0.0, 0.0]], [[9.0, 9.0], [9.0, 9.0]]]]
)


@pytest.mark.parametrize("method", METHODS)
def test_cams_of_one_convolution_equal_the_sum_by_hand(method):
    model = OneConvolution().requires_grad_(False)
    images = (
        IMAGE + 1e-6
    )  # where the ReLU cuts, its gradient is 0: here it cuts nowhere

    real, fake = (
        compute_grad_cam_maps(images, [label], model, method=method)[0]
        for label in (REAL, FAKE)
    )

    # alpha = (1, 0) / 4: the first feature map, its range stretched to [0, 1]
    expected = torch.tensor([[0, 1 / 3], [2 / 3, 1]])
    torch.testing.assert_close(real, expected, rtol=0, atol=1e-5)
    # alpha = (-1, 2) / 4: -1, -2 + 8, -3, -4, of which only the 6 is positive; LayerCAM
    # drops negative gradients, which leaves 2 / 4 of the second
    expected = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(fake, expected, rtol=0, atol=1e-4)


def test_grad_cam_with_an_in_place_relu_reads_the_activations_before_it():
    images = make_images(4)  # negative activations, which the ReLU overwrites

    maps = compute_grad_cam_maps(images, [0, 1, 0, 1], OneConvolution(in_place=True))

    expected = compute_grad_cam_maps(images, [0, 1, 0, 1], OneConvolution())
    assert torch.equal(maps, expected)


def test_grad_cam_of_another_layer_is_of_the_images_size_and_empty_if_it_is_dead():
    images = make_images(2, 6)

    maps = compute_grad_cam_maps(images, [0, 1], Normed(), layer="relu")
    dead = compute_grad_cam_maps(-images.abs(), [0, 1], OneConvolution())

    assert maps.shape == (2, 6, 6)
    assert not torch.equal(maps, compute_grad_cam_maps(images, [0, 1], Normed()))
    assert 0 <= maps.min() < maps.max() <= 1
    assert not dead.any()


@pytest.mark.slow
def test_build_cam_method_names_another_layer_and_refuses_one_that_is_not_there():
    detector = as_detector(build_model("SimpleNet"))

    assert build_cam_method(detector).name == "grad_cam"
    other = build_cam_method(detector, method="grad-cam++", layer="conv1")
    assert (other.name, other.title) == ("grad_cam++_conv1", "Grad-CAM++ at conv1")
    with pytest.raises(ValueError, match="choose from conv1, conv2, conv3$"):
        build_cam_method(detector, layer="fc9")
    xception = as_detector(build_model("XceptionBased", from_scratch=True))
    assert (
        build_cam_method(xception, layer="block12.rep").name == "grad_cam_block12.rep"
    )
    blocks = [f"block{number}" for number in range(1, 13)]
    assert suggest_layers(xception) == ["conv1", "conv2", *blocks, "conv3", "conv4"]
    tuned = nn.ModuleDict({"backbone": xception.network, "head": nn.Linear(2, 2)})
    assert "backbone.block8" in suggest_layers(as_detector(tuned))
    tokens = Detector(Tokens(), layer="blocks.1.norm")
    assert suggest_layers(tokens) == ["blocks.0.norm", "blocks.1.norm"]


class Tokens(nn.Module):
    """Two tokens before those of four squares, which a hidden layer lets through."""

    def __init__(self) -> None:
        super().__init__()
        norms = (OrderedDict(norm=nn.Identity()) for _ in range(2))
        self.blocks = nn.Sequential(*map(nn.Sequential, norms))
        self.pair, self.idle = Pair(), nn.Identity()
        self.fc = nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.flatten(2).transpose(1, 2)
        tokens = self.blocks(torch.cat([9 * tokens[:, :2], tokens], dim=1))
        tokens += 0  # in place, as residual networks add
        return self.fc(self.pair(tokens)[0].mean(1))


class Pair(nn.Module):
    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return tokens, tokens


def test_grad_cam_of_a_transformer_leaves_out_the_tokens_before_the_squares():
    network = Tokens()
    with torch.no_grad():
        network.fc.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [-1.0, 2.0, 0.0]]))
    detector = Detector(network, layer="blocks.1.norm", layout=Layout(num_prefix=2))

    maps = compute_grad_cam_maps(IMAGE + 1e-6, [REAL], detector)

    expected = torch.tensor([[[0, 1 / 3], [2 / 3, 1]]])
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5)
    for layer, reason in (
        ("fc", r"layer fc has no places to map: it gives a tensor \(1, 2\), which is"),
        ("idle", "no score depends on what layer idle gives"),
        ("pair", "layer pair has no places to map: it gives a tuple"),
    ):
        with pytest.raises(ValueError, match=reason):
            compute_grad_cam_maps(IMAGE, [REAL], detector, layer=layer)


@pytest.fixture
def samples() -> list[tuple[Tensor, int]]:
    images = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.manual_seed(1))
    return list(zip(images.byte(), [0, 0, 0, 1, 1, 1], strict=True))


@pytest.fixture
def model() -> OneConvolution:
    model = OneConvolution()
    model.preprocessing = SMALL
    return model


def test_grad_cam_visualization_follows_the_seed_for_bytes_and_floats(samples, model):
    floats = [(SMALL.normalise(s[None])[0], label) for s, label in samples]

    def draw(data: list, seed: int) -> list[tuple[np.ndarray, int]]:
        given = {"generator": torch.Generator().manual_seed(seed)}
        return [get_grad_cam_visualization(data, model, **given) for _ in range(12)]

    first, again = draw(samples, 5), draw(floats, 5)

    for (picture, label), (same_picture, same_label) in zip(first, again, strict=True):
        assert (picture.shape, picture.dtype) == ((8, 8, 3), np.uint8)
        assert label == same_label
        assert np.abs(picture.astype(int) - same_picture).max() <= 1
    assert {label for _, label in first} == {REAL, FAKE}


def test_grad_cam_visualization_explains_what_is_asked(samples, model):
    how = {"layer": "conv3", "method": "layer-cam"}

    found = get_grad_cam_visualization(
        samples, model, index=1, target_class=FAKE, **how
    )
    plain = get_grad_cam_visualization(samples, model, index=4)

    assert (found.label, found.target) == (REAL, FAKE)
    assert (plain.label, plain.target) == (FAKE, FAKE)
    (expected,) = compute_grad_cam_maps(samples[1][0][None], [FAKE], model, **how)
    assert np.array_equal(found.maps[0], expected)


def make_flags(checkpoint: Path, figures: Path, *more: object) -> list[str]:
    return ["-cp", str(checkpoint), "--figures-dir", str(figures), *map(str, more)]


@pytest.mark.slow
def test_main_draws_a_network_of_another_size_at_its_own_layer(
    faces_root, tmp_path, capsys, monkeypatch
):
    small = make_small_checkpoint(tmp_path / "a.pt", monkeypatch)
    start = f"{tmp_path}/figures/faces_Small"
    flags = make_flags(small, tmp_path / "figures", "--data-root", faces_root.parent)

    grad_cam_analysis.main(
        [*flags, "-d", "faces", "--whole-set", "--checks", "4", "-b3"]
    )

    words = "Real_Image_grad_cam", "Fake_Image_grad_cam", "mean_grad_cam_maps"
    written = [
        f"wrote {start}_{w}.{ending}" for w in words for ending in ("png", "json")
    ]
    lines = capsys.readouterr().out.splitlines()
    expected = [f"checkpoint: {small}", *written, f"wrote {start}_{words[2]}.npy"]
    assert lines[:8] == expected
    assert not any(line.startswith("mask:") for line in lines)
    for label, word in enumerate(words[:2]):
        numbers = json.loads(Path(f"{start}_{word}.json").read_text())
        assert (numbers["method"], numbers["layer"]) == ("grad-cam", "body")
        assert len(numbers["samples"]) == 2 + label
        for sample in numbers["samples"]:
            assert sample["label"] == sample["explained_class"] == label
            assert Path(sample["path"]).parent.name == ("real", "fake")[label]
            assert sample["map"]["max"] in (0, pytest.approx(1, abs=1e-3))
    mean_maps = np.load(f"{start}_mean_grad_cam_maps.npy")
    assert mean_maps.shape == (2, 64, 64)
    assert 0 <= mean_maps.min() < mean_maps.max() <= 1
    checks = json.loads(Path(f"{start}_grad_cam_checks.json").read_text())
    assert checks["randomisation"]["layers"] == ["head", "body"]
    assert checks["mask"] is None


def test_main_with_image_draws_another_method_layer_and_class(faces_root, tmp_path):
    image, figures = faces_root / "test" / "fake" / "01.png", tmp_path / "figures"
    checkpoint = make_checkpoint(tmp_path / "net.pt")
    flags = make_flags(checkpoint, figures, "--image", image, "--class", "real")
    with pytest.raises(
        ValueError, match="no layer 'conv9' to explain; choose from con"
    ):
        grad_cam_analysis.main([*flags, "--layer", "conv9"])
    assert not figures.exists()

    grad_cam_analysis.main([*flags, "--method", "layer-cam", "--layer", "conv2"])

    start = f"{figures}/SimpleNet_01_layer_cam_conv2_map"
    assert Path(f"{start}.png").exists()
    numbers = json.loads(Path(f"{start}.json").read_text())
    assert (numbers["path"], numbers["explained_class"]) == (str(image), REAL)
    assert (numbers["method"], numbers["layer"]) == ("layer-cam", "conv2")
