"""Batch norm, ReLU, depthwise convolution and max-pooling, fused for bfloat16 CPUs.

What lies between two matrix products is bound by memory: each function here reads and
writes it once where PyTorch's layers do so for every step. Not rounding the steps
between to bfloat16 makes the gradients a little more exact as well.

All take features bfloat16 (N, C, H, W), channels-last or brought into that format, and
need `kernels.are_available()`. Only first derivatives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from kernels import run


class Affine(NamedTuple):
    """What a batch norm does to a channel: scale * value + shift; each float32 (C,)."""

    mean: Tensor
    inverse_std: Tensor
    scale: Tensor
    shift: Tensor


def relu_depthwise(features: Tensor, conv: nn.Conv2d, *, relu: bool = True) -> Tensor:
    """Compute a 3 x 3 depthwise convolution (stride 1, padding 1) of the ReLU.

    Raises:
        ValueError: `conv` is another convolution.
    """
    _check_depthwise(conv)
    return _Depthwise.apply(features, conv.weight, None, None, None, relu)


def norm_relu_depthwise(
    features: Tensor, norm: nn.BatchNorm2d, conv: nn.Conv2d
) -> Tensor:
    """Compute the same of the normalised features; update the norm's statistics."""
    _check_depthwise(conv)
    return _Depthwise.apply(features, conv.weight, norm.weight, norm.bias, norm, True)


def norm_relu(features: Tensor, norm: nn.BatchNorm2d, *, relu: bool = True) -> Tensor:
    """Compute batch norm and ReLU; update the norm's statistics."""
    return _Norm.apply(features, norm.weight, norm.bias, norm, relu)


def norm_max_pool(features: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Compute batch norm and 3 x 3 max-pooling (stride 2, padding 1); update as above.

    Returns:
        bfloat16 (N, C, ceil(H / 2), ceil(W / 2)).
    """
    return _NormMaxPool.apply(features, norm.weight, norm.bias, norm)


class _Depthwise(Function):
    """max(scale * features + shift, 0), convolved; without a norm scale is 1, shift 0.

    gamma and beta are the norm's parameters: arguments, so that they get gradients.
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
        affine = _measure(features, norm) if norm else _identity(channels)
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
        features, taps, mean, inverse_std, scale, shift = ctx.saved_tensors
        gradient = _channels_last(gradient)
        inputs = torch.empty_like(features)  # first of scale * features + shift
        weight, sums = torch.empty_like(taps), torch.empty_like(taps[:2])
        run(
            "depthwise_grad",
            *(gradient, features, scale, shift, mean, ctx.relu, taps),
            *(inputs, weight, *sums, *_sizes(features)),
        )
        weight = weight.t().reshape(-1, 1, 3, 3)
        if ctx.norm is None:
            return inputs, weight, None, None, None, None
        affine = Affine(mean, inverse_std, scale, shift)
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
        features, mean, inverse_std, scale, shift = ctx.saved_tensors
        gradient = _channels_last(gradient)
        inputs, sums = torch.empty_like(features), torch.empty(2, features.shape[1])
        line = (gradient, features, scale, shift)
        run("affine_sums", *line, mean, ctx.relu, *sums, *_rows(features))
        affine = Affine(mean, inverse_std, scale, shift)
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
        order = torch.channels_last
        outputs = torch.empty(half, dtype=features.dtype, memory_format=order)
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
        features, maxima, which, mean, inverse_std, scale, shift = ctx.saved_tensors
        gradient = _channels_last(gradient)
        inputs, sums = torch.empty_like(features), torch.empty(2, features.shape[1])
        # Only the maxima have a gradient: the sums need no other rows.
        line = (gradient, maxima, scale, shift)
        run("affine_sums", *line, mean, False, *sums, *_rows(maxima))
        affine = Affine(mean, inverse_std, scale, shift)
        terms = _gradient_terms(affine, sums, features, from_batch=ctx.from_batch)
        run("pool_grad", gradient, which, features, *terms, inputs, *_sizes(features))
        return inputs, sums[1] * inverse_std, sums[0], None


def _measure(features: Tensor, norm: nn.BatchNorm2d) -> Affine:
    """Measure a batch, or take the running statistics, as the norm's mode asks for."""
    if _uses_batch(norm):
        mean, variance = torch.empty(2, features.shape[1])
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
    """Say whether a norm measures the batch, not its running statistics."""
    return norm is not None and (norm.training or norm.running_mean is None)


def _check_depthwise(conv: nn.Conv2d) -> None:
    """Raise ValueError unless the kernel computes this convolution."""
    form = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.bias)
    depthwise = conv.groups == conv.in_channels == conv.out_channels
    if not depthwise or form != ((3, 3), (1, 1), (1, 1), (1, 1), None):
        raise ValueError(
            f"expected a depthwise 3 x 3 convolution without bias, got {conv}"
        )


def _identity(channels: int) -> Affine:
    """Return what changes nothing."""
    one, nothing = torch.ones(channels), torch.zeros(channels)
    return Affine(nothing, one, one, nothing)


def _channels_last(features: Tensor) -> Tensor:
    """Bring features to what the kernels read."""
    features = features.to(torch.bfloat16)
    return features.contiguous(memory_format=torch.channels_last)


def _sizes(features: Tensor) -> tuple[int, int, int, int]:
    """Return N, H, W, C."""
    batch, channels, height, width = features.shape
    return batch, height, width, channels


def _rows(features: Tensor) -> tuple[int, int]:
    """Return how many pixels and channels there are."""
    return features.numel() // features.shape[1], features.shape[1]
