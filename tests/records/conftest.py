"""A trainer that is built anew, always the same."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from loading.batches import BatchLoader
from trainer import Trainer


@pytest.fixture
def make_trainer(tiny_net) -> Callable[..., Trainer]:
    """Builds the same trainer, of three steps an epoch, at each call.

    Validation accuracies can be put in place of the true ones.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((5, 3, 8, 8), generator=generator)
    samples = [(image, index % 2) for index, image in enumerate(images)]

    def make(*accuracies: float, **options: Any) -> Trainer:
        model, given = tiny_net(), iter(accuracies)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        schedule = LambdaLR(optimizer, lambda step: 0.5**step)
        splits = ("train", "val", "test")
        loaders = {s: BatchLoader(samples, 2, training=s == "train") for s in splits}
        trainer = Trainer(model, optimizer, loaders, scheduler=schedule, **options)
        evaluate = trainer.evaluate_model_on_dataloader

        def evaluate_as_given(batches, what):
            loss, accuracy = evaluate(batches, what)
            return loss, next(given) if "val" in what else accuracy

        if accuracies:
            trainer.evaluate_model_on_dataloader = evaluate_as_given
        return trainer

    return make
