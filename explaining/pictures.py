"""One picture's maps: for predict.py, the page and the report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from explaining.explanation import UNKNOWN, Explanation, Method, explain_image
from explaining.shown import NONE_PASSED, Candidate, choose_shown
from files.names import CLASS_NAMES
from hardware import Precision
from judging.detector import Detector
from plots.style import make_drawable, save_figure

NOT_CHECKED = "not checked"


def build_methods(detector: Detector, precision: Precision) -> list[Method]:
    """Return the kinds of map that are shown as a reason.

    They passed the checks for this detector. Where nobody has checked, they are the
    saliency map, computed in this precision, and Grad-CAM in float32, and say so.
    """
    chosen = choose_shown(detector, precision)
    if chosen is not None:
        return chosen
    usual = Candidate("gradient", ""), Candidate("grad-cam", detector.layer)
    built = [candidate.build(detector, precision) for candidate in usual]
    return [replace(method, checked=NOT_CHECKED) for method in built]


def describe_shown(methods: Sequence[Method]) -> str:
    """Say why these kinds of map are shown, or none."""
    if not methods:
        return NONE_PASSED
    if methods[0].checked == NOT_CHECKED:
        return (
            "nobody has checked whether such maps show what this detector looks at; "
            "calibrate.py does"
        )
    return "what is shown passed these checks for this detector, on validation images"


def explain_sample(
    sample: Tensor, target: int, detector: Detector, precision: Precision
) -> Explanation:
    """Compute a picture's maps, of the kinds that `build_methods` returns.

    Args:
        sample: uint8 (3, S, S).
        target: the class whose score is explained.
        detector: that judged it; it stays as it is.
        precision: of gradients.
    """
    dataset, methods = [(sample, UNKNOWN)], build_methods(detector, precision)
    return explain_image(dataset, detector, methods, index=0, target_class=target)


def save_explanation(explanation: Explanation, path: Path, title: str) -> None:
    """Save a picture and its maps side by side, under a title, as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    of_class = f"of '{CLASS_NAMES[explanation.target]}'"
    shown = [(explanation.image, "as the detector saw it", "")]
    for number, method in enumerate(explanation.methods):
        picture = explanation.draw(number)
        shown.append((picture, f"{method.title} {of_class}", method.checked))
    cells = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (picture, caption, checked) in zip(cells, shown, strict=True):
        axes.imshow(picture)
        axes.set_title(caption, fontsize=10)
        axes.set_xlabel(checked, fontsize=8)
        axes.set(xticks=[], yticks=[], frame_on=False)
    figure.suptitle(make_drawable(title), fontsize=11)
    words = [describe_shown(explanation.methods), describe_colours(explanation.methods)]
    figure.supxlabel("\n".join(filter(None, words)), fontsize=8)
    save_figure(figure, path)


def describe_colours(methods: Sequence[Method]) -> str:
    """Say how the colours of maps are to be read."""
    readings = {
        False: "bright: the pixels that move the score most",
        True: "red: the map's maximum, blue: 0",
    }
    used = dict.fromkeys(method.is_overlay for method in methods)
    return "; ".join(readings[is_overlay] for is_overlay in used)
