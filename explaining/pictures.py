"""One picture's explanation: saliency and Grad-CAM, as numbers, pictures and words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from pytorch_grad_cam.utils.image import show_cam_on_image
from torch import Tensor, nn

from explaining.cams import LAYER, compute_grad_cam_maps
from explaining.figures import NEARLY_EMPTY, color_map
from explaining.mean_maps import make_displayable
from explaining.methods import compute_gradient_saliency_maps
from files.names import CLASS_NAMES
from hardware import Precision
from plots.style import escape_dollars, save_figure

_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


@dataclass(frozen=True)
class Explanation:
    """What a detector looked at in a picture.

    Attributes:
        target: the class whose score is explained.
        image: float32 (H, W, 3) in [0, 1], as the detector saw it.
        saliency: float32 (H, W), how strongly each pixel moves the score.
        grad_cam: float32 (H, W) in [0, 1], what of the layer speaks for the class.
    """

    target: int
    image: np.ndarray
    saliency: np.ndarray
    grad_cam: np.ndarray

    def draw_saliency(self) -> np.ndarray:
        """Return the saliency map in colours, uint8 (H, W, 3)."""
        return np.uint8(255 * color_map(self.image, self.saliency) + 0.5)

    def draw_grad_cam(self) -> np.ndarray:
        """Return Grad-CAM in colours over the image, uint8 (H, W, 3)."""
        return show_cam_on_image(self.image, self.grad_cam, use_rgb=True)

    def describe(self) -> tuple[str, str]:
        """Say where the saliency map and where Grad-CAM are strongest."""
        name = CLASS_NAMES[self.target]
        return (
            f"Saliency map: the pixels that move the score of '{name}' most are "
            f"{describe_place(self.saliency)}.",
            f"Grad-CAM over the picture: what speaks for '{name}' is strongest "
            f"{describe_place(self.grad_cam)}.",
        )


def explain_sample(
    sample: Tensor, target: int, model: nn.Module, precision: Precision
) -> Explanation:
    """Compute both maps of a picture. The model stays as it is.

    Args:
        sample: uint8 (3, H, W).
        target: the class whose score is explained.
        model: as `utils.load_checkpoint` returns it.
        precision: of the saliency map; Grad-CAM is computed in float32.
    """
    (saliency,) = compute_gradient_saliency_maps(
        sample[None], [target], model, precision=precision
    )
    (grad_cam,) = compute_grad_cam_maps(sample[None], [target], model)
    image = make_displayable(sample, model)
    return Explanation(target, image, saliency.cpu().numpy(), grad_cam.numpy())


def describe_place(values: np.ndarray) -> str:
    """Say in which ninth of a map (H, W) most of it lies: 'in the upper left'."""
    if values.mean() <= NEARLY_EMPTY * values.max():
        return "nowhere: the map is empty, or nearly so"
    sums = [
        [float(part.mean()) for part in np.array_split(strip, 3, axis=1)]
        for strip in np.array_split(values, 3, axis=0)
    ]
    row, column = np.unravel_index(int(np.argmax(sums)), (3, 3))
    if (row, column) == (1, 1):
        return "in the centre"
    return f"in the {_ROWS[row]} {_COLUMNS[column]}"


def save_explanation(explanation: Explanation, path: Path, title: str) -> None:
    """Save the figure of an explanation as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    save_figure(build_explanation_figure(explanation, title), path)


def build_explanation_figure(explanation: Explanation, title: str) -> Figure:
    """Draw a picture, its saliency map and its Grad-CAM side by side.

    Args:
        explanation: of the picture.
        title: of the figure.
    """
    name = CLASS_NAMES[explanation.target]
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    pictures = {
        "as the detector saw it": explanation.image,
        f"saliency of '{name}'": explanation.draw_saliency(),
        f"Grad-CAM of '{name}' at {LAYER}": explanation.draw_grad_cam(),
    }
    cells = figure.subplots(1, len(pictures))
    for axes, (caption, picture) in zip(cells, pictures.items(), strict=True):
        axes.imshow(picture)
        axes.set_title(caption, fontsize=10)
        axes.set_axis_off()
    figure.suptitle(escape_dollars(title), fontsize=11)
    figure.supxlabel(
        "saliency: the pixels that move the score most are bright; Grad-CAM: red is "
        "its maximum, blue 0",
        fontsize=8,
    )
    return figure
