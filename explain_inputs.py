"""What explanations start from: images that collect gradients, a model to restore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from modes import evaluation_mode, without_parameter_gradients


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
