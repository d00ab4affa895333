"""Fit a head to features, to convergence, its penalty chosen on validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tuning.probe import Head

PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)  # on half the squared weights' sum
MOST_STEPS = 200  # of a fit, each with its line search
CHUNK = 16384  # rows that are in memory at a time


@dataclass(frozen=True)
class Examples:
    """Features of images, in views of the same images, and their labels.

    Attributes:
        views: of each its parts, float32 (N, F') each: the features side by side.
        labels: int64 (N,).
        weights: (N,) of each image in the loss; None: all the same.
    """

    views: Sequence[Sequence[np.ndarray]]
    labels: np.ndarray
    weights: np.ndarray | None = None

    def select(self, number: int) -> "Examples":
        """Return the same with one of the parts alone."""
        return replace(self, views=[[view[number]] for view in self.views])

    def list_chunks(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield features (n, F), labels and weights (n,), at most `CHUNK` rows each."""
        weights = np.ones(len(self.labels)) if self.weights is None else self.weights
        for view in self.views:
            for start in range(0, len(self.labels), CHUNK):
                rows = slice(start, start + CHUNK)
                parts = [torch.from_numpy(part[rows]) for part in view]
                features = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
                labels = torch.from_numpy(self.labels[rows])
                yield features, labels, torch.from_numpy(weights[rows]).float()


def fit_head(
    head: Head,
    train: Examples,
    val: Examples,
    class_weights: Tensor | None = None,
    *,
    seed: int = 0,
) -> float:
    """Fit a head, and leave it with the penalty that suits validation best.

    The training minimises the mean cross-entropy plus half the penalty times the
    squared weights' sum; the penalty is the one with the least cross-entropy on
    validation.

    Args:
        head: its parameters and its standardisation are replaced.
        train, val: what it is fitted to, and on which the penalty is chosen.
        class_weights: of the loss, float (2,).
        seed: of the weights from which a hidden layer starts.

    Returns:
        The mean cross-entropy on validation, nats.

    Raises:
        FloatingPointError: features are not finite.

    Source: Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.5 (L-BFGS),
        with a line search by the strong Wolfe conditions, of torch.
    """
    _standardise(head, train)
    best, state = 0.0, {}
    for penalty in PENALTIES:
        # A line goes on from the last, stronger penalty's; with a hidden layer that
        # may have left nothing to go on from.
        if not state or head.hidden:
            _start(head, seed)
        _minimise(head, train, class_weights, penalty)
        with torch.no_grad():
            loss = _compute_loss(head, val, class_weights, backward=False)
        if not state or loss < best:
            state = {name: value.clone() for name, value in head.state_dict().items()}
            best = loss
    head.load_state_dict(state)
    return best


def _start(head: Head, seed: int) -> None:
    with torch.no_grad():
        head.first.bias.zero_()
        head.first.weight.zero_()
        if head.hidden:
            generator = torch.Generator().manual_seed(seed)
            for layer in (head.first, head.last):
                scale = layer.weight.shape[1] ** -0.5
                values = torch.randn(layer.weight.shape, generator=generator)
                layer.weight.copy_(scale * values)
            head.last.bias.zero_()


def _standardise(head: Head, examples: Examples) -> None:
    """Set the head's mean and scale, by which features have mean 0 and deviation 1."""
    num, sums, squares = 0, 0, 0
    for features, *_ in examples.list_chunks():
        values = features.double()
        num, sums = num + len(values), sums + values.sum(dim=0)
        squares = squares + values.square().sum(dim=0)
    mean = sums / num
    deviation = (squares / num - mean.square()).clamp(min=0).sqrt()
    if not deviation.isfinite().all():
        raise FloatingPointError(
            "the network gives features that are not finite; try --precision fp32"
        )
    is_constant = deviation <= 1e-6 * mean.abs() + 1e-12
    with torch.no_grad():
        # As float32, for Apple's GPUs have no double.
        head.mean.copy_(mean.float())
        head.scale.copy_(torch.where(is_constant, 0.0, 1 / deviation).float())


def _minimise(
    head: Head, train: Examples, class_weights: Tensor | None, penalty: float
) -> None:
    optimizer = torch.optim.LBFGS(
        head.parameters(),
        max_iter=MOST_STEPS,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def compute() -> float:
        optimizer.zero_grad()
        loss = _compute_loss(head, train, class_weights, backward=True)
        weights = [p for name, p in head.named_parameters() if name.endswith("weight")]
        cost = penalty / 2 * sum(w.square().sum() for w in weights)
        cost.backward()
        return loss + cost.item()

    optimizer.step(compute)


def _compute_loss(
    head: Head, examples: Examples, class_weights: Tensor | None, *, backward: bool
) -> float:
    """Return the mean cross-entropy, and add its gradient if asked to."""
    device = head.mean.device
    weights = torch.ones(2) if class_weights is None else class_weights.cpu()
    chunks = examples.list_chunks()
    total = sum(float((weights[of] * own).double().sum()) for _, of, own in chunks)
    loss = 0.0
    for features, labels, own in examples.list_chunks():
        logits = head(features.to(device))
        losses = F.cross_entropy(logits, labels.to(device), reduction="none")
        part = (losses * (weights[labels] * own).to(device)).sum() / total
        if backward:
            part.backward()
        loss += part.item()
    return loss
