"""Xception whose layers between the matrix products run fused where possible."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from hardware.fused_layers import (
    are_hooked,
    fit,
    norm_max_pool,
    norm_relu,
    norm_relu_depthwise,
    pointwise,
    relu_depthwise,
)

with warnings.catch_warnings():  # old code: its warnings are not the user's
    warnings.simplefilter("ignore")
    from pretrainedmodels.models.xception import Block, SeparableConv2d, Xception


class FastXception(Xception):
    """Xception with the same parameters, names and results, and a faster forward pass.

    On a CPU in float32 or under bfloat16 autocast, if the kernels compile, each chain
    of batch norm, ReLU and depthwise convolution is one step. Otherwise, or if a hook
    needs a layer's output, the layers run one by one.

    Attributes:
        fuse: whether to fuse where possible.
        BLOCKS: their names.

    Source: F. Chollet, Xception, CVPR 2017, figure 5.
    """

    fuse = True
    BLOCKS = tuple(f"block{number}" for number in range(1, 13))

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (N, classes) of images (N, 3, H, W)."""
        if not self.can_fuse(images):
            return super().forward(images)
        _, features = deque(self.run_blocks(images), maxlen=1).pop()
        tail = (self.conv3, self.bn3, self.relu, self.conv4, self.bn4, self.relu)
        features = _run_chain(tail, features)  # (N, 2048, H / 32, W / 32)
        return self.last_linear(features.mean(dim=(2, 3)))

    def can_fuse(self, images: Tensor) -> bool:
        """Say whether its layers run fused on these images."""
        return self.fuse and fit(images) and self._is_whole()

    def run_blocks(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the output (N, C, H, W) of each block, fused."""
        features = norm_relu(self.conv1(images), self.bn1)
        features = norm_relu(self.conv2(features), self.bn2)
        for name in self.BLOCKS:
            features = _run_block(self.get_submodule(name), features)
            yield name, features

    def _is_whole(self) -> bool:
        """Say whether all layers are Xception's own, in float32 and without hooks."""
        for name, module in self.named_modules():
            if type(module) not in _LAYERS and not name.startswith("last_linear"):
                return False
        if are_hooked(self.modules()):
            return False
        return all(value.dtype == torch.float32 for value in self.parameters())


_LAYERS = (
    *(FastXception, Block, SeparableConv2d, nn.Sequential),
    *(nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d),
)


def _run_block(block: Block, features: Tensor) -> Tensor:
    """Compute a block's chain of layers and add its shortcut."""
    outputs = _run_chain(block.rep, features)
    if block.skip is None:
        return outputs + features
    return outputs + norm_relu(block.skip(features), block.skipbn, relu=False)


def _run_chain(layers: Iterable[nn.Module], features: Tensor) -> Tensor:
    """Compute layers one after the other, fused between the convolutions."""
    norm, relu = None, False  # still to be computed
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            norm = layer
        elif isinstance(layer, nn.ReLU):
            relu = True
        elif isinstance(layer, nn.MaxPool2d):
            features = norm_max_pool(features, norm)
            norm = None
        else:
            if norm is None:
                features = relu_depthwise(features, layer.conv1, relu=relu)
            else:
                features = norm_relu_depthwise(features, norm, layer.conv1)
            features = pointwise(features, layer.pointwise)
            norm, relu = None, False
    if norm is not None:
        features = norm_relu(features, norm, relu=relu)
    return features
