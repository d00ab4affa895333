"""The training loop: against hand-written steps, interruptions, and bad numbers."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from exchanging import Scale
from torch import nn
from torch.utils._pytree import tree_flatten
from torch.utils.data import DataLoader

import trainer as trainer_module
from hardware.device import Precision
from loading.batches import BatchLoader
from records.history import CURVES
from trainer import Trainer, compute_logits, read_results
from tuning.optimizers import build_optimizer, build_scheduler

SPLITS = ("train", "val", "test")


def make_samples(num_samples: int, seed: int = 0) -> list[tuple[torch.Tensor, int]]:
    """Images uint8 (3, 8, 8), bright in another channel for either label."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for index in range(num_samples):
        image = torch.randint(0, 120, (3, 8, 8), generator=generator)
        image[index % 2] += 100
        samples.append((image.to(torch.uint8), index % 2))
    return samples


def make_loaders(*, batch_size: int = 3) -> dict[str, BatchLoader]:
    """Batches of seven, five and four samples: the last ones are short."""
    return {
        "train": BatchLoader(make_samples(7), batch_size, Scale(), training=True),
        "val": BatchLoader(make_samples(5, seed=1), batch_size, Scale()),
        "test": BatchLoader(make_samples(4, seed=2), batch_size, Scale()),
    }


def make_trainer(model: nn.Module, optimizer: str = "SGD", **changes: Any) -> Trainer:
    loaders = changes.pop("loaders", None) or make_loaders()
    schedule = changes.pop("schedule", "constant")
    optim = build_optimizer(optimizer, model, lr=0.05, momentum=0.9)
    scheduler = build_scheduler(
        optim, schedule, num_steps=2 * len(loaders["train"]), num_warmup_steps=2
    )
    return Trainer(model, optim, loaders, scheduler=scheduler, **changes)


def assert_same(first: object, second: object) -> None:
    """Compare nested states bit for bit."""
    (leaves, places), (others, other_places) = tree_flatten(first), tree_flatten(second)
    assert places == other_places
    for one, other in zip(leaves, others, strict=True):
        is_tensor = isinstance(one, torch.Tensor)
        assert torch.equal(one, other) if is_tensor else one == other


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_train_one_epoch_equals_the_textbook_loop(tiny_net, name):
    loaders = make_loaders()
    expected = tiny_net().train()
    optimizer = build_optimizer(name, expected, lr=0.05, momentum=0.9)
    total_loss, num_correct = 0.0, 0
    for (images, labels), rate in zip(loaders["train"], (1 / 3, 2 / 3, 1), strict=True):
        optimizer.param_groups[0]["lr"] = 0.05 * rate  # two steps of warm-up
        logits = expected(images)
        loss = -torch.log_softmax(logits, 1)[range(len(labels)), labels].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(labels)
        num_correct += int((logits.argmax(1) == labels).sum())

    trainer = make_trainer(tiny_net(), name)
    mean_loss, accuracy = trainer.train_one_epoch()

    assert mean_loss == pytest.approx(total_loss / 7, rel=1e-6)
    assert accuracy == pytest.approx(100 * num_correct / 7)
    for key, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[key])
    trainer.train_one_epoch()
    assert trainer.totals.num_samples == 7


@pytest.mark.parametrize("batch_size", [1, 2, 5, 7])
def test_evaluate_gives_the_means_over_samples_and_changes_nothing(
    tiny_net, batch_size
):
    trainer = make_trainer(tiny_net())
    trainer.train_one_epoch()
    model = trainer.model
    model.norm.eval()  # a mixed state, as of a frozen layer
    before = copy.deepcopy(trainer.state_dict())
    grads = [parameter.grad.clone() for parameter in model.parameters()]
    modes = [module.training for module in model.modules()]
    samples = make_samples(7, seed=5)
    images = Scale().normalise(torch.stack([image for image, _ in samples]))
    labels = torch.tensor([label for _, label in samples])
    with torch.no_grad():
        expected = copy.deepcopy(model).eval()(images)

    loader = BatchLoader(samples, batch_size, Scale())
    mean_loss, accuracy = trainer.evaluate_model_on_dataloader(loader)

    assert mean_loss == pytest.approx(F.cross_entropy(expected, labels).item())
    correct = (expected.argmax(1) == labels).double().mean().item()
    assert accuracy == pytest.approx(100 * correct)
    torch.testing.assert_close(trainer.logits, expected)
    assert torch.equal(trainer.labels, labels)
    assert_same(trainer.state_dict(), before)
    assert [module.training for module in model.modules()] == modes
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        assert torch.equal(parameter.grad, grad)
    with pytest.raises(ValueError, match="no batch"):
        trainer.evaluate_model_on_dataloader([])


def test_run_plain_data_loaders_of_bytes_equal_normalised_floats(tiny_net):
    floats = [(Scale().normalise(image), label) for image, label in make_samples(6)]
    histories = []
    for samples in (make_samples(6), floats):
        loaders = dict.fromkeys(SPLITS, DataLoader(samples, batch_size=4))
        model = nn.Sequential(tiny_net())
        model.preprocessing = Scale()  # says how its images are normalised
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        trainer = Trainer(model, optimizer, loaders, criterion=criterion)
        histories.append(copy.deepcopy(trainer.run(2)))
        means = trainer.evaluate_model_on_dataloader(loaders["val"])
        assert means == (histories[-1]["val_loss"][-1], histories[-1]["val_acc"][-1])
    assert histories[0] == histories[1]
    assert all(len(histories[0][curve]) == 2 for curve in CURVES)
    assert histories[0]["val_loss"] == histories[0]["test_loss"]
    assert F.cross_entropy(trainer.val_logits, trainer.val_labels) < means[0]
    loader = DataLoader(make_samples(4), 4)
    with pytest.raises(ValueError, match="has no `preprocessing` to normalise them"):
        make_trainer(tiny_net()).evaluate_model_on_dataloader(loader)


def test_run_progress_bars_say_split_and_epoch(tiny_net, monkeypatch):
    shown = []
    monkeypatch.setattr(
        trainer_module,
        "show_progress",
        lambda batches, what, **_: shown.append(what) or batches,
    )
    trainer = make_trainer(tiny_net())
    trainer.run(2)
    trainer.evaluate_model_on_dataloader(trainer.loaders["test"])
    epochs = [f"epoch {epoch} {split}" for epoch in (1, 2) for split in SPLITS]
    assert shown == [*epochs, "evaluate"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_run_eight_images_are_learnt_by_heart(tiny_net, precision):
    samples = make_samples(8)
    loaders = {
        s: BatchLoader(samples, 8, Scale(), training=s == "train") for s in SPLITS
    }
    model = tiny_net()
    optimizer = build_optimizer("Adam", model, lr=0.05)
    history = Trainer(model, optimizer, loaders, precision=Precision(precision)).run(40)
    assert history["val_acc"][-1] == 100
    assert history["val_loss"][-1] < 0.1 < history["val_loss"][0]
    assert next(model.parameters()).dtype == torch.float32


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
    "momentum": {"optimizer": "SGD", "bn_batches": 2, "precision": Precision("fp16")},
    "Adam": {"optimizer": "Adam", "schedule": "cosine", "grad_clip": 1.0},
}


@pytest.mark.slow
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
        torch.manual_seed(step)  # on which nothing depends
        resumed.run(1)
        resumed.run(2)
        assert_same({**resumed.state_dict(), "random": 0}, {**expected, "random": 0})


EVEN, UNEVEN = (0, 0, 1, 1), (0, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("labels", "balanced", "answers", "best"),
    [
        (EVEN, False, ["0001", "0011", "0110", "0011"], 2),
        (EVEN, True, ["0001", "0111", "0110", "0000"], 1),
        (EVEN, False, ["1100", "0000", "0110", "1111"], 2),  # as published
        (EVEN, False, ["1111", "0110"], 1),
        (UNEVEN, False, ["00000", "00011", "00111", "00000"], 2),
        (UNEVEN, False, ["01111", "00000"], 1),
        (UNEVEN, False, ["00010", "00111", "00011"], 3),
        (UNEVEN, True, ["00000", "00010", "01111", "11111"], 3),
        (UNEVEN, True, ["00000", "11111", "00010"], 3),
        (UNEVEN, True, ["00000", "11111"], 1),
        ((0, 0), False, ["01", "00"], 2),
        ((1, 1), True, ["01", "11", "11"], 2),
    ],
)
def test_run_best_epoch_tells_the_classes_apart(
    tiny_net, labels, balanced, answers, best
):
    criterion = nn.CrossEntropyLoss(torch.ones(2) if balanced else None)
    trainer, given, found = make_trainer(tiny_net(), criterion=criterion), [], []

    def evaluate(batches: Any, what: str) -> tuple[float, float]:
        given.extend([answers[trainer.epoch - 1]] if "val" in what else ())
        answer = torch.tensor([int(digit) for digit in given[-1]])
        shown = answer if "val" in what else 1 - answer  # test says the opposite
        trainer.logits, trainer.labels = F.one_hot(shown, 2), torch.tensor(labels)
        return 1.0, 100 * (answer == trainer.labels).float().mean().item()

    trainer.evaluate_model_on_dataloader = evaluate
    trainer.run(len(answers), after_epoch=lambda t: found.append(t.is_best()))
    assert trainer.best_epoch == best == max(i + 1 for i, b in enumerate(found) if b)
    state, resumed = trainer.state_dict(), make_trainer(tiny_net())
    del state["best"]  # as of an older version
    resumed.load_state_dict(state)
    accuracies = trainer.history["val_acc"]
    assert resumed.best_epoch == accuracies.index(max(accuracies)) + 1


def test_load_state_dict_of_other_gpus_is_taken(tiny_net, monkeypatch):
    refuse = lambda states: pytest.fail("as many as there are GPUs")  # noqa: E731
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", refuse)
    trainer = make_trainer(tiny_net())
    state = {**trainer.state_dict(), "cuda_random": [torch.zeros(16).byte()] * 9}
    trainer.load_state_dict(state)
    assert trainer.epoch == 0


def test_train_one_epoch_non_finite_loss_names_the_files_and_takes_no_step(tiny_net):
    class Files(list):
        def get_name(self, index: int) -> str:
            return f"file{index}.png"

    samples = Files((image.float(), label) for image, label in make_samples(7))
    loaders = make_loaders()
    loaders["train"] = BatchLoader(samples, 3, Scale(), training=True)
    bad = [indices.tolist() for indices, _ in loaders["train"].list_batches()][1]
    samples[bad[0]] = (torch.full((3, 8, 8), torch.nan), 0)
    trainer = make_trainer(tiny_net(), loaders=loaders)
    with pytest.raises(FloatingPointError, match="nan in epoch 1 ") as error:
        trainer.train_one_epoch()
    assert all(f"file{index}.png" in str(error.value) for index in bad)
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


def test_run_non_finite_validation_loss_ends_it_without_a_record(tiny_net):
    trainer = make_trainer(tiny_net())
    trainer.evaluate_model_on_dataloader = lambda *_: (torch.inf, 50.0)
    with pytest.raises(
        FloatingPointError, match="not finite after epoch 1: .*val_loss"
    ):
        trainer.run(1)
    assert trainer.history["val_loss"] == []


def test_train_one_epoch_grad_clip_bounds_the_step(tiny_net):
    for grad_clip, least, most in ((1e-3, 0.99e-3, 1.01e-3), (None, 1e-2, 1e9)):
        model = tiny_net()
        before = nn.utils.parameters_to_vector(model.parameters()).detach()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        loaders = make_loaders(batch_size=7)
        Trainer(model, optimizer, loaders, grad_clip=grad_clip).train_one_epoch()
        step = nn.utils.parameters_to_vector(model.parameters()).detach() - before
        assert least < step.norm() < most


def test_recalibrate_batch_norm_gives_the_mean_statistics(tiny_net):
    trainer = make_trainer(tiny_net(), bn_batches=2)
    trainer.train_one_epoch()
    model, loader = trainer.model, trainer.loaders["train"]
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    position = loader.state_dict()
    batches = list(loader)[:2]
    loader.load_state_dict(position)
    with torch.no_grad():
        features = torch.stack([model.conv(images) for images, _ in batches])
    means = features.mean(dim=(1, 3, 4))  # of features (2, 3, 4, 3, 3)
    variances = features.var(dim=(1, 3, 4))  # unbiased

    trainer.recalibrate_batch_norm()

    assert loader.state_dict() == position
    torch.testing.assert_close(model.norm.running_mean, means.mean(0))
    torch.testing.assert_close(model.norm.running_var, variances.mean(0))
    assert model.norm.momentum == 0.1
    for parameter, weight in zip(model.parameters(), weights, strict=True):
        assert torch.equal(parameter, weight)


@pytest.mark.slow
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


def test_compute_logits_images_beyond_the_labels_do_not_count(tiny_net):
    images = torch.rand(3, 3, 8, 8)
    batches = [(images, torch.tensor([0, 1])), (images[:1], torch.tensor([]).long())]
    logits, labels = compute_logits(tiny_net(), batches, Precision())
    assert (logits.shape, logits.dtype) == ((2, 2), torch.float32)
    assert labels.tolist() == [0, 1]


def test_read_results_counts_the_larger_share_and_what_bfloat16_cannot_hold():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    shares = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    assert read_results(logits, shares, torch.tensor(0.5)) == (0.5, 1)
    logits = torch.tensor([[1.0, 0.0]]).repeat(301, 1)
    labels = torch.zeros(301, dtype=torch.int64)
    loss = torch.tensor([0.5], dtype=torch.bfloat16)
    assert read_results(logits, labels, loss) == (0.5, 301)
    loss = torch.tensor(1e39, dtype=torch.float64)  # float32 cannot hold it
    assert read_results(logits, labels, loss) == (1e39, 301)


def test_trainer_of_a_network_without_batch_norm_recalibrates_nothing():
    model = nn.Linear(1, 2)
    loaders = {split: [] for split in ("train", "val", "test")}
    trainer = Trainer(model, torch.optim.SGD(model.parameters()), loaders, bn_batches=7)
    assert trainer.bn_batches == 0
