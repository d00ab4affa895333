"""Batch-norm statistics that belong to the weights as they are now."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import distributed
from precision import Precision


@torch.no_grad()
def recalibrate_batch_norm(
    model: nn.Module,
    batches: Iterable[tuple[torch.Tensor, object]],
    precision: Precision,
) -> None:
    """Measure a model's batch-norm statistics anew; leave it in training mode.

    The running averages lag behind weights that change fast; here they become plain
    means over the batches.

    Args:
        model: has batch-norm layers, or nothing happens to it.
        batches: images (N, 3, H, W) and labels, which are not looked at.
        precision: arithmetic of the forward pass.

    Source: Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3
        (PreciseBN). Deviation: the batches' variances are averaged as they are.
    """
    device = next(model.parameters()).device
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative mean
    model.train()
    try:
        for images, _ in batches:
            with precision.autocast():
                model(images.to(device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    distributed.average_buffers(model)
