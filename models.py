"""The networks that can be trained by name, each with what it expects of a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from files.imagenet_weights import find_weights, load_backbone
from hardware.fused_layers import are_hooked, conv_pool_relu, fit
from loading import PUBLISHED, SYMMETRIC, Preprocessing


@dataclass(frozen=True)
class Network:
    """A network that can be trained by name.

    Attributes:
        build: builds it with random weights, on the CPU, in training mode: from float32
            images (N, 3, size, size) to logits (N, 2), real first.
        preprocessing: what it expects of a picture.
        layer: the convolution whose activations class activation maps weigh.
        find_weights: from the file that the user named, or None, to the file of weights
            to start from; None if it always starts from random ones.
        load_weights: loads such a file into it.
    """

    build: Callable[[], nn.Module]
    preprocessing: Preprocessing
    layer: str
    find_weights: Callable[[Path | None], Path] | None = None
    load_weights: Callable[[nn.Module, Path], None] | None = None


def get_network(name: str) -> Network:
    """Return the network of this name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in NETWORKS:
        raise ValueError(
            f"unknown model {name!r:.60}: choose from {', '.join(NETWORKS)}"
        )
    return NETWORKS[name]


def build_model(
    name: str, *, weights_path: str | Path | None = None, from_scratch: bool = False
) -> nn.Module:
    """Build a network by name.

    Args:
        name: one of `NETWORKS`.
        weights_path: weights to start from; None: the network's own search for them.
        from_scratch: random weights; use it too before loading a checkpoint.

    Returns:
        The network with its `preprocessing`, on the CPU, in training mode.

    Raises:
        ValueError: there is no such network, weights and a random start are both asked
            for, or the file does not hold weights of this network.
        OSError: no weights can be found.
    """
    network = get_network(name)
    if weights_path is not None and (from_scratch or network.find_weights is None):
        raise ValueError(
            f"{name} cannot start from {weights_path}: --weights goes with a network "
            "that has weights to start from, and without --from-scratch"
        )
    model = network.build()
    if network.find_weights is not None and not from_scratch:
        path = network.find_weights(weights_path and Path(weights_path))
        network.load_weights(model, path)
    model.preprocessing = network.preprocessing
    return model


class MaxPool2x2(nn.MaxPool2d):
    """Max-pooling by 2 x 2, faster on a CPU if no gradient is needed.

    PyTorch's kernel records where each maximum came from, and with few channels works
    on one pixel at a time: with it SimpleNet's evaluation takes 2.3 ms an image, with
    this 1.6 (two cores, bf16, batch 32, `benchmarks/speed.py`). The values are equal.
    """

    def __init__(self) -> None:
        super().__init__(2, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Return the maxima (N, C, H // 2, W // 2) of features (N, C, H, W)."""
        if features.device.type != "cpu" or torch.is_grad_enabled():
            return super().forward(features)
        bottom, right = (size // 2 * 2 for size in features.shape[-2:])
        rows = torch.maximum(features[..., 0:bottom:2, :], features[..., 1:bottom:2, :])
        return torch.maximum(rows[..., 0:right:2], rows[..., 1:right:2])


class SteadyLinear(nn.Linear):
    """A linear layer whose output for an image does not depend on the batch (on a CPU).

    The matrix product chooses its order of summation by the number of rows: in float32
    the logits of an image alone and among others differed by up to 2.4e-7. If no
    gradient is needed, rows are multiplied in blocks of 32, the last one filled up with
    zeros. At the default batch size that is free; a single image takes up to 16 ms
    longer (SimpleNet, one core), because its row is multiplied as 32.
    """

    ROWS = 32

    def forward(self, features: Tensor) -> Tensor:
        """Return features (N, out) of features (N, in)."""
        if features.device.type != "cpu" or torch.is_grad_enabled():
            return super().forward(features)
        filled = F.pad(features, (0, 0, 0, -len(features) % self.ROWS))
        blocks = [
            F.linear(block, self.weight, self.bias) for block in filled.split(self.ROWS)
        ]
        return torch.cat(blocks)[: len(features)]


class SimpleNet(nn.Module):
    """A small network: three convolutions, three linear layers, 16.9 M parameters.

    It pools before the ReLU: the same values and gradients, a quarter of the numbers.

    Attributes:
        fuse: whether to run the suite's own kernels, where they fit and no hook needs a
            layer's output.
    """

    preprocessing = PUBLISHED
    fuse = True

    def __init__(self) -> None:
        super().__init__()
        self.pool = MaxPool2x2()
        self.conv1 = nn.Conv2d(3, 6, 7)
        self.conv2 = nn.Conv2d(6, 16, 7)
        self.conv3 = nn.Conv2d(16, 24, 7)
        self.fc1 = SteadyLinear(24 * 26 * 26, 1024)
        self.fc2 = SteadyLinear(1024, 256)
        self.fc3 = SteadyLinear(256, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (N, 2), real first, of float32 images (N, 3, 256, 256)."""
        is_fused = self.fuse and fit(images) and not are_hooked(self.modules())
        step = conv_pool_relu if is_fused else self._conv_pool_relu
        features = step(images, self.conv1)  # (N, 6, 125, 125)
        features = step(features, self.conv2)  # (N, 16, 59, 59)
        features = step(features, self.conv3)  # (N, 24, 26, 26)
        features = features.flatten(1)  # (N, 16224), channels first in any format
        features = F.relu(self.fc1(features))
        features = F.relu(self.fc2(features))
        return self.fc3(features)

    def _conv_pool_relu(self, features: Tensor, conv: nn.Conv2d) -> Tensor:
        """Compute a step by PyTorch's layers."""
        return F.relu(self.pool(conv(features)))


def get_xception_based_model(
    weights_path: str | Path | None = None, *, from_scratch: bool = False
) -> nn.Module:
    """Build Xception with ImageNet weights and a new head for real or fake.

    Args:
        weights_path: file of ImageNet weights; None: the cache, then a download.
        from_scratch: start from random weights.

    Returns:
        A module from float32 (N, 3, 256, 256) to logits (N, 2), real first, with its
        `preprocessing`.

    Raises:
        ValueError, OSError: as `build_model`.

    Source: F. Chollet, Xception, CVPR 2017. Deviations: the 1000-way last layer is
        replaced by an MLP 2048-1000-256-64-2; no ReLU works in place.
    """
    options = {"weights_path": weights_path, "from_scratch": from_scratch}
    return build_model("XceptionBased", **options)


def _build_xception_based() -> nn.Module:
    model = build_plain_xception()
    model.last_linear = nn.Sequential(
        SteadyLinear(2048, 1000),
        nn.ReLU(),
        SteadyLinear(1000, 256),
        nn.ReLU(),
        SteadyLinear(256, 64),
        nn.ReLU(),
        SteadyLinear(64, 2),
    )
    return model


def build_plain_xception() -> nn.Module:
    """Build Xception with its 1000-way last layer and random weights."""
    from hardware.fast_xception import FastXception  # takes a second to import

    model = FastXception(num_classes=1000)
    model.last_linear = model.fc  # as `pretrainedmodels.xception` does
    del model.fc
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            # In place it would overwrite the activations of the layer before it, which
            # a hook there (Grad-CAM) reads.
            module.inplace = False
    return model


# By name; another network can be added.
NETWORKS = {
    "SimpleNet": Network(SimpleNet, PUBLISHED, "conv3"),
    "XceptionBased": Network(
        _build_xception_based, SYMMETRIC, "conv3", find_weights, load_backbone
    ),
}
