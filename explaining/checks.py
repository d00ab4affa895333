"""Are the maps to be believed? Three checks, each with a known wrong answer.

Randomisation: a map that stays as it is when the detector's layers are made random
shows the image, not what was learnt. Deletion and insertion: where the map's places are
taken from the image, or alone are shown, the score must follow sooner than with places
at random or around the centre. Mask: where it is known which part of an image is
planted, the map should point at it.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage, stats
from torch import Tensor, nn

from explaining.mean_maps import prepare_images
from explaining.subjects import Subjects, rank_random
from files.names import FAKE, name_mask
from hardware import Precision, show_progress
from loading import IMAGE_SIZE, read_image
from metrics import compute_fake_scores
from trainer import compute_logits

MapFunction = Callable[..., Tensor]  # (samples, classes, model=) -> maps (B, H, W)
Numbers = dict[str, Any]

MOST_STAGES = 8  # in which a model's layers are randomised
MOST_LEFT = 0.5  # of the mean rank correlation, to either side, when all is random
GRID = 16  # an image's cells along each side, which are taken away or shown whole
NUM_STEPS = 16
RANKINGS = ("map", "random", "centre")
BORDER = 1 / 32  # of the image's side, to either side of a mask's edge


def check_maps(
    subjects: Subjects,
    compute_maps: MapFunction,
    *,
    num: int,
    seed: int,
    batch_size: int,
) -> Numbers:
    """Put the maps of some random images of a split, half of each class, to the checks.

    Args:
        subjects: the images and the detector.
        compute_maps: from samples uint8 (B, 3, H, W) and classes (B,) to maps
            (B, H, W); takes another `model`.
        num: of images, where the classes have so many.
        seed: of the choice, the random layers and the random ranking.
        batch_size: images of which maps are computed at a time.

    Returns:
        Plain values for JSON: `images`, `randomisation`, `deletion`, `insertion`,
        `mask` (None where no image has one), each with a `sentence` on what was found.
    """
    groups = rank_random(subjects, seed)
    chosen = np.concatenate([group.indices[: num // 2] for group in groups])
    samples = torch.stack([subjects.images[index][0] for index in chosen.tolist()])
    targets = torch.from_numpy(subjects.targets[chosen])
    paths = [subjects.images.get_path(index) for index in chosen.tolist()]

    def explain(model: nn.Module) -> np.ndarray:
        batches = zip(samples.split(batch_size), targets.split(batch_size), strict=True)
        maps = [compute_maps(*batch, model=model).cpu() for batch in batches]
        return torch.cat(maps).numpy()

    maps = explain(subjects.model)
    orders = order_cells(maps, seed)
    is_planted = (subjects.labels[chosen] == FAKE) & (targets.numpy() == FAKE)
    judge = {"model": subjects.model, "precision": subjects.precision}
    return {
        "images": [str(path) for path in paths],
        "randomisation": check_randomisation(maps, explain, subjects.model, seed=seed),
        "deletion": check_removal(samples, targets, orders, **judge, insert=False),
        "insertion": check_removal(samples, targets, orders, **judge, insert=True),
        "mask": check_masks(maps, is_planted, paths),
    }


def check_randomisation(
    maps: np.ndarray,
    explain: Callable[[nn.Module], np.ndarray],
    model: nn.Module,
    *,
    seed: int,
) -> Numbers:
    """Compare the maps with those of the same detector, its layers made random.

    Args:
        maps: float (N, H, W), of the trained detector.
        explain: from a detector to its maps of the same images.
        model: the trained detector; it stays as it is.
        seed: of the random weights.

    Returns:
        `layers`, how far the randomisation has come, from the top; for each of them
        the mean over images of Spearman's rank correlation, with its interval, and how
        many maps are constant (their correlation counts as 0); and whether the check is
        `passed`: with all layers random the interval lies within the `limit` of 0.

    Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3, cascading.
        Deviation: layers are taken together, so that there are at most `MOST_STAGES`.
    """
    layers, correlations, num_constant = [], [], []
    stages = randomise_from_the_top(model, seed)
    total = len(_list_stages(model))
    for layer, randomised in show_progress(stages, "randomise", total=total):
        others = explain(randomised)
        layers.append(layer)
        correlations.append(compute_rank_correlations(maps, others))
        num_constant.append(int((np.ptp(others, axis=(1, 2)) == 0).sum()))
    means = [describe_mean(values) for values in correlations]
    left = means[-1]
    passed = max(map(abs, left["interval"])) < MOST_LEFT
    verdict = (
        "they depend on what was learnt" if passed else "they show the image as well"
    )
    return {
        "layers": layers,
        "rank_correlations": means,
        "num_constant": num_constant,
        "limit": MOST_LEFT,
        "passed": passed,
        "sentence": f"with all layers random the maps still correlate by "
        f"{_format(left)} with those of the trained detector: {verdict}",
    }


def randomise_from_the_top(
    model: nn.Module, seed: int
) -> Iterator[tuple[str, nn.Module]]:
    """Yield a copy of a model, more of its layers random each time.

    Args:
        model: its children stand in the order in which they are computed.
        seed: of the weights, drawn as an untrained layer's.

    Yields:
        The name of the lowest layer that is random, and the copy.
    """
    randomised = copy.deepcopy(model)
    for number, stage in enumerate(_list_stages(model)):
        with torch.random.fork_rng():
            torch.manual_seed(seed + number)
            for name in stage:
                for module in randomised.get_submodule(name).modules():
                    if hasattr(module, "reset_parameters"):
                        module.reset_parameters()
        yield stage[-1], randomised


def _list_stages(model: nn.Module) -> list[list[str]]:
    """Return the names of the layers that are randomised at a time, the top first."""
    names = [
        name
        for name, child in model.named_children()
        if next(child.parameters(), None) is not None
    ]
    num_stages = min(MOST_STAGES, len(names))
    return [part.tolist() for part in np.array_split(names[::-1], num_stages)]


def compute_rank_correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each pair of maps (N, H, W); 0 of a constant."""
    ranks = [stats.rankdata(m.reshape(len(m), -1), axis=1) for m in (maps, others)]
    first, second = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return np.divide(products, norms, out=np.zeros(len(maps)), where=norms > 0)


def order_cells(maps: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Rank each image's cells: by the map, at random, from the centre outwards.

    Args:
        maps: float (N, H, W).
        seed: of the random ranking, and of the order of cells that are equal.

    Returns:
        By ranking an int array (N, GRID, GRID): when a cell's turn comes, from 0 on.
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
    ranks = np.empty_like(order)
    ranks[order] = np.arange(order.size)
    return ranks.reshape(keys.shape)


def check_removal(
    samples: Tensor,
    targets: Tensor,
    orders: dict[str, np.ndarray],
    *,
    model: nn.Module,
    precision: Precision,
    insert: bool,
) -> Numbers:
    """Follow a class's score while cells are taken from an image, or put into it.

    Args:
        samples: as for `explaining.mean_maps.prepare_images`, (N, 3, H, W).
        targets: int (N,), the classes whose scores are followed.
        orders: by ranking, as of `order_cells`.
        model: as `utils.load_checkpoint` returns it.
        precision: arithmetic of the scores.
        insert: put cells into the blurred image, rather than take them from the whole.

    Returns:
        `shares` of the cells; for each ranking the mean `curve` of P(class) over the
        images with `interval`s, and its `area`; how the map's area differs from the
        others', image by image; and whether the check is `passed`: deletion's area is
        smaller, or insertion's larger, than both others', their intervals without 0.

    Source: Petsiuk et al. 2018, RISE, section 4.2. Deviations: cells of a 16 x 16 grid
        in place of pixels, since single pixels strewn at random spoil an image more
        than any region; what is taken becomes the mean colour, and the blurred image
        holds the cells' mean colours.
    """
    images = prepare_images(samples, model).detach()
    what = "insertion" if insert else "deletion"
    areas, numbers = {}, {"shares": np.linspace(0, 1, NUM_STEPS + 1).tolist()}
    for name, ranks in orders.items():
        batches = _change_step_by_step(images, targets, ranks, insert)
        batches = show_progress(batches, f"{what}: {name}", total=len(images))
        logits, classes = compute_logits(model, batches, precision)
        fake_scores = compute_fake_scores(logits, model.temperature, model.logit_bias)
        scores = np.where(classes == FAKE, fake_scores, 1 - fake_scores)
        curves = scores.reshape(len(images), -1)  # (N, NUM_STEPS + 1)
        areas[name] = (curves[:, 1:] + curves[:, :-1]).mean(axis=1) / 2
        steps = [describe_mean(values) for values in curves.T]
        numbers[name] = {
            "curve": [step["mean"] for step in steps],
            "intervals": [step["interval"] for step in steps],
            "area": describe_mean(areas[name]),
        }
    return {**numbers, **_compare_areas(areas, insert)}


def _change_step_by_step(
    images: Tensor, targets: Tensor, ranks: np.ndarray, insert: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a batch an image: all of its steps, and as often its class."""
    size = images.shape[-2:]
    counts = torch.arange(NUM_STEPS + 1) * (GRID**2 // NUM_STEPS)
    for image, target, rank in zip(images, targets, ranks, strict=True):
        turns = torch.from_numpy(rank).float()[None, None]
        turns = F.interpolate(turns, size, mode="nearest")[0]
        is_taken = turns < counts.view(-1, 1, 1)  # (NUM_STEPS + 1, H, W)
        is_taken = is_taken[:, None].to(image.device)
        if insert:
            cells = F.adaptive_avg_pool2d(image[None], GRID)
            blurred = F.interpolate(cells, size, mode="bilinear")
            steps = torch.where(is_taken, image, blurred)
        else:
            steps = torch.where(is_taken, torch.zeros_like(image), image)
        yield steps, target.repeat(len(steps))


def _compare_areas(areas: dict[str, np.ndarray], insert: bool) -> Numbers:
    """Return how the map's areas differ from the others', and what that says."""
    sign = 1 if insert else -1
    differences = {
        f"map_minus_{other}": describe_mean(areas["map"] - areas[other])
        for other in RANKINGS[1:]
    }
    is_better = [
        min(sign * end for end in difference["interval"]) > 0
        for difference in differences.values()
    ]
    random, centre = map(_format, differences.values())
    wanted = "larger" if insert else "smaller"
    beaten = [n for n, yes in zip(RANKINGS[1:], is_better, strict=True) if yes]
    return {
        **differences,
        "passed": all(is_better),
        "sentence": f"the area, {describe_mean(areas['map'])['mean']:.2f}, is to be "
        f"{wanted} than others; it differs by {random} from a random ranking's and by "
        f"{centre} from one around the centre: better than "
        f"{' and '.join(beaten) or 'neither'}",
    }


def check_masks(
    maps: np.ndarray, is_planted: np.ndarray, paths: Sequence[Path]
) -> Numbers | None:
    """Compare the share of the maps' mass in planted faces with the share of the area.

    Args:
        maps: float (N, H, W), not negative.
        is_planted: bool (N,), fakes whose maps explain the class fake.
        paths: of the images; `files.names.name_mask` says where their masks would be.

    Returns:
        `num_images`; for `inside` and `border` the mean `mass` and `area`, their
        `difference` with its interval; None where fewer than two of them have a mask.
    """
    found = [
        (values, read_mask(name_mask(path), values.shape))
        for values, planted, path in zip(maps, is_planted, paths, strict=True)
        if planted and name_mask(path).is_file()
    ]
    if len(found) < 2:
        return None
    shares = np.array([compute_mask_shares(*pair) for pair in found])  # (n, 2, 2)
    numbers = {
        place: {
            "mass": describe_mean(mass),
            "area": describe_mean(area),
            "difference": describe_mean(mass - area),
        }
        for place, (mass, area) in zip(
            ("inside", "border"), shares.transpose(1, 2, 0), strict=True
        )
    }
    inside, border = numbers["inside"], numbers["border"]
    passed = inside["difference"]["interval"][0] > 0
    return {
        "num_images": len(found),
        **numbers,
        "passed": passed,
        "sentence": f"{_format(inside['mass'])} of the map's mass lies in the planted "
        f"face, which is {inside['area']['mean']:.2f} of the area, and "
        f"{_format(border['mass'])} at its border, {border['area']['mean']:.2f} of the "
        f"area: the maps {'point at it' if passed else 'do not point at it'}",
    }


def read_mask(path: Path, shape: tuple[int, int] = (IMAGE_SIZE,) * 2) -> np.ndarray:
    """Read which pixels of an image are planted, as bool of a map's shape (H, W).

    Raises:
        ValueError: the file cannot be read as an image.
    """
    mask = read_image(path).convert("L").resize(shape[::-1])
    return np.asarray(mask) > 127


def compute_mask_shares(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the shares of a map's mass and of the area, in a mask and at its border.

    Args:
        values: float (H, W), not negative; an empty map counts as an even one.
        mask: bool (H, W).

    Returns:
        float64 (2, 2): rows are the mask and its border, which reaches `BORDER` of the
        image's side to either side of the edge; columns are mass and area.
    """
    reach = max(1, round(BORDER * len(mask)))
    grown = ndimage.binary_dilation(mask, iterations=reach)
    border = grown & ~ndimage.binary_erosion(mask, iterations=reach)
    mass = values.astype(np.float64) if values.any() else np.ones(values.shape)
    return np.array([[mass[p].sum() / mass.sum(), p.mean()] for p in (mask, border)])


def describe_mean(values: np.ndarray) -> Numbers:
    """Return the mean over images (N,) and its 95 % interval (Student's t)."""
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    margin = float(stats.t.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
    return {"mean": mean, "interval": [mean - margin, mean + margin]}


def _format(numbers: Numbers) -> str:
    """Return 'mean [low, high]'."""
    low, high = numbers["interval"]
    return f"{numbers['mean']:.2f} [{low:.2f}, {high:.2f}]"
