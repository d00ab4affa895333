"""A detector's mistakes with their maps, and the mean maps of its images."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from explaining.explanation import (
    Explanation,
    Method,
    compute_mean_maps,
    describe_place,
    explain_image,
    to_bytes,
)
from explaining.judged_images import JudgedImages, load_batches, rank_errors
from explaining.pictures import build_methods
from faces_dataset import FacesDataset, count_classes
from files.classes import CLASS_NAMES
from hardware import Compute, show_progress
from judging.detector import Detector
from scores import ScoreSet

# Of each class behind a mean map: more change it little, and take minutes.
MOST_AVERAGED = 250
EDGE = 160  # pixels of an image, and of each map beside it
_BATCH_SIZE = 8  # Grad-CAM holds a layer's activations


class Side(NamedTuple):
    """The mistakes on the images of one class: the surest of all `num`."""

    label: int
    num: int
    shown: list[Explanation]


class MeanMaps(NamedTuple):
    """Mean maps of the real and the fake images, and in words where they are."""

    name: str
    unit: str
    maps: np.ndarray  # float32 (2, H, W), real first
    counts: dict[str, int]  # images behind each, by its class
    places: tuple[str, str]


class Maps(NamedTuple):
    """What a report explains of a detector, by the kinds of map that it shows."""

    sides: list[Side]
    means: list[MeanMaps]
    methods: list[Method]


def explain_detector(
    scores: ScoreSet,
    dataset: FacesDataset,
    detector: Detector,
    *,
    compute: Compute,
    num_mistakes: int,
) -> Maps:
    """Explain the surest mistakes of each kind, and average the maps of each class.

    The maps are of the kinds that `explaining.pictures.build_methods` returns, those of
    class activations in float32. `scores` are what the detector said of the dataset, in
    its order; of each kind at most `num_mistakes` are shown.
    """
    verdicts = scores.called_fake.astype(np.int64)
    said = scores.labels, scores.fake_scores, verdicts
    judged = JudgedImages(dataset, detector, compute, *said, "predicted")
    methods = build_methods(detector, compute.precision)
    explain = partial(explain_image, dataset, detector, methods)
    sides = []
    for label in range(len(CLASS_NAMES)):
        errors = rank_errors(judged, label).indices.tolist()
        shown = show_progress(errors[:num_mistakes], "maps")
        explained = [judged.explain(explain, index) for index in shown]
        sides.append(Side(label, len(errors), explained))
    return Maps(sides, [_average(judged, method) for method in methods], methods)


def _average(judged: JudgedImages, method: Method) -> MeanMaps:
    """Average the maps of some images of each class, of their true class's score."""
    some = choose_evenly(judged.images)
    compute = replace(judged.compute, batch_size=_BATCH_SIZE)
    batches = load_batches(some, judged.detector, compute)
    batches = show_progress(batches, method.title)
    maps = compute_mean_maps(batches, method.compute, judged.detector)
    places = tuple(f"most is {describe_place(values)}" for values in maps)
    return MeanMaps(method.title, method.unit, maps, count_classes(some), places)


def choose_evenly(dataset: FacesDataset, most: int = MOST_AVERAGED) -> FacesDataset:
    """Return at most so many images of each class, evenly spaced in their order."""
    labels, kept = dataset.get_labels(), []
    for label in range(len(CLASS_NAMES)):
        of_class = np.flatnonzero(labels == label)
        places = np.linspace(0, len(of_class) - 1, min(most, len(of_class)))
        kept.append(of_class[np.rint(places).astype(int)])
    return dataset.drop(np.setdiff1d(np.arange(len(labels)), np.concatenate(kept)))


def draw_strip(explanation: Explanation) -> Image.Image:
    """Return an image and its maps side by side, `EDGE` pixels high."""
    numbers = range(len(explanation.maps))
    drawn = [explanation.draw(number, with_outline=True) for number in numbers]
    strip = np.concatenate([to_bytes(explanation.image), *drawn], axis=1)
    return Image.fromarray(strip).resize((EDGE * (1 + len(drawn)), EDGE))
