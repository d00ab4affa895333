"""Weights that a network starts from and keeps: named by hash, found again."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from files.tensors import load_model_state, load_tensors, save_tensors
from models import Network
from records.checkpoint import CheckpointRecord


def select_start(model: nn.Module, network: Network) -> dict[str, Tensor]:
    """Return a network's state dict without the heads that it names."""
    heads = tuple(f"{name}." for name in network.heads)
    state = model.state_dict()
    return {name: v for name, v in state.items() if not name.startswith(heads)}


def hash_start(start: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of weights: of their names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(start.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)} ".encode())
        values = value.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy())
    return digest.hexdigest()


def name_kept(folder: Path, sha256: str) -> Path:
    """Return where weights with this hash are kept beside checkpoints."""
    return folder / f"backbone_{sha256[:16]}.pt"


def keep_start(start: Mapping[str, Tensor], sha256: str, folder: Path) -> Path | None:
    """Save weights beside checkpoints, once for all of them; None: they are there."""
    path = name_kept(folder, sha256)
    if path.exists():
        return None
    save_tensors({"model": dict(start)}, path)
    return path


def load_start(
    model: nn.Module, network: Network, record: CheckpointRecord, folder: Path
) -> None:
    """Load the weights that a checkpoint's detector started from.

    They are looked for in the checkpoint's folder, then where the network finds its
    own. The model is as the network builds it.

    Raises:
        ValueError: they are not there, or others are.
    """
    wanted = record.backbone_sha256
    path = name_kept(folder, wanted)
    where = str(path)
    if path.is_file():
        content = load_tensors(path)
        state = content.get("model") if isinstance(content, dict) else None
        if not isinstance(state, dict):
            raise ValueError(f"{path} does not hold weights")
        load_model_state(model, {**model.state_dict(), **state}, record.model_name)
    elif network.load_weights is None:
        raise ValueError(
            f"it does not hold its frozen weights, and {path} is missing: put it "
            "there, or train with --whole"
        )
    else:
        try:
            where = network.load_weights(model, None)
        except OSError as error:
            raise ValueError(
                f"it does not hold its frozen weights, {path} is missing, and {error}"
            ) from error
    found = hash_start(select_start(model, network))
    if found != wanted:
        raise ValueError(
            f"it was trained on weights with the hash {wanted[:16]}, and those of "
            f"{where} have {found[:16]}: put {path.name} of the training beside it"
        )
