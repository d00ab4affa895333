"""Steps, rates and losses of a few values, by hand; rates by depth."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from models import build_model, get_network
from tuning.optimizers import (
    build_criterion,
    build_optimizer,
    build_scheduler,
    group_by_depth,
)

VIT = "timm:test_vit"


def make_weight() -> nn.Linear:
    """One weight and no bias: w = 1."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    return model


def step(model: nn.Linear, optimizer: torch.optim.Optimizer, gradient: float) -> float:
    model.weight.grad = torch.full_like(model.weight, gradient)
    optimizer.step()
    return model.weight.item()


def test_build_optimizer_steps_by_hand():
    model = make_weight()
    optimizer = build_optimizer("SGD", model, lr=0.1, momentum=0.5, weight_decay=0.2)
    first = 1 - 0.1 * (2 + 0.2 * 1)
    velocity = 0.5 * 2.2 + (2 + 0.2 * first)
    assert step(model, optimizer, 2) == pytest.approx(first)
    assert step(model, optimizer, 2) == pytest.approx(first - 0.1 * velocity)
    model = make_weight()
    optimizer = build_optimizer("Adam", model, lr=0.1, momentum=0.5)
    assert step(model, optimizer, 1e-3) == pytest.approx(0.9, abs=1e-5)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    both = nn.Sequential(make_weight(), model)
    both[0].weight.requires_grad_(False)
    (group,) = build_optimizer("SGD", both, lr=0.1).param_groups
    assert [id(p) for p in group["params"]] == [id(model.weight)]
    with pytest.raises(ValueError, match="'RMSprop'; allowed: Adam, SGD"):
        build_optimizer("RMSprop", model, lr=0.1)


@pytest.mark.parametrize(
    ("name", "warmup", "expected"),
    [
        ("constant", 3, [0.25, 0.5, 0.75, 1, 1]),
        ("cosine", 0, [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0, 0]),
        ("cosine", 2, [1 / 3, 2 / 3, 1, 0.5, 0, 0]),
    ],
)
def test_build_scheduler_factors_of_four_steps_by_hand(name, warmup, expected):
    optimizer = build_optimizer("SGD", make_weight(), lr=2.0)
    scheduler = build_scheduler(optimizer, name, num_steps=4, num_warmup_steps=warmup)
    rates = []
    for _ in expected:
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([2 * factor for factor in expected])
    with pytest.raises(ValueError, match="'linear'; allowed: constant, cosine"):
        build_scheduler(optimizer, "linear", num_steps=4)


@pytest.mark.parametrize(
    ("name", "weights"),
    [("none", [1, 1, 1, 1]), ("balanced", [4 / 6, 4 / 2, 4 / 2, 4 / 6])],
)
def test_build_criterion_weighs_classes_by_hand(name, weights):
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0], [0.0, 3.0]])
    gaps = [2.0, 1.0, -0.5, -3.0]  # true logit minus the other
    losses = [math.log1p(math.exp(-gap)) for gap in gaps]
    criterion = build_criterion(name, np.array([0, 0, 0, 1]))
    expected = np.average(losses, weights=weights)
    loss = criterion(logits, torch.tensor([0, 1, 1, 0]))
    assert loss.item() == pytest.approx(expected)


def test_group_by_depth_lowers_the_rate_block_by_block():
    model = get_network(VIT).build()
    groups = group_by_depth(model, 0.1, 0.5)
    rates = [group["lr"] for group in groups]
    assert rates == sorted(rates)
    assert rates[-1] == 0.1
    assert rates[-2] == pytest.approx(0.05)
    parameters = [p for group in groups for p in group["params"]]
    assert len(parameters) == len(list(model.parameters()))
    names = {id(p): name for name, p in model.named_parameters()}
    blocks = [{names[id(p)][:9] for p in group["params"]} for group in groups]
    assert {"blocks.0."} in blocks
    assert {"blocks.1."} in blocks
    xception = build_model("XceptionBased", from_scratch=True)
    assert len(group_by_depth(xception, 0.1, 0.5)) == 12 + 2 * 4 + 4
