"""Spellings that are accepted, and misfits that are refused in one line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from files.tensors import load_model_state


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 300
    return message


class Tiny(nn.Module):
    """The names that the spellings are about, in a model that costs nothing."""

    name = "Tiny"

    def __init__(self) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(2, 3, 1, bias=False)
        self.bn = nn.BatchNorm2d(3)
        self.last_linear = nn.Linear(3, 2)


def tiny_state(change=None, *, drop=()):
    torch.manual_seed(3)
    state = {name: torch.rand(t.shape) for name, t in Tiny().state_dict().items()}
    state["bn.num_batches_tracked"] = torch.tensor(7)
    state.update(change or {})
    return {name: value for name, value in state.items() if name not in drop}


def spelt_fc(state):
    return {name.replace("last_linear", "fc"): value for name, value in state.items()}


def spelt_module(state):
    return {f"module.{name}": value for name, value in state.items()}


def spelt_flat(state):
    return {**state, "pointwise.weight": state["pointwise.weight"][:, :, 0, 0]}


def spelt_half(state):
    return {name: value.double() for name, value in state.items()}


@pytest.mark.parametrize(
    "spell", [dict, spelt_fc, spelt_module, spelt_flat, spelt_half]
)
def test_load_model_state_each_spelling_gives_the_same_tensors(spell):
    model, state = Tiny(), tiny_state()
    load_model_state(model, spell(state))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_load_model_state_without_batch_counters_is_accepted():
    model = Tiny()
    load_model_state(model, tiny_state(drop=["bn.num_batches_tracked"]))
    assert torch.equal(model.bn.weight, tiny_state()["bn.weight"])


NAN = torch.tensor([1.0, float("nan"), 0.0])
REFUSED = {
    "no dict": ([1, 2], "expected a dict of tensors, got list"),
    "no names": ({1: torch.zeros(1)}, "other keys"),
    "empty": ({}, "7 of 8 tensors missing"),
    "missing": (tiny_state(drop=["bn.bias"]), r"1 of 8 tensors missing \(bn\.bias\)"),
    "unexpected": (
        tiny_state({f"x{i}\n": NAN for i in range(9)}),
        r"9 of 17 tensors unexpected \(x0\\n, x1\\n, x2\\n, \.\.\.\)",
    ),
    "shape": (
        tiny_state({"bn.bias": torch.zeros(4)}),
        r"bn\.bias .*\(4,\), not",
    ),
    "dimensions": (tiny_state({"bn.bias": torch.zeros(3, 1)}), "bn.bias is no dense"),
    "number": (tiny_state({"bn.bias": 3.0}), "bn.bias is no dense"),
    "sparse": (
        tiny_state({"pointwise.weight": torch.eye(2).to_sparse()}),
        "pointwise.weight is no dense",
    ),
    "complex": (
        tiny_state({"bn.bias": torch.zeros(3, dtype=torch.complex64)}),
        "bn.bias is no dense",
    ),
    "meta": (tiny_state({"bn.bias": torch.zeros(3, device="meta")}), "no dense"),
    "nan": (tiny_state({"bn.bias": NAN}), "bn.bias holds NaN or infinite"),
    "infinite": (tiny_state({"bn.weight": NAN.nan_to_num() / 0}), "bn.weight holds"),
    "too large": (
        tiny_state({"bn.weight": torch.full((3,), 1e300, dtype=torch.float64)}),
        "bn.weight holds NaN or infinite",
    ),
    "twice": (
        tiny_state({"fc.weight": torch.zeros(2, 3)}),
        r"two tensors for last_linear\.weight",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_load_model_state_misfit_is_refused_and_model_unchanged(case):
    state, match = REFUSED[case]
    model = Tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=match) as error:
        load_model_state(model, state)
    one_line(error)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
