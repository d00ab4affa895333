"""What a detector is told at the end of its training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hardware import Compute, Precision
from judging.detector import Detector
from judging.guarding.stability import VERSIONS
from judging.qualifying import (
    Policy,
    ValScores,
    calibrate_tracks,
    choose_conditions,
    choose_zones,
    count_errors,
    list_real_differences,
    qualify,
)
from loading.disturbances import parse_conditions
from models import get_network
from records.checkpoint import CheckpointRecord
from records.recipe import Recipe
from utils import load_dataset

CONDITIONS = parse_conditions(["face=128", "face=64", "face=48"])
NUM = 200  # images of each class


def draw_val_scores(shifts=(0, 0.2, 3, 3), spreads=(1, 1, 1, 6)) -> ValScores:
    """Differences of real and fake images around -3 and 3, under four conditions.

    In the third, scores are shifted; in the fourth they tell little besides.
    """
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], NUM)
    noise = generator.normal(size=(2 * NUM, 4)) * np.array(spreads)
    differences = (6 * labels - 3)[:, None] + np.array(shifts) + noise
    logits = np.stack([np.zeros_like(differences), differences], axis=2)
    return ValScores(logits, labels, {}, logits[:, :1].repeat(len(VERSIONS), axis=1))


def list_shares(val, point, zones):
    rows = count_errors(val, point, zones)
    return [(row[1] / row[0], row[3] / row[2]) for row in rows]


def test_conditions_that_would_break_the_promise_are_left_out_of_the_calibration():
    val = draw_val_scores()
    policy = Policy(CONDITIONS, max_fpr=0.02)
    kept, point = choose_conditions(val, policy)
    assert kept == [0, 1]
    shares = list_shares(val, point, [point.zone] * 4)
    assert all(alarms <= 0.04 for alarms, _ in shares[:2])
    assert all(alarms > 0.04 for alarms, _ in shares[2:])
    # Views of an image count as one.
    assert point.threshold_policy.endswith(f" on {2 * NUM} validation images")
    # Without the promise broken anywhere, all stay.
    alike = draw_val_scores((0,) * 4, (1,) * 4)
    assert choose_conditions(alike, policy)[0] == [0, 1, 2, 3]


def test_real_differences_are_each_images_highest_in_the_kept_conditions():
    differences = np.array([[3.0, 1, 9], [0, 2, 9], [5, 5, 9]])  # the last one is fake
    logits = np.stack([np.ones_like(differences), 1 + differences], axis=2)
    val = ValScores(logits, np.array([0, 0, 1]), {}, logits)
    assert list_real_differences(val, [0, 1]) == [2, 3]
    assert list_real_differences(val, [0]) == [0, 3]


def test_where_images_as_they_are_break_the_promise_lenient_conditions_go():
    """Pooled with easier conditions, the threshold would be too low at home."""
    val = draw_val_scores((0, -6, -6, -6), (1.3, 1, 1, 1))
    policy = Policy(CONDITIONS, max_fpr=0.005)
    pooled = policy.choose(val.logits, val.labels)
    ((alarms, _), *_) = list_shares(val, pooled, [pooled.zone] * 4)
    assert alarms > 0.01
    kept, point = choose_conditions(val, policy)
    assert len(kept) < 4
    ((alarms, _), *_) = list_shares(val, point, [point.zone] * 4)
    assert alarms <= 0.01
    zones = choose_zones(val, point, kept, 0.005)
    assert {threshold for _, threshold in zones.values()} == {point.threshold}


def test_each_of_these_gets_bounds_of_its_own_that_keep_it():
    val = draw_val_scores()
    policy = Policy(CONDITIONS, max_fpr=0.02)
    kept, point = choose_conditions(val, policy)
    zones = choose_zones(val, point, kept, 0.02)
    assert zones.keys() <= {2, 3}
    assert 2 in zones
    home = max(1, count_errors(val, point, [point.zone])[0][3]) / NUM
    for number, (real_below, threshold) in zones.items():
        assert real_below <= threshold
        assert threshold >= point.threshold
        shares = list_shares(val, point, [zones.get(n, point.zone) for n in range(4)])
        assert shares[number][0] <= 0.02
        assert shares[number][1] <= 2 * home + 1e-9
    # Where scores tell nothing there is no verdict at all.
    blind = draw_val_scores(spreads=(1, 1, 1, 60))
    kept, point = choose_conditions(blind, policy)
    assert 3 not in {*kept, *choose_zones(blind, point, kept, 0.02)}


def test_policy_of_a_recipe_takes_its_flags_and_refuses_unknown_conditions():
    recipe = Recipe(calibrate_under=("jpeg=70", "photographs"), max_fpr=0.1, seed=3)
    policy = Policy.of(recipe)
    assert list(map(str, policy.conditions[:2])) == ["none", "jpeg=70"]
    assert len(set(policy.conditions)) == len(policy.conditions) > 10
    assert (policy.max_fpr, policy.seed) == (0.1, 3)
    with pytest.raises(ValueError, match="jpeg=71.*jpeg=90, jpeg=70") as error:
        Policy.of(Recipe(calibrate_under=("jpeg=71",)))
    assert "\n" not in str(error.value)


def test_policy_calibrates_an_epoch_by_all_that_it_promises():
    """What a run that is killed before `qualify` leaves keeps the promise, too."""
    labels = np.arange(200) % 2
    logits = np.random.default_rng(0).normal(size=(200, 2)) + np.eye(2)[labels]
    entries = Policy(max_fpr=0.05, max_fnr=0.1).calibrate(logits, labels)
    assert 0 < entries["real_below"] < entries["threshold"] < 1
    others = Policy(max_fpr=0.1).calibrate(logits, labels)
    assert others["real_below"] is None
    assert others["threshold"] < entries["threshold"]


@pytest.fixture
def detector(tiny_network, tiny_net) -> Detector:
    preprocessing = get_network(tiny_network).preprocessing
    record = CheckpointRecord(model_name=tiny_network)
    return Detector(tiny_net().eval(), preprocessing, record, layer="conv")


def test_qualify_is_the_same_in_batches_of_any_size(detector, faces_root, monkeypatch):
    """Two conditions; the guard needs so few images here as there are."""
    monkeypatch.setattr("judging.guarding.fitting.LEAST_IMAGES", 4)
    monkeypatch.setattr("judging.qualifying.LEAST_IMAGES", 4)
    where = {"data_root": faces_root.parent, "preprocessing": detector.preprocessing}
    datasets = {
        split: load_dataset(faces_root.name, split, **where)
        for split in ("train", "val", "test")
    }
    policy = Policy(parse_conditions(["jpeg=70"]), max_fnr=0.5)
    records = [
        qualify(detector, datasets, policy, Compute(Precision("fp32"), size))
        for size in (2, 32)
    ]
    first, second = (replace(r, guard={}, real_differences=[]) for r in records)
    assert first == second
    record = records[0]
    assert record.errors.keys() == {"none", "jpeg=70"}
    assert record.real_below <= record.threshold
    assert record.reliability_split == "test"
    assert record.real_differences == sorted(record.real_differences)
    guard = replace(detector, record=record).guard
    assert guard.conditions == ("none", "jpeg=70")
    assert guard.likenesses.keys() == {"detail", "colour", "features"}
    assert CheckpointRecord.from_untrusted(record.to_dict()) == record


class Listed:
    """Stands for a dataset: names alone."""

    def __init__(self, names: list[str], groups: list[str] | None = None) -> None:
        self.names, self.groups = names, groups

    def __len__(self) -> int:
        return len(self.names)

    def get_name(self, index: int) -> str:
        return self.names[index]

    def get_column(self, name: str) -> list[str] | None:
        return self.groups


def test_calibrate_tracks_chooses_on_the_mean_logits_of_groups():
    """A video and its forgery are one group of five frames each, and two tracks."""
    val, by_name = draw_val_scores(), Policy(CONDITIONS, max_fpr=0.1)
    policy = replace(by_name, group_by="prefix")
    numbers = np.tile(np.arange(NUM) // 5, 2)
    names = [f"v{number}_{n}.png" for n, number in enumerate(numbers)]

    chosen = calibrate_tracks(val, Listed(names), policy)

    assert chosen["kept_conditions"] == ["none", "face=128", "face=64"]
    highest = val.logits[:5, :3, 1].mean(axis=0).max()
    assert np.isclose(chosen["real_differences"], highest).any()
    assert len(chosen["real_differences"]) == NUM // 5
    assert [row[0] for row in chosen["errors"].values()] == [NUM // 5] * 4
    assert chosen["threshold_policy"] == "FPR 0.1 on 80 validation groups"
    record = CheckpointRecord(track_calibration=chosen, zones={"none": [0.1, 0.2]})
    own = Detector(torch.nn.Linear(2, 2), record=record).of_tracks.record
    assert (own.threshold, own.errors) == (chosen["threshold"], chosen["errors"])
    assert "none" not in own.zones
    assert own.num_calibrated == 2 * NUM // 5
    by_column = Listed(names, list(map(str, numbers)))
    assert calibrate_tracks(val, by_column, by_name) == chosen


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (1, {"group_by": "prefix"}),  # each image is a group
        (25, {"group_by": "prefix"}),  # 8 groups of each class
        (5, {}),  # nobody says what the groups are
        (5, {"group_by": "x(.)y"}),  # as of the data that it was trained on
        (5, {"group_by": "prefix", "max_fpr": 0.001, "fpr_confidence": 0.95}),
    ],
)
def test_calibrate_tracks_without_enough_groups_says_nothing(size, options):
    names = [f"v{n // size}_{n}.png" for n in range(2 * NUM)]
    policy = Policy(CONDITIONS, **options)
    assert calibrate_tracks(draw_val_scores(), Listed(names), policy) == {}
