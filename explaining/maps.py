"""A model made ready for maps and left as it was; images to show; mean maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from files.layout import CLASS_NAMES, FAKE, REAL
from trainer import evaluation_mode


def make_displayable(sample: Tensor, model: nn.Module) -> np.ndarray:
    """Turn a sample (3, H, W) into an image float32 (H, W, 3) in [0, 1].

    A float sample is un-normalised as the model's `preprocessing` says; where it has
    none, its smallest value becomes 0 and its largest 1.
    """
    image = sample.detach().cpu().float().permute(1, 2, 0)
    preprocessing = getattr(model, "preprocessing", None)
    if sample.dtype == torch.uint8:
        image = image / 255
    elif preprocessing is not None:
        std, mean = torch.tensor([preprocessing.std, preprocessing.mean])
        image = image * std + mean
    else:
        image = image - image.min()
        image = image / image.max().clamp(min=1e-12)
    return image.clamp(0, 1).numpy()


def prepare_images(samples: Tensor, model: nn.Module) -> Tensor:
    """Return a normalised copy on the model's device that collects gradients.

    Raises:
        ValueError: the samples are uint8 and the model has no `preprocessing`.
    """
    parameter = next(model.parameters())
    images = samples.detach().to(parameter.device)
    if images.dtype == torch.uint8:
        if getattr(model, "preprocessing", None) is None:
            raise ValueError("uint8 samples need a model that has a `preprocessing`")
        images = model.preprocessing.normalise(images)
    return images.clone().requires_grad_()


@contextmanager
def left_as_it_is(model: nn.Module) -> Iterator[None]:
    """Make a model ready for maps, then give back all that this changed.

    Grad-CAM empties the parameters' gradients, and an in-place ReLU would overwrite
    the activations that it reads.
    """
    gradients = {parameter: parameter.grad for parameter in model.parameters()}
    in_place = [m for m in model.modules() if getattr(m, "inplace", False) is True]
    try:
        for module in in_place:
            module.inplace = False
        with evaluation_mode(model), without_parameter_gradients(model):
            yield
    finally:
        for module in in_place:
            module.inplace = True
        for parameter, gradient in gradients.items():
            parameter.grad = gradient


@contextmanager
def without_parameter_gradients(model: nn.Module) -> Iterator[None]:
    """Keep backward passes from computing or touching the parameters' gradients."""
    flags = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        for parameter in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)


Batches = Iterable[tuple[Tensor, Tensor]]


def compute_mean_maps(
    batches: Batches, compute_maps: Callable[[Tensor, Tensor], Tensor]
) -> dict[int, Tensor]:
    """Average the maps of all real and of all fake images.

    Args:
        batches: yields images (B, 3, H, W) and labels int (B,).
        compute_maps: from such a batch to maps (B, H, W).

    Returns:
        Under REAL and FAKE a float32 map (H, W), summed in float64, on the CPU.

    Raises:
        ValueError: a class has no image.
    """
    sums, counts = {REAL: 0.0, FAKE: 0.0}, {REAL: 0, FAKE: 0}
    for images, labels in batches:
        maps, labels = compute_maps(images, labels).cpu(), labels.cpu()
        for label in sums:
            of_class = maps[labels == label]
            sums[label] = sums[label] + of_class.sum(dim=0, dtype=torch.float64)
            counts[label] += len(of_class)
    for label, count in counts.items():
        if not count:
            raise ValueError(f"no {CLASS_NAMES[label]} image to average the maps of")
    return {label: (sums[label] / counts[label]).float() for label in sums}
