"""Can the maps be believed? Three checks, each with a known wrong answer.

Randomisation: a map that stays the same when the detector's layers are made random
shows the image, not what was learnt. Deletion and insertion: when the map's places are
taken from the image, or alone are shown, the score must follow sooner than with places
at random or around the centre. Mask: where it is known which part of an image is
planted, the map should point at it.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from explaining.explanation import Method
from explaining.gradients import prepare_inputs
from explaining.judged_images import JudgedImages, rank_random
from files.classes import FAKE
from hardware import Precision, show_progress
from judging.detector import Detector
from loading import ImageFile, read_image

Numbers = dict[str, Any]

CHECKS = ("randomisation", "deletion", "insertion", "mask")
MOST_STAGES = 8  # in which a network's layers are randomised
MOST_LEFT = 0.5  # of the mean rank correlation, to either side, when all is random
GRID = 16  # an image's cells along each side, which are taken away or shown whole
NUM_STEPS = 16
RANKINGS = ("map", "random", "centre")
BORDER = 1 / 32  # of the image's side, to either side of a mask's edge


def check_maps(judged: JudgedImages, method: Method, *, num: int, seed: int) -> Numbers:
    """Check the maps of `num` random images of a split, half of each class.

    Returns:
        Plain values for JSON: `images`, and for each of `CHECKS` what was found, with
        `passed` and a `sentence`; `mask` is None where no image has one.
    """
    groups = rank_random(judged, seed)
    chosen = np.concatenate([group.indices[: num // 2] for group in groups]).tolist()
    samples = torch.stack([judged.images[index][0] for index in chosen])
    targets = torch.from_numpy(judged.targets[chosen])
    size = judged.compute.batch_size

    def compute_maps(detector: Detector) -> np.ndarray:
        batches = zip(samples.split(size), targets.split(size), strict=True)
        return torch.cat([method.compute(*b, detector).cpu() for b in batches]).numpy()

    detector, precision = judged.detector, judged.compute.precision
    maps = compute_maps(detector)
    orders = order_cells(maps, seed)
    shown = samples, targets, detector, precision
    masks = [
        judged.images.get_mask(index) if judged.targets[index] == FAKE else None
        for index in chosen
    ]
    return {
        "images": [judged.images.get_name(index) for index in chosen],
        "randomisation": check_randomisation(maps, compute_maps, detector, seed=seed),
        "deletion": check_removal(Removal(*shown, insert=False), orders),
        "insertion": check_removal(Removal(*shown, insert=True), orders),
        "mask": check_masks(maps, masks),
    }


def describe_checks(found: Numbers) -> list[str]:
    """Say for each check whether it was passed, and why."""
    return [
        f"{name}: {'passed' if found[name]['passed'] else 'failed'}; "
        f"{found[name]['sentence']}"
        for name in CHECKS
        if found[name]
    ]


def check_randomisation(
    maps: np.ndarray,
    compute_maps: Callable[[Detector], np.ndarray],
    detector: Detector,
    *,
    seed: int,
) -> Numbers:
    """Compare maps (N, H, W) with those of the same detector, its layers made random.

    The trained detector stays as it is; `compute_maps` gives maps of the same images.

    Returns:
        `layers` that were the last to become random, from the top; after each the mean
        rank correlation (Spearman's), and how many maps are constant (theirs counts as
        0). `passed`: at the end its interval lies within the `limit` of 0.

    Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3, cascading.
        Deviation: layers are taken together, so that there are at most `MOST_STAGES`.
    """
    layers, correlations, num_constant = [], [], []
    stages = randomise_from_the_top(detector.network, seed)
    total = len(_list_stages(detector.network))
    for layer, network in show_progress(stages, "randomise", total=total):
        others = compute_maps(replace(detector, network=network))
        layers.append(layer)
        correlations.append(compute_mean(compute_rank_correlations(maps, others)))
        num_constant.append(int((np.ptp(others, axis=(1, 2)) == 0).sum()))
    return {
        "layers": layers,
        "rank_correlations": correlations,
        "num_constant": num_constant,
        "limit": MOST_LEFT,
        **judge_correlation(correlations[-1]),
    }


def judge_correlation(left: Numbers) -> Numbers:
    """Say what a mean rank correlation that is left with random layers means."""
    passed = max(map(abs, left["interval"])) < MOST_LEFT
    verdict = "they depend on what was learnt" if passed else "they also show the image"
    return {
        "passed": passed,
        "sentence": f"with all layers random the maps still correlate by "
        f"{_format(left)} with those of the trained detector: {verdict}",
    }


def randomise_from_the_top(
    network: nn.Module, seed: int
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the lowest layer that is random, and a copy of the network.

    Each time more of its parts, which stand in the order in which they are computed,
    are random, as those of an untrained network. Parameters of modules that cannot
    reset them, such as a transformer's tokens, get the mean and deviation they had.
    """
    randomised = copy.deepcopy(network)
    for number, stage in enumerate(_list_stages(network)):
        with torch.random.fork_rng():
            torch.manual_seed(seed + number)
            for name in stage:
                _randomise(randomised, name)
        yield stage[-1], randomised


def _randomise(network: nn.Module, name: str) -> None:
    """Make random a part, as `_list_parts` names it."""
    part = _get_part(network, name)
    parameters = [part] if isinstance(part, nn.Parameter) else []
    for module in [] if parameters else part.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        else:
            parameters += module.parameters(recurse=False)
    with torch.no_grad():
        for parameter in parameters:
            std, mean = torch.std_mean(parameter, correction=0)
            parameter.normal_().mul_(std).add_(mean)


def _list_stages(network: nn.Module) -> list[list[str]]:
    """Return the names of what is randomised at a time, the top first."""
    parts = _list_parts(network, "") or [n for n, _ in network.named_parameters()]
    while len(parts) < MOST_STAGES:
        inner = {name: _list_parts(network, name) for name in parts}
        whole = [name for name in parts if inner[name]]
        if not whole:
            break
        sizes = [_get_part(network, name).parameters() for name in whole]
        sizes = [sum(p.numel() for p in parameters) for parameters in sizes]
        largest = whole[int(np.argmax(sizes))]
        place = parts.index(largest)
        parts[place : place + 1] = inner[largest]
    num_stages = min(MOST_STAGES, len(parts))
    return [part.tolist() for part in np.array_split(parts[::-1], num_stages)]


def _list_parts(network: nn.Module, name: str) -> list[str]:
    """Return a module's own parameters, then the children that have any, by name."""
    part = _get_part(network, name)
    if isinstance(part, nn.Parameter) or not list(part.children()):
        return []  # a layer is not taken apart
    names = [own for own, _ in part.named_parameters(recurse=False)]
    names += [own for own, child in part.named_children() if list(child.parameters())]
    return [f"{name}.{own}" if name else own for own in names]


def _get_part(network: nn.Module, name: str) -> nn.Module | nn.Parameter:
    return attrgetter(name)(network) if name else network


def compute_rank_correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each pair of maps (N, H, W); 0 of a constant."""
    rank = scipy.stats.rankdata
    ranks = [rank(m.reshape(len(m), -1), axis=1) for m in (maps, others)]
    first, second = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return np.divide(products, norms, out=np.zeros(len(maps)), where=norms > 0)


def order_cells(maps: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Rank the cells of maps (N, H, W) in each of `RANKINGS`; equal ones by chance.

    Returns:
        By ranking an int array (N, GRID, GRID): when a cell's turn comes, 0 first.
    """
    cells = F.adaptive_avg_pool2d(torch.from_numpy(maps)[:, None], GRID)[:, 0].numpy()
    chance = np.random.default_rng(seed).random(cells.shape)
    offsets = (np.arange(GRID) + 0.5) / GRID - 0.5
    distances = np.hypot(offsets[:, None], offsets)
    keys = (-cells, chance, np.broadcast_to(distances, cells.shape))
    return {
        name: np.stack([_rank(k, c) for k, c in zip(key, chance, strict=True)])
        for name, key in zip(RANKINGS, keys, strict=True)
    }


def _rank(keys: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return when each cell's turn comes: the least key first, equal ones by chance."""
    order = np.lexsort((chance.ravel(), keys.ravel()))
    return order.argsort().reshape(keys.shape)


@dataclass(frozen=True)
class Removal:
    """Cells are taken from images, or put into them: how do the scores follow?

    Attributes:
        samples, targets: as `explaining.gradients.prepare_inputs` takes them.
        insert: put cells into the blurred image, rather than take them from the whole.
        num_steps: in which cells change; a divisor of their number.

    Source: Petsiuk et al. 2018, RISE, section 4.2. Deviations: cells of a 16 x 16 grid
        in place of pixels, because single pixels strewn at random spoil an image more
        than any region; what is taken becomes the mean colour, and the blurred image
        holds the cells' mean colours.
    """

    samples: Tensor
    targets: Tensor
    detector: Detector
    precision: Precision
    insert: bool
    num_steps: int = NUM_STEPS

    def follow(self, ranks: np.ndarray) -> np.ndarray:
        """Return P(target) (N, num_steps + 1) while cells change in an order.

        The ranks, int (N, GRID, GRID), say when each cell's turn comes.
        """
        start, end = self._ends.T
        between = self._score(ranks, range(1, self.num_steps))
        return np.stack([start, *between.T, end], axis=1)

    @cached_property
    def _ends(self) -> np.ndarray:
        """P(target) (N, 2) before the first cell and after the last, in any order."""
        order = np.zeros((len(self.samples), GRID, GRID))
        return self._score(order, (0, self.num_steps))

    def _score(self, ranks: np.ndarray, steps: Sequence[int]) -> np.ndarray:
        """Return P(target) (N, n) after n of the steps."""
        name = "insertion" if self.insert else "deletion"
        batches = show_progress(self._change(ranks, steps), name, total=len(ranks))
        _, fake_scores, classes = self.detector.score_batches(batches, self.precision)
        scores = np.where(classes == FAKE, fake_scores, 1 - fake_scores)
        return scores.reshape(len(ranks), -1)

    def _change(
        self, ranks: np.ndarray, steps: Sequence[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield of each image a batch of what it is after the steps, and its class."""
        images, targets = prepare_inputs(self.samples, self.targets, self.detector)
        size = images.shape[-2:]
        counts = torch.tensor(steps) * (GRID**2 // self.num_steps)
        for image, target, rank in zip(images, targets, ranks, strict=True):
            turns = torch.from_numpy(rank).float()[None, None]
            turns = F.interpolate(turns, size, mode="nearest")[0]
            is_taken = turns < counts.view(-1, 1, 1)  # (n, H, W)
            is_taken = is_taken[:, None].to(image.device)
            baseline = torch.zeros_like(image)
            if self.insert:
                cells = F.adaptive_avg_pool2d(image[None], GRID)
                baseline = F.interpolate(cells, size, mode="bilinear")
            first, second = (image, baseline) if self.insert else (baseline, image)
            yield torch.where(is_taken, first, second), target.repeat(len(counts))


def check_removal(removal: Removal, orders: dict[str, np.ndarray]) -> Numbers:
    """Compare how a class's score follows each order that `order_cells` returns.

    Returns:
        `shares` of the cells; for each ranking the mean `curve` of P(target) and its
        `area`; how the map's area differs from the others', image by image. `passed`:
        deletion's is smaller than both, or insertion's larger, by intervals without 0.
    """
    shares = np.linspace(0, 1, removal.num_steps + 1).tolist()
    areas, numbers = {}, {"shares": shares}
    for name, ranks in orders.items():
        curves = removal.follow(ranks)
        areas[name] = compute_areas(curves)
        steps = [compute_mean(values) for values in curves.T]
        numbers[name] = {
            "curve": [step["mean"] for step in steps],
            "intervals": [step["interval"] for step in steps],
            "area": compute_mean(areas[name]),
        }
    return {**numbers, **compare_areas(areas, removal.insert)}


def compute_areas(curves: np.ndarray) -> np.ndarray:
    """Return the areas (N,) below curves (N, steps), whose width is 1."""
    return (curves[:, 1:] + curves[:, :-1]).mean(axis=1) / 2


def compare_areas(areas: dict[str, np.ndarray], insert: bool) -> Numbers:
    """Return how the map's areas (N,) differ from the others', and what that says.

    If cells are inserted, larger ones are better, else smaller ones.
    """
    sign = 1 if insert else -1
    rivals = {name: compute_mean(areas["map"] - areas[name]) for name in RANKINGS[1:]}
    beaten = [
        name
        for name, difference in rivals.items()
        if min(sign * end for end in difference["interval"]) > 0
    ]
    return {
        **{f"map_minus_{name}": difference for name, difference in rivals.items()},
        "passed": len(beaten) == len(rivals),
        "sentence": f"the area, {areas['map'].mean():.2f}, should be "
        f"{'larger' if insert else 'smaller'} than others; it differs by "
        f"{_format(rivals['random'])} from a random ranking's and by "
        f"{_format(rivals['centre'])} from one around the centre: better than "
        f"{' and '.join(beaten) or 'neither'}",
    }


def check_masks(maps: np.ndarray, masks: Sequence[ImageFile | None]) -> Numbers | None:
    """Compare the share of the maps' mass in planted faces with the share of the area.

    The masks say for each of the maps (N, H, W) which pixels are planted, if that is
    known.

    Returns:
        For `inside` and `border` the mean shares and their `difference`; None if fewer
        than two maps have a mask.
    """
    shares = [
        compute_mask_shares(values, read_mask(mask, values.shape))
        for values, mask in zip(maps, masks, strict=True)
        if mask
    ]
    if len(shares) < 2:
        return None
    numbers = {
        place: {
            "mass": compute_mean(mass),
            "area": compute_mean(area),
            "difference": compute_mean(mass - area),
        }
        for place, (mass, area) in zip(
            ("inside", "border"), np.array(shares).transpose(1, 2, 0), strict=True
        )
    }
    inside, border = numbers["inside"], numbers["border"]
    passed = inside["difference"]["interval"][0] > 0
    return {
        "num_images": len(shares),
        **numbers,
        "passed": passed,
        "sentence": f"{_format(inside['mass'])} of the map's mass lies in the planted "
        f"face, which is {inside['area']['mean']:.2f} of the area, and "
        f"{_format(border['mass'])} at its border, {border['area']['mean']:.2f} of the "
        f"area: the maps {'point at it' if passed else 'do not point at it'}",
    }


def read_mask(file: ImageFile, shape: tuple[int, int]) -> np.ndarray:
    """Read which pixels of an image are planted, as bool of a map's shape (H, W)."""
    return np.asarray(read_image(file).convert("L").resize(shape[::-1])) > 127


def compute_mask_shares(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the shares of a map's mass and of the area, in a mask and at its border.

    Args:
        values: float (H, W); an empty map counts as an even one.
        mask: bool (H, W).

    Returns:
        float64 (2, 2): rows are the mask and its border; columns are mass and area.
    """
    reach = max(1, round(BORDER * len(mask)))
    grown = ndimage.binary_dilation(mask, iterations=reach)
    border = grown & ~ndimage.binary_erosion(mask, iterations=reach)
    mass = values.astype(np.float64) if values.any() else np.ones(values.shape)
    return np.array([[mass[p].sum() / mass.sum(), p.mean()] for p in (mask, border)])


def compute_mean(values: np.ndarray) -> Numbers:
    """Return the mean over images (N,) and its 95 % interval (Student's t)."""
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    quantile = float(scipy.stats.t.ppf(0.975, len(values) - 1))
    margin = quantile * deviation / len(values) ** 0.5
    return {"mean": mean, "interval": [mean - margin, mean + margin]}


def _format(numbers: Numbers) -> str:
    """Return 'mean [low, high]'."""
    low, high = numbers["interval"]
    return f"{numbers['mean']:.2f} [{low:.2f}, {high:.2f}]"
