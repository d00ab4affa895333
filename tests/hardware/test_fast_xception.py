"""FastXception is Xception, whichever way it runs."""

import copy

import pytest
import torch
from torch import nn

from hardware import kernels
from hardware.device import Precision
from models import build_plain_xception

BF16, FP32 = torch.bfloat16, torch.float32
needs_kernels = pytest.mark.skipif(
    not kernels.are_available(BF16), reason=kernels.describe_kernels(BF16)
)
needs_fp32_kernels = pytest.mark.skipif(
    not kernels.are_available(FP32), reason=kernels.describe_kernels(FP32)
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


def compute_logits(model: nn.Module, *, dtype: torch.dtype = BF16) -> torch.Tensor:
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype, enabled=dtype != FP32):
        return model(torch.randn(4, 3, 64, 64))


@needs_kernels
def test_forward_bf16_in_training_is_fused_and_equals_the_layers(model, calls):
    layers = copy.deepcopy(model)
    layers.fuse = False
    logits = compute_logits(model)
    assert calls.count("channel_moments") == 40  # each batch norm once
    assert calls.count("depthwise") == 34
    assert calls.count("pool") == 4
    called = len(calls)
    exact = compute_logits(copy.deepcopy(layers), dtype=FP32)
    assert len(calls) == called
    rounded = compute_logits(layers)
    assert len(calls) == called
    # No further from float32 than the layers' own rounding.
    error, usual = (logits - exact).abs().max(), (rounded - exact).abs().max()
    assert error <= 2 * usual + 1e-3
    for (name, buffer), other in zip(
        model.named_buffers(), layers.buffers(), strict=True
    ):
        assert torch.allclose(buffer, other, rtol=0.05, atol=0.05), name


@needs_kernels
def test_backward_bf16_gradients_point_where_float32s_do(model, calls):
    exact = copy.deepcopy(model)
    exact.fuse = False
    for net, dtype in ((model, BF16), (exact, FP32)):
        logits = compute_logits(net, dtype=dtype)
        nn.functional.cross_entropy(
            logits.float(), torch.tensor([0, 1, 1, 0])
        ).backward()
    for name in ("last_linear.weight", "conv4.pointwise.weight", "conv4.conv1.weight"):
        one, other = (net.get_parameter(name).grad.flatten() for net in (model, exact))
        assert torch.cosine_similarity(one, other, dim=0) > 0.9, name
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert calls.count("depthwise_grad") == 34


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
    num_exact = 1 + len(list(model.buffers()))
    for number, (fused, plain, true) in enumerate(zip(*results, strict=True)):
        error, usual = ((tensor - true).double().norm() for tensor in (fused, plain))
        # A value that rounding brings across 0 changes gradients, in the layers too.
        allowed = 3 * usual if number < num_exact else 0.05 * true.norm()
        assert error <= allowed + 1e-5 * true.double().norm()


@needs_kernels
def test_forward_bf16_in_evaluation_uses_and_keeps_the_running_statistics(model, calls):
    model.eval()
    before = [buffer.clone() for buffer in model.buffers()]
    with torch.no_grad():
        logits = compute_logits(model)
        assert "channel_moments" not in calls
        model.fuse = False
        assert torch.allclose(logits, compute_logits(model), rtol=0.05, atol=0.05)
    assert all(
        torch.equal(one, other)
        for one, other in zip(before, model.buffers(), strict=True)
    )


def test_forward_a_hook_gets_its_layers_output(model, calls):
    seen = []
    model.conv3.register_forward_hook(lambda *args: seen.append(args[-1].shape))
    compute_logits(model)
    assert seen == [(4, 1536, 2, 2)]
    assert calls == []


@needs_kernels
@pytest.mark.parametrize("register", ["full_backward_hook", "full_backward_pre_hook"])
def test_backward_a_hook_is_called(model, calls, register):
    seen = []
    hook = getattr(model.conv3, f"register_{register}")
    hook(lambda module, *gradients: seen.append(module))
    compute_logits(model).sum().backward()
    assert seen == [model.conv3]
    assert calls == []


CHANGES = {
    "switched off": lambda model: setattr(model, "fuse", False),
    "no norm": lambda model: setattr(model, "bn1", nn.Identity()),
    "other norm": lambda model: setattr(model, "bn3", nn.GroupNorm(4, 1536)),
    "other relu": lambda model: model.block5.rep.__setitem__(3, nn.LeakyReLU()),
    "other type": lambda model: model.bfloat16(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_forward_otherwise_runs_layer_by_layer(model, calls, change):
    CHANGES[change](model)
    for dtype in (BF16, FP32) if change != "other type" else (BF16,):
        assert compute_logits(model, dtype=dtype).isfinite().all()
    assert calls == []


def test_forward_in_other_arithmetic_runs_layer_by_layer(model, calls):
    assert compute_logits(model, dtype=torch.float16).isfinite().all()
    assert calls == []


def test_forward_without_kernels_runs_layer_by_layer(model, calls, monkeypatch):
    monkeypatch.setattr(kernels, "are_available", lambda dtype: False)
    assert compute_logits(model).isfinite().all()
    assert calls == []


@needs_kernels
def test_forward_any_head_is_fused(model, calls):
    model.last_linear = nn.Sequential(nn.Dropout(0.1), nn.Linear(2048, 2))
    compute_logits(model)
    assert calls


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # 2.10's own
def test_describe_kernels_only_on_a_cpu_and_not_compiled(model):
    for name, dtype in (("bf16", BF16), ("fp32", FP32)):
        described = model.describe_kernels(Precision(name))
        assert described == kernels.describe_kernels(dtype)
    assert model.describe_kernels(Precision("bf16", torch.device("cuda"))) is None
    model.compile()
    assert model.describe_kernels(Precision("bf16")) is None
