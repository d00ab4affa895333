"""Networks whose saliency and Grad-CAM maps are known by hand."""

from pathlib import Path

import pytest
import torch
from script_helpers import make_checkpoint
from torch import Tensor, nn

from loading import Preprocessing
from models import NETWORKS, Network

SMALL = Preprocessing((0.4, 0.5, 0.6), (0.2, 0.25, 0.3), size=64)


class Linear(nn.Module):
    """logits = W image: the gradient of a logit is a row of W."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * size * size, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(images.flatten(1))


class OneConvolution(nn.Module):
    """A convolution, its mean over places, and weights for two classes."""

    def __init__(self, *, in_place: bool = False) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.relu = nn.ReLU(inplace=in_place)
        self.fc = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv3.weight.copy_(torch.eye(2, 3).view(2, 3, 1, 1))
            self.fc.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 2.0]]))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.relu(self.conv3(images)).mean(dim=(2, 3)))


class Normed(OneConvolution):
    """The same with batch normalisation, which mixes samples in training mode."""

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.relu(self.norm(self.conv3(images))).mean(dim=(2, 3)))


def make_images(num: int = 3, size: int = 4) -> Tensor:
    """Make float32 images (num, 3, size, size)."""
    return torch.randn(num, 3, size, size, generator=torch.manual_seed(0))


class Small(nn.Module):
    """A network of 64 x 64 pixels whose explained layer is called `body`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 5, stride=2)
        self.head = nn.Linear(4 * 30 * 30, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).relu().flatten(1))


def make_small_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a checkpoint of `Small`, as of a network that somebody has added."""
    monkeypatch.setitem(NETWORKS, "Small", Network(Small, SMALL, layer="body"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = Small().state_dict()
    known = {"model_name": "Small", "preprocessing": SMALL.to_dict()}
    return make_checkpoint(path, model=state, **known)
