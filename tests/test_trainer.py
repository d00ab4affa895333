"""The training loop: against hand-written steps, interruptions, and bad numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from files.history import CURVES
from hardware.device import Precision
from loading.batches import BatchLoader
from trainer import Listener, Loaders, Options, Trainer, recalibrate_batch_norm
from utils import build_optimizer, build_scheduler


def make_samples(num_samples: int, seed: int = 0) -> list[tuple[torch.Tensor, int]]:
    """Images uint8 (3, 8, 8), bright in another channel for either label."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for index in range(num_samples):
        image = torch.randint(0, 120, (3, 8, 8), generator=generator)
        image[index % 2] += 100
        samples.append((image.to(torch.uint8), index % 2))
    return samples


class Scale:
    """The preprocessing of these tests: bytes to [-1, 1]."""

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() / 127.5 - 1


def make_loaders(*, batch_size: int = 3, num_train: int = 7) -> Loaders:
    """Batches of seven, five and four samples: the last ones are short."""
    return Loaders(
        BatchLoader(make_samples(num_train), batch_size, Scale(), training=True),
        BatchLoader(make_samples(5, seed=1), batch_size, Scale()),
        BatchLoader(make_samples(4, seed=2), batch_size, Scale()),
    )


def make_trainer(model: nn.Module, optimizer: str = "SGD", **changes: Any) -> Trainer:
    loaders = changes.pop("loaders", None) or make_loaders()
    lr = changes.pop("lr", 0.05)
    momentum = changes.pop("momentum", 0.9)
    schedule = changes.pop("schedule", "constant")
    optim = build_optimizer(optimizer, model, lr=lr, momentum=momentum)
    scheduler = build_scheduler(
        optim, schedule, num_steps=2 * len(loaders.train), num_warmup_steps=2
    )
    return Trainer(model, optim, loaders, scheduler=scheduler, **changes)


def assert_same(first: object, second: object) -> None:
    """Compare nested states bit for bit."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert_same(value, second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for value, other in zip(first, second, strict=True):
            assert_same(value, other)
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    else:
        assert first == second


def as_batch(loader: BatchLoader) -> tuple[torch.Tensor, torch.Tensor]:
    """All samples of an evaluation loader together."""
    batches = list(loader)
    return torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])


def test_train_one_epoch_single_batch_equals_hand_written_sgd(tiny_net):
    loaders = make_loaders(batch_size=7)
    images, labels = next(iter(loaders.train))
    expected = tiny_net().train()
    logits = expected(images)
    loss = -torch.log_softmax(logits, 1)[range(7), labels].mean()
    loss.backward()
    with torch.no_grad():
        for parameter in expected.parameters():
            parameter -= 0.05 / 3 * parameter.grad  # a third of the warm-up to 0.05

    trainer = make_trainer(tiny_net(), momentum=0.0, loaders=loaders)
    mean_loss, accuracy = trainer.train_one_epoch()

    assert mean_loss == pytest.approx(loss.item(), rel=1e-6)
    correct = (logits.argmax(1) == labels).double().mean().item()
    assert accuracy == pytest.approx(100 * correct)
    parameters = zip(trainer.model.parameters(), expected.parameters(), strict=True)
    for parameter, expected_parameter in parameters:
        torch.testing.assert_close(parameter, expected_parameter, rtol=1e-6, atol=1e-7)


def test_train_one_epoch_equals_the_textbook_loop(tiny_net):
    loaders = make_loaders()
    expected = tiny_net().train()
    optimizer = torch.optim.Adam(expected.parameters(), lr=0.01)
    total_loss, num_correct = 0.0, 0
    for images, labels in loaders.train:
        logits = expected(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(labels)
        num_correct += int((logits.argmax(1) == labels).sum())

    model = tiny_net()
    trainer = Trainer(model, torch.optim.Adam(model.parameters(), lr=0.01), loaders)
    mean_loss, accuracy = trainer.train_one_epoch()

    assert mean_loss == pytest.approx(total_loss / 7, rel=1e-6)
    assert accuracy == pytest.approx(100 * num_correct / 7)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[key])


def test_evaluate_changes_nothing(tiny_net):
    trainer = make_trainer(tiny_net())
    trainer.train_one_epoch()
    model = trainer.model
    model.norm.eval()  # a mixed state, as of a frozen layer
    state = copy.deepcopy(trainer.state_dict())
    grads = [parameter.grad.clone() for parameter in model.parameters()]
    modes = [module.training for module in model.modules()]
    trainer.validate()
    assert_same(trainer.state_dict(), state)
    assert [module.training for module in model.modules()] == modes
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        assert torch.equal(parameter.grad, grad)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 7])
def test_evaluate_any_batch_size_gives_the_means_over_samples(tiny_net, batch_size):
    trainer = make_trainer(tiny_net())
    trainer.train_one_epoch()
    loader = BatchLoader(make_samples(7, seed=5), batch_size, Scale())
    images, labels = as_batch(loader)
    trainer.model.eval()
    with torch.no_grad():
        logits = trainer.model(images)
    expected = F.cross_entropy(logits, labels).item()
    mean_loss, accuracy = trainer.evaluate_model_on_dataloader(loader)
    assert mean_loss == pytest.approx(expected, rel=1e-6)
    correct = (logits.argmax(1) == labels).double().mean().item()
    assert accuracy == pytest.approx(100 * correct)


def test_evaluate_without_a_batch_is_refused(tiny_net):
    with pytest.raises(ValueError, match="no batch"):
        make_trainer(tiny_net()).evaluate_model_on_dataloader([])


def test_run_plain_data_loaders_and_own_criterion_will_do(tiny_net):
    samples = [(image.float() / 255, label) for image, label in make_samples(6)]
    loaders = Loaders(*(DataLoader(samples, batch_size=4) for _ in range(3)))
    model = tiny_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    trainer = Trainer(model, optimizer, loaders, criterion=criterion)
    history = trainer.run(2)
    assert {curve: len(values) for curve, values in history.items()} == dict.fromkeys(
        CURVES, 2
    )
    assert history["val_loss"] == history["test_loss"]


def test_run_eight_images_are_learnt_by_heart(tiny_net):
    samples = make_samples(8)
    loaders = Loaders(
        BatchLoader(samples, 8, Scale(), training=True),
        BatchLoader(samples, 8, Scale()),
        BatchLoader(samples, 8, Scale()),
    )
    model = tiny_net()
    optimizer = build_optimizer("Adam", model, lr=0.05)
    history = Trainer(model, optimizer, loaders).run(40)
    assert history["val_acc"][-1] == 100
    assert history["val_loss"][-1] < 0.1 < history["val_loss"][0]


def test_run_bf16_learns_too(tiny_net):
    trainer = make_trainer(
        tiny_net(), "Adam", precision=Precision("bf16", "cpu"), lr=0.01
    )
    history = trainer.run(4)
    assert all(np.isfinite(values).all() for values in history.values())
    assert next(trainer.model.parameters()).dtype == torch.float32


class StoppedHereError(Exception):
    """Stops a run in these tests."""


class StopAt(Listener):
    """Counts what it hears, remembers the trainer's state then, and stops there."""

    def __init__(self, step: int | None = None) -> None:
        self.step = step
        self.num_heard = 0
        self.state: dict[str, Any] = {}

    def on_batch(self, trainer: Trainer) -> None:
        if self.num_heard == self.step:
            self.state = copy.deepcopy(trainer.state_dict())
            raise StoppedHereError
        self.num_heard += 1

    on_epoch_end = on_batch


VARIANTS = {
    "momentum": {"optimizer": "SGD", "schedule": "cosine"},
    "recalibrated": {
        "optimizer": "SGD",
        "options": Options(recalibration_batches=2),
    },
    "Adam": {"optimizer": "Adam", "schedule": "step"},
    "recalibrated Adam": {
        "optimizer": "Adam",
        "schedule": "cosine",
        "options": Options(grad_clip=1.0, recalibration_batches=3),
    },
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_run_interrupted_at_any_step_ends_as_if_undisturbed(tiny_net, variant):
    undisturbed = make_trainer(tiny_net(), **variant)
    counter = StopAt()
    undisturbed.run(2, counter)
    expected = undisturbed.state_dict()
    # 3 training batches, 2 of validation, 2 of testing and an end, in each epoch.
    assert counter.num_heard == 2 * (3 + 2 + 2 + 1)
    for step in range(counter.num_heard):
        stopper = StopAt(step)
        with pytest.raises(StoppedHereError):
            make_trainer(tiny_net(), **variant).run(2, stopper)
        resumed = make_trainer(tiny_net(), **variant)
        resumed.load_state_dict(stopper.state)
        resumed.run(2)
        assert_same(resumed.state_dict(), expected)


def test_load_state_dict_mid_epoch_keeps_the_epochs_totals(tiny_net):
    stopper = StopAt(1)
    with pytest.raises(StoppedHereError):
        make_trainer(tiny_net()).run(1, stopper)
    resumed = make_trainer(tiny_net())
    resumed.load_state_dict(stopper.state)
    assert (resumed.epoch, resumed.batch) == (0, 2)
    assert resumed._totals.num_samples == 6


def test_run_more_epochs_later_equal_all_at_once(tiny_net):
    whole = make_trainer(tiny_net())
    whole.run(3)
    parts = make_trainer(tiny_net())
    parts.run(1)
    parts.run(1)  # nothing left to do
    parts.run(3)
    assert_same(parts.state_dict(), whole.state_dict())


class Recorder(Listener):
    """Remembers in which epochs it heard of what."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def on_improvement(self, trainer: Trainer) -> None:
        self.heard.append(("better", trainer.epoch))

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.heard.append(("end", trainer.epoch))


def script_validation(trainer: Trainer, accuracies: list[float]) -> None:
    """Let validation give these accuracies, one after the other."""
    results = iter(accuracies)
    trainer.validate = lambda: (0.5, next(results))


def test_run_improvements_are_told_before_the_epochs_end(tiny_net):
    trainer = make_trainer(tiny_net())
    script_validation(trainer, [50.0, 50.0, 60.0, 55.0])
    recorder = Recorder()
    trainer.run(4, recorder)
    assert recorder.heard == [
        ("better", 1),
        *(("end", epoch) for epoch in (1, 2)),
        ("better", 3),
        *(("end", epoch) for epoch in (3, 4)),
    ]
    assert trainer.get_best_epoch() == 3


@pytest.mark.parametrize(
    ("accuracies", "num_epochs"),
    [([50, 60, 60, 55, 70], 4), ([50, 40, 60, 50, 61], 5), ([50, 50, 50, 50, 50], 3)],
)
def test_run_out_of_patience_stops(tiny_net, accuracies, num_epochs):
    trainer = make_trainer(tiny_net(), options=Options(patience=2))
    script_validation(trainer, accuracies)
    trainer.run(5)
    assert trainer.epoch == num_epochs
    trainer.run(5)
    assert trainer.epoch == num_epochs


def test_run_new_trainer_has_no_best_epoch(tiny_net):
    assert make_trainer(tiny_net()).get_best_epoch() == 0


def test_train_one_epoch_non_finite_loss_names_the_files_and_takes_no_step(tiny_net):
    class Files(list):
        def get_path(self, index: int) -> str:
            return f"file{index}.png"

    samples = Files(make_samples(7))
    loaders = make_loaders()
    loaders.train = BatchLoader(samples, 3, Scale(), training=True)
    loaders.train.set_epoch(0)
    bad = [indices.tolist() for indices, _ in loaders.train.list_batches()][1]
    samples[bad[0]] = (torch.full((3, 8, 8), torch.nan), 0)
    samples[:] = [
        (image if image.isnan().any() else image.float(), label)
        for image, label in samples
    ]
    trainer = make_trainer(tiny_net(), loaders=loaders)
    with pytest.raises(FloatingPointError, match="nan in epoch 1, batch 2") as error:
        trainer.train_one_epoch()
    for index in bad:
        assert f"file{index}.png" in str(error.value)
    assert trainer.batch == 1
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


@pytest.mark.parametrize(("grad_clip", "norm"), [(1e-3, 1e-3), (None, None)])
def test_train_one_epoch_grad_clip_bounds_the_step(tiny_net, grad_clip, norm):
    model = tiny_net()
    before = nn.utils.parameters_to_vector(model.parameters()).detach()
    trainer = Trainer(
        model,
        torch.optim.SGD(model.parameters(), lr=1.0),
        make_loaders(batch_size=7),
        options=Options(grad_clip=grad_clip),
    )
    trainer.train_one_epoch()
    step = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    if norm is None:
        assert step.norm() > 1e-2
    else:
        assert step.norm().item() == pytest.approx(norm, rel=1e-2)


def test_recalibrate_batch_norm_gives_the_mean_statistics(tiny_net):
    trainer = make_trainer(tiny_net())
    trainer.train_one_epoch()
    model = trainer.model
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    trainer.loaders.train.set_epoch(0)
    batches = list(trainer.loaders.train)[:2]
    with torch.no_grad():
        features = [model.conv(images) for images, _ in batches]  # (3, 4, 3, 3) each
    means = torch.stack([f.mean(dim=(0, 2, 3)) for f in features])
    variances = torch.stack([f.var(dim=(0, 2, 3)) for f in features])  # unbiased

    recalibrate_batch_norm(trainer.model, batches, Precision())

    torch.testing.assert_close(model.norm.running_mean, means.mean(0))
    torch.testing.assert_close(model.norm.running_var, variances.mean(0))
    assert model.norm.momentum == 0.1
    for parameter, weight in zip(model.parameters(), weights, strict=True):
        assert torch.equal(parameter, weight)


def test_recalibrate_batch_norm_model_without_any_is_left_alone():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    trainer = make_trainer(model)
    before = copy.deepcopy(model.state_dict())
    recalibrate_batch_norm(model, trainer.loaders.train, Precision())
    assert_same(model.state_dict(), before)


def test_run_does_not_depend_on_the_global_random_state(
    tiny_net: Callable[[], nn.Module],
):
    histories = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        histories.append(make_trainer(tiny_net()).run(2))
    assert histories[0] == histories[1]
