"""The checks find what is planted: true maps, false ones, and an edge detector."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from map_models import OneConvolution, make_images
from PIL import Image
from torch import Tensor, nn

from explaining.checks import (
    GRID,
    RANKINGS,
    check_masks,
    check_randomisation,
    check_removal,
    compute_mask_shares,
    compute_rank_correlations,
    describe_mean,
    order_cells,
    randomise_from_the_top,
    read_mask,
)
from explaining.methods import compute_gradient_saliency_maps
from hardware import Precision

NUM, SIZE = 6, 32


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
    temperature, logit_bias = 2.0, 0.5

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, images: Tensor) -> Tensor:
        fake = self.scale * (images[(..., *self.patch)].mean((1, 2, 3)) - 0.5)
        return torch.stack([-fake, fake], dim=1)


def make_patch_images() -> Tensor:
    """Noise with a bright patch where `Patch` looks."""
    images = make_images(NUM, SIZE) / 10 - 1
    images[(..., *Patch.patch)] = 1.5
    return images


def make_map(place: tuple[slice, slice]) -> np.ndarray:
    """Maps that point at one place."""
    maps = np.zeros((NUM, SIZE, SIZE), np.float32)
    maps[(..., *place)] = 1
    return maps


def detect_edges(images: Tensor, model: nn.Module) -> np.ndarray:
    """What poses as an explanation and does not look at the model."""
    grey = images.mean(dim=1)
    down = F.pad(grey.diff(dim=1), (0, 0, 0, 1))
    return (down.abs() + F.pad(grey.diff(dim=2), (0, 1)).abs()).numpy()


def test_randomisation_fails_an_edge_detector():
    model, images = Deep(), make_images(NUM, SIZE)
    maps = detect_edges(images, model)

    found = check_randomisation(
        maps, lambda other: detect_edges(images, other), model, seed=0
    )

    assert not found["passed"]
    assert found["layers"] == ["fc", "conv2", "conv1"]
    assert [m["mean"] for m in found["rank_correlations"]] == pytest.approx([1, 1, 1])


def test_randomisation_passes_the_gradient_and_leaves_the_model():
    model, images = Deep(), make_images(NUM, SIZE)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def explain(model: nn.Module) -> np.ndarray:
        return compute_gradient_saliency_maps(images, [1] * NUM, model).numpy()

    found = check_randomisation(explain(model), explain, model, seed=0)

    assert found["passed"]
    assert abs(found["rank_correlations"][-1]["mean"]) < 0.1
    assert found["num_constant"] == [0, 0, 0]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_randomisation_counts_maps_that_turn_constant():
    found = check_randomisation(
        np.random.default_rng(0).random((NUM, 4, 4)),
        lambda model: np.zeros((NUM, 4, 4)),
        OneConvolution(),
        seed=0,
    )

    assert found["num_constant"] == [NUM, NUM, NUM]  # fc, norm, conv3
    assert [m["mean"] for m in found["rank_correlations"]] == [0, 0, 0]


def test_randomisation_that_may_leave_more_than_half_fails():
    maps = np.random.default_rng(0).random((NUM, 8, 8))
    others = maps.copy()
    others[2:] = np.random.default_rng(1).random((NUM - 2, 8, 8))  # a third is left

    found = check_randomisation(maps, lambda model: others, OneConvolution(), seed=0)

    low, high = found["rank_correlations"][-1]["interval"]
    assert -0.5 < low < 0.5 < high
    assert not found["passed"]


def test_randomise_from_the_top_changes_layer_after_layer():
    model, changed = Deep(), []
    state = torch.get_rng_state()

    for layer, randomised in randomise_from_the_top(model, 0):
        others = randomised.state_dict()
        same = [n for n, v in model.state_dict().items() if torch.equal(v, others[n])]
        changed.append((layer, sorted({name.split(".")[0] for name in same})))

    expected = [("fc", ["conv1", "conv2"]), ("conv2", ["conv1"]), ("conv1", [])]
    assert changed == expected
    assert torch.equal(torch.get_rng_state(), state)


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
def test_removal_follows_a_map_of_the_patch_that_the_model_looks_at(insert):
    orders = order_cells(make_map(Patch.patch), seed=0)
    options = {"model": Patch(), "precision": Precision(), "insert": insert}
    targets = torch.ones(NUM, dtype=torch.int64)

    found = check_removal(make_patch_images(), targets, orders, **options)

    # all four cells are among the first sixteen: one step is enough
    whole, without = 1 / (1 + np.exp(-8.5)), 1 / (1 + np.exp(3.5))
    curve = found["map"]["curve"]
    if insert:  # the blurred patch is darker, and seen by its cells from step 1 on
        assert curve[0] < whole
        assert curve[1:] == pytest.approx([whole] * 16)
    else:
        assert curve == pytest.approx([whole] + [without] * 16)
        assert found["map"]["area"]["mean"] == pytest.approx(
            (whole + without) / 32 + without * 15 / 16
        )
    assert found["passed"]
    assert "better than random and centre" in found["sentence"]


@pytest.mark.parametrize("insert", [False, True])
def test_removal_fails_a_map_that_points_elsewhere(insert):
    orders = order_cells(make_map(np.s_[26:30, 2:6]), seed=0)
    options = {"model": Patch(), "precision": Precision(), "insert": insert}
    targets = torch.ones(NUM, dtype=torch.int64)

    found = check_removal(make_patch_images(), targets, orders, **options)

    assert not found["passed"]


def test_gradient_points_at_the_patch_for_the_whole_chain():
    maps = compute_gradient_saliency_maps(make_patch_images(), [1] * NUM, Patch())

    ranks = order_cells(maps.numpy(), seed=0)["map"]

    assert (ranks[:, 1:3, 12:14] < 4).all()


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


def test_mask_shares_of_an_empty_map_are_those_of_the_area():
    mask = np.arange(64).reshape(8, 8) < 16

    (inside, area), (border, border_area) = compute_mask_shares(0.0 * mask, mask)

    assert inside == area == 0.25
    assert border == border_area


def make_masked(folder: Path, num: int) -> list[Path]:
    """Paths of fakes, for the first `num` of which there is a mask."""
    masks = folder / "masks" / "test"
    masks.mkdir(parents=True)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[Patch.patch] = 255
    for number in range(num):
        Image.fromarray(mask).save(masks / f"{number}.png")
    return [folder / "test" / "fake" / f"{number}.jpg" for number in range(NUM)]


def test_check_masks_knows_a_map_that_points_at_the_planted_part(tmp_path):
    paths, is_planted = make_masked(tmp_path, 4), np.ones(NUM, bool)

    found = check_masks(make_map(Patch.patch) + 0.001, is_planted, paths)
    elsewhere = check_masks(make_map(np.s_[26:30, 2:6]), is_planted, paths)

    assert found["num_images"] == 4
    assert found["passed"]
    assert found["inside"]["mass"]["mean"] > 0.9
    assert found["inside"]["area"]["mean"] == 16 / 32**2
    assert not elsewhere["passed"]
    assert "do not point at it" in elsewhere["sentence"]


def test_check_masks_without_masks_or_fakes_is_none(tmp_path):
    few, many = (make_masked(tmp_path / name, n) for name, n in (("a", 1), ("b", 4)))
    maps = make_map(Patch.patch)

    assert check_masks(maps, np.ones(NUM, bool), few) is None
    assert check_masks(maps, np.zeros(NUM, bool), many) is None


def test_read_mask_fits_it_to_the_map(tmp_path):
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:, 32:] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")

    mask = read_mask(tmp_path / "mask.png", (8, 16))

    assert mask.shape == (8, 16)
    assert mask[:, 9:].all()
    assert not mask[:, :7].any()


def test_describe_mean_by_hand():
    numbers = describe_mean(np.array([1.0, 2.0, 3.0]))

    assert numbers["mean"] == 2
    assert numbers["interval"] == pytest.approx([2 - 4.3027 / 3**0.5, 4.4842], abs=1e-3)
