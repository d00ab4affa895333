"""The loops: train a classifier, score batches, measure it after every epoch.

To write files between the steps, give `run` two functions that do.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import update_bn

from hardware import Precision, distributed, is_compiled, show_progress
from loading.preprocessing import find_preprocessing
from records.history import CURVES, get_best_epoch

Batches = Iterable[tuple[Tensor, Tensor]]
MOST_STEPS = 1e12  # of an optimizer; more come from a damaged file


@dataclass
class Totals:
    """Sums over the samples seen so far, in this process.

    A short last batch weighs no more than its samples do.
    """

    loss: float = 0.0
    num_correct: int = 0
    num_samples: int = 0

    def add(self, mean_loss: float, num_correct: int, num_samples: int) -> None:
        """Count a batch."""
        self.loss += mean_loss * num_samples
        self.num_correct += num_correct
        self.num_samples += num_samples

    def sum_over_processes(self) -> "Totals":
        """Return the sums over all processes that train together."""
        loss, *counts = distributed.sum_over_processes(
            [self.loss, self.num_correct, self.num_samples]
        )
        return Totals(loss, *map(int, counts))

    def compute_means(self) -> tuple[float, float]:
        """Return mean loss and accuracy in percent, over all processes together.

        Raises ValueError if there was no sample.
        """
        totals = self.sum_over_processes()
        if not totals.num_samples:
            raise ValueError("the data loader gave no batch")
        accuracy = 100 * totals.num_correct / totals.num_samples
        return totals.loss / totals.num_samples, accuracy


class PlainBatches:
    """Give a plain `DataLoader` what the trainer asks of its training batches.

    `loading.BatchLoader` has all of this itself, and also makes runs repeatable and
    resumable.

    Args:
        loader: yields images (N, 3, H, W) and labels int64 (N,). Images of uint8, as
            `load_dataset` gives them, are normalised; floats are taken as they are.
        model: says where the batches go, and in `preprocessing` how to normalise.
    """

    share = 1.0  # of the mean loss in that of all processes' batch

    def __init__(self, loader: Batches, model: nn.Module) -> None:
        self._loader, self._model = loader, model

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        device = next(self._model.parameters()).device
        preprocessing = find_preprocessing(self._model)
        for images, labels in self._loader:
            images = images.to(device)
            if images.dtype == torch.uint8:
                if preprocessing is None:
                    raise ValueError(
                        "the images are uint8, and the model has no `preprocessing` to "
                        "normalise them: give it one, or let the loader give floats"
                    )
                images = preprocessing.normalise(images)
            yield images, labels.to(device)

    def state_dict(self) -> dict[str, int]:
        """Return no position: an epoch starts from its beginning."""
        return {}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Do nothing: there is no position to go to."""

    def describe_batch(self) -> str:
        """Return no names, because none are known."""
        return ""


class _RehearsalOverError(Exception):
    """Ends a rehearsal after its step."""


def do_nothing(trainer: "Trainer") -> None:
    """Do nothing, after batches and epochs by default."""


class Trainer:
    """Abstract trainer of a classifier; it knows of no model, dataset or file.

    Args:
        model: from images to logits (N, C); already on its device.
        optimizer: over the model's parameters.
        loaders: under train, val and test the splits' batches of images (N, 3, H, W)
            and labels int64 (N,). Plain `DataLoader`s will do; `loading.BatchLoader`s
            also augment images and make runs repeatable and resumable at any step.
        criterion: from logits and labels to the mean loss; default cross-entropy. If
            it has a `weight` for each class, the best epoch is the one with the best
            balanced accuracy.
        precision: arithmetic of the forward pass; default float32.
        scheduler: stepped after every optimizer step; default a constant rate.
        grad_clip: largest norm of the gradient; None does not clip.
        bn_batches: after each epoch, measure the batch-norm statistics again on this
            many training batches; 0, or a network without any, keeps the averages.

    Attributes:
        history: for each name in `history.CURVES` a list of one number an epoch.
        epoch: number of epochs trained; the last may not be measured yet.
        best_epoch: the first that `rank_epoch` puts highest; 0 before the first.
        last_loss: of the last training step; None while a split is measured.
        last_rate: learning rate of the last training step.
        last_norm: of its gradient, before it was clipped; a tensor on the device, or
            NaN where nothing asked for it.
        measures_norm: whether `last_norm` is wanted though nothing is clipped; may be
            set.
        totals: of the epoch under way, or of the last one until it is measured.
        logits, labels: float32 (N, C) and int64 (N,), of the split measured last.
        val_logits, val_labels: the same of the last validation.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loaders: Mapping[str, Batches],
        *,
        criterion: nn.Module | None = None,
        precision: Precision | None = None,
        scheduler: LRScheduler | None = None,
        grad_clip: float | None = None,
        bn_batches: int = 0,
    ) -> None:
        self.model = model
        self.network = distributed.wrap(model)  # the model itself in a lone process
        self.optimizer = optimizer
        self.device = next(model.parameters()).device
        self.loaders = {split: self._adopt(b) for split, b in loaders.items()}
        self.criterion = criterion or nn.CrossEntropyLoss()
        self.precision = precision or Precision("fp32", self.device)
        self.scaler = self.precision.make_scaler()
        self.scheduler = scheduler or LambdaLR(optimizer, lambda step: 1.0)
        self.grad_clip = grad_clip
        has_norm = any(isinstance(m, _BatchNorm) for m in model.modules())
        self.bn_batches = bn_batches if has_norm else 0
        self.at_safe_point = do_nothing
        self.history: dict[str, list[float]] = {curve: [] for curve in CURVES}
        self.epoch = self.best_epoch = 0
        self._best_rank: tuple[bool, float] = (False, -1.0)
        self.totals = Totals()
        self.last_loss: float | None = None
        self.last_rate: float | None = None
        self.last_norm: Tensor | float = math.nan
        self.measures_norm = False
        self.logits, self.labels = torch.empty(0, 2), torch.empty(0).long()
        self.val_logits, self.val_labels = self.logits, self.labels

    def run(
        self,
        num_epochs: int,
        at_safe_point: "Callable[[Trainer], None]" = do_nothing,
        after_epoch: "Callable[[Trainer], None]" = do_nothing,
    ) -> dict[str, list[float]]:
        """Train until `num_epochs` epochs are finished and measured.

        Args:
            num_epochs: counted from the start, including those before a resumption.
            at_safe_point: called where nothing is half done, after a training step and
                after a batch's evaluation; it may save, or stop the run by raising.
            after_epoch: called once an epoch's numbers are in the history, which is
                returned in the end.

        Raises:
            FloatingPointError: a loss is not finite.
        """
        self.at_safe_point = at_safe_point
        while len(self.history["val_acc"]) < num_epochs:
            if len(self.history["val_acc"]) == self.epoch:  # else it was resumed here
                self.train_one_epoch()
            self.recalibrate_batch_norm()
            results = [*self.totals.compute_means()]
            for split in ("val", "test"):
                title = f"epoch {self.epoch} {split}"
                batches = self.loaders[split]
                results += self.evaluate_model_on_dataloader(batches, title)
                if split == "val":  # on which a threshold can be chosen
                    self.val_logits, self.val_labels = self.logits, self.labels
            self._record(results)
            after_epoch(self)
        self.at_safe_point = do_nothing
        return self.history

    def train_one_epoch(self) -> tuple[float, float]:
        """Train on the training split, after a resumption on the rest of it.

        Returns:
            Mean loss and accuracy in percent over the epoch's samples, each measured
            in training mode, before the step on its batch.

        Raises:
            FloatingPointError: a loss is not finite.
        """
        self.model.train()
        batches = self.loaders["train"]
        done = batches.state_dict().get("batch", 0)
        if not done:  # else the epoch's totals were restored with its position
            self.totals = Totals()
        title = f"epoch {self.epoch + 1} train"
        for images, labels in self._watch(batches, title, done=done):
            with self.precision.autocast():
                logits = self.network(images)
                loss = self.criterion(logits, labels)
            self.optimizer.zero_grad()
            self.scaler.scale(loss * batches.share).backward()
            mean_loss, num_correct = read_results(logits, labels, loss)
            self._check_finite(mean_loss)
            self.last_loss, self.last_rate = mean_loss, self.get_rate()
            self._clip_gradients()
            self.scaler.step(self.optimizer)  # optimizer.step(), unless fp16 overflowed
            self.scaler.update()
            self.scheduler.step()
            if batches.share:  # else another process counts these samples
                self.totals.add(mean_loss, num_correct, len(labels))
        self.epoch += 1
        return self.totals.compute_means()

    def evaluate_model_on_dataloader(
        self, dataloader: Batches, title: str = "evaluate"
    ) -> tuple[float, float]:
        """Measure the model without changing it, its mode or its gradients.

        Args:
            dataloader: yields images (N, 3, H, W) and labels int64 (N,).
            title: is written beside the progress bar.

        Returns:
            Mean loss and accuracy in percent, every sample weighing the same; the
            logits stay in `logits`, the labels in `labels`.

        Raises:
            ValueError: the data loader gives no batch.
        """
        self.last_loss = None
        distributed.share_buffers(self.model)
        batches = self._watch(self._adopt(dataloader), title)
        logits, labels = compute_logits(self.model, batches, self.precision)
        self.logits = logits = distributed.gather(logits)
        self.labels = labels = distributed.gather(labels)
        logits, labels = logits.to(self.device), labels.to(self.device)
        num_correct = int((logits.argmax(dim=1) == labels).sum())
        return self.criterion(logits, labels).item(), 100 * num_correct / len(labels)

    def recalibrate_batch_norm(self) -> None:
        """Measure the batch-norm statistics again on the first `bn_batches` batches.

        The running averages lag behind weights that change fast; these are plain means.

        Source: Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3
            (PreciseBN). Deviation: the batches' variances are averaged as they are.
        """
        if not self.bn_batches:
            return
        batches = self.loaders["train"]
        position = batches.state_dict()
        self.model.train()
        # Otherwise each batch norm would be compiled again for its changed settings.
        stance = "force_eager" if is_compiled(self.model) else "default"
        with torch.compiler.set_stance(stance), self.precision.autocast():
            update_bn(itertools.islice(batches, self.bn_batches), self.model)
        batches.load_state_dict(position)
        distributed.average_buffers(self.model)

    def get_rate(self) -> float | None:
        """Return the learning rate of the next step, the highest of all layers'."""
        return max(group["lr"] for group in self.optimizer.param_groups)

    def is_best(self) -> bool:
        """Say whether the last measured epoch is the best so far."""
        return self.best_epoch == len(self.history["val_acc"])

    def rehearse(self) -> None:
        """Take a step from a loaded state, which must be loaded again afterwards.

        Only a step shows whether the state is sound: an optimizer or a schedule loads
        nearly anything from a damaged file, and fails when it is used.
        """

        def stop(trainer: Trainer) -> None:
            raise _RehearsalOverError

        self.at_safe_point = stop
        with suppress(_RehearsalOverError):
            self.train_one_epoch()
        self.at_safe_point = do_nothing

    def state_dict(self) -> dict[str, Any]:
        """Return all that training depends on, as tensors and plain values.

        Processes that train together must call it together.
        """
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "batches": self.loaders["train"].state_dict(),
            "history": self.history,
            "best": [self.best_epoch, *self._best_rank],
            "epoch": self.epoch,
            "totals": asdict(self.totals.sum_over_processes()),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called, down to the last bit.

        Raises:
            ValueError: the optimizer had other settings, or its state does not fit.
        """
        self.model.load_state_dict(state["model"])
        settings = self._list_settings()
        self.optimizer.load_state_dict(state["optimizer"])
        if self._list_settings() != settings:
            raise ValueError("the optimizer had other settings")
        self._check_moments()
        self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.loaders["train"].load_state_dict(state["batches"])
        self.history = {curve: list(state["history"][curve]) for curve in CURVES}
        self.epoch = state["epoch"]
        if self.epoch - len(self.history["val_acc"]) not in (0, 1):
            raise ValueError("it has other epochs than its history")
        accuracies = self.history["val_acc"]
        before = [get_best_epoch(self.history), True, max(accuracies, default=-1.0)]
        best, tells_apart, score = state.get("best", before)  # older ones lack it
        self.best_epoch = range(len(accuracies) + 1)[best]
        self._best_rank = bool(tells_apart), float(score)
        # The main process gets what all of them had counted.
        self.totals = Totals(**state["totals"]) if distributed.is_main() else Totals()
        torch.set_rng_state(state["random"])
        if len(state["cuda_random"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda_random"])

    def _adopt(self, batches: Batches) -> Batches:
        """Wrap a loader that is not a `loading.BatchLoader`."""
        if hasattr(batches, "share"):
            return batches
        return PlainBatches(batches, self.model)

    def _watch(
        self, batches: Batches, title: str, *, done: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches behind a progress bar, and call `at_safe_point` after each."""
        for batch in show_progress(batches, title, initial=done):
            yield batch
            self.at_safe_point(self)

    def _check_finite(self, mean_loss: float) -> None:
        """Raise FloatingPointError before this process's step spoils its weights."""
        if not math.isfinite(mean_loss):
            names = self.loaders["train"].describe_batch()
            raise FloatingPointError(
                f"the loss became {mean_loss} in epoch {self.epoch + 1}"
                f"{names and f' ({names})'}; the last checkpoints are kept; try a "
                "lower learning rate or --grad-clip 1"
            )

    def _list_settings(self) -> list[dict[str, Any]]:
        """Return what the optimizer was built with, and no step changes."""
        changing = ("params", "lr")
        groups = self.optimizer.param_groups
        return [{k: v for k, v in g.items() if k not in changing} for g in groups]

    def _check_moments(self) -> None:
        """Refuse moments that do not fit, beyond which a fused step would write."""
        for parameter, moments in self.optimizer.state.items():
            tensors = {n: m for n, m in moments.items() if isinstance(m, Tensor)}
            if not 0 <= float(tensors.pop("step", 0)) < MOST_STEPS:
                raise ValueError("the optimizer's number of steps is impossible")
            for moment in tensors.values():
                is_whole = moment.untyped_storage().nbytes() >= moment.nbytes
                if moment.shape != parameter.shape or not is_whole:
                    raise ValueError("the optimizer's moments have other shapes")

    def _clip_gradients(self) -> None:
        """Bound the norm of the gradients, or only measure it, if asked to."""
        if self.grad_clip is None and not self.measures_norm:
            return
        self.scaler.unscale_(self.optimizer)
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        self.last_norm = nn.utils.get_total_norm([p.grad for p in parameters])
        if self.grad_clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.grad_clip, self.last_norm)

    def _record(self, results: Sequence[float]) -> None:
        """Add an epoch's results to the history, unless a loss is not finite."""
        if not all(map(math.isfinite, results)):
            named = dict(zip(CURVES, results, strict=True))
            raise FloatingPointError(
                f"a loss is not finite after epoch {self.epoch}: {named}; the last "
                "checkpoints are kept; try a lower learning rate or --grad-clip 1"
            )
        for curve, value in zip(CURVES, results, strict=True):
            self.history[curve].append(value)
        rank = rank_epoch(
            *(self.val_logits, self.val_labels, self.history["val_acc"][-1]),
            balanced=getattr(self.criterion, "weight", None) is not None,
        )
        if rank > self._best_rank:
            self.best_epoch, self._best_rank = self.epoch, rank
        self.totals = Totals()


def rank_epoch(
    logits: Tensor, labels: Tensor, accuracy: float, *, balanced: bool
) -> tuple[bool, float]:
    """Return what the best epoch has most of: it tells classes apart, and a score.

    Where classes are uneven, always answering the larger one can beat a model that has
    learnt something. Among as many images of each class it cannot, and accuracy alone
    decides, as published.

    Args:
        logits, labels: of validation, (N, C) and int64 (N,).
        accuracy: of these, in percent; the score, unless it is to be balanced.
        balanced: the score is the mean of the classes' accuracies, in percent.
    """
    answers = logits.argmax(dim=1)
    classes, counts = labels.unique(return_counts=True)
    tells_apart = len(answers.unique()) > 1 or len(counts.unique()) == 1
    if balanced:  # in fractions, so that equal epochs stay equal
        correct = [int((answers[labels == c] == c).sum()) for c in classes]
        accuracy = float(100 * mean(map(Fraction, correct, counts.tolist())))
    return tells_apart, accuracy


def read_results(logits: Tensor, labels: Tensor, loss: Tensor) -> tuple[float, int]:
    """Return a batch's mean loss, and how many of its images are classified correctly.

    Each copy makes the CPU wait for the GPU, which then stands idle: so both numbers
    come in one copy.

    Args:
        logits: (N, C).
        labels: int64 (N,); or shares of several classes (N, C), whose largest counts.
        loss: a single number, of any shape.
    """
    labels = labels if labels.ndim == 1 else labels.argmax(dim=1)
    num_correct = (logits.argmax(dim=1) == labels).sum()
    dtype = torch.promote_types(loss.dtype, torch.float32)  # which holds any count
    results = [loss.detach().reshape(()).to(dtype), num_correct.to(dtype)]
    mean_loss, num_correct = torch.stack(results).tolist()
    return mean_loss, int(num_correct)


@torch.no_grad()
def compute_logits(
    model: nn.Module, batches: Batches, precision: Precision
) -> tuple[Tensor, Tensor]:
    """Run a model over batches in evaluation mode, and leave it as it was.

    Args:
        model: from images (N, 3, H, W) to logits (N, C).
        batches: of images and labels; images beyond the last label do not count.
        precision: arithmetic of the forward pass; it says where the model is.

    Returns:
        On the CPU, in the order of the batches: logits float32 (N, C), labels int64
        (N,).

    Raises:
        ValueError: there is no batch.
    """
    logits, labels = [], []
    with evaluation_mode(model), precision.autocast():
        for images, batch_labels in batches:
            batch_logits = model(images.to(precision.device))[: len(batch_labels)]
            logits.append(batch_logits.float().cpu())
            labels.append(batch_labels.cpu())
    if not labels:
        raise ValueError("the data loader gave no batch")
    return torch.cat(logits), torch.cat(labels)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode, then give each module its old mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
