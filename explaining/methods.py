"""Maps from the gradient of a class's score. All leave the model as it is."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from explaining.mean_maps import left_as_it_is, prepare_images
from hardware import Precision

NUM_NOISY_COPIES = 25  # of SmoothGrad; Smilkov et al. see little gain above 50
NOISE = 0.15  # standard deviation, as a share of an image's range; 0.1 to 0.2 there
NUM_STEPS = 32  # of integrated gradients
# Keeps pixel gradients within float16's range; divided out again in float32.
_FP16_SCALE = 1024.0


def compute_input_gradients(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    *,
    precision: Precision | None = None,
) -> Tensor:
    """Compute the gradient of a class's score with respect to the normalised image.

    The model runs in evaluation mode, so that no image affects another's gradient, in
    one backward pass for the batch. Its gradients, flags and modes stay as they are.

    Args:
        samples: float (B, 3, H, W), normalised; or uint8, if the model knows its
            `preprocessing`.
        target_classes: int (B,), 0 real, 1 fake.
        model: from images to logits (B, 2), on any device.
        precision: arithmetic of both passes; default float32.

    Returns:
        float32 (B, 3, H, W), on the model's device.

    Raises:
        ValueError: as for `explaining.mean_maps.prepare_images`.
    """
    images = prepare_images(samples, model)
    return _compute_gradients(images, target_classes, model, precision)


def compute_gradient_saliency_maps(
    samples: Tensor,
    true_labels: Tensor | Sequence[int],
    model: nn.Module,
    *,
    precision: Precision | None = None,
) -> Tensor:
    """Compute how strongly each pixel moves the score of its image's true class.

    The model runs in evaluation mode, so that no image affects another's map, in one
    backward pass for the batch. Its gradients, flags and modes stay as they are.

    Args:
        samples: float (B, 3, H, W), normalised; or uint8, if the model knows its
            `preprocessing`.
        true_labels: int (B,), 0 real, 1 fake.
        model: from images to logits (B, 2), on any device.
        precision: arithmetic of both passes; default float32.

    Returns:
        float32 (B, H, W), on the model's device: the largest magnitude over channels
        of the score's gradient with respect to the normalised image.

    Raises:
        ValueError: the samples are uint8 and the model has no `preprocessing`; or it
            has one, and they are floats in [0, 1], which nobody has normalised.

    Source: Simonyan et al. 2014, Deep Inside Convolutional Networks, section 3.1; the
        score is the class's logit, before the softmax, as there.
    """
    gradients = compute_input_gradients(
        samples, true_labels, model, precision=precision
    )
    return gradients.abs().amax(dim=1)


def compute_smoothgrad_maps(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    *,
    precision: Precision | None = None,
) -> Tensor:
    """Average the gradient over noisy copies of each image.

    Args and Raises: as for `compute_input_gradients`.

    Returns:
        float32 (B, H, W): the mean gradient's largest magnitude over channels.

    Source: Smilkov et al. 2017, SmoothGrad, section 3. Every image gets the same draws
        of noise, so that its map does not depend on its batch.
    """
    images = prepare_images(samples, model).detach()
    lowest, highest = images.amin((1, 2, 3)), images.amax((1, 2, 3))
    deviations = (NOISE * (highest - lowest)).view(-1, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros_like(images)
    for _ in range(NUM_NOISY_COPIES):
        noise = torch.randn(images.shape[1:], generator=generator).to(images.device)
        noisy = (images + deviations * noise).requires_grad_()
        total += _compute_gradients(noisy, target_classes, model, precision)
    return (total / NUM_NOISY_COPIES).abs().amax(dim=1)


def compute_integrated_gradients(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    *,
    precision: Precision | None = None,
    num_steps: int = NUM_STEPS,
) -> Tensor:
    """Share out a class's score among the values of the image.

    Args and Raises: as for `compute_input_gradients`; `num_steps` on the way.

    Returns:
        float32 (B, 3, H, W): for each image they add up to its score less that of the
        baseline, but for the error of `num_steps` steps.

    Source: Sundararajan et al. 2017, Axiomatic Attribution, equation 3, by the midpoint
        rule. The baseline is the mean colour of the model's `preprocessing`, which is 0
        once normalised; black, as there, would give no share to what is dark.
    """
    images = prepare_images(samples, model).detach()
    total = torch.zeros_like(images)
    for step in range(num_steps):
        between = ((step + 0.5) / num_steps * images).requires_grad_()
        total += _compute_gradients(between, target_classes, model, precision)
    return images * total / num_steps


def compute_integrated_gradients_maps(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    *,
    precision: Precision | None = None,
) -> Tensor:
    """Return the magnitude of a pixel's share in the score, float32 (B, H, W).

    Args and Raises: as for `compute_integrated_gradients`.
    """
    shares = compute_integrated_gradients(
        samples, target_classes, model, precision=precision
    )
    return shares.sum(dim=1).abs()


def compute_input_x_gradient_maps(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    *,
    precision: Precision | None = None,
) -> Tensor:
    """Multiply the normalised image by the gradient.

    Args and Raises: as for `compute_input_gradients`.

    Returns:
        float32 (B, H, W): the magnitude of the product's sum over channels.

    Source: Shrikumar et al. 2016, Not Just a Black Box, section 3.
    """
    images = prepare_images(samples, model)
    gradients = _compute_gradients(images, target_classes, model, precision)
    return (images.detach() * gradients).sum(dim=1).abs()


def _compute_gradients(
    images: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    precision: Precision | None,
) -> Tensor:
    """Differentiate each image's score, float32 (B, 3, H, W)."""
    classes = torch.as_tensor(target_classes, device=images.device).long()
    precision = precision or Precision("fp32", images.device)
    scale = _FP16_SCALE if precision.name == "fp16" else 1.0
    with left_as_it_is(model), torch.enable_grad():
        with precision.autocast():
            logits = model(images)  # (B, 2)
        scores = logits.float().gather(1, classes[:, None])
        (gradients,) = torch.autograd.grad(scale * scores.sum(), images)
    return gradients.float() / scale


METHODS = {
    "gradient": compute_gradient_saliency_maps,
    "smoothgrad": compute_smoothgrad_maps,
    "integrated-gradients": compute_integrated_gradients_maps,
    "input-x-gradient": compute_input_x_gradient_maps,
}
