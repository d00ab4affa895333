"""What a network must be before it is trained: check_network.py begins with it, too."""

import torch
from torch import Tensor, nn

from models import BUILT_IN, Network, get_network
from trainer import evaluation_mode
from tuning.probe import hooked

NUM_IMAGES = 2


class FaultError(Exception):
    """Says what is wrong with a network."""


def build_network(network: Network) -> nn.Module:
    """Build it as a training does, and look for the layers that its entry names.

    Raises FaultError if it is not a module, or has no such layer.
    """
    model = network.build()
    if not isinstance(model, nn.Module):
        raise FaultError(f"it builds a {type(model).__name__}, not an nn.Module")
    model.preprocessing = network.preprocessing
    names = dict(model.named_modules())
    wanted = {network.layer: "layer"} | dict.fromkeys(network.heads, "head")
    for name, kind in wanted.items():
        if name not in names:
            top = ", ".join(name for name, _ in model.named_children())
            raise FaultError(f"it has no {kind} {name!r}; at the top it has {top}")
    return model


def check_gives_logits(logits: object, num_images: int, precision: str) -> None:
    """Raise FaultError if these are not finite logits of so many images."""
    if not isinstance(logits, Tensor):
        raise FaultError(f"it gives a {type(logits).__name__}, not logits (N, 2)")
    if logits.shape != (num_images, 2) or not logits.is_floating_point():
        shape = f"{logits.dtype} {tuple(logits.shape)}"
        raise FaultError(f"{num_images} images give {shape}, not floats (N, 2)")
    if not logits.isfinite().all():
        raise FaultError(f"NaN or infinite logits in {precision}")


def check_before_training(name: str) -> None:
    """Let a network that is not built in show that it can be trained and judged.

    Raises:
        ValueError: it fails, gives no logits of its images, or no map at its layer.
    """
    if name in BUILT_IN:
        return
    network = get_network(name)
    size = network.preprocessing.size
    try:
        _run(network, torch.linspace(-1, 1, NUM_IMAGES * 3 * size**2))
    except Exception as error:  # whatever the user's code raises
        kind = "" if isinstance(error, FaultError) else f"{type(error).__name__}: "
        reason = kind + " ".join(str(error).split())[:300]
        raise ValueError(
            f"the network {name} cannot be trained on images of {size} pixels, the "
            f"size of its Preprocessing: {reason}; python check_network.py -m {name} "
            "checks it"
        ) from error


def _run(network: Network, values: Tensor) -> None:
    """Look at the logits of two images, and at what the network's layer gives."""
    images = values.view(NUM_IMAGES, 3, network.preprocessing.size, -1)
    model, outputs = build_network(network), {}
    keep = hooked(model, [network.layer], outputs.setdefault)
    with evaluation_mode(model), torch.no_grad(), keep:
        check_gives_logits(model(images), NUM_IMAGES, "fp32")
    if network.layer not in outputs:
        raise FaultError(f"forward does not compute its layer {network.layer!r}")
    try:
        network.layout.to_maps(outputs[network.layer])
    except ValueError as error:
        raise FaultError(f"its layer {network.layer!r}: {error}") from error
