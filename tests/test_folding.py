"""Folded models compute what they computed before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from folding import find_pairs, fold_batch_norm
from models import SimpleNet, build_plain_xception


def randomise_statistics(model: nn.Module) -> nn.Module:
    """Give every batch norm statistics and weights that are not the identity's."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
    return model


class Branches(nn.Module):
    """A convolution of its own, one used twice, and one whose output branches."""

    def __init__(self) -> None:
        super().__init__()
        self.last_defined_norm = nn.BatchNorm2d(4)
        self.plain, self.twice, self.branching = (
            nn.Conv2d(c, 4, 3, padding=1) for c in (3, 4, 4)
        )
        self.norm_twice, self.norm_branch = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.tag = "kept"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.last_defined_norm(self.plain(images))
        features = self.norm_twice(self.twice(self.twice(features)))
        branch = self.branching(features)
        return branch + self.norm_branch(branch)


def test_fold_batch_norm_one_channel_by_hand_scales_weight_and_shifts_bias():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0))
    with torch.no_grad():
        model[0].weight.fill_(3)
        model[0].bias.fill_(1)
        model[1].running_mean.fill_(5)
        model[1].running_var.fill_(4)
        model[1].weight.fill_(2)
        model[1].bias.fill_(7)
    folded = fold_batch_norm(model)
    assert folded[0].weight.item() == pytest.approx(3)  # 3 * 2 / sqrt(4)
    assert folded[0].bias.item() == pytest.approx(3)  # (1 - 5) * 2 / 2 + 7
    assert isinstance(folded[1], nn.Identity)


def test_fold_batch_norm_branches_folds_only_what_is_safe():
    model = randomise_statistics(Branches()).eval()
    images = torch.randn(2, 3, 8, 8)
    assert find_pairs(model) == [("plain", "last_defined_norm")]
    folded = fold_batch_norm(model)
    torch.testing.assert_close(folded(images), model(images))
    assert type(folded) is Branches
    assert folded.tag == "kept"


def test_fold_batch_norm_returns_a_copy_and_leaves_the_model_alone():
    model = randomise_statistics(Branches()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold_batch_norm(model)
    assert model.training
    assert not folded.training
    assert isinstance(model.last_defined_norm, nn.BatchNorm2d)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_fold_batch_norm_without_running_statistics_keeps_the_norm():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)
    )
    assert find_pairs(model) == []


def test_fold_batch_norm_of_simple_net_changes_nothing():
    model = SimpleNet().eval()
    images = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        assert torch.equal(fold_batch_norm(model)(images), model(images))


def test_fold_batch_norm_of_xception_keeps_features_and_image_gradients():
    model = randomise_statistics(build_plain_xception()).eval()
    folded = fold_batch_norm(model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    images = torch.randn(1, 3, 96, 96)
    results = []
    for network in (model, folded):
        leaf = images.clone().requires_grad_()
        features = network.features(leaf)
        (gradient,) = torch.autograd.grad(features.square().mean(), leaf)
        results.append((features / features.std(), gradient / gradient.std()))
    for exact, other in zip(*results, strict=True):
        torch.testing.assert_close(other, exact, rtol=1e-3, atol=1e-3)
