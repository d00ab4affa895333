"""Architectures, parameter counts, and one network's weights in another."""

import sys
from unittest.mock import patch

import pytest
import torch
from torch import nn

from files import imagenet_weights
from files.tensors import load_model_state
from hardware import Precision
from hardware.fused_layers import describe_kernels
from loading import PUBLISHED, SYMMETRIC
from models import (
    NETWORKS,
    MaxPool2x2,
    SimpleNet,
    SteadyLinear,
    build_model,
    build_plain_xception,
    get_network,
    get_xception_based_model,
)
from utils import get_nof_parameters


@pytest.fixture(scope="module")
def xception() -> nn.Module:
    torch.manual_seed(0)
    return get_xception_based_model(from_scratch=True).eval()


def test_simple_net_layers_have_the_published_shapes():
    model, shapes = SimpleNet(), []
    for module in model.children():
        module.register_forward_hook(
            lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:]))
        )
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 256)).shape == (1, 2)
    assert shapes == [
        *((6, 250, 250), (6, 125, 125), (16, 119, 119), (16, 59, 59)),
        *((24, 53, 53), (24, 26, 26), (1024,), (256,), (2,)),
    ]
    weights = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    expected = {
        **{"conv1": (6, 3, 7, 7), "conv2": (16, 6, 7, 7), "conv3": (24, 16, 7, 7)},
        **{"fc1": (1024, 24 * 26 * 26), "fc2": (256, 1024), "fc3": (2, 256)},
    }
    biases = {f"{name}.bias": shape[:1] for name, shape in expected.items()}
    assert weights == {f"{n}.weight": shape for n, shape in expected.items()} | biases


def test_simple_net_pooling_before_the_relu_changes_no_bit():
    torch.manual_seed(0)
    model, images = SimpleNet().bfloat16(), torch.randn(2, 3, 256, 256).bfloat16()
    model.fuse = False
    given = model(images)
    given.sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    features = images
    for layer in (model.conv1, model.conv2, model.conv3):
        features = nn.functional.max_pool2d(layer(features).relu(), 2)
    features = features.flatten(1)
    for layer in (model.fc1, model.fc2):
        features = layer(features).relu()
    logits = model.fc3(features)
    logits.sum().backward()
    assert torch.equal(given, logits)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        assert torch.equal(gradient, parameter.grad)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_simple_net_kernels_give_what_the_layers_give(name):
    precision = Precision(name)
    if describe_kernels(SimpleNet(), precision) != "the suite's own":
        pytest.skip("there are none here")
    torch.manual_seed(0)
    model, layers = SimpleNet(), SimpleNet()
    layers.load_state_dict(model.state_dict())
    layers.fuse = False
    images = torch.randn(3, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    for net, batch in ((model, images), (layers, images.contiguous())):
        with precision.autocast():
            logits = net(batch)
        logits[:, 1].sum().backward()
    rounding = {"fp32": 1e-5, "bf16": 0.01}[name]
    for one, other in zip(model.parameters(), layers.parameters(), strict=True):
        error = (one.grad - other.grad).abs().max()
        assert error <= rounding * other.grad.abs().max()
    with torch.no_grad(), precision.autocast():
        assert torch.allclose(model(images), layers(images), atol=rounding / 10)


def test_simple_net_runs_the_kernels_unless_they_are_off(monkeypatch):
    calls = []

    def note(features, conv):
        calls.append(conv.out_channels)
        return torch.nn.functional.max_pool2d(conv(features), 2)

    monkeypatch.setattr("models.fit", lambda images: True)
    monkeypatch.setattr("models.conv_pool_relu", note)
    model, images = SimpleNet(), torch.zeros(1, 3, 256, 256)
    model(images)
    assert calls == [6, 16, 24]
    model.fuse = False
    model(images)
    assert len(calls) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(8, 6), (9, 7), (2, 3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_max_pool_gives_the_same_with_and_without_gradients(dtype, size, layout):
    features = torch.randn(2, 5, *size).to(dtype).contiguous(memory_format=layout)
    features[0, 0, 0, 0] = torch.nan
    features[1, 1, 1, 1] = torch.inf
    expected = nn.functional.max_pool2d(features, 2)
    with torch.inference_mode():
        quick = MaxPool2x2()(features)
    assert torch.equal(quick.isnan(), expected.isnan())
    assert torch.equal(quick.nan_to_num(9), expected.nan_to_num(9))
    assert quick.is_contiguous(memory_format=layout)


def test_max_pool_is_pytorchs_only_with_gradients(monkeypatch):
    features = torch.tensor([[[[1.0, 3.0], [2.0, 3.0]]]], requires_grad=True)
    MaxPool2x2()(features).sum().backward()
    assert features.grad.tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]]  # the first of two
    monkeypatch.setattr(nn.MaxPool2d, "forward", lambda *_: pytest.fail("PyTorch's"))
    with torch.no_grad():
        assert MaxPool2x2()(features).tolist() == [[[[3.0]]]]


@pytest.mark.parametrize("num_rows", [1, 31, 32, 33, 70])
def test_steady_linear_gives_a_row_alone_what_it_gives_amid_others(num_rows):
    torch.manual_seed(0)
    layer, features = SteadyLinear(700, 50), torch.randn(70, 700)
    with torch.no_grad():
        expected = layer(features)
        parts = [layer(part) for part in features.split(num_rows)]
    assert torch.equal(torch.cat(parts), expected)
    product = features.double() @ layer.weight.T.double() + layer.bias
    assert torch.allclose(expected.double(), product, atol=1e-5)
    assert torch.allclose(layer(features), expected, atol=1e-5)


def test_xception_is_as_published(xception):
    plain = get_nof_parameters(build_plain_xception())
    assert (plain, get_nof_parameters(xception)) == (22_855_952, 23_128_786)
    head = list(xception.last_linear)
    assert head[0].in_features == 2048
    assert [layer.out_features for layer in head[::2]] == [1000, 256, 64, 2]
    assert all(type(module) is nn.ReLU for module in head[1::2])
    relus = [module for module in xception.modules() if isinstance(module, nn.ReLU)]
    assert len(relus) > 20
    assert not any(module.inplace for module in relus)
    seen = []
    hook = xception.conv3.register_forward_hook(
        lambda _module, _inputs, output: seen.extend([output, output.clone()])
    )
    with torch.no_grad():
        logits = xception(torch.randn(2, 3, 128, 128))
    hook.remove()
    assert logits.shape == (2, 2)
    assert logits.isfinite().all()
    assert torch.equal(*seen)  # no later layer has changed what the hook saw


def test_build_model_networks_say_what_they_expect(xception):
    for name, model, expected in (
        ("SimpleNet", build_model("SimpleNet"), PUBLISHED),
        ("XceptionBased", xception, SYMMETRIC),
    ):
        assert model.preprocessing == NETWORKS[name].preprocessing == expected
        assert model.get_submodule(NETWORKS[name].layer)


def test_get_xception_based_model_weights_file_loads_the_backbone(xception, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(xception.state_dict(), path)
    torch.manual_seed(1)
    loaded = get_xception_based_model(str(path))
    assert torch.equal(loaded.conv4.pointwise.weight, xception.conv4.pointwise.weight)
    assert torch.equal(loaded.bn4.running_var, xception.bn4.running_var)
    assert not torch.equal(loaded.last_linear[0].weight, xception.last_linear[0].weight)


def test_build_model_refuses_what_it_cannot_start_from(tmp_path, monkeypatch, refused):
    nobody = "http://127.0.0.1:9/xception-43020ad28.pth"
    monkeypatch.setattr(imagenet_weights, "URL", nobody)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for name, options, kind, reason in (
        ("XceptionBased", {}, OSError, "--weights FILE.*--from-scratch"),
        ("ResNet", {}, ValueError, "'ResNet'.*SimpleNet, Xcep"),
        ("SimpleNet", {"weights_path": tmp_path}, ValueError, "SimpleNet cannot start"),
        (
            "XceptionBased",
            {"weights_path": tmp_path, "from_scratch": True},
            ValueError,
            "without --from-scratch",
        ),
    ):
        with refused(reason, kind):
            build_model(name, **options)


def test_load_model_state_of_another_network_says_whose_it_is(xception):
    own, other = xception.state_dict(), SimpleNet().state_dict()
    backbone = {k: v for k, v in own.items() if not k.startswith("last_linear")}
    plain = {**backbone, "fc.weight": torch.zeros(1000, 2048)}
    for model, name, state, owner in (
        (SimpleNet(), "SimpleNet", own, "XceptionBased"),
        (xception, "XceptionBased", other, "SimpleNet"),
        (xception, "XceptionBased", plain, r"a plain Xception \(see --weights\)"),
    ):
        reason = f"do not fit {name} .they seem to be for {owner}"
        with pytest.raises(ValueError, match=reason):
            load_model_state(model, state, name)


def test_the_included_example_is_found_and_takes_its_size(monkeypatch):
    monkeypatch.delitem(sys.modules, "networks.resnet18_160_pixels", raising=False)
    with patch.dict(NETWORKS):
        network = get_network("ResNet18")
        model = build_model("ResNet18", from_scratch=True)
    assert (network.preprocessing.size, network.heads) == (160, ("fc",))
    assert model(torch.zeros(2, 3, 160, 160)).shape == (2, 2)
