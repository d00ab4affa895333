"""A model made ready for maps and left as it was; images to show; mean maps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from files.names import CLASS_NAMES, FAKE, REAL
from trainer import Batches, evaluation_mode


@contextmanager
def left_as_it_is(model: nn.Module) -> Iterator[None]:
    """Make a model ready for maps, then give back all that this changed.

    Within, it is in evaluation mode, no parameter collects gradients (Grad-CAM empties
    those that there are), and no ReLU works in place: it would overwrite the
    activations that Grad-CAM reads.
    """
    parameters = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    in_place = [m for m in model.modules() if getattr(m, "inplace", False) is True]
    try:
        model.requires_grad_(False)
        for module in in_place:
            module.inplace = False
        with evaluation_mode(model):
            yield
    finally:
        for module in in_place:
            module.inplace = True
        for parameter, requires_grad, gradient in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient


def prepare_images(samples: Tensor, model: nn.Module) -> Tensor:
    """Return a normalised copy on the model's device that collects gradients.

    Raises:
        ValueError: the samples are uint8 and the model has no `preprocessing`; or it
            has one, and they are floats in [0, 1], which nobody has normalised: the
            darker half of a normalised image is negative.
    """
    images = samples.detach().to(next(model.parameters()).device)
    preprocessing = getattr(model, "preprocessing", None)
    if images.dtype == torch.uint8:
        if preprocessing is None:
            raise ValueError("uint8 samples need a model that has a `preprocessing`")
        images = preprocessing.normalise(images)
    elif preprocessing is not None and images.min() >= 0 and images.max() <= 1:
        raise ValueError(
            "float samples must be normalised as the model expects, and these lie in "
            "[0, 1]; hand them over as uint8, which is normalised for you, or as "
            "(pixels - mean) / std with the mean and std of model.preprocessing"
        )
    return images.clone().requires_grad_()


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


def compute_mean_maps(
    batches: Batches,
    compute_maps: Callable[[Tensor, Tensor], Tensor],
    targets: np.ndarray | None = None,
) -> np.ndarray:
    """Average the maps of all real and of all fake images.

    Args:
        batches: yields images (B, 3, H, W) and labels int (B,).
        compute_maps: from images and the classes to explain to maps (B, H, W).
        targets: int (N,), the class that each map explains; default the labels.

    Returns:
        float32 (2, H, W), real first, summed in float64.

    Raises:
        ValueError: a class has no image, or a map is not finite.
    """
    sums, counts, start = [0.0, 0.0], [0, 0], 0
    for images, labels in batches:
        classes = labels
        if targets is not None:
            classes = torch.from_numpy(targets[start : start + len(labels)])
        start += len(labels)
        maps, labels = compute_maps(images, classes).cpu(), labels.cpu()
        for label in (REAL, FAKE):
            of_class = maps[labels == label]
            sums[label] = sums[label] + of_class.sum(dim=0, dtype=torch.float64)
            counts[label] += len(of_class)
    for name, count in zip(CLASS_NAMES, counts, strict=True):
        if not count:
            raise ValueError(f"no {name} image to average the maps of")
    means = [total / count for total, count in zip(sums, counts, strict=True)]
    mean_maps = torch.stack(means).float()
    if not mean_maps.isfinite().all():
        raise ValueError("a map is not finite: the model's weights are of no use")
    return mean_maps.numpy()
