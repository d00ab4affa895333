"""One picture's saliency map and Grad-CAM: for predict.py, the page and the report."""

from functools import partial
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from explaining.cams import build_cam_method
from explaining.explanation import UNKNOWN, Explanation, Method, explain_image
from explaining.gradients import (
    build_gradient_method,
    compute_input_gradients,
    compute_magnitudes,
)
from files.names import CLASS_NAMES
from hardware import Precision
from judging.detector import Detector
from plots.style import make_drawable, save_figure


def build_methods(detector: Detector, precision: Precision) -> tuple[Method, Method]:
    """Return the saliency map, computed in this precision, and Grad-CAM in float32."""
    differentiate = partial(compute_input_gradients, precision=precision)
    return (
        build_gradient_method(
            "gradient", lambda *given: compute_magnitudes(differentiate(*given))
        ),
        build_cam_method(detector),
    )


def explain_sample(
    sample: Tensor, target: int, detector: Detector, precision: Precision
) -> Explanation:
    """Compute the saliency map and the Grad-CAM of a picture.

    Args:
        sample: uint8 (3, S, S).
        target: the class whose score is explained.
        detector: that judged it; it stays as it is.
        precision: of the saliency map.
    """
    dataset, methods = [(sample, UNKNOWN)], build_methods(detector, precision)
    return explain_image(dataset, detector, methods, index=0, target_class=target)


def save_explanation(explanation: Explanation, path: Path, title: str) -> None:
    """Save a picture and its maps side by side, under a title, as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    shown = {"as the detector saw it": explanation.image}
    for number, method in enumerate(explanation.methods):
        caption = f"{method.title} of '{CLASS_NAMES[explanation.target]}'"
        shown[caption] = explanation.draw(number)
    cells = figure.subplots(1, len(shown))
    for axes, (caption, picture) in zip(cells, shown.items(), strict=True):
        axes.imshow(picture)
        axes.set_title(caption, fontsize=10)
        axes.set_axis_off()
    figure.suptitle(make_drawable(title), fontsize=11)
    figure.supxlabel(
        "saliency: the pixels that move the score most are bright; Grad-CAM: red is "
        "its maximum, blue 0",
        fontsize=8,
    )
    save_figure(figure, path)
