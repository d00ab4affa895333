"""Modes and gradient flags come back exactly as they were, after an error too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from explaining.maps import without_parameter_gradients
from trainer import evaluation_mode


def build_model() -> nn.Module:
    """A training model of which one layer is frozen and in evaluation mode."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(), nn.Linear(2, 2)))
    model[1][0].eval()
    model[0].weight.requires_grad_(False)
    return model


def test_evaluation_mode_is_left_as_it_was_found():
    model = build_model()
    before = [module.training for module in model.modules()]
    assert len(set(before)) == 2
    with evaluation_mode(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before


def test_without_parameter_gradients_keeps_those_that_there_are():
    model = build_model()
    before = [parameter.requires_grad for parameter in model.parameters()]
    model(torch.ones(1, 2)).sum().backward()
    grad = model[1][1].weight.grad.clone()
    images = torch.ones(1, 2, requires_grad=True)
    with without_parameter_gradients(model):
        model(images).sum().backward()
    assert images.grad is not None
    assert torch.equal(model[1][1].weight.grad, grad)
    assert [parameter.requires_grad for parameter in model.parameters()] == before


@pytest.mark.parametrize("manager", [evaluation_mode, without_parameter_gradients])
def test_modes_are_restored_after_an_error(manager):
    model = build_model()
    flags = [p.requires_grad for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    with pytest.raises(KeyError), manager(model):
        raise KeyError
    assert [p.requires_grad for p in model.parameters()] == flags
    assert [module.training for module in model.modules()] == modes
