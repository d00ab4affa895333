"""Fused steps compute what PyTorch's layers compute, and their gradients."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardware import Precision, compile_model, describe_kernels, kernels
from hardware.fused_layers import (
    conv_pool_relu,
    fit,
    norm_max_pool,
    norm_relu,
    norm_relu_depthwise,
    pointwise,
    relu_depthwise,
)

KINDS = [(torch.bfloat16, "AVX512"), (torch.float32, "AVX512"), (torch.float32, "AVX2")]
ROUNDING = {torch.bfloat16: 2**-7, torch.float32: 1e-5}  # to the largest value


@pytest.fixture(params=KINDS, ids=["bf16", "fp32", "fp32 AVX2"])
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """The features' type; the kernels are compiled for some instructions."""
    dtype, capability = request.param
    kernels.load_kernels.cache_clear()
    if capability == "AVX2" and torch.backends.cpu.get_cpu_capability() == "AVX512":
        monkeypatch.setattr(
            torch.backends.cpu, "get_cpu_capability", lambda: capability
        )
    if not kernels.are_available(dtype):
        pytest.skip(kernels.load_kernels(dtype)[1])
    yield dtype
    kernels.load_kernels.cache_clear()


# Fewer channels than a vector holds, some left over, exactly full; odd, even, tiny.
SIZES = [(2, 5, 4, 7), (3, 24, 6, 5), (2, 32, 9, 9), (4, 40, 1, 3), (2, 16, 70, 2)]


def test_fit_only_where_the_kernels_are(dtype, monkeypatch):
    images = torch.zeros(1, 3, 4, 4, dtype=dtype)
    assert fit(images)
    assert not fit(images[:0])
    assert not fit(images.double())
    assert not fit(images.to("meta"))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not fit(images)


def make_norm(channels: int, *, training: bool = True) -> nn.BatchNorm2d:
    """A batch norm none of whose values are the defaults."""
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.uniform_(-1.5, 1.5)
        norm.bias.normal_(0, 0.3)
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
    return norm.train(training)


def make_conv(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)


Step = Callable[[Tensor, nn.BatchNorm2d, nn.Conv2d], Tensor]
STEPS: dict[str, tuple[Step, Step]] = {  # by the kernels, by PyTorch's layers
    "depthwise": (
        lambda features, norm, conv: relu_depthwise(features, conv, relu=False),
        lambda features, norm, conv: conv(features),
    ),
    "relu, depthwise": (
        lambda features, norm, conv: relu_depthwise(features, conv),
        lambda features, norm, conv: conv(features.relu()),
    ),
    "norm, relu, depthwise": (
        norm_relu_depthwise,
        lambda features, norm, conv: conv(norm(features).relu()),
    ),
    "norm": (
        lambda features, norm, conv: norm_relu(features, norm, relu=False),
        lambda features, norm, conv: norm(features),
    ),
    "norm, relu": (
        lambda features, norm, conv: norm_relu(features, norm),
        lambda features, norm, conv: norm(features).relu(),
    ),
    "norm, pool": (
        lambda features, norm, conv: norm_max_pool(features, norm),
        lambda features, norm, conv: F.max_pool2d(norm(features), 3, 2, 1),
    ),
}


def run_both(
    step: str, features: Tensor, *, training: bool = True
) -> list[tuple[Tensor, list[Tensor | None], nn.BatchNorm2d]]:
    """Return outputs, gradients and norm, fused first.

    The plain layers run in float64 on the same values.
    """
    results = []
    for run, dtype in zip(STEPS[step], (features.dtype, torch.float64), strict=True):
        torch.manual_seed(1)
        norm = make_norm(features.shape[1], training=training)
        conv = make_conv(features.shape[1])
        if dtype == torch.float64:
            norm, conv = norm.double(), conv.double()
        inputs = features.to(dtype).requires_grad_()
        outputs = run(inputs, norm, conv)
        torch.manual_seed(2)
        direction = torch.randn(outputs.shape).to(features.dtype).to(dtype)
        leaves = [inputs, norm.weight, norm.bias, conv.weight]
        gradients = torch.autograd.grad(outputs, leaves, direction, allow_unused=True)
        results.append((outputs, gradients, norm))
    return results


def assert_close(
    actual: Tensor | None, expected: Tensor | None, dtype: torch.dtype
) -> None:
    """Agree to the rounding of the largest value."""
    assert (actual is None) == (expected is None)
    if expected is not None:
        assert actual.shape == expected.shape
        largest = expected.abs().max().item()
        error = (actual.double() - expected).abs().max().item()
        assert error <= ROUNDING[dtype] * max(largest, 1e-3)


@pytest.mark.parametrize("training", [True, False], ids=["batch", "running"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_fused_steps_equal_the_layers(size, step, training, dtype):
    torch.manual_seed(0)
    features = (torch.randn(size) + torch.linspace(-2, 2, size[1])[:, None, None]) * 1.5
    features = features.to(dtype)
    fused, plain = run_both(step, features, training=training)
    assert fused[0].dtype == dtype
    assert_close(fused[0], plain[0], dtype)
    for actual, expected in zip(fused[1], plain[1], strict=True):
        assert_close(actual, expected, dtype)
    for name, expected in plain[2].named_buffers():
        actual = fused[2].get_buffer(name).double()
        assert torch.allclose(actual, expected.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("step", STEPS)
def test_fused_steps_repeated_give_the_same_bits_and_two_threads_the_same_values(
    step, dtype
):
    torch.manual_seed(0)
    features = torch.randn(8, 24, 64, 6).to(dtype)
    first, second = (run_both(step, features)[0] for _ in range(2))
    try:
        torch.set_num_threads(2)
        parallel = run_both(step, features)[0]
    finally:
        torch.set_num_threads(1)
    lists = [
        (outputs, *gradients) for outputs, gradients, _ in (first, second, parallel)
    ]
    for one, same, other in zip(*lists, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert torch.equal(one, same)
            assert_close(one, other.double(), dtype)


def test_norm_a_constant_far_from_zero_has_no_variance(dtype):
    norm = nn.BatchNorm2d(20)
    features = torch.full((4, 20, 8, 8), 1000.0).to(dtype)
    outputs = norm_relu(features, norm, relu=False)
    assert outputs.abs().max() < 0.01
    assert torch.allclose(norm.running_var, torch.tensor(0.9))


def test_norm_without_momentum_averages_all_batches(dtype):
    norm = nn.BatchNorm2d(3, momentum=None)
    for value in (1.0, 2.0, 6.0):
        norm_relu(torch.full((2, 3, 2, 2), value).to(dtype), norm)
    assert torch.allclose(norm.running_mean, torch.tensor(3.0))
    assert norm.num_batches_tracked == 3


@pytest.mark.parametrize("step", STEPS)
def test_fused_steps_nan_stays_nan_in_any_memory_format(step, dtype):
    features = torch.zeros(2, 17, 5, 4).to(dtype)
    features[0, 16, 2, 2] = torch.nan
    expected = run_both(step, features, training=False)[0][0]
    assert expected[0, 16].isnan().any()
    assert not expected[:, :16].isnan().any()
    for given in (
        features.contiguous(memory_format=torch.channels_last),
        features.transpose(2, 3).contiguous().transpose(2, 3),
    ):
        outputs = run_both(step, given, training=False)[0][0]
        assert torch.equal(outputs.nan_to_num(7), expected.nan_to_num(7))


def test_norm_max_pool_ties_give_the_gradient_to_the_first(dtype):
    norm = nn.BatchNorm2d(1, affine=True).eval()
    features = torch.ones(1, 1, 3, 3).to(dtype).requires_grad_()
    norm_max_pool(features, norm).sum().backward()
    expected = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert torch.allclose(features.grad[0, 0].float(), expected, atol=0.01)


def test_relu_depthwise_a_value_of_zero_has_no_gradient(dtype):
    features = torch.zeros(1, 4, 3, 3).to(dtype).requires_grad_()
    relu_depthwise(features, make_conv(4)).sum().backward()
    assert features.grad.abs().max() == 0


def test_norm_statistics_that_change_before_the_backward_pass_do_no_harm(dtype):
    norm = make_norm(4).eval()
    features = torch.randn(2, 4, 3, 3).to(dtype).requires_grad_()
    outputs = norm_relu(features, norm, relu=False)
    norm.running_mean.fill_(100)
    outputs.sum().backward()
    deviation = (norm.running_var + norm.eps).sqrt()
    expected = (norm.weight / deviation)[:, None, None].expand(4, 3, 3)
    assert torch.allclose(features.grad[0].float(), expected, rtol=0.01)


DEPTHWISE = {"kernel_size": 3, "padding": 1, "groups": 4, "bias": False}


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": 1},
        {"out_channels": 8},
        {"kernel_size": 5, "padding": 2},
        {"stride": 2},
        {"bias": True},
        {"padding_mode": "reflect"},
    ],
    ids=str,
)
def test_other_convolutions_are_refused(changes):
    conv = nn.Conv2d(4, **{"out_channels": 4, **DEPTHWISE, **changes})
    with pytest.raises(ValueError, match="expected a depthwise 3 x 3"):
        relu_depthwise(torch.zeros(1, 4, 3, 3), conv)


@pytest.mark.parametrize(
    "options", [{"stride": 2, "bias": False}, {"bias": True}], ids=str
)
def test_pointwise_other_convolutions_are_refused(options):
    with pytest.raises(ValueError, match="expected a 1 x 1 convolution"):
        pointwise(torch.zeros(1, 4, 3, 3), nn.Conv2d(4, 4, 1, **options))


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(4).double(), nn.BatchNorm2d(2), nn.BatchNorm2d(4, affine=False)],
    ids=["fp64", "channels", "affine"],
)
def test_other_norms_are_refused(norm):
    features = torch.zeros(2, 4, 3, 3)
    for step in (
        lambda: norm_relu(features, norm.eval()),
        lambda: norm_max_pool(features, norm),
        lambda: norm_relu_depthwise(features, norm, make_conv(4)),
    ):
        with pytest.raises(ValueError, match="expected a float32 norm"):
            step()


@pytest.mark.parametrize("size", [(0, 4, 3, 3), (1, 4, 1, 1)], ids=str)
def test_norm_nothing_to_measure_is_refused(size):
    with pytest.raises(ValueError, match="too few values in a channel"):
        norm_relu(torch.zeros(size), nn.BatchNorm2d(4))
    if size[0]:
        assert norm_relu(torch.zeros(size), nn.BatchNorm2d(4).eval()).shape == size


def test_pointwise_equals_the_convolution_and_its_gradients(dtype):
    torch.manual_seed(0)
    conv = nn.Conv2d(24, 40, 1, bias=False)
    features = torch.randn(2, 24, 5, 3).to(dtype)
    results = []
    exact = copy.deepcopy(conv).double()
    for run, layer, inputs in (
        (pointwise, conv, features.clone()),
        (F.conv2d, exact, features.double()),
    ):
        inputs.requires_grad_()
        outputs = run(inputs, layer if run is pointwise else layer.weight)
        direction = torch.linspace(-1, 1, outputs.numel()).view(outputs.shape)
        direction = direction.to(dtype).to(outputs.dtype)
        leaves = [inputs, layer.weight]
        results.append([outputs, *torch.autograd.grad(outputs, leaves, direction)])
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected, dtype)


def test_pointwise_many_pixels_are_left_to_the_layer(monkeypatch, dtype):
    monkeypatch.setattr("hardware.fused_layers._Pointwise", None)
    conv = nn.Conv2d(1, 2, 1, bias=False).to(dtype)
    features = torch.ones(1, 1, 65, 64).to(dtype)
    assert torch.equal(pointwise(features, conv), conv(features))


# Few channels are computed four at a time; odd rows and columns fall out of windows.
@pytest.mark.parametrize("channels", [1, 6, 8, 9, 24])
@pytest.mark.parametrize("size", [(8, 8), (9, 11), (4, 5)], ids=str)
def test_conv_pool_relu_equals_the_layers_with_all_ties(channels, size, dtype):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, channels, 3)
    with torch.no_grad():  # small whole numbers: every sum is exact, and many are equal
        for parameter in conv.parameters():
            parameter.copy_(torch.randint(-2, 3, parameter.shape))
    images = torch.randint(-3, 4, (2, 3, *size)).to(dtype)
    conv.to(dtype)
    results = []
    for step in (conv_pool_relu, lambda x, conv: F.max_pool2d(conv(x), 2).relu()):
        inputs = images.clone().requires_grad_()
        outputs = step(inputs, conv)
        direction = torch.arange(outputs.numel()).view(outputs.shape) % 5 - 2
        leaves = [inputs, conv.weight, conv.bias]
        gradients = torch.autograd.grad(outputs, leaves, direction.to(dtype))
        with torch.no_grad():
            assert torch.equal(step(inputs, conv), outputs)
        results.append([outputs, *gradients])
    for actual, expected in zip(*results, strict=True):
        assert torch.equal(actual, expected)


def test_conv_pool_relu_nan_stays_nan(dtype):
    conv = nn.Conv2d(1, 17, 1).to(dtype)
    images = torch.zeros(1, 1, 2, 4).to(dtype)
    images[0, 0, 1, 2] = torch.nan
    outputs = conv_pool_relu(images, conv)
    assert outputs[..., 1].isnan().all()
    assert not outputs[..., 0].isnan().any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # 2.10's own
def test_describe_kernels_only_of_networks_that_fuse_on_a_cpu_uncompiled():
    model = nn.Linear(1, 1)
    assert describe_kernels(model, Precision("fp32")) is None
    model.fuse = True
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        library, reason = kernels.load_kernels(dtype)
        expected = "the suite's own" if library else f"PyTorch's ({reason})"
        assert describe_kernels(model, Precision(name)) == expected
    assert describe_kernels(model, Precision("bf16", torch.device("cuda"))) is None
    compile_model(model, torch.device("cpu"))
    assert describe_kernels(model, Precision("bf16")) is None
