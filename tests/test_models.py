"""Architectures, parameter counts, and one model's weights in the other."""

import pytest
import torch
from torch import nn

from files import imagenet_weights
from files.names import MODEL_NAMES
from files.tensors import load_model_state
from hardware import Precision
from loading.preprocessing import PUBLISHED, SYMMETRIC
from models import (
    MaxPool2x2,
    SimpleNet,
    SteadyLinear,
    build_model,
    build_plain_xception,
    get_xception_based_model,
)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 300
    return message


def spelt_fc(state):
    return {name.replace("last_linear", "fc"): value for name, value in state.items()}


def spelt_module(state):
    return {f"module.{name}": value for name, value in state.items()}


@pytest.fixture(scope="module")
def xception() -> nn.Module:
    torch.manual_seed(0)
    return build_model("XceptionBased", from_scratch=True).eval()


def test_simple_net_forward_layer_shapes_as_published():
    model = SimpleNet()
    shapes = []
    for name, module in model.named_children():
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: shapes.append(
                (name, tuple(output.shape[1:]))
            )
        )
    with torch.no_grad():
        logits = model(torch.zeros(1, 3, 256, 256))
    assert logits.shape == (1, 2)
    assert shapes == [
        ("conv1", (6, 250, 250)),
        ("pool", (6, 125, 125)),
        ("conv2", (16, 119, 119)),
        ("pool", (16, 59, 59)),
        ("conv3", (24, 53, 53)),
        ("pool", (24, 26, 26)),
        ("fc1", (1024,)),
        ("fc2", (256,)),
        ("fc3", (2,)),
    ]


def test_simple_net_parameters_match_hand_count_and_names():
    shapes = {name: tuple(p.shape) for name, p in SimpleNet().state_dict().items()}
    expected = {
        "conv1": (6, 3, 7, 7),
        "conv2": (16, 6, 7, 7),
        "conv3": (24, 16, 7, 7),
        "fc1": (1024, 24 * 26 * 26),
        "fc2": (256, 1024),
        "fc3": (2, 256),
    }
    assert shapes == {
        f"{name}.{kind}": shape if kind == "weight" else shape[:1]
        for name, shape in expected.items()
        for kind in ("weight", "bias")
    }


def test_simple_net_memory_format_does_not_change_logits():
    torch.manual_seed(0)
    model, images = SimpleNet(), torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        plain = model(images)
        other = model(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(plain, other, rtol=1e-4, atol=1e-5)


def test_simple_net_forward_is_not_linear_in_its_input():
    torch.manual_seed(0)  # each ReLU counts: replay the layers by hand
    model, images = SimpleNet(), torch.randn(1, 3, 256, 256)
    layers = [model.conv1, model.conv2, model.conv3]
    with torch.no_grad():
        features = images
        for layer in layers:
            features = nn.functional.max_pool2d(layer(features).clamp(min=0), 2)
        features = features.reshape(1, -1)
        for layer in (model.fc1, model.fc2):
            features = layer(features).clamp(min=0)
        torch.testing.assert_close(model(images), model.fc3(features))


def test_simple_net_pooling_before_the_relu_changes_no_bit():
    torch.manual_seed(0)
    model, images = SimpleNet().bfloat16(), torch.randn(2, 3, 256, 256).bfloat16()
    model.fuse = False
    model(images).sum().backward()
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
    assert torch.equal(model(images), logits)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        assert torch.equal(gradient, parameter.grad)


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_simple_net_kernels_give_what_the_layers_give(name):
    precision = Precision(name)
    if SimpleNet().describe_kernels(precision) != "the suite's own":
        pytest.skip("there are none here")
    torch.manual_seed(0)
    model, layers = SimpleNet(), SimpleNet()
    layers.load_state_dict(model.state_dict())
    layers.fuse = False
    images = torch.randn(3, 3, 256, 256)
    for net in (model, layers):
        with precision.autocast():
            logits = net(images)
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


def test_simple_net_a_hook_gets_its_layers_output():
    model, seen = SimpleNet(), []
    model.pool.register_forward_hook(lambda *args: seen.append(args[-1].shape[1]))
    model(torch.zeros(1, 3, 256, 256))
    assert seen == [6, 16, 24]


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


def test_max_pool_without_gradients_is_not_pytorchs(monkeypatch):
    def refuse(*_) -> None:
        raise AssertionError("PyTorch's pooling was called")

    monkeypatch.setattr(nn.MaxPool2d, "forward", refuse)
    with torch.no_grad():
        assert MaxPool2x2()(torch.ones(1, 1, 2, 2)).tolist() == [[[[1.0]]]]
    with pytest.raises(AssertionError, match="was called"):
        MaxPool2x2()(torch.ones(1, 1, 2, 2))


def test_max_pool_with_gradients_passes_them_to_the_maxima():
    features = torch.tensor([[[[1.0, 3.0], [2.0, 3.0]]]], requires_grad=True)
    MaxPool2x2()(features).sum().backward()
    assert features.grad.tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]]  # the first of two


def test_xception_parameter_counts_are_exact(xception):
    plain = count(build_plain_xception())
    assert plain == 22_855_952
    assert count(xception) == 23_128_786
    assert count(xception) - plain == 272_834


def test_xception_head_is_the_published_mlp(xception):
    head = list(xception.last_linear)
    assert [(m.in_features, m.out_features) for m in head[::2]] == [
        (2048, 1000),
        (1000, 256),
        (256, 64),
        (64, 2),
    ]
    assert all(type(module) is nn.ReLU for module in head[1::2])
    assert len(head) == 7


def test_xception_relus_none_in_place(xception):
    relus = [module for module in xception.modules() if isinstance(module, nn.ReLU)]
    assert len(relus) > 20
    assert not any(module.inplace for module in relus)


def test_xception_forward_leaves_hooked_conv3_as_it_was(xception):
    seen = []
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output: seen.extend([output, output.clone()])
        )
        for module in (xception.conv3, xception.bn3)
    ]
    with torch.no_grad():
        logits = xception(torch.randn(2, 3, 128, 128))
    for hook in hooks:
        hook.remove()
    assert logits.shape == (2, 2)
    assert torch.isfinite(logits).all()
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[2], seen[3])


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_build_model_carries_its_name_and_has_the_layer_of_grad_cam(name, xception):
    model = xception if name == "XceptionBased" else build_model(name)
    assert model.name == name
    assert model.preprocessing == (SYMMETRIC if model is xception else PUBLISHED)
    assert isinstance(model.get_submodule("conv3"), nn.Module)


def test_xception_from_scratch_says_so(xception):
    assert "random start" in xception.weights_source


def test_get_xception_based_model_weights_file_loads_the_backbone(xception, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(xception.state_dict(), path)
    torch.manual_seed(1)
    loaded = get_xception_based_model(str(path))
    assert loaded.weights_source.startswith(
        f"ImageNet weights: 274 tensors from {path}"
    )
    assert "left out" in loaded.weights_source
    assert torch.equal(loaded.conv4.pointwise.weight, xception.conv4.pointwise.weight)
    assert torch.equal(loaded.bn4.running_var, xception.bn4.running_var)
    assert not torch.equal(loaded.last_linear[0].weight, xception.last_linear[0].weight)


def test_get_xception_based_model_no_weights_never_starts_at_random(
    tmp_path, monkeypatch
):
    nobody = "http://127.0.0.1:9/xception-43020ad28.pth"
    monkeypatch.setattr(imagenet_weights, "URL", nobody)
    with pytest.raises(OSError, match=r"--weights FILE.*--from-scratch") as error:
        get_xception_based_model(cache_dir=tmp_path)
    one_line(error)


def test_build_model_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'ResNet'.*SimpleNet, Xcep") as error:
        build_model("ResNet")
    one_line(error)


def test_build_model_contradicting_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match="SimpleNet has no ImageNet weights") as error:
        build_model("SimpleNet", weights_path=tmp_path)
    one_line(error)
    with pytest.raises(ValueError, match="exclude each other") as error:
        build_model("XceptionBased", weights_path=tmp_path, from_scratch=True)
    one_line(error)


@pytest.mark.parametrize("spell", [dict, spelt_fc, spelt_module])
def test_load_model_state_other_models_weights_are_recognised(spell, xception):
    with pytest.raises(ValueError, match="are for XceptionBased, not SimpleNet"):
        load_model_state(SimpleNet(), spell(xception.state_dict()))
    with pytest.raises(ValueError, match="are for SimpleNet, not XceptionBased"):
        load_model_state(xception, spell(SimpleNet().state_dict()))


def test_load_model_state_imagenet_weights_are_no_checkpoint(xception):
    state = xception.state_dict()
    backbone = {k: v for k, v in state.items() if not k.startswith("last_linear")}
    backbone["fc.weight"] = torch.zeros(1000, 2048)
    with pytest.raises(ValueError, match=r"plain ImageNet Xception \(see --weights\)"):
        load_model_state(xception, backbone)


def test_load_model_state_xception_round_trip_gives_the_same_logits(xception):
    other = build_model("XceptionBased", from_scratch=True).eval()
    load_model_state(other, spelt_fc(xception.state_dict()))
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(other(images), xception(images))


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


def test_steady_linear_has_the_gradients_of_a_linear_layer():
    torch.manual_seed(0)
    steady, features = SteadyLinear(7, 3), torch.randn(5, 7)
    plain = nn.Linear(7, 3)
    plain.load_state_dict(steady.state_dict())
    for layer in (steady, plain):
        layer(features).square().sum().backward()
    assert torch.equal(steady.weight.grad, plain.weight.grad)
