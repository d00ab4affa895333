"""The parts of a training recipe by name: optimizer, schedule, loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

STEP_DECAY = 0.1  # the step schedule's factor ...
STEP_FRACTIONS = (0.5, 0.75)  # ... after these fractions of the training


class ClassWeightedCrossEntropy(nn.Module):
    """Cross-entropy with a weight per class, averaged over the samples.

    Unlike `nn.CrossEntropyLoss(weight=...)` it divides by the number of samples, not
    by the sum of their weights, so that the mean over batches, or over processes, is
    the mean over samples. Balanced weights average to 1 over the training split.

    Args:
        weights: float32 (C,).
    """

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of logits (N, C) and labels int64 (N,)."""
        losses = F.cross_entropy(logits, labels, self.weights, reduction="none")
        return losses.mean()


def build_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Build Adam or SGD over a model's trainable parameters.

    The fused implementations update all parameters in one pass over the memory.

    Args:
        name: Adam or SGD.
        model: already on its device.
        lr: learning rate.
        momentum: of SGD; Adam's first-moment decay stays 0.9.
        weight_decay: L2 penalty.

    Raises:
        ValueError: no optimizer is called so.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    shared: dict[str, Any] = {
        "lr": lr,
        "weight_decay": weight_decay,
        "fused": parameters[0].device.type in ("cpu", "cuda"),
    }
    if name == "Adam":
        return torch.optim.Adam(parameters, **shared)
    if name == "SGD":
        return torch.optim.SGD(parameters, momentum=momentum, **shared)
    raise ValueError(f"unknown optimizer {name!r}; allowed: Adam, SGD")


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
        name: constant; cosine (to zero over the training); step (a tenth after half,
            a hundredth after three quarters of it).
        num_steps: of the whole training.
        num_warmup_steps: in which the rate first grows from near zero.

    Raises:
        ValueError: no schedule is called so.

    Source: cosine after Loshchilov and Hutter, SGDR, 2017, eq. 5, without restarts.
    """
    shapes: dict[str, Callable[[float], float]] = {
        "constant": lambda progress: 1.0,
        "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))),
        "step": lambda progress: (
            STEP_DECAY ** sum(progress >= f for f in STEP_FRACTIONS)
        ),
    }
    if name not in shapes:
        raise ValueError(f"unknown schedule {name!r}; allowed: {', '.join(shapes)}")

    def compute_factor(step: int) -> float:
        if step < num_warmup_steps:
            return (step + 1) / (num_warmup_steps + 1)
        rest = max(num_steps - num_warmup_steps, 1)
        return shapes[name]((step - num_warmup_steps) / rest)

    return LambdaLR(optimizer, compute_factor)


def build_criterion(class_weights: str, labels: np.ndarray) -> nn.Module:
    """Build the loss.

    Args:
        class_weights: none, or balanced: each class weighs the same in sum.
        labels: of the training split, int64 (N,).

    Returns:
        A module from logits (N, 2) and labels (N,) to the mean loss.
    """
    if class_weights == "none":
        return nn.CrossEntropyLoss()
    counts = np.bincount(labels, minlength=2)
    weights = torch.from_numpy(len(labels) / (len(counts) * counts))
    return ClassWeightedCrossEntropy(weights.float())
