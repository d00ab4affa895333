"""One picture's maps: for predict.py, the page and the report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import ImageDraw

from explaining.explanation import UNKNOWN, Explanation, Method, explain_image
from explaining.shown import NONE_PASSED, Candidate, choose_shown
from files.classes import CLASS_NAMES
from hardware import Precision
from judging.detector import Detector
from judging.verdicts import Verdict
from judging.words import capitalise
from loading import ImageFile
from loading.face_finding import Face
from loading.image_files import read_image_and_size
from plots.style import make_drawable, save_figure

BOXES_SIDE = 800  # pixels of the picture in which faces are marked
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
    sample: np.ndarray, target: int, detector: Detector, methods: Sequence[Method]
) -> Explanation:
    """Compute the maps of a class's score on a picture, uint8 (S, S, 3)."""
    image = torch.from_numpy(sample).permute(2, 0, 1)
    dataset = [(image, UNKNOWN)]
    return explain_image(dataset, detector, methods, index=0, target_class=target)


def explain_verdict(verdict: Verdict, precision: Precision) -> Explanation:
    """Compute the maps that are shown with a verdict; none where no face was found.

    The precision is that of gradients.
    """
    detector, has_face = verdict.detector, verdict.picture.num_faces != 0
    methods = build_methods(detector, precision) if has_face else []
    return explain_sample(verdict.sample, verdict.label, detector, methods)


class Drawn(NamedTuple):
    """A picture or a map on a page: what it is called, what it shows, its pixels.

    Attributes:
        words: what it shows, for readers who cannot see it, too.
        pixels: uint8 (H, W, 3).
    """

    caption: str
    words: str
    pixels: np.ndarray


def draw_maps(verdict: Verdict, precision: Precision) -> list[Drawn]:
    """Return a picture as its detector saw it and the maps that are shown, for a page.

    Where a finder found no face, there are no maps.
    """
    seen = verdict.sample
    height, width, _ = seen.shape
    caption, words = "As the detector saw it", f"Scaled to {width} x {height} pixels."
    if verdict.picture.num_faces == 0:
        return [Drawn(caption, words, seen)]
    explanation = explain_verdict(verdict, precision)
    methods = explanation.methods
    drawn = [Drawn(f"{caption}; {describe_shown(methods)}", words, seen)]
    of_class = f"of '{CLASS_NAMES[explanation.target]}'"
    for number, method in enumerate(methods):
        name = f"{capitalise(method.title)} {of_class} ({method.checked})"
        caption = f"{name}; {describe_colours([method])}"
        words = method.describe(explanation.maps[number], explanation.target)
        drawn.append(Drawn(caption, f"{capitalise(words)}.", explanation.draw(number)))
    return drawn


def draw_boxes(file: ImageFile, faces: Sequence[Face]) -> Drawn:
    """Return a picture with its faces numbered from 1, `BOXES_SIDE` pixels large.

    One without faces is not made larger. Raises ValueError if it cannot be read any
    more.
    """
    picture, size = read_image_and_size(file, at_least=BOXES_SIDE)
    scale = BOXES_SIDE / max(size)
    scale = scale if faces else min(scale, 1.0)
    picture = picture.resize([max(1, round(scale * side)) for side in size])
    brush = ImageDraw.Draw(picture)
    outlined = {"font_size": 32, "stroke_width": 2, "stroke_fill": "black"}
    for number, face in enumerate(faces, start=1):
        box = [scale * place for place in face.box]
        for color, width in (("black", 5), ("white", 2)):
            brush.rectangle(box, outline=color, width=width)
        corner = max(box[0], 0) + 6, max(box[1], 0) + 4
        brush.text(corner, str(number), "white", **outlined)
    marked = "Its face is" if len(faces) == 1 else f"Its {len(faces)} faces are"
    words = f"{marked} marked by a box and a number." if faces else "As it is."
    return Drawn("The whole picture", words, np.asarray(picture))


def save_explanation(
    explanation: Explanation, path: Path, title: str, *, has_face: bool = True
) -> None:
    """Save a picture and its maps side by side, under a title, as PNG.

    Where a finder found no face, there is no map. Raises OSError if the file cannot be
    written.
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
    methods = explanation.methods
    why = "no face was found in it, so there is no map"
    why = describe_shown(methods) if has_face else why
    words = filter(None, [why, describe_colours(methods)])
    figure.supxlabel("\n".join(words), fontsize=8)
    save_figure(figure, path)


def describe_colours(methods: Sequence[Method]) -> str:
    """Say how the colours of maps are to be read."""
    readings = {
        False: "bright: the pixels that move the score most",
        True: "red: the map's maximum, blue: 0",
    }
    used = dict.fromkeys(method.is_overlay for method in methods)
    return "; ".join(readings[is_overlay] for is_overlay in used)
