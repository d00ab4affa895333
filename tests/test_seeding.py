"""Every source of randomness is seeded, saved and restored."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from files.tensors import load_tensors, save_tensors
from trainer import get_random_state, set_random_state
from utils import seed_everything


@pytest.fixture(autouse=True)
def _own_random_state():
    """Leave the other tests' randomness as it was."""
    before = get_random_state()
    yield
    set_random_state(before)


def draw() -> list[float]:
    """Some numbers of every generator; a normal one leaves a spare number behind."""
    return [
        random.random(),
        random.gauss(0, 1),
        np.random.random(),
        np.random.normal(),
        torch.rand(()).item(),
    ]


def test_seed_everything_same_seed_gives_the_same_numbers():
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert not set(draw()) & set(first)


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1])
def test_seed_everything_takes_every_seed_that_the_flag_allows(seed):
    seed_everything(seed)


def test_set_random_state_goes_on_from_where_it_was_saved(tmp_path):
    seed_everything(1)
    draw()
    save_tensors(get_random_state(), tmp_path / "state.pt")
    expected = draw()
    set_random_state(load_tensors(tmp_path / "state.pt"))
    assert draw() == expected


def test_set_random_state_of_a_machine_with_gpus_is_taken_without_them(monkeypatch):
    state = get_random_state()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    set_random_state({**state, "cuda": [torch.zeros(16, dtype=torch.uint8)]})


def test_set_random_state_restores_every_gpu(monkeypatch):
    given = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", given.append)
    set_random_state({**get_random_state(), "cuda": ["a", "b"]})
    assert given == [["a", "b"]]
