"""Class activation maps: which places of a layer speak for a class."""

from collections.abc import Sequence

import numpy as np
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from explaining.mean_maps import left_as_it_is, prepare_images

LAYER = "conv3"  # SimpleNet's last convolution, XceptionBased's last but one


class OrientedEigenCAM(EigenCAM):
    """Eigen-CAM from the channels' covariance, its larger extreme turned positive.

    The package's own takes a singular value decomposition over all places, which needs
    15 GB for an image at SimpleNet's first layer, and leaves the sign to chance.
    """

    def get_cam_image(
        self,
        input_tensor: Tensor,
        target_layer: nn.Module,
        targets: Sequence[ClassifierOutputTarget],
        activations: np.ndarray,
        grads: np.ndarray | None,
        eigen_smooth: bool = False,
    ) -> np.ndarray:
        """Project activations (B, C, H, W) to their first principal component."""
        channels = activations.reshape(*activations.shape[:2], -1)  # (B, C, H W)
        channels = channels - channels.mean(axis=2, keepdims=True)
        covariance = channels @ channels.transpose(0, 2, 1)
        directions = np.linalg.eigh(covariance)[1][:, None, :, -1]  # (B, 1, C)
        maps = (directions @ channels)[:, 0]  # (B, H W)
        signs = np.where(maps.max(axis=1) < -maps.min(axis=1), -1, 1)
        return (signs[:, None] * maps).reshape(len(maps), *activations.shape[2:])


METHODS = {
    "grad-cam": GradCAM,
    "grad-cam++": GradCAMPlusPlus,
    "hires-cam": HiResCAM,
    "layer-cam": LayerCAM,
    "eigen-cam": OrientedEigenCAM,
}


def compute_grad_cam_maps(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: nn.Module,
    *,
    layer: str = LAYER,
    method: str = "grad-cam",
) -> Tensor:
    """Compute which places of a layer's activations speak for a class.

    Always in float32, in one backward pass for the batch, whether or not the model's
    parameters are frozen. The model stays as it is.

    Args:
        samples: float (B, 3, H, W), normalised; or uint8, if the model knows its
            `preprocessing`.
        target_classes: int (B,), the class that each map is of.
        model: from images to logits (B, 2).
        layer: name of the convolution whose activations are weighed.
        method: one of `METHODS`. Eigen-CAM, the activations' first principal component,
            is the same for every class.

    Returns:
        float32 (B, H, W) in [0, 1], on the CPU.

    Raises:
        ValueError: the samples are uint8 and the model has no `preprocessing`; or it
            has one, and they are floats in [0, 1], which nobody has normalised.

    Source: Selvaraju et al. 2017, Grad-CAM, equations 1 and 2; Chattopadhay et al.
        2018, Grad-CAM++; Draelos and Carin 2020, HiResCAM; Jiang et al. 2021, LayerCAM;
        Muhammad and Yeasin 2020, Eigen-CAM; all by the package grad-cam.
        Each image's map is rescaled to fill [0, 1] (maps of different images do not
        compare in strength) and enlarged bilinearly to the image's size.
    """
    images = prepare_images(samples, model)
    targets = [ClassifierOutputTarget(int(label)) for label in target_classes]
    with left_as_it_is(model), torch.enable_grad():
        # Not in a `with` block of its own, which would swallow IndexErrors.
        grad_cam = METHODS[method](model, [model.get_submodule(layer)])
        try:
            maps = grad_cam(images, targets)
        finally:
            grad_cam.activations_and_grads.release()
    return torch.from_numpy(maps)


def check_layer(model: nn.Module, layer: str) -> None:
    """Raise ValueError that names a model's layers where it has none called so."""
    layers = [n for n, _ in model.named_children() if n.startswith(("conv", "block"))]
    if layer not in layers:
        raise ValueError(
            f"{model.name} has no layer {layer!r} to explain; choose from "
            f"{', '.join(layers)}"
        )
