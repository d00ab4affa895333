"""Tests of snapshot_checks.py: damage one place of a good state, one clear refusal."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from history import CURVES
from loading import BatchLoader
from snapshot_checks import check_trainer_state
from trainer import Loaders, Trainer

NUM_SAMPLES = 4


def make_trainer() -> Trainer:
    """Return a trainer of a linear model on four samples in two batches."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    samples = [(torch.rand(3, 2, 2), n % 2) for n in range(NUM_SAMPLES)]
    loaders = Loaders(*(BatchLoader(samples, 2, training=t) for t in (True, False, 0)))
    return Trainer(model, torch.optim.Adam(model.parameters()), loaders)


@pytest.fixture(scope="module")
def good_state() -> dict[str, Any]:
    """Return the state of a trainer after two epochs."""
    trainer = make_trainer()
    trainer.run(2)
    return copy.deepcopy(trainer.state_dict())


def test_check_trainer_state_own_state_is_accepted(good_state):
    check_trainer_state(good_state, make_trainer())


def test_check_trainer_state_epoch_that_is_not_measured_yet_is_accepted(good_state):
    state = copy.deepcopy(good_state)
    for curve in CURVES:
        state["history"][curve].pop()
    check_trainer_state(state, make_trainer())


def _set(*keys: Any) -> Callable[[dict[str, Any]], None]:
    """Return a damage: put the last of `keys` where the others lead."""
    *way, last, value = keys

    def damage(state: dict[str, Any]) -> None:
        for key in way:
            state = state[key]
        state[last] = value

    return damage


def _drop(*keys: Any) -> Callable[[dict[str, Any]], None]:
    """Return a damage: remove the entry that the keys lead to."""
    *way, last = keys

    def damage(state: dict[str, Any]) -> None:
        for key in way:
            state = state[key]
        del state[last]

    return damage


NAN = torch.full((2, 12), torch.nan)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_drop("model"), "entries of the state"),
        (_set("model", 3), "model is 3"),
        (_drop("model", "1.weight"), "missing"),
        (_set("model", "1.weight", NAN), "NaN"),
        (_set("scheduler", "last_epoch", "x"), "expected a number"),
        (_set("totals", "loss", float("nan")), "expected a number"),
        (_set("totals", {}), "entries of totals"),
        (_set("train_results", [0.0]), "expected 2 values"),
        (_set("optimizer", []), "optimizer"),
        (_set("optimizer", "param_groups", []), "expected 1 values"),
        (_set("optimizer", "param_groups", 0, "lr", "x"), "expected a number"),
        (_set("optimizer", "state", 9, {}), "no parameter 9"),
        (_set("optimizer", "state", "0", {}), "no parameter"),
        (_set("optimizer", "state", 0, "exp_avg", torch.ones(3)), "does not fit"),
        (_set("optimizer", "state", 0, "exp_avg", 1.0), "does not fit"),
        (_set("optimizer", "state", 0, "exp_avg", NAN), "finite numbers"),
        (_set("epoch", 2.0), "whole numbers"),
        (_set("epoch", -1), "in epoch -1"),
        (_set("batch", 3), "no batch 3"),
        (_set("epoch", 7), "not of 7 epochs"),
        (_set("history", "val_acc", [1.0]), "history"),
        (_set("history", "val_acc", 5), "expected a list"),
        (_set("history", "val_acc", ["a", "b"]), "expected a number"),
        (_drop("history", "val_acc"), "entries of history"),
    ],
)
def test_check_trainer_state_damaged_is_refused(good_state, damage, reason, one_line):
    state = copy.deepcopy(good_state)
    damage(state)
    with pytest.raises(ValueError, match=reason) as error:
        check_trainer_state(state, make_trainer())
    one_line(error)


@pytest.mark.parametrize("state", [None, 3, [], {}])
def test_check_trainer_state_foreign_is_refused(state):
    with pytest.raises(ValueError, match="state"):
        check_trainer_state(state, make_trainer())


def test_check_trainer_state_moment_that_is_absent_is_accepted(good_state):
    state = copy.deepcopy(good_state)
    state["optimizer"]["state"][0]["momentum_buffer"] = None
    check_trainer_state(state, make_trainer())
