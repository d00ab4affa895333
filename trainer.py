"""Put a model into another mode for a while, and back exactly as it was."""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import Dataset
from tqdm import tqdm

from files.history import CURVES
from hardware import Precision, choose_precision, choose_workers, distributed
from loading import BatchLoader


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode, then give each module back the mode it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@dataclass
class Totals:
    """Sums over the samples seen so far, in this process."""

    loss: float = 0.0
    num_correct: int = 0
    num_samples: int = 0

    def add(self, logits: torch.Tensor, labels: torch.Tensor, mean_loss: float) -> None:
        """Count a batch: logits (N, C), labels (N,), its mean loss."""
        self.loss += mean_loss * len(labels)
        self.num_correct += int((logits.argmax(dim=1) == labels).sum())
        self.num_samples += len(labels)

    def sum_over_processes(self) -> Totals:
        """Return the sums over all processes that train together."""
        return Totals(
            *distributed.sum_over_processes(
                [self.loss, self.num_correct, self.num_samples]
            )
        )

    def compute_means(self) -> tuple[float, float]:
        """Return mean loss and accuracy in percent, over all processes together.

        Raises:
            ValueError: there was no sample.
        """
        totals = self.sum_over_processes()
        if not totals.num_samples:
            raise ValueError("the data loader gave no batch")
        accuracy = 100 * totals.num_correct / totals.num_samples
        return totals.loss / totals.num_samples, accuracy


Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


class Listener:
    """What the trainer tells of; here nothing is done about it."""

    def on_batch(self, trainer: Trainer) -> None:
        """Hear that a training step, or the evaluation of a batch, is finished."""

    def on_improvement(self, trainer: Trainer) -> None:
        """Hear that the epoch had the best validation accuracy so far."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Hear that an epoch is finished and its numbers are in the history."""


@dataclass
class Loaders:
    """The three splits in batches of images (N, 3, H, W) and labels int64 (N,)."""

    train: Batches
    val: Batches
    test: Batches


@dataclass(frozen=True)
class Options:
    """What a run may do beyond the published recipe.

    Attributes:
        grad_clip: largest norm of the gradient; None does not clip.
        patience: stop after so many epochs without a better validation accuracy.
        recalibration_batches: after each epoch, measure the batch-norm statistics
            anew on so many training batches; 0 keeps the running averages.
    """

    grad_clip: float | None = None
    patience: int | None = None
    recalibration_batches: int = 0


class Trainer:
    """Train a model, keep its history, and go on from any step.

    Args:
        model: from images to logits (N, C); already on its device.
        optimizer: over the model's parameters.
        loaders: the batches of the three splits. Plain `DataLoader`s will do;
            `loading.BatchLoader`s make runs repeatable and resumable.
        criterion: from logits and labels to the mean loss; default cross-entropy.
        precision: arithmetic of the forward pass; default float32.
        scheduler: stepped after every optimizer step; default a constant rate.
        options: see `Options`.

    Attributes:
        history: for each name in `history.CURVES` a list of one number an epoch.
        epoch: number of epochs that are trained; the last may not be measured yet.
        batch: number of finished training batches of the epoch under way.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loaders: Loaders,
        *,
        criterion: nn.Module | None = None,
        precision: Precision | None = None,
        scheduler: LRScheduler | None = None,
        options: Options | None = None,
    ) -> None:
        self.model = model
        self.network = distributed.wrap(model)  # the model itself in a lone process
        self.optimizer = optimizer
        self.loaders = loaders
        self.criterion = criterion or nn.CrossEntropyLoss()
        self.device = next(model.parameters()).device
        self.precision = precision or Precision("fp32", self.device.type)
        self.scaler = self.precision.make_scaler()
        self.scheduler = scheduler or LambdaLR(optimizer, lambda step: 1.0)
        self.options = options or Options()
        self.listener = Listener()
        self.history: dict[str, list[float]] = {curve: [] for curve in CURVES}
        self.epoch = 0
        self.batch = 0
        self._totals = Totals()
        self._train_results: tuple[float, float] = (0.0, 0.0)  # of the last epoch

    def run(
        self, num_epochs: int, listener: Listener | None = None
    ) -> dict[str, list[float]]:
        """Train until `num_epochs` epochs are finished or patience is at its end.

        Args:
            num_epochs: counted from the start, those before a resumption included.
            listener: is told of batches and epochs; it may save, or stop by raising.

        Returns:
            The history.

        Raises:
            FloatingPointError: a loss is not finite.
        """
        self.listener = listener or self.listener
        while self._num_measured() < num_epochs and not self.is_out_of_patience():
            if self._num_measured() == self.epoch:  # else it was resumed after this
                self._train_results = self.train_one_epoch()
            self.recalibrate_batch_norm()
            results = [*self._train_results, *self.validate(), *self.test()]
            _check_finite(results, self.epoch)
            for curve, value in zip(CURVES, results, strict=True):
                self.history[curve].append(value)
            if self.get_best_epoch() == self.epoch:
                self.listener.on_improvement(self)
            self.listener.on_epoch_end(self)
        return self.history

    def train_one_epoch(self) -> tuple[float, float]:
        """Train on the training split, or on what is left of it after a resumption.

        Returns:
            Mean loss and accuracy in percent over the epoch's samples, each measured
            in training mode, before the step on its batch.

        Raises:
            FloatingPointError: a loss is not finite.
        """
        self.model.train()
        for images, labels in self._iterate_over_training_split():
            images, labels = images.to(self.device), labels.to(self.device)
            with self.precision.autocast():
                logits = self.network(images)
                loss = self.criterion(logits, labels)
            self.optimizer.zero_grad()
            self.scaler.scale(loss * _get_share(self.loaders.train)).backward()
            mean_loss = self._step(loss)
            self._count(logits, labels, mean_loss)
        means = self._totals.compute_means()
        self.epoch, self.batch, self._totals = self.epoch + 1, 0, Totals()
        return means

    def evaluate_model_on_dataloader(self, dataloader: Batches) -> tuple[float, float]:
        """Measure the model without changing it, its mode or its gradients.

        Args:
            dataloader: yields images (N, 3, H, W) and labels int64 (N,).

        Returns:
            Mean loss and accuracy in percent, every sample weighing the same.

        Raises:
            ValueError: the data loader gives no batch.
        """
        totals = Totals()
        distributed.share_buffers(self.model)
        with evaluation_mode(self.model), torch.no_grad():
            for images, labels in self._show(dataloader, "evaluate"):
                images, labels = images.to(self.device), labels.to(self.device)
                with self.precision.autocast():
                    logits = self.model(images)
                    loss = self.criterion(logits, labels)
                if _get_share(dataloader):
                    totals.add(logits, labels, loss.item())
                self.listener.on_batch(self)
        return totals.compute_means()

    def validate(self) -> tuple[float, float]:
        """Return mean loss and accuracy in percent on the validation split."""
        return self.evaluate_model_on_dataloader(self.loaders.val)

    def test(self) -> tuple[float, float]:
        """Return mean loss and accuracy in percent on the test split."""
        return self.evaluate_model_on_dataloader(self.loaders.test)

    def recalibrate_batch_norm(self) -> None:
        """Measure the batch-norm statistics anew, if the options ask for it."""
        num_batches = self.options.recalibration_batches
        if num_batches:
            self._set_epoch(first_batch=0)
            batches = itertools.islice(self.loaders.train, num_batches)
            recalibrate_batch_norm(self.model, batches, self.precision)

    def get_best_epoch(self) -> int:
        """Return the first epoch (from 1) of the best validation accuracy, or 0."""
        accuracies = self.history["val_acc"]
        return accuracies.index(max(accuracies)) + 1 if accuracies else 0

    def is_out_of_patience(self) -> bool:
        """Say whether too many epochs have brought no better validation accuracy."""
        patience = self.options.patience
        since_best = self._num_measured() - self.get_best_epoch()
        return patience is not None and since_best >= patience

    def state_dict(self) -> dict[str, Any]:
        """Return all that training depends on, as tensors and plain values.

        Processes that train together must call it together.
        """
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": self.history,
            "epoch": self.epoch,
            "batch": self.batch,
            "totals": asdict(self._totals.sum_over_processes()),
            "train_results": list(self._train_results),
            "random": get_random_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called, down to the last bit."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.history = {curve: list(state["history"][curve]) for curve in CURVES}
        self.epoch, self.batch = state["epoch"], state["batch"]
        # The main process holds what all had counted.
        self._totals = Totals(**state["totals"]) if distributed.is_main() else Totals()
        self._train_results = tuple(state["train_results"])
        set_random_state(state["random"])

    def _num_measured(self) -> int:
        """Return how many epochs have their results in the history."""
        return len(self.history["val_acc"])

    def _step(self, loss: torch.Tensor) -> float:
        """Update the parameters, then the learning rate; return the loss's value."""
        mean_loss = loss.item()
        if not math.isfinite(mean_loss):
            raise FloatingPointError(
                f"the loss became {mean_loss} in epoch {self.epoch + 1}, batch "
                f"{self.batch + 1}{self._describe_batch()}; the last checkpoints are "
                "kept; try a lower learning rate or --grad-clip 1"
            )
        self.scaler.unscale_(self.optimizer)
        if self.options.grad_clip is not None:
            parameters = self.model.parameters()
            nn.utils.clip_grad_norm_(parameters, self.options.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        return mean_loss

    def _count(
        self, logits: torch.Tensor, labels: torch.Tensor, mean_loss: float
    ) -> None:
        """Add a training batch to the epoch's totals."""
        if _get_share(self.loaders.train):
            self._totals.add(logits, labels, mean_loss)
        self.batch += 1
        self.listener.on_batch(self)

    def _describe_batch(self) -> str:
        """Return the names of the files in the training batch under way, if known."""
        describe = getattr(self.loaders.train, "describe_batch", lambda: "")
        return describe() and f" ({describe()})"

    def _set_epoch(self, first_batch: int) -> None:
        """Tell a loader that can take it where in the training to begin."""
        if hasattr(self.loaders.train, "set_epoch"):
            self.loaders.train.set_epoch(self.epoch, first_batch)

    def _iterate_over_training_split(self) -> Iterator[Any]:
        """Iterate over the training batches that are left in this epoch."""
        self._set_epoch(first_batch=self.batch)
        yield from self._show(self.loaders.train, "train", done=self.batch)

    def _show(self, batches: Batches, what: str, *, done: int = 0) -> Iterator[Any]:
        """Show a progress bar on a terminal, and nothing when stderr is a file."""
        return tqdm(
            batches,
            desc=f"epoch {self.epoch + 1} {what}",
            initial=done,
            total=len(batches) if hasattr(batches, "__len__") else None,
            leave=False,
            dynamic_ncols=True,
            disable=not (sys.stderr.isatty() and distributed.is_main()),
        )


def _get_share(batches: Batches) -> float:
    """Return the weight of this process's mean loss in that of the whole batch.

    It is 0 for a stand-in that another process counts, 1 where there is one process.
    """
    return getattr(batches, "share", 1.0)


def _check_finite(results: Sequence[float], epoch: int) -> None:
    """Raise FloatingPointError when an epoch's loss is not a number to keep."""
    if not all(map(math.isfinite, results)):
        named = dict(zip(CURVES, results, strict=True))
        raise FloatingPointError(
            f"a loss is not finite after epoch {epoch}: {named}; the last checkpoints "
            "are kept; try a lower learning rate or --grad-clip 1"
        )


@torch.no_grad()
def recalibrate_batch_norm(
    model: nn.Module,
    batches: Iterable[tuple[torch.Tensor, object]],
    precision: Precision,
) -> None:
    """Measure a model's batch-norm statistics anew; leave it in training mode.

    The running averages lag behind weights that change fast; here they become plain
    means over the batches.

    Args:
        model: has batch-norm layers, or nothing happens to it.
        batches: images (N, 3, H, W) and labels, which are not looked at.
        precision: arithmetic of the forward pass.

    Source: Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3
        (PreciseBN). Deviation: the batches' variances are averaged as they are.
    """
    device = next(model.parameters()).device
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative mean
    model.train()
    try:
        for images, _ in batches:
            with precision.autocast():
                model(images.to(device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    distributed.average_buffers(model)


def get_random_state() -> dict[str, Any]:
    """Return the state of every generator as tensors and plain values."""
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put every generator back into a state that `get_random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def compute_logits(
    dataset: Dataset,
    model: nn.Module,
    *,
    batch_size: int = 32,
    precision: Precision | None = None,
    workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Run a model over a dataset, in batches and in the dataset's order.

    Args:
        dataset: samples as `loading.BatchLoader` takes them.
        model: runs on the device that it is on, in evaluation mode.
        batch_size: images in a batch.
        precision: arithmetic of the forward pass; default as suits the device.
        workers: processes that read images; default as suits the device.

    Returns:
        logits float64 (N, 2), real first, and labels int64 (N,).
    """
    device = next(model.parameters()).device
    preprocessing = getattr(model, "preprocessing", None)
    loader = BatchLoader(
        dataset,
        batch_size,
        preprocessing,
        device=device,
        workers=choose_workers(workers, device),
    )
    precision = precision or choose_precision("auto", device)
    logits, labels = [], []
    with evaluation_mode(model), torch.inference_mode(), precision.autocast():
        for images, batch_labels in tqdm(
            loader, desc="score", leave=False, disable=None
        ):
            logits.append(model(images).double().cpu())
            labels.append(batch_labels.cpu())
    return torch.cat(logits).numpy(), torch.cat(labels).numpy()
