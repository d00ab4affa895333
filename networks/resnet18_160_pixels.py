"""A network of your own, with another input size, as an example to copy."""

from dataclasses import replace

from torch import nn
from torchvision.models import ResNet, resnet18

from loading import IMAGENET
from models import register

INPUT = replace(IMAGENET, size=160)  # pixels; without it 224
WEIGHTS = "https://download.pytorch.org/models/resnet18-f37072fd.pth"


@register("ResNet18", INPUT, layer="layer4", head="fc", weights=WEIGHTS)
def build() -> ResNet:
    """Build it with random weights: float32 (N, 3, 160, 160) -> logits (N, 2)."""
    network = resnet18()
    network.fc = nn.Linear(512, 2)
    return network
