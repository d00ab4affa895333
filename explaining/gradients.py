"""Maps from the gradient of a class's score with respect to the image."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from explaining.explanation import MapFunction, Method
from files.classes import FAKE, REAL
from hardware import Precision
from judging.detector import Detector, as_detector
from trainer import evaluation_mode

Differentiate = Callable[[Tensor], Tensor]  # from images to gradients, (B, 3, H, W)

NUM_NOISY_COPIES = 25  # of SmoothGrad; Smilkov et al. see little gain above 50
NOISE = 0.15  # standard deviation, as a share of an image's range; 0.1 to 0.2 there
NUM_STEPS = 32  # of integrated gradients
# Keeps pixel gradients within float16's range; divided out again in float32.
_FP16_SCALE = 1024.0

# By method: what its maps are called in titles, and what a pixel's value is.
TITLES = {
    "gradient": ("saliency", "|d score / d pixel|"),
    "smoothgrad": ("SmoothGrad", "|mean d score / d pixel| of noisy copies"),
    "integrated-gradients": ("integrated gradients", "|share in the score|"),
    "input-x-gradient": ("input x gradient", "|pixel * d score / d pixel|"),
}


@contextmanager
def explanation_mode(network: nn.Module) -> Iterator[None]:
    """Make a network ready for maps, then undo every change.

    Within, it is in evaluation mode, so that no image affects another's map; no
    parameter collects gradients (Grad-CAM empties those that it finds); and no ReLU
    works in place, which would overwrite the activations that Grad-CAM reads.
    """
    parameters = [(p, p.requires_grad, p.grad) for p in network.parameters()]
    in_place = [m for m in network.modules() if getattr(m, "inplace", False) is True]
    try:
        network.requires_grad_(False)
        for module in in_place:
            module.inplace = False
        with evaluation_mode(network):
            yield
    finally:
        for module in in_place:
            module.inplace = True
        for parameter, requires_grad, gradient in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient


def prepare_inputs(
    samples: Tensor, target_classes: Tensor | Sequence[int], detector: Detector
) -> tuple[Tensor, Tensor]:
    """Normalise samples, and bring them and their classes to the detector's device.

    Args:
        samples: uint8 (B, 3, H, W); or float, already normalised.
        target_classes: int (B,), 0 real, 1 fake.

    Returns:
        Images float (B, 3, H, W), and classes int64 (B,).

    Raises:
        ValueError: the number of classes is not that of the samples, or a class is
            neither 0 nor 1; the samples are uint8 and the detector's preprocessing is
            not known; or it is known, and the samples are floats in [0, 1]. Nobody has
            normalised those: the darker half of a normalised image is negative.
    """
    classes = torch.as_tensor(target_classes).to(detector.device)
    is_known = (classes == REAL) | (classes == FAKE)
    if classes.shape != (len(samples),) or not is_known.all():
        raise ValueError(
            f"expected a label for each of {len(samples)} samples, 0 (real) or 1 "
            f"(fake), got {classes.tolist()!s:.60}"
        )
    images = samples.detach().to(detector.device)
    if images.dtype == torch.uint8:
        if detector.preprocessing is None:
            raise ValueError("uint8 samples need a model that has a `preprocessing`")
        images = detector.preprocessing.normalise(images)
    elif detector.preprocessing and images.min() >= 0 and images.max() <= 1:
        raise ValueError(
            "float samples must be normalised as the model expects, and these lie in "
            "[0, 1]; pass them as uint8, which is normalised for you, or as "
            "(pixels - mean) / std with the mean and std of its preprocessing"
        )
    return images, classes.long()


def compute_input_gradients(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: Detector | nn.Module,
    *,
    precision: Precision | None = None,
) -> Tensor:
    """Compute the gradient of a class's score with respect to the normalised image.

    There is one backward pass for the batch. The model stays as it is.

    Args:
        samples, target_classes: as `prepare_inputs` takes and refuses them.
        model: a detector, or a network from images to logits (B, 2), on any device.
        precision: arithmetic of both passes; default float32.

    Returns:
        float32 (B, 3, H, W), on the model's device.
    """
    detector = as_detector(model)
    images, classes = prepare_inputs(samples, target_classes, detector)
    return _compute_gradients(images, classes, detector.network, precision)


def compute_magnitudes(gradients: Tensor) -> Tensor:
    """Return the largest magnitude over the channels: (B, H, W) of (B, 3, H, W)."""
    return gradients.abs().amax(dim=1)


def compute_attribution_maps(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: Detector | nn.Module,
    *,
    method: str,
    precision: Precision | None = None,
) -> Tensor:
    """Compute maps by one of `METHODS`, float32 (B, H, W), on the model's device.

    The other arguments are those of `compute_input_gradients`.
    """
    detector = as_detector(model)
    images, classes = prepare_inputs(samples, target_classes, detector)
    how = {"classes": classes, "network": detector.network, "precision": precision}
    maps = METHODS[method](images, partial(_compute_gradients, **how))
    return maps if maps.ndim == 3 else maps.sum(dim=1).abs()


def smooth_gradients(images: Tensor, differentiate: Differentiate) -> Tensor:
    """Average the gradient over noisy copies, and return its magnitudes.

    Source: Smilkov et al. 2017, SmoothGrad, section 3. Every image gets the same draws
        of noise, so that its map does not depend on its batch.
    """
    lowest, highest = images.amin((1, 2, 3)), images.amax((1, 2, 3))
    deviations = (NOISE * (highest - lowest)).view(-1, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros_like(images)
    for _ in range(NUM_NOISY_COPIES):
        noise = torch.randn(images.shape[1:], generator=generator).to(images.device)
        total += differentiate(images + deviations * noise)
    return compute_magnitudes(total / NUM_NOISY_COPIES)


def integrate_gradients(images: Tensor, differentiate: Differentiate) -> Tensor:
    """Share out each score less that of the baseline among the values of its image.

    Source: Sundararajan et al. 2017, Axiomatic Attribution, equation 3, by the midpoint
        rule. The baseline is the mean colour of the preprocessing, 0 once normalised;
        black, as there, would give no share to dark pixels.
    """
    total = torch.zeros_like(images)
    for step in range(NUM_STEPS):
        total += differentiate((step + 0.5) / NUM_STEPS * images)
    return images * total / NUM_STEPS


def multiply_by_gradient(images: Tensor, differentiate: Differentiate) -> Tensor:
    """Return each value times its gradient (Shrikumar et al. 2016, section 3)."""
    return images * differentiate(images)


# To maps (B, H, W), or to shares (B, 3, H, W), which add up over the channels.
METHODS = {
    "gradient": lambda images, differentiate: compute_magnitudes(differentiate(images)),
    "smoothgrad": smooth_gradients,
    "integrated-gradients": integrate_gradients,
    "input-x-gradient": multiply_by_gradient,
}


def build_gradient_method(name: str, compute: MapFunction) -> Method:
    """Return how the maps of one of `TITLES` are drawn and called."""
    title, value = TITLES[name]
    is_plain = name == "gradient"
    return Method(
        name="saliency" if is_plain else name.replace("-", "_"),
        compute=compute,
        title=title,
        legend=f"{title} ({'largest |gradient| over channels' if is_plain else value})",
        unit=f"mean {value}, pixels normalised",
        settings={"method": name},
    )


def _compute_gradients(
    images: Tensor, classes: Tensor, network: nn.Module, precision: Precision | None
) -> Tensor:
    """Differentiate each image's score, float32 (B, 3, H, W)."""
    images = images.detach().requires_grad_()
    precision = precision or Precision("fp32", images.device)
    scale = _FP16_SCALE if precision.name == "fp16" else 1.0
    with explanation_mode(network), torch.enable_grad():
        with precision.autocast():
            logits = network(images)  # (B, 2)
        scores = logits.float().gather(1, classes[:, None])
        (gradients,) = torch.autograd.grad(scale * scores.sum(), images)
    return gradients.float() / scale
