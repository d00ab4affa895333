"""State dicts from strangers: names brought into line, tensors checked, loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def load_model_state(model: nn.Module, state_dict: object) -> None:
    """Load a checkpoint's state dict into a model, or refuse it and change nothing.

    Accepts `fc.*` for `last_linear.*`, a `module.` prefix (DataParallel), 2-D pointwise
    weights, and files without the batch-norm layers' counters of batches.

    Args:
        model: as `build_model` returns it.
        state_dict: names to tensors; untrusted.

    Raises:
        ValueError: saying in one line which tensors do not fit, and for which model
            they seem to be.
    """
    own = model.state_dict()
    given = canonical_state_dict(state_dict, own)
    name = getattr(model, "name", type(model).__name__)
    _check_same_model(given, name)
    try:
        check_keys(given, own)
        check_tensors(given, own)
    except ValueError as error:
        raise ValueError(f"these weights do not fit {name}: {error}") from error
    model.load_state_dict(given, strict=False)


def _check_same_model(given: Mapping[str, object], name: str) -> None:
    """Tell the weights of the other model, or plain ImageNet weights, by their keys."""
    owner = name
    if "block12.rep.1.pointwise.weight" in given:
        head = any(re.match(r"last_linear\.\d", key) for key in given)
        owner = "XceptionBased" if head else "a plain ImageNet Xception (see --weights)"
    elif "fc3.weight" in given and "conv3.weight" in given:
        owner = "SimpleNet"
    if owner != name:
        raise ValueError(f"these weights are for {owner}, not {name}")


def canonical_state_dict(
    state_dict: object, own: Mapping[str, Tensor]
) -> dict[str, object]:
    """Bring the spellings in use to the one that the model uses.

    Args:
        state_dict: names to tensors; untrusted. `fc.*` becomes `last_linear.*`, a
            `module.` prefix of all names goes, 2-D pointwise weights become 4-D.
        own: the model's own state dict.

    Raises:
        ValueError: when it is no dict with names, or two spellings collide.
    """
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"expected a dict of tensors, got {type(state_dict).__name__}")
    if not all(isinstance(name, str) for name in state_dict):
        raise ValueError("expected a dict of tensors by name, got other keys")
    wrapped = all(name.startswith("module.") for name in state_dict)
    renamed: dict[str, object] = {}
    for name, value in state_dict.items():
        name = name.removeprefix("module.") if wrapped else name
        name = re.sub(r"^fc\.", "last_linear.", name)
        if name in renamed:
            raise ValueError(f"two tensors for {short_list([name])}")
        target = own.get(name) if name.endswith("pointwise.weight") else None
        if target is not None and target.ndim == 4 and _is_dense(value, ndim=2):
            value = value[:, :, None, None]
        renamed[name] = value
    return renamed


def check_keys(given: Mapping[str, object], own: Mapping[str, Tensor]) -> None:
    """Refuse (ValueError) names that lack or are too many; batch counters may lack."""
    missing = [
        key for key in own if key not in given and "num_batches_tracked" not in key
    ]
    unexpected = [key for key in given if key not in own]
    problems = [
        f"{len(keys)} of {len(whole)} tensors {kind} ({short_list(keys)})"
        for keys, whole, kind in (
            (missing, own, "missing"),
            (unexpected, given, "unexpected"),
        )
        if keys
    ]
    if problems:
        raise ValueError(", ".join(problems))


def check_tensors(given: Mapping[str, object], own: Mapping[str, Tensor]) -> None:
    """Refuse (ValueError) what is no tensor, of another shape, or not finite."""
    for name, value in given.items():
        target = own[name]
        if not _is_dense(value, target.ndim):
            raise ValueError(f"{name} is no dense {target.ndim}-D tensor of numbers")
        if value.shape != target.shape:
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}, not {tuple(target.shape)}"
            )
        if not torch.isfinite(value.to(target.dtype)).all():
            raise ValueError(f"{name} holds NaN or infinite values")


def _is_dense(value: object, ndim: int) -> bool:
    """Sparse, quantised, complex and meta tensors have no place in these models."""
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    odd = value.is_quantized or value.is_complex() or value.is_meta
    return not odd and value.ndim == ndim


def short_list(names: Iterable[str]) -> str:
    """Name the first three, each on one line and cut short."""
    names = list(names)
    shown = ", ".join(name.encode("unicode_escape").decode()[:60] for name in names[:3])
    return shown if len(names) <= 3 else f"{shown}, ..."
