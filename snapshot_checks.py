"""Check a snapshot from a file before a trainer goes on from it."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import torch

from history import CURVES
from state_dicts import check_keys, check_tensors
from trainer import Trainer


def check_trainer_state(state: Any, trainer: Trainer) -> None:
    """Refuse what `Trainer.load_state_dict` would take and fail on, or go astray.

    Args:
        state: `snapshot["trainer"]`, untrusted.
        trainer: the one that is to go on from it.

    Raises:
        ValueError: with what is wrong in one line.
    """
    own = trainer.state_dict()
    _check_like(state, dict.fromkeys(own), "the state")
    check_keys(_check_dict(state["model"], "model"), own["model"])
    check_tensors(state["model"], own["model"])
    for part in ("scheduler", "scaler", "totals", "train_results"):
        _check_like(state[part], own[part], part)
    _check_optimizer(state["optimizer"], trainer.optimizer)
    _check_position(state, num_batches=len(trainer.loaders.train))


def _check_optimizer(state: Any, optimizer: torch.optim.Optimizer) -> None:
    """Refuse settings of another optimizer and moments of other shapes."""
    own = optimizer.state_dict()
    _check_like(
        state, {"state": None, "param_groups": own["param_groups"]}, "optimizer"
    )
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, moments in _check_dict(state["state"], "optimizer").items():
        if type(number) is not int or not 0 <= number < len(parameters):
            raise ValueError(f"it has no parameter {_short(number)}")
        for name, moment in _check_dict(moments, "optimizer").items():
            if moment is None:  # the momentum of SGD without momentum
                continue
            shapes = (torch.Size(), parameters[number].shape)
            if not isinstance(moment, torch.Tensor) or moment.shape not in shapes:
                raise ValueError(f"its {_short(name)} does not fit the parameters")
            if not moment.is_floating_point() or not torch.isfinite(moment).all():
                raise ValueError(f"its {_short(name)} holds other than finite numbers")


def _check_position(state: dict[str, Any], *, num_batches: int) -> None:
    """Refuse an epoch, a batch and a history that do not go together."""
    epoch, batch = state["epoch"], state["batch"]
    if type(epoch) is not int or type(batch) is not int:
        raise ValueError("its epoch and batch are no whole numbers")
    if epoch < 0 or not 0 <= batch <= num_batches:
        raise ValueError(f"it has no batch {batch} of {num_batches} in epoch {epoch}")
    _check_like(state["history"], dict.fromkeys(CURVES), "history")
    lengths = {len(_check_list(state["history"][curve], curve)) for curve in CURVES}
    if len(lengths) > 1 or not lengths <= {epoch, epoch - 1}:
        raise ValueError(f"its history is not of {epoch} epochs")
    for curve in CURVES:
        values = state["history"][curve]
        _check_like(values, [0.0] * len(values), curve)


def _check_like(given: Any, own: Any, where: str) -> None:
    """Refuse other types, keys and lengths than one's own; None stands for any."""
    if isinstance(own, dict):
        if set(_check_dict(given, where)) != set(own):
            raise ValueError(f"the entries of {where} are not {reprlib.repr([*own])}")
        for key in own:
            _check_like(given[key], own[key], f"{where}'s {key}")
    elif isinstance(own, (list, tuple)):
        if not isinstance(given, (list, tuple)) or len(given) != len(own):
            raise ValueError(f"{where} is {_short(given)}, expected {len(own)} values")
        for value, own_value in zip(given, own, strict=True):
            _check_like(value, own_value, where)
    elif isinstance(own, (int, float)) and not isinstance(own, bool):
        if type(given) not in (int, float) or not math.isfinite(given):
            raise ValueError(f"{where} is {_short(given)}, expected a number")
    elif own is not None and type(given) is not type(own):
        raise ValueError(f"{where} is {_short(given)}, expected {_short(own)}")


def _check_dict(value: Any, where: str) -> dict[Any, Any]:
    """Return the value, having checked that it is a dict."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {_short(value)}, expected entries by name")
    return value


def _check_list(value: Any, where: str) -> list[Any]:
    """Return the value, having checked that it is a list."""
    if not isinstance(value, list):
        raise ValueError(f"{where} is {_short(value)}, expected a list")
    return value


def _short(value: Any) -> str:
    """Return a value on a line, however large it is."""
    if isinstance(value, torch.Tensor):
        return "a tensor"
    return reprlib.repr(value)
