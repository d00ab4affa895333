"""Where a detector looks: gradient saliency and Grad-CAM, from images to maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from explain_inputs import left_as_it_is, make_displayable, prepare_images
from faces_dataset import CLASS_NAMES, FAKE, REAL
from precision import Precision

# Keeps pixel gradients within float16's range; divided out again in float32.
_FP16_SCALE = 1024.0

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class GradCam:
    """One image's explanation.

    Attributes:
        image: float32 (H, W, 3) in [0, 1], RGB.
        map: float32 (H, W) in [0, 1].
        overlay: uint8 (H, W, 3), RGB, the map as colours over the image.
        label: the image's true class, which the map is of.
    """

    image: np.ndarray
    map: np.ndarray
    overlay: np.ndarray
    label: int


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
        ValueError: the samples are uint8 and the model has no `preprocessing`.

    Source: Simonyan et al. 2014, Deep Inside Convolutional Networks, section 3.1; the
        score is the class's logit, before the softmax, as there.
    """
    images = prepare_images(samples, model)
    labels = torch.as_tensor(true_labels, device=images.device).long()
    precision = precision or Precision("fp32", images.device.type)
    scale = _FP16_SCALE if precision.name == "fp16" else 1.0
    with left_as_it_is(model), torch.enable_grad():
        with precision.autocast():
            logits = model(images)  # (B, 2)
        true_scores = logits.float().gather(1, labels[:, None])
        (gradients,) = torch.autograd.grad(scale * true_scores.sum(), images)
    return gradients.abs().amax(dim=1).float() / scale


def compute_grad_cam_maps(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    *,
    layer: str = "conv3",
) -> Tensor:
    """Compute which places of a layer's activations speak for a class.

    Always in float32, in one backward pass for the batch, whether or not the model's
    parameters are frozen. The model stays as it is.

    Args:
        samples: as for `compute_gradient_saliency_maps`.
        target_classes: int (B,), the class that each map is of.
        model: from images to logits (B, 2).
        layer: name of the convolution whose activations are weighed.

    Returns:
        float32 (B, H, W) in [0, 1], on the CPU.

    Raises:
        ValueError: the samples are uint8 and the model has no `preprocessing`.

    Source: Selvaraju et al. 2017, Grad-CAM, equations 1 and 2, by the package grad-cam.
        Each image's map is rescaled to fill [0, 1] (maps of different images do not
        compare in strength) and enlarged bilinearly to the image's size.
    """
    from pytorch_grad_cam import GradCAM  # takes a second: only those who use it pay
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    images = prepare_images(samples, model)
    targets = [ClassifierOutputTarget(int(label)) for label in target_classes]
    with left_as_it_is(model), torch.enable_grad():
        # Not in a `with` block of its own, which would swallow IndexErrors.
        grad_cam = GradCAM(model, [model.get_submodule(layer)])
        try:
            maps = grad_cam(images, targets)
        finally:
            grad_cam.activations_and_grads.release()
    return torch.from_numpy(maps)


def get_grad_cam_visualization(
    test_dataset: Dataset,
    model: nn.Module,
    *,
    generator: torch.Generator | None = None,
) -> tuple[np.ndarray, int]:
    """Explain the score of one random image's true class by Grad-CAM at `conv3`.

    Args:
        test_dataset: map-style; samples (3, H, W), uint8, or float and normalised.
        model: from images to logits (B, 2), with a layer `conv3`.
        generator: of the random choice; default torch's own.

    Returns:
        The map as colours over the image, uint8 (H, W, 3), RGB, and the image's label.
    """
    index = int(torch.randint(len(test_dataset), (), generator=generator))
    example = explain_sample(*test_dataset[index], model)
    return example.overlay, example.label


def explain_sample(
    sample: Tensor, label: int, model: nn.Module, *, layer: str = "conv3"
) -> GradCam:
    """Compute one sample's Grad-CAM map of its true class, and lay it over the image.

    Args:
        sample: (3, H, W), uint8, or float and normalised.
        label: its true class.
        model, layer: as for `compute_grad_cam_maps`.
    """
    from pytorch_grad_cam.utils.image import show_cam_on_image

    label = int(label)
    (cam,) = compute_grad_cam_maps(sample[None], [label], model, layer=layer).numpy()
    image = make_displayable(sample, model)
    overlay = show_cam_on_image(image, cam, use_rgb=True)
    return GradCam(image, cam, overlay, label)


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


def compute_mean_saliency_maps(
    batches: Batches, model: nn.Module, *, precision: Precision | None = None
) -> dict[int, Tensor]:
    """Average the gradient saliency maps of all real and of all fake images.

    Args, Returns and Raises: as for `compute_mean_maps` and
    `compute_gradient_saliency_maps`.
    """
    compute_maps = partial(
        compute_gradient_saliency_maps, model=model, precision=precision
    )
    return compute_mean_maps(batches, compute_maps)
