"""Batch norm, ReLU, depthwise convolution and max-pooling, fused for CPUs.

The steps between two matrix products are bound by memory: each function here reads and
writes the features once, where PyTorch's layers do so for every step. The steps between
are not rounded to bfloat16, so the gradients are slightly more exact, too.

All functions take and return features (N, C, H, W) on the CPU, float32 or bfloat16,
channels-last (others are converted), and need the kernels: ask `fit` first. Only first
derivatives are supported. A layer that the kernels do not compute, or that does not fit
the features, is a ValueError. In training mode a norm's running statistics are updated
as by the norm itself.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from hardware import kernels
from hardware.device import DTYPES, Precision, is_compiled
from hardware.kernels import run

FEW_PIXELS = 4096  # for PyTorch's gradient of the weights of a 1 x 1 convolution
FEW_CHANNELS = 8  # as outputs of PyTorch's convolutions

_HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks"),
    *("_backward_hooks", "_backward_pre_hooks"),
)


class Affine(NamedTuple):
    """What a batch norm does to a channel: scale * value + shift; all float32 (C,)."""

    mean: Tensor
    inverse_std: Tensor
    scale: Tensor
    shift: Tensor


def fit(images: Tensor) -> bool:
    """Say whether there are kernels for the images' device and arithmetic."""
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    reduced = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if reduced else images.dtype
    return len(images) > 0 and kernels.are_available(dtype)


def are_hooked(modules: Iterable[nn.Module]) -> bool:
    """Say whether a hook needs a layer's output, or its gradient."""
    return any(getattr(module, hooks) for module in modules for hooks in _HOOKS)


def describe_kernels(model: nn.Module, precision: Precision) -> str | None:
    """Say whose kernels a model runs on; None if the suite has none for it.

    Only networks that can run the suite's own have the attribute `fuse`.
    """
    fuses = getattr(model, "fuse", False) and precision.device.type == "cpu"
    if not fuses or is_compiled(model):
        return None
    library, reason = kernels.load_kernels(DTYPES[precision.name])
    return "the suite's own" if library else f"PyTorch's ({reason})"


def conv_pool_relu(features: Tensor, conv: nn.Conv2d) -> Tensor:
    """Compute a convolution, 2 x 2 max-pooling (stride 2) and the ReLU.

    A convolution with few output channels leaves most of each vector empty. If
    possible, the four results in a pooling window are computed as four channels: by a
    filter that is one pixel larger, holds the original at four offsets, and has stride
    2. With this and the pooling kernel SimpleNet trains at 6.8 ms an image, without at
    9.4 (two cores, bf16, batch 32, medians of 3, `benchmarks/speed.py`).

    Returns features (N, conv.out_channels, H' // 2, W' // 2), of a convolution of any
    kind to H' x W'.
    """
    form = (conv.stride, conv.padding, conv.dilation, conv.groups)
    if form != ((1, 1), (0, 0), (1, 1), 1) or conv.out_channels > FEW_CHANNELS:
        return _PoolRelu.apply(conv(features), 1)
    shifts = [(right, 1 - right, down, 1 - down) for down in (0, 1) for right in (0, 1)]
    weight = torch.cat([F.pad(conv.weight, shift) for shift in shifts])
    bias = None if conv.bias is None else conv.bias.repeat(4)
    return _PoolRelu.apply(F.conv2d(features, weight, bias, stride=2), 4)


def relu_depthwise(features: Tensor, conv: nn.Conv2d, *, relu: bool = True) -> Tensor:
    """Compute a 3 x 3 depthwise convolution (stride 1, padding 1) of the ReLU."""
    _check_depthwise(conv)
    return _Depthwise.apply(features, conv.weight, None, None, None, relu)


def norm_relu_depthwise(
    features: Tensor, norm: nn.BatchNorm2d, conv: nn.Conv2d
) -> Tensor:
    """Compute `relu_depthwise` of the batch-normalised features."""
    _check_depthwise(conv)
    _check_norm(norm, features)
    return _Depthwise.apply(features, conv.weight, norm.weight, norm.bias, norm, True)


def norm_relu(features: Tensor, norm: nn.BatchNorm2d, *, relu: bool = True) -> Tensor:
    """Compute batch norm and, if wanted, the ReLU."""
    _check_norm(norm, features)
    return _Norm.apply(features, norm.weight, norm.bias, norm, relu)


def norm_max_pool(features: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Compute batch norm and 3 x 3 max-pooling (stride 2, padding 1).

    Returns features (N, C, ceil(H / 2), ceil(W / 2)).
    """
    _check_norm(norm, features)
    return _NormMaxPool.apply(features, norm.weight, norm.bias, norm)


def pointwise(features: Tensor, conv: nn.Conv2d) -> Tensor:
    """Compute a 1 x 1 convolution; on few pixels its weights' gradient as a product.

    With few pixels PyTorch's gradient of the weights is slower than a matrix product:
    24.8 ms against 15.6 for 1536 to 2048 channels of 2,048 pixels on two cores, 10.5
    against 7.5 for 1024 to 1536. With more pixels it is as fast or faster.
    """
    if conv.kernel_size != (1, 1) or conv.stride != (1, 1) or conv.bias is not None:
        raise ValueError(f"expected a 1 x 1 convolution without bias, got {conv}")
    if _rows(features)[0] > FEW_PIXELS:
        return conv(features)
    return _Pointwise.apply(features, conv.weight)


class _Pointwise(Function):
    """weight @ features at every pixel."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor) -> Tensor:
        features = _channels_last(features)
        matrix = weight.detach().to(features.dtype)
        ctx.save_for_backward(features, matrix)
        return F.conv2d(features, matrix)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        features, matrix = ctx.saved_tensors
        gradient = _channels_last(gradient)
        weight = _as_rows(gradient).t() @ _as_rows(features)
        inputs = F.conv2d(gradient, matrix.transpose(0, 1).contiguous())
        return inputs, weight.float()[:, :, None, None]


class _Depthwise(Function):
    """max(scale * features + shift, 0), convolved; without a norm scale is 1, shift 0.

    gamma and beta, the norm's parameters, are arguments so that they get gradients.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        gamma: Tensor | None,
        beta: Tensor | None,
        norm: nn.BatchNorm2d | None,
        relu: bool,
    ) -> Tensor:
        features = _channels_last(features)
        channels = features.shape[1]
        affine = _measure(features, norm) if norm else _identity(features)
        scale, shift = affine.scale, affine.shift
        taps = weight.detach().reshape(channels, 9).t().float().contiguous()
        outputs = torch.empty_like(features)
        run("depthwise", features, scale, shift, relu, taps, outputs, *_sizes(features))
        ctx.save_for_backward(features, taps, *affine)
        ctx.norm, ctx.from_batch, ctx.relu = norm, _uses_batch(norm), relu
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, taps, *values = ctx.saved_tensors
        mean, inverse_std, scale, shift = affine = Affine(*values)
        gradient = _channels_last(gradient)
        inputs = torch.empty_like(features)  # at first for scale * features + shift
        weight, sums = torch.empty_like(taps), torch.empty_like(taps[:2])
        run(
            "depthwise_grad",
            *(gradient, features, scale, shift, mean, ctx.relu, taps),
            *(inputs, weight, *sums, *_sizes(features)),
        )
        weight = weight.t().reshape(-1, 1, 3, 3)
        if ctx.norm is None:
            return inputs, weight, None, None, None, None
        terms = _gradient_terms(affine, sums, features, from_batch=ctx.from_batch)
        run(
            "affine_grad",
            *(inputs, features, scale, shift, False),
            *(*terms, inputs, *_rows(features)),
        )
        return inputs, weight, sums[1] * inverse_std, sums[0], None, None


class _Norm(Function):
    """max(scale * features + shift, 0)"""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        gamma: Tensor,
        beta: Tensor,
        norm: nn.BatchNorm2d,
        relu: bool,
    ) -> Tensor:
        features = _channels_last(features)
        affine = _measure(features, norm)
        scale, shift = affine.scale, affine.shift
        outputs = torch.empty_like(features)
        run("affine", features, scale, shift, relu, outputs, *_rows(features))
        ctx.save_for_backward(features, *affine)
        ctx.from_batch, ctx.relu = _uses_batch(norm), relu
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, *values = ctx.saved_tensors
        mean, inverse_std, scale, shift = affine = Affine(*values)
        gradient = _channels_last(gradient)
        inputs, sums = torch.empty_like(features), _empty_pair(features)
        line = (gradient, features, scale, shift)
        run("affine_sums", *line, mean, ctx.relu, *sums, *_rows(features))
        terms = _gradient_terms(affine, sums, features, from_batch=ctx.from_batch)
        run("affine_grad", *line, ctx.relu, *terms, inputs, *_rows(features))
        return inputs, sums[1] * inverse_std, sums[0], None, None


class _NormMaxPool(Function):
    """Maxima of scale * features + shift"""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, gamma: Tensor, beta: Tensor, norm: nn.BatchNorm2d
    ) -> Tensor:
        features = _channels_last(features)
        affine = _measure(features, norm)
        batch, height, width, channels = _sizes(features)
        half = (batch, channels, (height + 1) // 2, (width + 1) // 2)
        outputs = _empty_images(half, features.dtype)
        maxima = torch.empty_like(outputs)  # the features there
        which = torch.empty_like(outputs, dtype=torch.uint8)
        run(
            "pool",
            *(features, affine.scale, affine.shift),
            *(outputs, maxima, which, *_sizes(features)),
        )
        ctx.save_for_backward(features, maxima, which, *affine)
        ctx.from_batch = _uses_batch(norm)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, maxima, which, *values = ctx.saved_tensors
        mean, inverse_std, scale, shift = affine = Affine(*values)
        gradient = _channels_last(gradient)
        inputs, sums = torch.empty_like(features), _empty_pair(features)
        # Only the maxima have a gradient: the sums need no other values.
        line = (gradient, maxima, scale, shift)
        run("affine_sums", *line, mean, False, *sums, *_rows(maxima))
        terms = _gradient_terms(affine, sums, features, from_batch=ctx.from_batch)
        run("pool_grad", gradient, which, features, *terms, inputs, *_sizes(features))
        return inputs, sums[1] * inverse_std, sums[0], None


class _PoolRelu(Function):
    """max(features of four pixels, 0), or of four groups of channels"""

    @staticmethod
    def forward(ctx: Any, features: Tensor, groups: int) -> Tensor:
        features = _channels_last(features)
        batch, height, width, channels = _sizes(features)
        image, row = height * width * channels, width * channels
        if groups == 4:
            group = channels // 4
            size = (batch, group, height, width)
            steps = (image, row, channels, 2 * group, group)
        else:
            size = (batch, channels, height // 2, width // 2)
            steps = (image, 2 * row, 2 * channels, row, channels)
        outputs = _empty_images(size, features.dtype)
        traced = size if ctx.needs_input_grad[0] else (0, 0, 0, 0)
        which = _empty_images(traced, torch.uint8)
        run("pool_relu", features, outputs, which, *_sizes(outputs), *steps)
        ctx.save_for_backward(which)
        ctx.shape, ctx.steps = features.shape, steps
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (which,) = ctx.saved_tensors
        gradient = _channels_last(gradient)
        inputs = _empty_images(ctx.shape, gradient.dtype)
        # The last row or column of an odd number is in no window.
        inputs[:, :, 2 * gradient.shape[2] :] = 0
        inputs[..., 2 * gradient.shape[3] :] = 0
        run("pool_relu_grad", gradient, which, inputs, *_sizes(gradient), *ctx.steps)
        return inputs, None


def _measure(features: Tensor, norm: nn.BatchNorm2d) -> Affine:
    """Measure the batch or take the running statistics, whichever the norm would."""
    if _uses_batch(norm):
        mean, variance = _empty_pair(features)
        rows = _rows(features)
        run("channel_moments", features, mean, variance, *rows)
        if norm.training and norm.track_running_stats:
            _update(norm, mean, variance * (rows[0] / (rows[0] - 1)))
    else:
        mean, variance = norm.running_mean, norm.running_var
    inverse_std = torch.rsqrt(variance + norm.eps)
    scale = norm.weight.detach() * inverse_std
    return Affine(mean.clone(), inverse_std, scale, norm.bias.detach() - mean * scale)


def _update(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics as `nn.BatchNorm2d` does."""
    norm.num_batches_tracked += 1
    momentum = norm.momentum
    if momentum is None:
        momentum = 1 / norm.num_batches_tracked.item()
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance, momentum)


def _gradient_terms(
    affine: Affine, sums: Tensor, features: Tensor, *, from_batch: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return kg, kx, k1 of the features' gradient kg * gradient + kx * features + k1.

    Source: Ioffe and Szegedy, Batch Normalization, 2015, section 3.
    """
    if not from_batch:  # mean and deviation are constants
        nothing = torch.zeros_like(affine.scale)
        return affine.scale, nothing, nothing
    mean_gradient, mean_product = sums / _rows(features)[0]
    slope = -affine.scale * affine.inverse_std**2 * mean_product
    return affine.scale, slope, -affine.scale * mean_gradient - slope * affine.mean


def _uses_batch(norm: nn.BatchNorm2d | None) -> bool:
    """Say whether a norm uses the batch's statistics, not its running ones."""
    return norm is not None and (norm.training or norm.running_mean is None)


def _check_norm(norm: nn.BatchNorm2d, features: Tensor) -> None:
    """Raise ValueError unless the kernels can read the norm's values and the features.

    Like PyTorch, refuse to measure a variance on a single value per channel.
    """
    values = [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    present = [value for value in values if value is not None]
    if norm.weight is None or any(
        value.dtype != torch.float32 or value.shape != features.shape[1:2]
        for value in present
    ):
        raise ValueError(
            f"expected a float32 norm with weights of {features.shape[1]} channels, "
            f"got {norm}"
        )
    if _rows(features)[0] < (2 if _uses_batch(norm) else 1):
        raise ValueError(f"too few values in a channel of {tuple(features.shape)}")


def _check_depthwise(conv: nn.Conv2d) -> None:
    """Raise ValueError unless the kernel computes this convolution."""
    form = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    depthwise = conv.groups == conv.in_channels == conv.out_channels
    plain = conv.bias is None and conv.padding_mode == "zeros"
    if not (depthwise and plain) or form != ((3, 3), (1, 1), (1, 1), (1, 1)):
        raise ValueError(
            f"expected a depthwise 3 x 3 convolution without bias, got {conv}"
        )


def _identity(features: Tensor) -> Affine:
    """Return the identity."""
    one = features.new_ones(features.shape[1], dtype=torch.float32)
    nothing = torch.zeros_like(one)
    return Affine(nothing, one, one, nothing)


def _empty_pair(features: Tensor) -> Tensor:
    """Return an empty float32 tensor (2, C)."""
    return features.new_empty((2, features.shape[1]), dtype=torch.float32)


def _empty_images(size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return empty channels-last images."""
    return torch.empty(size, dtype=dtype, memory_format=torch.channels_last)


def _channels_last(features: Tensor) -> Tensor:
    """Convert features to the memory format that the kernels read."""
    return features.contiguous(memory_format=torch.channels_last)


def _as_rows(features: Tensor) -> Tensor:
    """View channels-last features as (N * H * W, C)."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def _sizes(features: Tensor) -> tuple[int, int, int, int]:
    """Return N, H, W, C."""
    batch, channels, height, width = features.shape
    return batch, height, width, channels


def _rows(features: Tensor) -> tuple[int, int]:
    """Return how many pixels and channels there are."""
    return features.numel() // features.shape[1], features.shape[1]
