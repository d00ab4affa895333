"""The checks find what is planted: true maps, false ones, and an edge detector."""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from map_models import OneConvolution, make_images
from PIL import Image
from torch import Tensor, nn

from explaining.checks import (
    GRID,
    MOST_STAGES,
    RANKINGS,
    Removal,
    check_masks,
    check_randomisation,
    check_removal,
    compute_mask_shares,
    compute_mean,
    compute_rank_correlations,
    order_cells,
    randomise_from_the_top,
    read_mask,
)
from hardware import Precision
from judging.detector import Detector, as_detector
from loading import ImageFile
from records.checkpoint import CheckpointRecord
from saliency_map import compute_gradient_saliency_maps

NUM, SIZE = 6, 32
ELSEWHERE = np.s_[26:30, 2:6]


class Deep(nn.Module):
    """Two convolutions and a head, of random weights."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.conv1 = nn.Conv2d(3, 16, 5, padding=2)
            self.conv2 = nn.Conv2d(16, 16, 5, padding=2)
            self.fc = nn.Linear(16 * SIZE * SIZE, 2)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv2(self.conv1(images).tanh()).tanh()
        return self.fc(features.flatten(1))


class Patch(nn.Module):
    """Fake is what is bright in one patch, and nothing else."""

    patch = np.s_[2:6, 24:28]  # one of the corners, in whole cells

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, images: Tensor) -> Tensor:
        fake = self.scale * (images[(..., *self.patch)].mean((1, 2, 3)) - 0.5)
        return torch.stack([-fake, fake], dim=1)


def make_map(place: tuple[slice, slice]) -> np.ndarray:
    """Maps that point at one place."""
    maps = np.zeros((NUM, SIZE, SIZE), np.float32)
    maps[(..., *place)] = 1
    return maps


def detect_edges(images: Tensor, detector: Detector) -> np.ndarray:
    """Pretend to explain: it does not look at the detector."""
    grey = images.mean(dim=1)
    down = F.pad(grey.diff(dim=1), (0, 0, 0, 1))
    return (down.abs() + F.pad(grey.diff(dim=2), (0, 1)).abs()).numpy()


def compute_gradients(images: Tensor, detector: Detector) -> np.ndarray:
    return compute_gradient_saliency_maps(images, [1] * NUM, detector).numpy()


@pytest.mark.parametrize(
    ("compute_maps", "expected", "passed"),
    [(detect_edges, [1, 1, 1], False), (compute_gradients, [None, None, 0], True)],
)
def test_randomisation_knows_an_edge_detector_from_the_gradient(
    compute_maps: Callable, expected: list, passed: bool
):
    detector, images, same = as_detector(Deep()), make_images(NUM, SIZE), []
    before = copy.deepcopy(detector.network.state_dict())
    random_state = torch.get_rng_state()

    def compute(other: Detector) -> np.ndarray:
        state = other.network.state_dict()
        weights = [n for n in state if n.endswith("weight")]
        same.append([n for n in weights if torch.equal(before[n], state[n])])
        return compute_maps(images, other)

    found = check_randomisation(compute(detector), compute, detector, seed=0)

    assert found["passed"] == passed
    assert found["layers"] == ["fc", "conv2", "conv1"]
    assert found["num_constant"] == [0, 0, 0]
    for numbers, value in zip(found["rank_correlations"], expected, strict=True):
        assert value is None or numbers["mean"] == pytest.approx(value, abs=0.1)
    assert same[1:] == [["conv1.weight", "conv2.weight"], ["conv1.weight"], []]
    assert torch.equal(torch.get_rng_state(), random_state)
    for name, value in detector.network.state_dict().items():
        assert torch.equal(value, before[name])


class Transformer(nn.Module):
    """A wrapper of a container of blocks, with parameters that no layer owns."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.token = nn.Parameter(torch.linspace(4, 6, 64))
        self.backbone.blocks = nn.Sequential(*(nn.Linear(9, 9) for _ in range(10)))
        self.backbone.norm = Scale()
        self.head = nn.Linear(9, 2)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.linspace(-1, 1, 64))
        self.unused = nn.Identity()


def test_randomisation_descends_into_containers_and_reaches_every_parameter():
    network = Transformer()
    before = dict(network.named_parameters())

    stages = {
        name: [n for n, p in other.named_parameters() if not torch.equal(p, before[n])]
        for name, other in randomise_from_the_top(network, 0)
    }

    blocks = [f"backbone.blocks.{number}" for number in (9, 7, 5, 4, 2, 1, 0)]
    assert len(stages) == MOST_STAGES
    first, *_, last = stages
    assert first in (blocks[0], "backbone.norm")
    assert last == "backbone.token"
    assert set(stages[last]) == set(before)
    changed = dict(list(randomise_from_the_top(network, 0))[-1][1].named_parameters())
    for name in ("backbone.token", "backbone.norm.gamma"):
        for measure, error in ((torch.mean, 0.3), (torch.std, 0.2)):
            now, then = (measure(values[name]).item() for values in (changed, before))
            assert now == pytest.approx(then, abs=error)


@pytest.mark.parametrize(
    ("network", "expected"),
    [(Patch(), ["scale"]), (nn.Linear(3, 2), ["bias", "weight"])],
)
def test_randomisation_of_a_network_without_layers_takes_its_parameters(
    network, expected
):
    assert [name for name, _ in randomise_from_the_top(network, 0)] == expected


def test_randomisation_counts_constant_maps_and_fails_if_half_may_be_left():
    maps = np.random.default_rng(0).random((NUM, 8, 8))
    others = maps.copy()
    others[2:] = np.random.default_rng(1).random((NUM - 2, 8, 8))  # a third is left
    detector = as_detector(OneConvolution())

    half = check_randomisation(maps, lambda other: others, detector, seed=0)
    none = check_randomisation(maps, lambda other: 0 * maps, detector, seed=0)

    low, high = half["rank_correlations"][-1]["interval"]
    assert -0.5 < low < 0.5 < high
    assert not half["passed"]
    assert none["num_constant"] == [NUM, NUM, NUM]  # fc, norm, conv3
    assert [m["mean"] for m in none["rank_correlations"]] == [0, 0, 0]


def test_rank_correlations_of_equal_reversed_and_constant_maps():
    maps = np.arange(4.0).reshape(1, 2, 2).repeat(4, axis=0)
    others = np.stack([maps[0] ** 3, -maps[0], maps[0, ::-1], 0 * maps[0]])

    values = compute_rank_correlations(maps, others)

    assert values.tolist() == pytest.approx([1, -1, -0.6, 0])


def test_order_cells_ranks_by_map_chance_and_distance():
    orders = order_cells(make_map(Patch.patch), seed=0)

    assert tuple(orders) == RANKINGS
    first = {name: np.argwhere(ranks[0] < 4) for name, ranks in orders.items()}
    assert first["map"].tolist() == [[1, 12], [1, 13], [2, 12], [2, 13]]
    assert first["centre"].tolist() == [[7, 7], [7, 8], [8, 7], [8, 8]]
    for ranks in orders.values():
        assert sorted(ranks[0].ravel()) == list(range(GRID**2))
    # equal cells come by chance, not row by row
    assert np.abs(np.corrcoef(orders["map"][0].ravel(), np.arange(256))[0, 1]) < 0.3
    assert not np.array_equal(orders["random"][0], orders["random"][1])


@pytest.mark.parametrize("insert", [False, True])
@pytest.mark.parametrize("place", [Patch.patch, ELSEWHERE])
def test_removal_follows_the_calibrated_score_and_knows_where_the_network_looks(
    place, insert
):
    detector = Detector(Patch(), record=CheckpointRecord(temperature=2, logit_bias=0.5))
    orders, targets = order_cells(make_map(place), seed=0), torch.ones(NUM)
    images = make_images(NUM, SIZE) / 10 - 1
    images[(..., *Patch.patch)] = 1.5

    removal = Removal(images, targets, detector, Precision(), insert)
    found = check_removal(removal, orders)

    assert found["passed"] == (place == Patch.patch)
    assert ("better than random and centre" in found["sentence"]) == found["passed"]
    if not found["passed"]:
        return
    # all four cells are among the first sixteen: one step is enough
    whole, without = 1 / (1 + np.exp(-8.5)), 1 / (1 + np.exp(3.5))
    curve, area = found["map"]["curve"], found["map"]["area"]["mean"]
    if insert:  # the blurred patch is darker, and seen by its cells from step 1 on
        assert curve[0] < whole
        assert curve[1:] == pytest.approx([whole] * 16)
    else:
        assert curve == pytest.approx([whole] + [without] * 16)
        assert area == pytest.approx((whole + without) / 32 + without * 15 / 16)
        of_real = check_removal(replace(removal, targets=0 * targets), orders)
        of_real = of_real["map"]["curve"]
        assert of_real == pytest.approx([1 - score for score in curve])


def test_mask_shares_by_hand():
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    values = np.zeros((64, 64), np.float32)
    values[20, 20], values[0, 0] = 3, 1  # inside and far from the edge; outside
    values[14, 30] = 4  # outside, two pixels from the edge

    (inside, inside_area), (border, border_area) = compute_mask_shares(values, mask)

    assert (inside, inside_area) == (3 / 8, 1 / 4)
    assert border == 4 / 8
    assert border_area == pytest.approx((36**2 - 4 * 3 - 28**2) / 64**2, abs=0.001)
    for mass, area in compute_mask_shares(0 * values, mask):  # an empty map is even
        assert mass == area


def test_check_masks_knows_whether_maps_point_at_the_planted_part(tmp_path):
    pixels = np.zeros((2 * SIZE, 2 * SIZE), np.uint8)  # of another size than the map
    pixels[4:12, 48:56] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    mask = ImageFile(tmp_path / "mask.png")
    masks = [mask] * 4 + [None] * 2

    found = check_masks(make_map(Patch.patch) + 0.001, masks)
    elsewhere = check_masks(make_map(ELSEWHERE), masks)

    assert found["num_images"] == 4
    assert found["passed"]
    assert found["inside"]["mass"]["mean"] > 0.9
    assert found["inside"]["area"]["mean"] == 16 / 32**2
    assert not elsewhere["passed"]
    assert "do not point at it" in elsewhere["sentence"]
    assert check_masks(make_map(ELSEWHERE), [mask, *[None] * 5]) is None
    assert read_mask(mask, (8, 16)).shape == (8, 16)


def test_compute_mean_by_hand():
    numbers = compute_mean(np.array([1.0, 2.0, 3.0]))

    assert numbers["mean"] == 2
    assert numbers["interval"] == pytest.approx([2 - 4.3027 / 3**0.5, 4.4842], abs=1e-3)
