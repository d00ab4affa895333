"""The training loop: against hand-written steps, interruptions, and bad numbers."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import trainer as trainer_module
from files.history import CURVES
from hardware.device import Precision
from loading.batches import BatchLoader
from trainer import Trainer, compute_logits
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


def make_loaders(*, batch_size: int = 3, num_train: int = 7) -> dict[str, BatchLoader]:
    """Batches of seven, five and four samples: the last ones are short."""
    train = make_samples(num_train)
    return {
        "train": BatchLoader(train, batch_size, Scale(), training=True),
        "val": BatchLoader(make_samples(5, seed=1), batch_size, Scale()),
        "test": BatchLoader(make_samples(4, seed=2), batch_size, Scale()),
    }


def make_trainer(model: nn.Module, optimizer: str = "SGD", **changes: Any) -> Trainer:
    loaders = changes.pop("loaders", None) or make_loaders()
    lr = changes.pop("lr", 0.05)
    momentum = changes.pop("momentum", 0.9)
    schedule = changes.pop("schedule", "constant")
    optim = build_optimizer(optimizer, model, lr=lr, momentum=momentum)
    scheduler = build_scheduler(
        optim, schedule, num_steps=2 * len(loaders["train"]), num_warmup_steps=2
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
    images, labels = next(iter(loaders["train"]))
    loaders["train"].load_state_dict({"epoch": 0, "batch": 0})
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
    for images, labels in loaders["train"]:
        logits = expected(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(labels)
        num_correct += int((logits.argmax(1) == labels).sum())

    loaders["train"].load_state_dict({"epoch": 0, "batch": 0})
    model = tiny_net()
    trainer = Trainer(model, torch.optim.Adam(model.parameters(), lr=0.01), loaders)
    mean_loss, accuracy = trainer.train_one_epoch()

    assert mean_loss == pytest.approx(total_loss / 7, rel=1e-6)
    assert accuracy == pytest.approx(100 * num_correct / 7)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[key])


def test_train_one_epoch_twice_counts_each_epoch_by_itself(tiny_net):
    trainer = make_trainer(tiny_net())
    trainer.train_one_epoch()
    trainer.train_one_epoch()
    assert trainer.totals.num_samples == 7


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
    loaders = {
        split: DataLoader(samples, batch_size=4) for split in ("train", "val", "test")
    }
    model = tiny_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    trainer = Trainer(model, optimizer, loaders, criterion=criterion)
    history = trainer.run(2)
    assert {curve: len(values) for curve, values in history.items()} == dict.fromkeys(
        CURVES, 2
    )
    assert history["val_loss"] == history["test_loss"]


class Normalising(nn.Module):
    """A network that says how its images are normalised."""

    preprocessing = Scale()

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)


def test_run_plain_data_loaders_of_bytes_equal_normalised_floats(tiny_net):
    samples = make_samples(6)
    floats = [(Scale().normalise(image), label) for image, label in samples]
    histories, means = [], []
    for data in (samples, floats):
        loaders = dict.fromkeys(("train", "val", "test"), DataLoader(data, 4))
        model = Normalising(tiny_net())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = Trainer(model, optimizer, loaders)
        histories.append(trainer.run(2))
        means.append(trainer.evaluate_model_on_dataloader(loaders["val"]))
    assert histories[0] == histories[1]
    assert means[0] == means[1]
    assert means[0][1] == histories[0]["val_acc"][-1]


def test_run_plain_data_loaders_of_bytes_need_a_preprocessing(tiny_net):
    loaders = dict.fromkeys(("train", "val", "test"), DataLoader(make_samples(4), 4))
    model = nn.Sequential(tiny_net())
    trainer = Trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), loaders)
    with pytest.raises(ValueError, match="has no `preprocessing` to normalise them"):
        trainer.run(1)


def test_run_progress_bars_say_split_and_epoch(tiny_net, monkeypatch):
    shown = []

    def note(batches: Any, *, desc: str, **_: Any) -> Any:
        shown.append(desc)
        return batches

    monkeypatch.setattr(trainer_module, "tqdm", note)
    trainer = make_trainer(tiny_net())
    trainer.run(2)
    trainer.evaluate_model_on_dataloader(trainer.loaders["test"])
    assert shown == [
        *("epoch 1 train", "epoch 1 val", "epoch 1 test"),
        *("epoch 2 train", "epoch 2 val", "epoch 2 test", "evaluate"),
    ]


def test_run_eight_images_are_learnt_by_heart(tiny_net):
    samples = make_samples(8)
    loaders = {
        split: BatchLoader(samples, 8, Scale(), training=split == "train")
        for split in ("train", "val", "test")
    }
    model = tiny_net()
    optimizer = build_optimizer("Adam", model, lr=0.05)
    history = Trainer(model, optimizer, loaders).run(40)
    assert history["val_acc"][-1] == 100
    assert history["val_loss"][-1] < 0.1 < history["val_loss"][0]


def test_run_bf16_learns_too(tiny_net):
    trainer = make_trainer(tiny_net(), "Adam", precision=Precision("bf16"), lr=0.01)
    history = trainer.run(4)
    assert all(np.isfinite(values).all() for values in history.values())
    assert next(trainer.model.parameters()).dtype == torch.float32


class StoppedHereError(Exception):
    """Stops a run in these tests."""


class StopAt:
    """Counts calls after batches and epochs; at `step` keeps the state and stops."""

    def __init__(self, step: int | None = None) -> None:
        self.step = step
        self.num_heard = 0
        self.state: dict[str, Any] = {}

    def __call__(self, trainer: Trainer) -> None:
        if self.num_heard == self.step:
            self.state = copy.deepcopy(trainer.state_dict())
            raise StoppedHereError
        self.num_heard += 1


VARIANTS = {
    "momentum": {"optimizer": "SGD", "schedule": "cosine"},
    "recalibrated": {"optimizer": "SGD", "bn_batches": 2},
    "Adam": {"optimizer": "Adam"},
    "recalibrated Adam": {
        "optimizer": "Adam",
        "schedule": "cosine",
        "grad_clip": 1.0,
        "bn_batches": 3,
    },
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_run_interrupted_at_any_step_ends_as_if_undisturbed(tiny_net, variant):
    undisturbed = make_trainer(tiny_net(), **variant)
    counter = StopAt()
    undisturbed.run(2, counter, counter)
    expected = undisturbed.state_dict()
    # 3 training batches, 2 of validation, 2 of testing and an end, in each epoch.
    assert counter.num_heard == 2 * (3 + 2 + 2 + 1)
    for step in range(counter.num_heard):
        stopper = StopAt(step)
        with pytest.raises(StoppedHereError):
            make_trainer(tiny_net(), **variant).run(2, stopper, stopper)
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
    assert resumed.epoch == 0
    assert resumed.loaders["train"].state_dict() == {"epoch": 0, "batch": 2}
    assert resumed.totals.num_samples == 6


def test_run_more_epochs_later_equal_all_at_once(tiny_net):
    whole = make_trainer(tiny_net())
    whole.run(3)
    parts = make_trainer(tiny_net())
    parts.run(1)
    parts.run(1)  # nothing left to do
    parts.run(3)
    assert_same(parts.state_dict(), whole.state_dict())


def test_is_best_tells_the_first_epoch_of_the_best_validation_accuracy(tiny_net):
    trainer = make_trainer(tiny_net())
    results = iter([50.0, 50.0, 60.0, 55.0])
    trainer.validate = lambda: (0.5, next(results))
    heard = []
    trainer.run(4, after_epoch=lambda t: heard.append((t.epoch, t.is_best())))
    assert heard == [(1, True), (2, False), (3, True), (4, False)]


def test_validate_keeps_the_logits_of_every_sample(tiny_net):
    trainer = make_trainer(tiny_net())
    mean_loss, _ = trainer.validate()
    images, labels = as_batch(trainer.loaders["val"])
    with torch.no_grad():
        expected = trainer.model.eval()(images)
    torch.testing.assert_close(trainer.val_logits, expected)
    assert torch.equal(trainer.val_labels, labels)
    assert F.cross_entropy(expected, labels).item() == pytest.approx(mean_loss)


def test_compute_logits_images_beyond_the_labels_do_not_count(tiny_net):
    images = torch.rand(3, 3, 8, 8)
    batches = [(images, torch.tensor([0, 1])), (images[:1], torch.tensor([]).long())]
    logits, labels = compute_logits(tiny_net(), batches, Precision())
    assert logits.shape == (2, 2)
    assert labels.tolist() == [0, 1]
    assert logits.dtype == torch.float32


def test_train_one_epoch_non_finite_loss_names_the_files_and_takes_no_step(tiny_net):
    class Files(list):
        def get_path(self, index: int) -> str:
            return f"file{index}.png"

    samples = Files(make_samples(7))
    loaders = make_loaders()
    loaders["train"] = BatchLoader(samples, 3, Scale(), training=True)
    bad = [indices.tolist() for indices, _ in loaders["train"].list_batches()][1]
    samples[bad[0]] = (torch.full((3, 8, 8), torch.nan), 0)
    samples[:] = [
        (image if image.isnan().any() else image.float(), label)
        for image, label in samples
    ]
    trainer = make_trainer(tiny_net(), loaders=loaders)
    with pytest.raises(FloatingPointError, match="nan in epoch 1 ") as error:
        trainer.train_one_epoch()
    for index in bad:
        assert f"file{index}.png" in str(error.value)
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


@pytest.mark.parametrize(("grad_clip", "norm"), [(1e-3, 1e-3), (None, None)])
def test_train_one_epoch_grad_clip_bounds_the_step(tiny_net, grad_clip, norm):
    model = tiny_net()
    before = nn.utils.parameters_to_vector(model.parameters()).detach()
    trainer = Trainer(
        model,
        torch.optim.SGD(model.parameters(), lr=1.0),
        make_loaders(batch_size=7),
        grad_clip=grad_clip,
    )
    trainer.train_one_epoch()
    step = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    if norm is None:
        assert step.norm() > 1e-2
    else:
        assert step.norm().item() == pytest.approx(norm, rel=1e-2)


def test_recalibrate_batch_norm_gives_the_mean_statistics(tiny_net):
    trainer = make_trainer(tiny_net(), bn_batches=2)
    trainer.train_one_epoch()
    model = trainer.model
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    position = trainer.loaders["train"].state_dict()
    batches = list(trainer.loaders["train"])[:2]
    trainer.loaders["train"].load_state_dict(position)
    with torch.no_grad():
        features = [model.conv(images) for images, _ in batches]  # (3, 4, 3, 3) each
    means = torch.stack([f.mean(dim=(0, 2, 3)) for f in features])
    variances = torch.stack([f.var(dim=(0, 2, 3)) for f in features])  # unbiased

    trainer.recalibrate_batch_norm()

    assert trainer.loaders["train"].state_dict() == position
    torch.testing.assert_close(model.norm.running_mean, means.mean(0))
    torch.testing.assert_close(model.norm.running_var, variances.mean(0))
    assert model.norm.momentum == 0.1
    for parameter, weight in zip(model.parameters(), weights, strict=True):
        assert torch.equal(parameter, weight)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # 2.10's own
def test_recalibrate_batch_norm_compiles_nothing(tiny_net):
    compiled = []

    def note(graph: torch.fx.GraphModule, inputs: list) -> Callable:
        compiled.append(graph)
        return graph.forward

    trainer = make_trainer(tiny_net(), bn_batches=2)
    trainer.model.compile(backend=note)
    trainer.recalibrate_batch_norm()
    assert not compiled
    trainer.train_one_epoch()
    assert compiled


def test_recalibrate_batch_norm_model_without_any_is_left_alone():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    trainer = make_trainer(model, bn_batches=2)
    before = copy.deepcopy(model.state_dict())
    trainer.recalibrate_batch_norm()
    assert_same(model.state_dict(), before)


def test_run_does_not_depend_on_the_global_random_state(
    tiny_net: Callable[[], nn.Module],
):
    histories = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        histories.append(make_trainer(tiny_net()).run(2))
    assert histories[0] == histories[1]


def test_load_state_dict_of_a_machine_with_gpus_is_taken_without_them(tiny_net):
    trainer = make_trainer(tiny_net())
    state = {**trainer.state_dict(), "cuda_random": [torch.zeros(16).byte()] * 9}
    trainer.load_state_dict(state)
    assert trainer.epoch == 0


def test_read_results_mixed_labels_counts_the_larger_share():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    shares = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    assert trainer_module.read_results(logits, shares, torch.tensor(0.5)) == (0.5, 1)


def test_read_results_many_images_counts_them_all_in_bfloat16():
    logits = torch.tensor([[1.0, 0.0]]).repeat(301, 1)  # bfloat16 holds no 301
    labels = torch.zeros(301, dtype=torch.int64)
    loss = torch.tensor([0.5], dtype=torch.bfloat16)
    assert trainer_module.read_results(logits, labels, loss) == (0.5, 301)
    loss = torch.tensor(1e39, dtype=torch.float64)  # float32 holds no 1e39
    assert trainer_module.read_results(logits, labels, loss) == (1e39, 301)


def test_totals_weigh_a_batch_by_its_samples():
    totals = trainer_module.Totals()
    totals.add(0.5, 3, 4)
    totals.add(2.0, 0, 1)
    assert totals.compute_means() == (0.8, 60.0)
