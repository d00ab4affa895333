"""What moves the weights: optimizers, learning-rate schedules and losses."""

import math
import re
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def build_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """Build Adam or SGD over a model's trainable parameters.

    The fused implementations update all parameters in one pass over memory.

    Args:
        name: Adam or SGD.
        model: already on its device.
        lr: learning rate.
        momentum: of SGD; Adam's first-moment decay stays 0.9.
        weight_decay: L2 penalty.
        layer_decay: each block learns at this share of the rate of the next one.

    Raises:
        ValueError: there is no such optimizer.
    """
    parameters: list[Any] = [p for p in model.parameters() if p.requires_grad]
    is_fusable = parameters[0].device.type in ("cpu", "cuda")
    if layer_decay != 1:
        parameters = group_by_depth(model, lr, layer_decay)
    shared = {"lr": lr, "weight_decay": weight_decay, "fused": is_fusable}
    if name == "Adam":
        return torch.optim.Adam(parameters, **shared)
    if name == "SGD":
        return torch.optim.SGD(parameters, momentum=momentum, **shared)
    raise ValueError(f"unknown optimizer {name!r}; allowed: Adam, SGD")


def group_by_depth(
    model: nn.Module, lr: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Return an optimizer's groups, a block each, the last one at the full rate.

    A block is the first part of a parameter's name (block8), with its number if it is
    a list's (blocks.3, layer1.0).

    Source: Clark et al., ELECTRA, ICLR 2020, appendix A (layer-wise decay).
    """
    blocks: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            block = re.match(r"[^.]*(\.\d+(?=\.))?", name)[0]
            blocks.setdefault(block, []).append(parameter)
    depth = len(blocks) - 1
    return [
        {"params": parameters, "lr": lr * layer_decay ** (depth - number)}
        for number, parameters in enumerate(blocks.values())
    ]


def build_scheduler(
    optimizer: torch.optim.Optimizer,
    name: str,
    *,
    num_steps: int,
    num_warmup_steps: int = 0,
) -> LambdaLR:
    """Build a learning-rate schedule that is stepped after every optimizer step.

    Args:
        optimizer: whose learning rates are multiplied.
        name: constant, or cosine (to zero over the training).
        num_steps: of the whole training.
        num_warmup_steps: over which the rate first grows from near zero.

    Raises:
        ValueError: there is no such schedule.

    Source: cosine after Loshchilov and Hutter, SGDR, 2017, eq. 5, without restarts.
    """
    if name not in ("constant", "cosine"):
        raise ValueError(f"unknown schedule {name!r}; allowed: constant, cosine")

    def compute_factor(step: int) -> float:
        if step < num_warmup_steps:
            return (step + 1) / (num_warmup_steps + 1)
        if name == "constant":
            return 1.0
        progress = (step - num_warmup_steps) / max(num_steps - num_warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    return LambdaLR(optimizer, compute_factor)


def build_criterion(class_weights: str, labels: np.ndarray) -> nn.Module:
    """Build the cross-entropy loss.

    Args:
        class_weights: none, or balanced: each class has the same total weight.
        labels: of the training split, int64 (N,).

    Returns:
        A module from logits (N, 2) and labels (N,) to the (weighted) mean loss.
    """
    if class_weights == "none":
        return nn.CrossEntropyLoss()
    counts = np.bincount(labels, minlength=2)
    weights = torch.from_numpy(len(labels) / (len(counts) * counts))
    return nn.CrossEntropyLoss(weights.float())
