"""Optimizers, schedules and losses by name, against hand-made numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from utils import build_criterion, build_optimizer, build_scheduler


def build_model(weight: float = 1.0) -> nn.Module:
    """One weight and no bias: w."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


def step(model: nn.Module, optimizer: torch.optim.Optimizer, gradient: float) -> float:
    model.weight.grad = torch.full_like(model.weight, gradient)
    optimizer.step()
    return model.weight.item()


def test_build_optimizer_sgd_with_momentum_and_decay_by_hand():
    model = build_model()
    optimizer = build_optimizer("SGD", model, lr=0.1, momentum=0.5, weight_decay=0.2)
    first = 1 - 0.1 * (2 + 0.2 * 1)
    velocity = 0.5 * 2.2 + (2 + 0.2 * first)
    assert step(model, optimizer, 2) == pytest.approx(first)
    assert step(model, optimizer, 2) == pytest.approx(first - 0.1 * velocity)


def test_build_optimizer_adam_first_step_is_the_learning_rate():
    model = build_model()
    optimizer = build_optimizer("Adam", model, lr=0.1, momentum=0.5)
    assert step(model, optimizer, 1e-3) == pytest.approx(0.9, abs=1e-5)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


def test_build_optimizer_frozen_parameters_are_left_out():
    model = nn.Sequential(build_model(), build_model())
    model[0].weight.requires_grad_(False)
    groups = build_optimizer("SGD", model, lr=0.1).param_groups
    assert [id(p) for p in groups[0]["params"]] == [id(model[1].weight)]


def test_build_optimizer_unknown_name_is_refused(one_line):
    with pytest.raises(ValueError, match="'RMSprop'; allowed: Adam, SGD") as error:
        build_optimizer("RMSprop", build_model(), lr=0.1)
    one_line(error)


@pytest.mark.parametrize(
    ("name", "num_warmup_steps", "expected"),
    [
        ("constant", 0, [1, 1, 1, 1, 1]),
        ("constant", 3, [0.25, 0.5, 0.75, 1, 1]),
        ("cosine", 0, [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0, 0]),
        ("cosine", 2, [1 / 3, 2 / 3, 1, 0.5, 0, 0]),
        ("step", 0, [1, 1, 0.1, 0.01, 0.01, 0.01]),
        ("step", 9, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    ],
)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_build_scheduler_factors_of_four_steps_by_hand(
    name, num_warmup_steps, expected
):
    optimizer = build_optimizer("SGD", build_model(), lr=2.0)
    scheduler = build_scheduler(
        optimizer, name, num_steps=4, num_warmup_steps=num_warmup_steps
    )
    rates = []
    for _ in expected:
        rates.append(scheduler.get_last_lr()[0])
        scheduler.step()
    assert rates == pytest.approx([2 * factor for factor in expected])


def test_build_scheduler_unknown_name_is_refused(one_line):
    optimizer = build_optimizer("SGD", build_model(), lr=1.0)
    with pytest.raises(ValueError, match="'linear'; allowed: constant") as error:
        build_scheduler(optimizer, "linear", num_steps=4)
    one_line(error)


LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0], [0.0, 3.0]])
LABELS = torch.tensor([0, 1, 1, 0])


def compute_losses() -> list[float]:
    gaps = [2.0, 1.0, -0.5, -3.0]  # true logit minus the other
    return [math.log1p(math.exp(-gap)) for gap in gaps]


def test_build_criterion_none_is_plain_cross_entropy():
    criterion = build_criterion("none", np.array([0, 0, 0, 1]))
    expected = sum(compute_losses()) / 4
    assert criterion(LOGITS, LABELS).item() == pytest.approx(expected)


def test_build_criterion_balanced_weighs_each_class_the_same():
    criterion = build_criterion("balanced", np.array([0, 0, 0, 1]))
    weights = [4 / 6, 4 / 2, 4 / 2, 4 / 6]
    expected = sum(w * loss for w, loss in zip(weights, compute_losses(), strict=True))
    assert criterion(LOGITS, LABELS).item() == pytest.approx(expected / 4)
    labels = torch.tensor([0, 0, 0, 1])
    assert criterion.weights[labels].mean().item() == pytest.approx(1)


def test_build_criterion_balanced_batches_average_to_the_whole():
    criterion = build_criterion("balanced", np.array([0, 0, 0, 1]))
    parts = criterion(LOGITS[:1], LABELS[:1]) + 3 * criterion(LOGITS[1:], LABELS[1:])
    assert parts.item() / 4 == pytest.approx(criterion(LOGITS, LABELS).item())
