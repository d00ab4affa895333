"""Sums over samples, so that a short last batch weighs no more than its samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import distributed


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
