"""Networks whose saliency and Grad-CAM maps are known by hand."""

import torch
from torch import Tensor, nn


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
