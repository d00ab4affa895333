"""A small head on what the layers of a frozen network make of an image."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import Layout, SteadyLinear, steady_linear
from trainer import evaluation_mode

MOST_CANDIDATES = 12  # layers that are compared


class Head(nn.Module):
    """A linear layer, or a perceptron with one hidden layer, on features (N, F).

    Args:
        width: F.
        hidden: units of the hidden layer; 0: there is none.

    Attributes:
        mean, scale: float32 (F,); features are taken less `mean`, times `scale`.
    """

    def __init__(self, width: int, hidden: int = 0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.first = nn.Linear(width, hidden or 2)
        self.last = SteadyLinear(hidden, 2) if hidden else nn.Identity()
        self.hidden = hidden

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits (N, 2) of features float32 (N, F)."""
        # The same as standardised features times the weights, without a copy of them.
        weight = self.first.weight * self.scale
        outputs = steady_linear(features, weight, self.first.bias - weight @ self.mean)
        return self.last(F.relu(outputs)) if self.hidden else outputs


class Probe(nn.Module):
    """A frozen network with a new head on some of its layers.

    The network runs in evaluation mode, whatever the mode, and only as far as the last
    of these layers.

    Args:
        backbone: from images (N, 3, S, S); its parameters are frozen.
        layers: names of its modules, in the order in which they are computed.
        layout: how they arrange their activations.
        size: S.
        hidden: as `Head` has it.

    Attributes:
        widths: how many features come of each layer.

    Raises:
        ValueError: a layer is not there, is not computed, or gives no map or tokens.
    """

    def __init__(
        self,
        backbone: nn.Module,
        layers: Sequence[str],
        layout: Layout,
        size: int,
        hidden: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False).eval()
        self.layers, self.layout = tuple(layers), layout
        modules = dict(backbone.named_modules())
        if unknown := [name for name in layers if not name or name not in modules]:
            raise ValueError(
                f"there is no layer {unknown[0]!r:.60}; choose from "
                f"{', '.join(list_stages(backbone, size))}"
            )
        with torch.no_grad():
            parts = pool_layers(backbone, layers, layout, _make_image(backbone, size))
        self.widths = [part.shape[1] for part in parts]
        self.head = Head(sum(self.widths), hidden)

    def train(self, mode: bool = True) -> "Probe":
        """Set the head's mode; the backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (N, 2), real first, of images (N, 3, S, S)."""
        return self.run(images)[1]

    def run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features (N, F) of images, and their logits (N, 2)."""
        features = self.compute_features(images)
        with torch.autocast(images.device.type, enabled=False):
            return features, self.head(features)

    def compute_features(self, images: Tensor) -> Tensor:
        """Return what the head reads, float32 (N, F).

        Of each layer the mean and the deviation of each channel over all places, and of
        a transformer's first token, if it has one that is not a place, each channel.
        """
        parts = pool_layers(self.backbone, self.layers, self.layout, images)
        return torch.cat(parts, dim=1)


def pool_layers(
    network: nn.Module, layers: Sequence[str], layout: Layout, images: Tensor
) -> list[Tensor]:
    """Return of each layer's output what `Probe.compute_features` says, (N, F).

    Raises ValueError if a layer is not computed, or gives no map or tokens.
    """
    outputs = run_layers(network, layers, images)
    if any(not isinstance(o, Tensor) or o.ndim not in (3, 4) for o in outputs):
        raise ValueError(
            f"the layers {', '.join(layers)} do not all give maps or tokens"
        )
    return [pool(output, layout) for output in outputs]


def pool(output: Tensor, layout: Layout) -> Tensor:
    """Return of a layer's output what `Probe.compute_features` says, (N, F)."""
    places = layout.to_maps(output).flatten(2).float()  # (N, C, places)
    # Where all places are equal a deviation has no gradient.
    deviation = (places.var(dim=2, correction=0) + 1e-12).sqrt()
    parts = [places.mean(dim=2), deviation]
    if output.ndim == 3 and layout.num_prefix:
        parts.append(output[:, 0].float())
    return torch.cat(parts, dim=1)


class _EnoughError(Exception):
    """Ends a forward pass whose remaining layers nobody needs."""


def run_fused(network: nn.Module, layers: Sequence[str], images: Tensor) -> bool:
    """Say whether layers are computed by the suite's own kernels, as Xception's may be.

    The outputs then differ from PyTorch's by rounding.
    """
    blocks = getattr(network, "BLOCKS", ())
    return bool(blocks) and set(layers) <= set(blocks) and network.can_fuse(images)


def run_layers(
    network: nn.Module, layers: Sequence[str], images: Tensor
) -> list[Tensor]:
    """Return what layers of a network give for images, and run no further.

    Raises ValueError if a layer is not computed.
    """
    if run_fused(network, layers, images):
        last = max(map(network.BLOCKS.index, layers))
        blocks = itertools.islice(network.run_blocks(images), last + 1)
        found = {name: output for name, output in blocks if name in layers}
        return [found[name] for name in layers]
    found = {}

    def keep(name: str, output: Any) -> None:
        found.setdefault(name, output)
        if len(found) == len(layers):
            raise _EnoughError

    with hooked(network, layers, keep), contextlib.suppress(_EnoughError):
        network(images)
    if missing := [name for name in layers if name not in found]:
        raise ValueError(f"the layer {missing[0]} is not computed")
    return [found[name] for name in layers]


@contextlib.contextmanager
def hooked(
    network: nn.Module, names: Sequence[str], take: Callable[[str, Any], None]
) -> Iterator[None]:
    """Call `take` with a layer's name and output whenever one of them was computed."""
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: take(name, output)
        )
        for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def list_stages(network: nn.Module, size: int) -> list[str]:
    """Return the layers on which a probe may be tried, in the order of computation.

    They are the network's blocks, or its convolutions if it has no blocks: at most
    `MOST_CANDIDATES`, evenly chosen, the last one among them. The network stays as it
    is.
    """
    names = list(getattr(network, "BLOCKS", ())) or _list_blocks(network)
    names = names or [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    order: list[str] = []

    def note(name: str, output: Any) -> None:
        if getattr(output, "ndim", 0) in (3, 4):
            order.append(name)

    with evaluation_mode(network), torch.no_grad(), hooked(network, names, note):
        network(_make_image(network, size))
    order = list(dict.fromkeys(order))
    step = max(1, -(-len(order) // MOST_CANDIDATES))
    return order[::-1][::step][::-1]


def _make_image(network: nn.Module, size: int) -> Tensor:
    """Return an image of zeros (1, 3, size, size) where the network is."""
    return torch.zeros(1, 3, size, size, device=next(network.parameters()).device)


def _list_blocks(network: nn.Module) -> list[str]:
    """Return the names of the modules in lists, or else of those made of others."""
    lists = (nn.Sequential, nn.ModuleList)
    children = list(network.named_children())
    listed = [
        f"{name}.{number}"
        for name, child in children
        if isinstance(child, lists)
        for number, part in child.named_children()
        if any(True for _ in part.children())
    ]
    return listed or [n for n, child in children if any(True for _ in child.children())]
