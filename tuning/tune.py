"""Which weights of a network are trained, and which stay as they start."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize

from loading import find_preprocessing
from models import Network
from records.checkpoint import CheckpointRecord
from tuning.probe import Probe

MOST_FEATURES = 64  # layers that a head reads


@dataclass(frozen=True)
class Tuning:
    """What is trained of a network.

    Attributes:
        how: all; head: a new head on features of the frozen network; norms: the
            normalisation layers and the head; lora: low-rank changes, and the head.
        features: the layers that a head reads.
        hidden: units of the head's hidden layer; 0: it is linear.
        rank: of the low-rank changes.

    Raises:
        ValueError: so many features, or repeated ones, are not for a head.
    """

    how: str = "all"
    features: tuple[str, ...] = ()
    hidden: int = 0
    rank: int = 0

    def __post_init__(self) -> None:
        num = len(set(self.features))
        if num != len(self.features) or num > MOST_FEATURES:
            raise ValueError(f"a head reads up to {MOST_FEATURES} layers, each once")

    @classmethod
    def from_record(cls, record: CheckpointRecord) -> "Tuning":
        """Take it out of a checkpoint's record."""
        features = tuple(map(str, record.features))
        return cls(record.tune or "all", features, record.hidden or 0, record.rank or 0)

    def to_entries(self) -> dict[str, Any]:
        """Return the entries of a checkpoint's record; none if all is trained."""
        entries = {"features": list(self.features), "hidden": self.hidden}
        return {
            "all": {},
            "head": {"tune": "head", **entries},
            "norms": {"tune": "norms"},
            "lora": {"tune": "lora", "rank": self.rank},
        }[self.how]


def tune(model: nn.Module, network: Network, tuning: Tuning) -> nn.Module:
    """Freeze what is not trained, and add what is new.

    The model is as the network builds it, with the weights that it starts from.

    Returns:
        The module to train: the same one, or a `Probe` of it; with its `preprocessing`.

    Raises:
        ValueError: the network has no such layers.
    """
    if tuning.how == "all":
        return model
    if tuning.how == "head":
        size = network.preprocessing.size
        probe = Probe(model, tuning.features, network.layout, size, tuning.hidden)
        probe.preprocessing = find_preprocessing(model)
        return probe
    heads = [model.get_submodule(name) for name in network.heads]
    if not heads:
        heads = [m for m in model.modules() if isinstance(m, nn.Linear)][-1:]
    model.requires_grad_(False)
    if tuning.how == "norms":
        trained = [m for m in model.modules() if _is_norm(m)]
    else:
        trained = list(_add_low_ranks(model, heads, tuning.rank))
    if not trained:
        kind = "normalisation" if tuning.how == "norms" else "linear"
        raise ValueError(
            f"--tune {tuning.how}: the network has no {kind} layers but its head"
        )
    for module in [*trained, *heads]:
        module.requires_grad_(True)
    return model


def _is_norm(module: nn.Module) -> bool:
    """Say whether a module normalises; timm's have classes of their own."""
    kinds = (_NormBase, nn.LayerNorm, nn.GroupNorm)
    return isinstance(module, kinds) or "norm" in type(module).__name__.lower()


class LowRank(nn.Module):
    """Change a weight (out, in) or (out, in, 1, 1) by a product of two small ones.

    Source: Hu et al., LoRA, ICLR 2022, section 4.1, with alpha equal to the rank.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        num_out, num_in = weight.shape[:2]
        down = torch.randn(rank, num_in) * num_in**-0.5
        self.down = nn.Parameter(down.to(weight.device))
        self.up = nn.Parameter(torch.zeros(num_out, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + (self.up @ self.down).view_as(weight)


def _add_low_ranks(model: nn.Module, heads: list[nn.Module], rank: int) -> Any:
    """Yield a change of each linear layer outside the heads, and of 1 x 1 convolutions.

    It starts at none.
    """
    skipped = {module for head in heads for module in head.modules()}
    for module in list(model.modules()):
        is_pointwise = (
            isinstance(module, nn.Conv2d)
            and module.kernel_size == (1, 1)
            and module.groups == 1
        )
        if module not in skipped and (isinstance(module, nn.Linear) or is_pointwise):
            change = LowRank(module.weight, rank)
            parametrize.register_parametrization(module, "weight", change)
            yield change


def merge_low_ranks(model: nn.Module) -> None:
    """Replace each changed weight by its value: the same outputs, in less time."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def list_frozen(model: nn.Module) -> set[str]:
    """Return the names of the tensors that training does not change."""
    if isinstance(model, Probe):  # its averages are frozen, too
        return {n for n in model.state_dict() if n.startswith("backbone.")}
    return {n for n, p in model.named_parameters() if not p.requires_grad}
