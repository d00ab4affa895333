"""Train a probe: each epoch sees the images in one more view, and fits the head."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hardware import Precision, distributed
from loading import BatchLoader
from metrics import compute_delong_interval, compute_logit_differences
from trainer import Totals, Trainer, evaluation_mode
from tuning.features import KeptFeatures, hash_files
from tuning.fitting import Examples, fit_head
from tuning.probe import Head, Probe, run_fused


class HeadTrainer(Trainer):
    """Train the head of a probe on features that are computed once and kept.

    In an epoch the features of one more view of each training image are computed,
    unless they are kept already, and the head is fitted to all views so far. A run with
    the same images, weights and augmentation finds them in the folder.

    Args:
        probe: on its device.
        loaders: as `Trainer` has them, of `BatchLoader`s.
        folder: of the kept features.
        start: what the features depend on: the network's name and its weights' hash.
        criterion, precision: as `Trainer` has them.
        seed: of a hidden layer's first weights.
        weights: (N,) of the training images in the loss; None: all the same.
    """

    def __init__(
        self,
        probe: Probe,
        loaders: Mapping[str, BatchLoader],
        *,
        folder: Path,
        start: Mapping[str, str],
        criterion: nn.Module | None = None,
        precision: Precision | None = None,
        seed: int = 0,
        weights: np.ndarray | None = None,
    ) -> None:
        optimizer = torch.optim.LBFGS(probe.head.parameters())
        super().__init__(
            probe, optimizer, loaders, criterion=criterion, precision=precision
        )
        self._folder, self._start, self._seed = folder, dict(start), seed
        self._weights = weights
        self._files = {split: hash_files(b.dataset) for split, b in loaders.items()}

    def train_one_epoch(self) -> tuple[float, float]:
        """Compute one more view of the training images, and fit the head.

        Returns:
            Mean loss and accuracy in percent of the fitted head, over all views.

        Raises:
            FloatingPointError: a feature is not finite.
        """
        num_views = self.epoch + 1 if self._is_changed("train") else 1
        views = [self._compute("train", view) for view in range(num_views)]
        labels = self.loaders["train"].dataset.get_labels()
        train = Examples(views, labels, self._weights)
        val = self._read("val")
        weights = getattr(self.criterion, "weight", None)
        fit_head(self.model.head, train, val, weights, seed=self._seed)
        self.totals = Totals()
        if distributed.is_main():  # all processes have fitted the same
            loss, accuracy, _ = self._measure(train)
            num = len(labels) * len(views)
            self.totals.add(loss, round(accuracy * num / 100), num)
        self.epoch += 1
        self.last_loss = None
        self.at_safe_point(self)  # where nothing was computed, this is its first chance
        return self.totals.compute_means()

    def evaluate_model_on_dataloader(
        self, dataloader: BatchLoader, title: str = "evaluate"
    ) -> tuple[float, float]:
        """Measure the head on the features of a split.

        Args: as `Trainer` has them; the loader must be one of its own.
        """
        split = next(s for s, loader in self.loaders.items() if loader is dataloader)
        self.last_loss = None
        examples = self._read(split, title)
        loss, accuracy, logits = self._measure(examples)
        self.logits, self.labels = logits, torch.from_numpy(examples.labels)
        return loss, accuracy

    def compare_layers(self) -> dict[str, tuple[float, float]]:
        """Fit a head to each layer alone, in the first view of the training images.

        Returns by layer the log loss and the AUC on validation.
        """
        train, val = self._read("train"), self._read("val")
        weights = getattr(self.criterion, "weight", None)
        found = {}
        for number, layer in enumerate(self.model.layers):
            head = Head(self.model.widths[number], self.model.head.hidden)
            head.to(self.device)
            one, other = train.select(number), val.select(number)
            loss = fit_head(head, one, other, weights, seed=self._seed)
            *_, logits = self._measure(other, head)
            scores = compute_logit_differences(logits)
            found[layer] = loss, compute_delong_interval(scores, val.labels).auc
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return all that training depends on, without the frozen weights."""
        state = super().state_dict()
        return {**state, "model": self.model.head.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called."""
        head = {f"head.{name}": value for name, value in state["model"].items()}
        super().load_state_dict({**state, "model": {**self.model.state_dict(), **head}})

    def get_rate(self) -> None:
        """Return none: the fit chooses the length of each of its steps."""

    def rehearse(self) -> None:
        """Do nothing: no step depends on an earlier one."""

    def _read(self, split: str, title: str = "") -> Examples:
        batches = self.loaders[split]
        kept = self._compute(split, 0, title)
        weights = self._weights if batches.training else None
        return Examples([kept], batches.dataset.get_labels(), weights)

    def _compute(self, split: str, view: int, title: str = "") -> list[np.ndarray]:
        """Return of each layer a split's features, those that are not kept computed."""
        batches = self.loaders[split]
        about, num = self._describe(split, view), len(batches.dataset)
        layers = zip(self.model.layers, self.model.widths, strict=True)
        if not distributed.is_main():
            distributed.maximum([0])  # until the main process has made the files
        kept = [
            KeptFeatures(self._folder, {**about, "layer": layer}, (num, width))
            for layer, width in layers
        ]
        if distributed.is_main():
            distributed.maximum([0])
        if batches.training:
            batches.load_state_dict({"epoch": view, "batch": 0})
        done = [all(k.done[i].all() for k in kept) for i, _ in batches.list_batches()]
        # All processes take the same number of batches.
        first = -distributed.maximum([-(*done, False).index(False)])[0]
        if first < len(batches):
            batches.batch = first if batches.training else 0
            view_words = f", view {view + 1}" * batches.training
            title = title or f"features of {split}{view_words}"
            with evaluation_mode(self.model), torch.no_grad():
                for images, _ in self._watch(batches, title, done=batches.batch):
                    with self.precision.autocast():
                        features = self.model.compute_features(images)
                    if not features.isfinite().all():
                        raise FloatingPointError(
                            "the network gives features that are not finite of "
                            f"{batches.describe_batch()}; try --precision fp32"
                        )
                    parts = features.float().cpu().split(self.model.widths, dim=1)
                    for layer, part in zip(kept, parts, strict=True):
                        layer.put(batches.batch_indices, part.numpy())
        elif batches.training:
            batches.load_state_dict({"epoch": view + 1, "batch": 0})
        distributed.maximum([0])  # until all processes have written theirs
        if missing := [layer for layer in kept if not layer.is_whole]:
            raise OSError(
                f"{missing[0].path} lacks features: several processes need a folder "
                "that they share"
            )
        return [layer.rows for layer in kept]

    def _describe(self, split: str, view: int) -> dict[str, Any]:
        """Return all that the features of a split depend on."""
        batches = self.loaders[split]
        is_changed = self._is_changed(split)
        probe = self.model
        zeros = torch.zeros(1, 3, 1, 1, device=self.device)
        with self.precision.autocast():
            is_fused = run_fused(probe.backbone, probe.layers, zeros)
        return {
            "files": self._files[split],
            **self._start,
            "preprocessing": batches.preprocessing.to_dict(),
            "precision": self.precision.name,
            "kernels": is_fused,
            "device": self.device.type,
            "augmentation": asdict(batches.augmentation) if is_changed else None,
            "seed": batches.seed if is_changed else None,
            "view": view if is_changed else 0,
        }

    def _is_changed(self, split: str) -> bool:
        """Say whether a split's images are augmented."""
        batches = self.loaders[split]
        return batches.is_changed or batches.augmentation.style != "none"

    def _measure(
        self, examples: Examples, head: Head | None = None
    ) -> tuple[float, float, Tensor]:
        """Return a head's mean loss, accuracy in percent, and logits (N, 2)."""
        head = head or self.model.head
        with torch.no_grad():
            logits = torch.cat(
                [head(f.to(self.device)) for f, *_ in examples.list_chunks()]
            )
        labels = torch.from_numpy(np.tile(examples.labels, len(examples.views)))
        loss = self.criterion(logits, labels.to(self.device)).item()
        num_correct = int((logits.cpu().argmax(dim=1) == labels).sum())
        return loss, 100 * num_correct / len(labels), logits.float().cpu()
