"""A detector's mistakes with their maps, and the mean maps of its images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pytorch_grad_cam.utils.image import show_cam_on_image
from scipy import ndimage
from torch import Tensor, nn

from explaining.cams import LAYER, compute_grad_cam_maps
from explaining.figures import color_map
from explaining.mean_maps import compute_mean_maps, make_displayable
from explaining.methods import compute_gradient_saliency_maps
from explaining.subjects import Subjects, rank_telling
from faces_dataset import CLASS_NAMES, FacesDataset, count_classes
from hardware import Precision, show_progress
from loading import BatchLoader
from scores import ScoreSet

# Of each class behind a mean map: more change it little, and take minutes.
MOST_AVERAGED = 250
EDGE = 160  # pixels of an image, and of each map beside it
_BATCH_SIZE = 8  # Grad-CAM holds a layer's activations

MapFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Mistake:
    """An image on the wrong side of the threshold, and what spoke for that.

    Attributes:
        path: where the image is.
        label, verdict: its class, and what it is called.
        fake_score: P(fake).
        strip: image, saliency map and Grad-CAM of the verdict's score, side by side.
        places: of both maps in words.
    """

    path: str
    label: int
    verdict: int
    fake_score: float
    strip: Image.Image
    places: tuple[str, str]

    @property
    def name(self) -> str:
        """Its file with the folders of split and class."""
        return "/".join(Path(self.path).parts[-3:])


@dataclass(frozen=True)
class Side:
    """The mistakes on the images of one class: the surest of all `num`."""

    label: int
    num: int
    shown: list[Mistake]


@dataclass(frozen=True)
class MeanMaps:
    """Mean maps of the real and the fake images.

    Attributes:
        name: what the maps are.
        unit: of their values.
        maps: float32 (2, H, W), real first.
        counts: images behind each, by its class.
        places: of both in words.
    """

    name: str
    unit: str
    maps: np.ndarray
    counts: dict[str, int]
    places: tuple[str, str]


@dataclass(frozen=True)
class Maps:
    """What a report explains of a detector."""

    sides: list[Side]
    means: list[MeanMaps]


def explain_detector(
    scores: ScoreSet,
    dataset: FacesDataset,
    model: nn.Module,
    *,
    precision: Precision,
    num_mistakes: int,
    workers: int | None = None,
) -> Maps:
    """Explain the surest mistakes of each kind, and average the maps of each class.

    Args:
        scores: what the detector said of the dataset, in its order.
        dataset: the images.
        model: as `utils.load_checkpoint` returns it.
        precision: arithmetic of the gradient maps; Grad-CAM is computed in float32.
        num_mistakes: at most shown of each kind.
        workers: processes that read images.
    """
    functions = {
        "saliency map": partial(
            compute_gradient_saliency_maps, model=model, precision=precision
        ),
        f"Grad-CAM at {LAYER}": partial(compute_grad_cam_maps, model=model),
    }
    verdicts = scores.called_fake.astype(np.int64)
    judged = scores.labels, scores.fake_scores, verdicts
    subjects = Subjects(dataset, model, precision, *judged, "predicted", verdicts)
    sides = []
    for group in rank_telling(subjects)[::3]:  # errors, hits, typical ones; per class
        chosen = show_progress(group.indices[:num_mistakes].tolist(), "maps")
        shown = [
            _explain(subjects, index, list(functions.values())) for index in chosen
        ]
        sides.append(Side(group.label, len(group.indices), shown))
    some = choose_evenly(dataset)
    loader = BatchLoader(
        some,
        _BATCH_SIZE,
        model.preprocessing,
        device=precision.device,
        workers=workers,
    )
    units = "mean |d score / d pixel|", "mean of maps that each fill 0 to 1"
    means = []
    for (name, compute_maps), unit in zip(functions.items(), units, strict=True):
        maps = compute_mean_maps(show_progress(loader, name), compute_maps)
        places = tuple(map(describe_place, maps))
        means.append(MeanMaps(name, unit, maps, count_classes(some), places))
    return Maps(sides, means)


def choose_evenly(dataset: FacesDataset, most: int = MOST_AVERAGED) -> FacesDataset:
    """Return at most so many images of each class, evenly spaced in their order."""
    labels, kept = dataset.get_labels(), []
    for label in range(len(CLASS_NAMES)):
        of_class = np.flatnonzero(labels == label)
        places = np.linspace(0, len(of_class) - 1, min(most, len(of_class)))
        kept.append(of_class[np.rint(places).astype(int)])
    return dataset.drop(np.setdiff1d(np.arange(len(labels)), np.concatenate(kept)))


def describe_place(values: np.ndarray) -> str:
    """Say where a map (H, W) has its mass: in the middle, and where its centre is."""
    total = values.sum(dtype=np.float64)
    if not total > 0:
        return "nothing is to be seen"
    height, width = values.shape
    middle = values[height // 4 : -(height // 4), width // 4 : -(width // 4)]
    share = middle.sum(dtype=np.float64) / total
    y, x = ndimage.center_of_mass(values.astype(np.float64))
    return (
        f"{100 * share:.0f} % is in the middle quarter of the image, and the centre "
        f"{100 * (x + 0.5) / width:.0f} % from the left and "
        f"{100 * (y + 0.5) / height:.0f} % from the top"
    )


def _explain(subjects: Subjects, index: int, functions: list[MapFunction]) -> Mistake:
    """Compute both maps of the score that the image at `index` was called by."""
    sample, verdict = subjects.images[index][0], int(subjects.verdicts[index])
    saliency, cam = (
        compute_maps(sample[None], torch.tensor([verdict]))[0].cpu().numpy()
        for compute_maps in functions
    )
    image = make_displayable(sample, subjects.model)
    over = outline(show_cam_on_image(image, cam, use_rgb=True), cam)
    return Mistake(
        str(subjects.images.get_path(index)),
        int(subjects.labels[index]),
        verdict,
        float(subjects.fake_scores[index]),
        _put_side_by_side([image, color_map(image, saliency), over]),
        (describe_place(saliency), describe_place(cam)),
    )


def outline(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Draw a white line in black where a map has half its maximum, for print.

    Args:
        picture: uint8 (H, W, 3).
        values: of the map, (H, W).
    """
    if not values.any():
        return picture
    inside = values >= values.max() / 2
    inner = inside & ~ndimage.binary_erosion(inside, iterations=2, border_value=1)
    outer = ndimage.binary_dilation(inside, iterations=2) & ~inside
    picture = picture.copy()
    picture[outer], picture[inner] = 0, 255
    return picture


def _put_side_by_side(pictures: list[np.ndarray]) -> Image.Image:
    """Return pictures (H, W, 3), bytes or floats in [0, 1], in a row."""
    strip = Image.new("RGB", (EDGE * len(pictures), EDGE))
    for number, picture in enumerate(pictures):
        if picture.dtype != np.uint8:
            picture = np.rint(255 * picture).astype(np.uint8)
        image = Image.fromarray(picture).resize((EDGE, EDGE))
        strip.paste(image, (number * EDGE, 0))
    return strip
