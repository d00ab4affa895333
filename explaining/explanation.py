"""An image with its maps: computed, drawn, and in words; and the mean of many maps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.utils.data import Dataset

from files.classes import CLASS_NAMES, FAKE, REAL
from judging.detector import Detector
from judging.words import capitalise
from plots.style import MAP_COLORS
from trainer import Batches

# From samples (B, 3, H, W), classes (B,) and a detector to maps (B, H, W).
MapFunction = Callable[[Tensor, Tensor | Sequence[int], Detector], Tensor]
UNKNOWN = -1  # label of an image whose true class nobody knows
NEARLY_EMPTY = 1e-3  # mean over maximum: a single cell of conv3 and nothing else
_BRIGHTEST_PERCENTILE = 99  # a few extreme pixels would leave the rest black
_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


@dataclass(frozen=True)
class Method:
    """One kind of map: how it is computed and drawn, and what figures say of it.

    Attributes:
        name: in the names of files.
        compute: from samples, classes and a detector to maps, not negative.
        legend: what the picture of a map shows.
        unit: what the colour bar of a mean map measures.
        is_overlay: whether it is drawn over its image, rather than by itself.
        settings: what the JSON beside a figure says of it.
        checked: which checks its maps have passed for a detector, in words; '' where
            that is not to be said.
    """

    name: str
    compute: MapFunction = field(repr=False)
    title: str
    legend: str
    unit: str
    is_overlay: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    checked: str = ""

    @property
    def scale(self) -> str:
        """How the colours of a map are to be read."""
        if self.is_overlay:
            return "red: the map's maximum; blue: 0; line: half the maximum"
        return "each map on its own scale, its brightest 1 % white"

    def describe(self, values: np.ndarray, target: int) -> str:
        """Say where a map of the class `target` is strongest, or that it is empty."""
        name = CLASS_NAMES[target]
        if is_empty(values) and self.is_overlay:
            return f"little or nothing speaks for '{name}'"
        if is_empty(values):
            return f"few pixels or none move the score of '{name}'"
        if self.is_overlay:
            return f"what speaks for '{name}' is strongest {describe_place(values)}"
        place = describe_place(values)
        return f"the pixels that move the score of '{name}' most are {place}"


@dataclass(frozen=True)
class Explanation:
    """An image, its maps, and what a detector says of it.

    It unpacks to the picture of its first map, uint8 (H, W, 3), and the label.

    Attributes:
        image: float32 (H, W, 3) in [0, 1], as the detector saw it.
        target: the class whose score the maps explain.
        maps: for each method float32 (H, W), not negative.
        label: the image's true class, or `UNKNOWN`.
        verdict: the class that it is called.
    """

    image: np.ndarray
    target: int
    methods: Sequence[Method]
    maps: Sequence[np.ndarray]
    label: int = UNKNOWN
    name: str = ""
    verdict: int = UNKNOWN
    fake_score: float = float("nan")

    def __iter__(self) -> Iterator[np.ndarray | int]:
        return iter((self.draw(), self.label))

    @property
    def is_empty(self) -> bool:
        """Whether there is hardly anything to see in the first map."""
        return is_empty(self.maps[0])

    def draw(self, number: int = 0, *, with_outline: bool = False) -> np.ndarray:
        """Draw a map as uint8 (H, W, 3), overlays with a line at half the maximum."""
        values = self.maps[number]
        if not self.methods[number].is_overlay:
            return color_map(values)
        from pytorch_grad_cam.utils.image import show_cam_on_image  # takes seconds

        picture = show_cam_on_image(self.image, values, use_rgb=True)
        return draw_outline(picture, values) if with_outline else picture

    def describe(self) -> tuple[str, ...]:
        """Say of each map in a sentence where it is strongest."""
        return tuple(
            f"{capitalise(method.title)}: {method.describe(values, self.target)}."
            for method, values in zip(self.methods, self.maps, strict=True)
        )


def explain_image(
    dataset: Dataset | Sequence[tuple[Tensor, int]],
    detector: Detector,
    methods: Sequence[Method],
    *,
    index: int,
    target_class: int | None = None,
) -> Explanation:
    """Compute the maps of one image of a dataset.

    Args:
        dataset: map-style; samples (3, H, W), uint8, or float and normalised.
        target_class: the class whose score is explained; default the image's label.

    Raises:
        ValueError: as `explaining.gradients.prepare_inputs`.
    """
    sample, label = dataset[index]
    target = int(label if target_class is None else target_class)
    maps = [m.compute(sample[None], [target], detector)[0] for m in methods]
    maps = [values.cpu().numpy() for values in maps]
    image = make_displayable(sample, detector)
    return Explanation(image, target, methods, maps, int(label))


def make_displayable(sample: Tensor, detector: Detector) -> np.ndarray:
    """Turn a sample (3, H, W) into an image float32 (H, W, 3) in [0, 1].

    The normalisation of a float sample is undone. If the detector's preprocessing is
    not known, the sample's smallest value becomes 0 and its largest 1.
    """
    image = sample.detach().cpu().float().permute(1, 2, 0)
    preprocessing = detector.preprocessing
    if sample.dtype == torch.uint8:
        image = image / 255
    elif preprocessing is not None:
        std, mean = torch.tensor([preprocessing.std, preprocessing.mean])
        image = image * std + mean
    else:
        image = image - image.min()
        image = image / image.max().clamp(min=1e-12)
    return image.clamp(0, 1).numpy()


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Turn floats in [0, 1] into uint8."""
    return np.rint(255 * image).astype(np.uint8)


def color_map(values: np.ndarray) -> np.ndarray:
    """Turn a map (H, W) into colours uint8 (H, W, 3), its brightest 1 % white."""
    brightest = np.percentile(values, _BRIGHTEST_PERCENTILE) or 1.0
    scaled = np.clip(values / brightest, 0, 1)
    return to_bytes(matplotlib.colormaps[MAP_COLORS](scaled)[..., :3])


def draw_outline(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a picture uint8 (H, W, 3) with a line where a map has half its maximum.

    It lies around the upper half, white in black, so that it is seen in print too.
    """
    if not values.any():
        return picture
    width = max(1, round(len(values) / 128))  # of each colour, in pixels
    inside = values >= values.max() / 2
    white = ndimage.binary_dilation(inside, iterations=width)
    black = ndimage.binary_dilation(white, iterations=width)
    picture = picture.copy()
    picture[black & ~white], picture[white & ~inside] = 0, 255
    return picture


def is_empty(values: np.ndarray) -> bool:
    """Say whether there is hardly anything to see in a map (H, W)."""
    return bool(values.mean() <= NEARLY_EMPTY * values.max())


def describe_place(values: np.ndarray) -> str:
    """Say in which ninth of a map (H, W) most of it lies: 'in the upper left'."""
    if is_empty(values):
        return "nowhere, because it is empty or nearly so"
    sums = [
        [float(part.mean()) for part in np.array_split(strip, 3, axis=1)]
        for strip in np.array_split(values, 3, axis=0)
    ]
    row, column = np.unravel_index(int(np.argmax(sums)), (3, 3))
    if (row, column) == (1, 1):
        return "in the centre"
    return f"in the {_ROWS[row]} {_COLUMNS[column]}"


def compute_mean_maps(
    batches: Batches,
    compute_maps: MapFunction,
    detector: Detector | nn.Module,
    targets: np.ndarray | None = None,
) -> np.ndarray:
    """Average the maps of all real and of all fake images.

    Args:
        batches: yields images (B, 3, H, W) and labels int (B,).
        targets: int (N,), the class that each map explains; default the labels.

    Returns:
        float32 (2, H, W), real first, summed in float64.

    Raises:
        ValueError: a class has no image, or a map is not finite.
    """
    sums, counts, start = [0.0, 0.0], [0, 0], 0
    for images, labels in batches:
        classes = labels
        if targets is not None:
            classes = torch.from_numpy(targets[start : start + len(labels)])
        start += len(labels)
        maps, labels = compute_maps(images, classes, detector).cpu(), labels.cpu()
        for label in (REAL, FAKE):
            of_class = maps[labels == label]
            sums[label] = sums[label] + of_class.sum(dim=0, dtype=torch.float64)
            counts[label] += len(of_class)
    if 0 in counts:
        empty = CLASS_NAMES[counts.index(0)]
        raise ValueError(f"no {empty} image to average the maps of")
    means = [total / count for total, count in zip(sums, counts, strict=True)]
    mean_maps = torch.stack(means).float()
    if not mean_maps.isfinite().all():
        raise ValueError("a map is not finite: the model's weights are of no use")
    return mean_maps.numpy()
