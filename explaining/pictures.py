"""One picture's saliency map and Grad-CAM: for predict.py, the page and the report."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import ImageDraw
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
from judging.verdicts import Verdict
from loading import ImageFile, read_image
from loading.face_finding import Face
from plots.style import make_drawable, save_figure

BOXES_SIDE = 800  # pixels of the picture in which faces are marked


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


class Drawn(NamedTuple):
    """A picture or a map on a page: what it is called, what it shows, its pixels.

    Attributes:
        caption: its name.
        words: what it shows, for readers who cannot see it, too.
        pixels: uint8 (H, W, 3).
    """

    caption: str
    words: str
    pixels: np.ndarray


def draw_maps(verdict: Verdict, precision: Precision) -> list[Drawn]:
    """Return a picture as its detector saw it and each map, for a page.

    Where a finder found no face, there are no maps.

    Args:
        verdict: one that has a score.
        precision: as for `explain_sample`.
    """
    seen = verdict.sample.permute(1, 2, 0).numpy()
    height, width, _ = seen.shape
    words = f"As the detector saw it: scaled to {width} x {height} pixels."
    drawn = [Drawn("as the detector saw it", words, seen)]
    if verdict.picture.num_faces == 0:
        return drawn
    detector = verdict.detector
    explanation = explain_sample(verdict.sample, verdict.label, detector, precision)
    words = explanation.describe()
    for number, method in enumerate(explanation.methods):
        drawn.append(Drawn(method.title, words[number], explanation.draw(number)))
    return drawn


def draw_boxes(file: ImageFile, faces: Sequence[Face]) -> Drawn:
    """Return a picture with its faces numbered, `BOXES_SIDE` pixels large.

    One without faces is not made larger.

    Args:
        file: the picture.
        faces: in the order of their numbers, from 1; or none.

    Raises:
        ValueError: it cannot be read, any more.
    """
    picture = read_image(file)
    scale = BOXES_SIDE / max(picture.size)
    scale = scale if faces else min(scale, 1.0)
    picture = picture.resize([max(1, round(scale * side)) for side in picture.size])
    brush = ImageDraw.Draw(picture)
    outlined = {"font_size": 32, "stroke_width": 2, "stroke_fill": "black"}
    for number, face in enumerate(faces, start=1):
        box = [scale * place for place in face.box]
        for color, width in (("black", 5), ("white", 2)):
            brush.rectangle(box, outline=color, width=width)
        corner = max(box[0], 0) + 6, max(box[1], 0) + 4
        brush.text(corner, str(number), "white", **outlined)
    marked = "its face is" if len(faces) == 1 else f"its {len(faces)} faces are"
    words = "The whole picture."
    if faces:
        words = f"The whole picture: {marked} marked by a box and a number."
    return Drawn("the whole picture", words, np.asarray(picture))


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
