"""FastXception is Xception, whichever way it runs."""

import copy

import pytest
import torch
from torch import nn

from hardware import kernels
from models import build_plain_xception

BF16, FP32 = torch.bfloat16, torch.float32
needs_kernels = pytest.mark.skipif(
    not kernels.are_available(BF16), reason=kernels.load_kernels(BF16)[1]
)
needs_fp32_kernels = pytest.mark.skipif(
    not kernels.are_available(FP32), reason=kernels.load_kernels(FP32)[1]
)


@pytest.fixture(scope="module")
def whole() -> nn.Module:
    """An Xception with a head of two classes, its statistics not the defaults."""
    torch.manual_seed(0)
    model = build_plain_xception()
    model.last_linear = nn.Linear(2048, 2)
    model.train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        model(torch.randn(8, 3, 64, 64))
    return model


@pytest.fixture
def model(whole: nn.Module) -> nn.Module:
    return copy.deepcopy(whole)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that are called."""
    names: list[str] = []
    run = kernels.run

    def note(name, *args):
        names.append(name)
        run(name, *args)

    monkeypatch.setattr("hardware.fused_layers.run", note)
    return names


def compute_logits(
    model: nn.Module, *, dtype: torch.dtype = BF16, size: int = 64
) -> torch.Tensor:
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype, enabled=dtype != FP32):
        return model(torch.randn(4, 3, size, size))


@pytest.mark.slow
@needs_kernels
def test_bf16_in_training_is_fused_and_no_further_from_fp32_than_the_layers(
    model, calls
):
    layers = copy.deepcopy(model)
    layers.fuse = False
    exact = copy.deepcopy(layers)
    logits = compute_logits(model)
    logits.float().square().sum().backward()
    assert calls.count("channel_moments") == 40  # each batch norm once
    assert calls.count("depthwise") == calls.count("depthwise_grad") == 34
    assert calls.count("pool") == 4
    num_calls = len(calls)
    true, rounded = compute_logits(exact, dtype=FP32), compute_logits(layers)
    true.square().sum().backward()
    assert len(calls) == num_calls
    error, usual = (logits - true).abs().max(), (rounded - true).abs().max()
    assert error <= 2 * usual + 1e-3
    for (name, buffer), other in zip(
        model.named_buffers(), layers.buffers(), strict=True
    ):
        assert torch.allclose(buffer, other, rtol=0.05, atol=0.05), name
    for name in ("last_linear.weight", "conv4.pointwise.weight", "conv4.conv1.weight"):
        one, other = (net.get_parameter(name).grad.flatten() for net in (model, exact))
        assert torch.cosine_similarity(one, other, dim=0) > 0.9, name


@pytest.mark.slow
@needs_fp32_kernels
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_fp32_is_fused_and_as_close_to_float64_as_the_layers(model, calls, training):
    model.train(training)
    layers, exact = copy.deepcopy(model), copy.deepcopy(model).double()
    layers.fuse = exact.fuse = False
    images = torch.randn(4, 3, 64, 64)
    results = []
    for net in (model, layers, exact):
        logits = net(images.to(net.last_linear.weight.dtype))
        gradients = torch.autograd.grad(logits[:, 1].sum(), net.parameters())
        results.append([logits, *net.buffers(), *gradients])
    assert calls.count("depthwise_grad") == 34
    assert calls.count("channel_moments") == (40 if training else 0)
    num_exact = 1 + len(list(model.buffers()))
    for number, (fused, plain, true) in enumerate(zip(*results, strict=True)):
        error, usual = ((tensor - true).double().norm() for tensor in (fused, plain))
        # A value that rounding brings across 0 changes gradients, in the layers too.
        allowed = 3 * usual if number < num_exact else 0.05 * true.norm()
        assert error <= allowed + 1e-5 * true.double().norm()


HOOKS = ("forward_hook", "forward_pre_hook", "full_backward_hook")


@pytest.mark.parametrize("hook", [*HOOKS, "full_backward_pre_hook"])
def test_where_a_hook_waits_the_layers_run_one_by_one(model, calls, hook):
    seen = []
    register = getattr(model.conv3, f"register_{hook}")
    register(lambda module, *given: seen.append(module))
    compute_logits(model, dtype=FP32, size=32)  # most machines have these kernels
    assert seen == [model.conv3] * hook.startswith("forward")
    assert calls == []


CHANGES = {
    "switched off": lambda model: setattr(model, "fuse", False),
    "other norm": lambda model: setattr(model, "bn3", nn.GroupNorm(4, 1536)),
    "other relu": lambda model: model.block5.rep.__setitem__(3, nn.LeakyReLU()),
    "other type": lambda model: model.bfloat16(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_network_runs_layer_by_layer(model, calls, change):
    CHANGES[change](model)
    for dtype in (BF16, FP32) if change != "other type" else (BF16,):
        assert compute_logits(model, dtype=dtype, size=32).isfinite().all()
    assert calls == []


@pytest.mark.slow
def test_without_kernels_for_the_arithmetic_it_runs_layer_by_layer(
    model, calls, monkeypatch
):
    assert compute_logits(model, dtype=torch.float16, size=32).isfinite().all()
    monkeypatch.setattr(kernels, "are_available", lambda dtype: False)
    assert compute_logits(model, size=32).isfinite().all()
    assert calls == []


@needs_kernels
def test_with_any_head_it_is_fused(model, calls):
    model.last_linear = nn.Sequential(nn.Dropout(0.1), nn.Linear(2048, 2))
    compute_logits(model)
    assert calls
