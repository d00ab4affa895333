"""Class activation maps: which places of a layer speak for a class."""

import re
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from explaining.explanation import Method
from explaining.gradients import explanation_mode, prepare_inputs
from judging.detector import Detector, as_detector
from models import Layout

# Layers whose maps may be worth a look, wherever in a network they stand.
_TELLING = re.compile(
    r"(backbone\.)?(\w+\.)?"
    r"((conv|layer|stage|\w*block)\w*(?<!s)|(blocks|stages|layers|features)\.\d+)"
)

# By method: the name of the package's class, and what its maps are called in titles.
METHODS = {
    "grad-cam": ("GradCAM", "Grad-CAM"),
    "grad-cam++": ("GradCAMPlusPlus", "Grad-CAM++"),
    "hires-cam": ("HiResCAM", "HiResCAM"),
    "layer-cam": ("LayerCAM", "LayerCAM"),
}


def compute_grad_cam_maps(
    samples: Tensor,
    target_classes: Tensor | Sequence[int],
    model: Detector | nn.Module,
    *,
    layer: str | None = None,
    method: str = "grad-cam",
) -> Tensor:
    """Compute which places of a layer's activations speak for a class.

    Always in float32, in one backward pass for the batch, whether or not the model's
    parameters are frozen. The model stays as it is.

    Args:
        samples, target_classes: as `explaining.gradients.prepare_inputs` takes and
            refuses them.
        model: a detector, or a network from images to logits (B, 2).
        layer: name of the module whose activations are weighted; default the detector's
            own.
        method: one of `METHODS`.

    Returns:
        float32 (B, H, W) in [0, 1], on the CPU.

    Raises:
        ValueError: the layer's activations have no places, or the score does not
            depend on them.

    Source: Selvaraju et al. 2017, Grad-CAM, equations 1 and 2; Chattopadhay et al.
        2018, Grad-CAM++; Draelos and Carin 2020, HiResCAM; Jiang et al. 2021, LayerCAM;
        all by the package grad-cam. Each image's map is rescaled to fill [0, 1] (maps
        of different images do not compare in strength) and enlarged bilinearly to the
        image's size.
    """
    import pytorch_grad_cam  # seconds: it imports torchvision's networks
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    detector = as_detector(model)
    images, classes = prepare_inputs(samples, target_classes, detector)
    targets = [ClassifierOutputTarget(label) for label in classes.tolist()]
    network = detector.network
    layer = layer or detector.layer
    module = network.get_submodule(layer)
    reshape = partial(_to_maps, layer=layer, layout=detector.layout)
    with explanation_mode(network), torch.enable_grad():
        # Not in a `with` block of its own, which would swallow IndexErrors.
        build_cam = getattr(pytorch_grad_cam, METHODS[method][0])
        cam = build_cam(network, [module], reshape_transform=reshape)
        start = module.register_forward_hook(_start_graph, prepend=True)
        try:
            maps = cam(images, targets)
        except RuntimeError as error:
            outputs = getattr(cam, "outputs", None)
            if outputs is None or outputs.requires_grad:
                raise
            raise ValueError(f"no score depends on what layer {layer} gives") from error
        finally:
            cam.activations_and_grads.release()
            start.remove()
    return torch.from_numpy(maps)


def _start_graph(module: nn.Module, inputs: object, output: object) -> object:
    """Let the backward pass end at a layer: nobody asks what lies before it."""
    if not isinstance(output, Tensor):
        return output
    return output.detach().requires_grad_().clone()  # a copy may be changed in place


def _to_maps(activations: Tensor, layer: str, layout: Layout) -> Tensor:
    try:
        return layout.to_maps(activations)
    except ValueError as error:
        raise ValueError(f"layer {layer} has no places to map: {error}") from error


def build_cam_method(
    detector: Detector, *, method: str = "grad-cam", layer: str | None = None
) -> Method:
    """Return how the maps of one of `METHODS` are computed, drawn and called.

    Another layer than the detector's own stands in the names of files.

    Raises:
        ValueError: there is no such layer; the message names some that there are.
    """
    layer = layer or detector.layer
    if layer not in dict(detector.network.named_modules()):
        raise ValueError(
            f"{detector.title} has no layer {layer!r:.60} to explain; choose from "
            f"{', '.join(suggest_layers(detector))}"
        )
    title = f"{METHODS[method][1]} at {layer}"
    name = method.replace("-", "_")
    return Method(
        name=name if layer == detector.layer else f"{name}_{layer}",
        compute=partial(compute_grad_cam_maps, layer=layer, method=method),
        title=title,
        legend=title,
        unit="mean of maps that each fill 0 to 1",
        is_overlay=True,
        settings={"method": method, "layer": layer},
    )


def suggest_layers(detector: Detector) -> list[str]:
    """List layers that are worth a map: the detector's own, and stages by name.

    If its own is part of a block, as in a transformer, it is that part of each block.
    """
    modules = dict(detector.network.named_modules())
    if re.search(r"[.]\d+[.]", detector.layer):
        alike = re.sub(r"\d+", r"\\d+", re.escape(detector.layer))
        return [name for name in modules if re.fullmatch(alike, name)]
    names: list[str] = []
    for name, module in modules.items():
        is_inner = any(name.startswith(f"{outer}.") for outer in names)
        is_telling = _TELLING.fullmatch(name) and not is_inner
        if name == detector.layer or (is_telling and list(module.parameters())):
            names.append(name)
    return names
