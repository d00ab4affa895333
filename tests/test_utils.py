"""From names to datasets, models, checkpoints, optimizers, schedules and losses."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TinyNet
from PIL import Image
from torch import nn

import models
import utils
from files.names import SPLITS
from files.tensors import save_tensors
from loading.preprocessing import PUBLISHED, SYMMETRIC
from utils import (
    build_criterion,
    build_optimizer,
    build_scheduler,
    choose_warmup,
    get_nof_parameters,
    list_datasets,
    load_checkpoint,
    load_dataset,
    load_model,
    open_splits,
    seed_everything,
)


@pytest.fixture
def tiny_model(monkeypatch):
    """Lets the name SimpleNet build a tiny network."""
    monkeypatch.setattr(utils, "build_model", lambda *_, **__: TinyNet(PUBLISHED))


def make_content(**changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    content = {"model": TinyNet().state_dict(), "val_acc": 50.0, "test_acc": 40.0}
    return {**content, "epoch": 1, "model_name": "SimpleNet", **changes}


def test_load_dataset_samples_are_bytes_of_the_size(faces_root):
    dataset = load_dataset("faces", "val", data_root=str(faces_root.parent), limit=1)
    assert len(dataset) == 2
    image, label = dataset[1]
    assert (image.dtype, image.shape, label) == (torch.uint8, (3, 256, 256), 1)


def test_load_dataset_unknown_name_lists_those_there_are(faces_root, one_line):
    with pytest.raises(FileNotFoundError, match=r"'none'.*found: faces") as error:
        load_dataset("none", "val", data_root=faces_root.parent)
    one_line(error)


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_load_dataset_folder_without_datasets_is_named(tmp_path, folder, one_line):
    with pytest.raises(FileNotFoundError, match="holds no dataset") as error:
        load_dataset("faces", "val", data_root=tmp_path / folder)
    one_line(error)


def test_list_datasets_names_folders_with_splits(own_faces_root):
    root = own_faces_root.parent
    (root / "other").mkdir()
    (root / "a" / "test").mkdir(parents=True)
    assert list_datasets(root) == ["a", "faces"]


def test_load_model_simple_net_is_channels_last():
    model = load_model("SimpleNet")
    assert model.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="unknown model 'x'"):
        load_model("x")


def test_get_nof_parameters_counts_the_trainable_ones(tiny_net):
    model = tiny_net()  # convolution 4 x 3 x 3 x 3 + 4, norm 2 x 4, head 4 x 2 + 2
    assert get_nof_parameters(model) == 112 + 8 + 10
    model.conv.weight.requires_grad_(False)
    assert get_nof_parameters(model) == 22


def test_load_checkpoint_own_file_comes_back_whole(tiny_model, tmp_path):
    content = make_content(
        preprocessing=SYMMETRIC.to_dict(), temperature=2.5, threshold=0.3
    )
    save_tensors(content, tmp_path / "a.pt")
    model = load_checkpoint(str(tmp_path / "a.pt"), "SimpleNet")
    assert (model.name, model.threshold, model.temperature) == ("SimpleNet", 0.3, 2.5)
    assert model.preprocessing == SYMMETRIC
    assert model.checkpoint_path == tmp_path / "a.pt"
    assert model.details["val_acc"] == 50.0
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, content["model"][name])


def test_load_checkpoint_original_exercise_has_four_keys_only(tmp_path):
    state = models.SimpleNet().state_dict()
    four = {"model": state, "val_acc": 88.0, "test_acc": 85.0, "epoch": 4}
    torch.save(four, tmp_path / "old.pt")
    model = load_checkpoint(tmp_path / "old.pt", "SimpleNet")
    assert (model.threshold, model.temperature) == (0.5, 1.0)
    assert model.preprocessing == PUBLISHED
    with pytest.raises(ValueError, match="of SimpleNet, not XceptionBased"):
        load_checkpoint(tmp_path / "old.pt", "XceptionBased")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1], "no entry 'model'"),
        ({"val_acc": 1.0}, "no entry 'model'"),
        ({"model": 3}, "no entry 'model'"),
        (make_content(model_name="ResNet"), "'ResNet', none of SimpleNet"),
        (make_content(model_name=["SimpleNet"]), "none of|model"),
        (make_content(model={}), "missing"),
        (make_content(model={"conv.weight": torch.zeros(1)}), "do not fit"),
        (make_content(preprocessing=3), "preprocessing is 3, no dict"),
        (make_content(temperature=0.0), "temperature is 0.0"),
        (make_content(temperature=float("nan")), "temperature is nan"),
        (make_content(threshold="x"), "threshold is 'x'"),
        (make_content(threshold=10**400), "threshold is 1000"),
        (make_content(model_name=torch.ones(2)), "model_name is tensor"),
        (make_content(threshold=True), "threshold is True"),
    ],
)
def test_load_checkpoint_bad_content_is_refused(
    tiny_model, tmp_path, content, reason, one_line
):
    save_tensors(content, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match=reason) as error:
        load_checkpoint(tmp_path / "bad.pt")
    assert "bad.pt" in one_line(error)


def test_load_checkpoint_missing_file_says_what_writes_one(tmp_path, one_line):
    with pytest.raises(FileNotFoundError, match=r"train_main\.py writes") as error:
        load_checkpoint(tmp_path / "none.pt")
    one_line(error)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Return a folder with a dataset `faces` of three images a class and split."""
    for split in SPLITS:
        for label in ("real", "fake"):
            folder = tmp_path / "faces" / split / label
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (16, 16)).save(folder / f"{number}.png")
    return tmp_path


def test_open_splits_sound_images_are_all_there(data_root):
    datasets, skipped = open_splits("faces", data_root=data_root, check="full")
    assert [len(datasets[split]) for split in SPLITS] == [6, 6, 6]
    assert skipped == {}


def test_open_splits_bad_images_are_listed_and_refused(data_root, one_line):
    (data_root / "faces/train/real/0.png").write_bytes(b"")
    (data_root / "faces/test/fake/1.png").write_text("no image")
    with pytest.raises(ValueError, match="2 of the images cannot be read") as error:
        open_splits("faces", data_root=data_root)
    one_line(error)
    assert "train/real/0.png: the file is empty" in str(error.value)
    assert "test/fake/1.png: not an image file" in str(error.value)


def test_open_splits_skip_bad_images_leaves_them_out_and_says_which(data_root):
    (data_root / "faces/train/real/0.png").write_bytes(b"")
    datasets, skipped = open_splits("faces", data_root=data_root, skip_bad_images=True)
    assert skipped == {"train": ["real/0.png"]}
    assert list(datasets["train"].real_image_names) == ["1.png", "2.png"]


def test_open_splits_limit_lets_in_no_image_that_nobody_checked(data_root):
    for number in (0, 2):
        (data_root / f"faces/train/real/{number}.png").write_bytes(b"")
    datasets, skipped = open_splits(
        "faces", data_root=data_root, limit=2, skip_bad_images=True
    )
    assert skipped == {"train": ["real/0.png"]}
    assert list(datasets["train"].real_image_names) == ["1.png"]
    assert [len(datasets[split]) for split in SPLITS] == [3, 4, 4]


def test_open_splits_nothing_left_is_refused(data_root):
    for path in (data_root / "faces/val/fake").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no images in"):
        open_splits("faces", data_root=data_root, skip_bad_images=True)


def test_open_splits_many_bad_images_are_counted_and_the_first_named(data_root):
    for number in range(3, 20):
        (data_root / f"faces/train/real/{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="17 of the images .* and 7 more") as error:
        open_splits("faces", data_root=data_root)
    assert "\n" not in str(error.value)


def make_weight(weight: float = 1.0) -> nn.Module:
    """One weight and no bias: w."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


def step(model: nn.Module, optimizer: torch.optim.Optimizer, gradient: float) -> float:
    model.weight.grad = torch.full_like(model.weight, gradient)
    optimizer.step()
    return model.weight.item()


def test_build_optimizer_sgd_with_momentum_and_decay_by_hand():
    model = make_weight()
    optimizer = build_optimizer("SGD", model, lr=0.1, momentum=0.5, weight_decay=0.2)
    first = 1 - 0.1 * (2 + 0.2 * 1)
    velocity = 0.5 * 2.2 + (2 + 0.2 * first)
    assert step(model, optimizer, 2) == pytest.approx(first)
    assert step(model, optimizer, 2) == pytest.approx(first - 0.1 * velocity)


def test_build_optimizer_adam_first_step_is_the_learning_rate():
    model = make_weight()
    optimizer = build_optimizer("Adam", model, lr=0.1, momentum=0.5)
    assert step(model, optimizer, 1e-3) == pytest.approx(0.9, abs=1e-5)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


def test_build_optimizer_frozen_parameters_are_left_out():
    model = nn.Sequential(make_weight(), make_weight())
    model[0].weight.requires_grad_(False)
    groups = build_optimizer("SGD", model, lr=0.1).param_groups
    assert [id(p) for p in groups[0]["params"]] == [id(model[1].weight)]


def test_build_optimizer_unknown_name_is_refused(one_line):
    with pytest.raises(ValueError, match="'RMSprop'; allowed: Adam, SGD") as error:
        build_optimizer("RMSprop", make_weight(), lr=0.1)
    one_line(error)


@pytest.mark.parametrize(
    ("name", "num_warmup_steps", "expected"),
    [
        ("constant", 0, [1, 1, 1, 1, 1]),
        ("constant", 3, [0.25, 0.5, 0.75, 1, 1]),
        ("cosine", 0, [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0, 0]),
        ("cosine", 2, [1 / 3, 2 / 3, 1, 0.5, 0, 0]),
    ],
)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_build_scheduler_factors_of_four_steps_by_hand(
    name, num_warmup_steps, expected
):
    optimizer = build_optimizer("SGD", make_weight(), lr=2.0)
    scheduler = build_scheduler(
        optimizer, name, num_steps=4, num_warmup_steps=num_warmup_steps
    )
    rates = []
    for _ in expected:
        rates.append(scheduler.get_last_lr()[0])
        scheduler.step()
    assert rates == pytest.approx([2 * factor for factor in expected])


def test_build_scheduler_unknown_name_is_refused(one_line):
    optimizer = build_optimizer("SGD", make_weight(), lr=1.0)
    with pytest.raises(ValueError, match="'linear'; allowed: constant") as error:
        build_scheduler(optimizer, "linear", num_steps=4)
    one_line(error)


LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0], [0.0, 3.0]])
LABELS = torch.tensor([0, 1, 1, 0])


def compute_losses() -> list[float]:
    gaps = [2.0, 1.0, -0.5, -3.0]  # true logit minus the other
    return [math.log1p(math.exp(-gap)) for gap in gaps]


def test_build_criterion_none_is_plain_cross_entropy():
    criterion = build_criterion("none", np.array([0, 0, 0, 1]))
    expected = sum(compute_losses()) / 4
    assert criterion(LOGITS, LABELS).item() == pytest.approx(expected)


def test_build_criterion_balanced_weighs_each_class_the_same():
    criterion = build_criterion("balanced", np.array([0, 0, 0, 1]))
    weights = [4 / 6, 4 / 2, 4 / 2, 4 / 6]
    expected = sum(w * loss for w, loss in zip(weights, compute_losses(), strict=True))
    assert criterion(LOGITS, LABELS).item() == pytest.approx(expected / sum(weights))


@pytest.mark.parametrize(("steps", "expected"), [(47, 47), (4, 4), (338, 100)])
def test_choose_warmup_is_an_epoch_at_most_a_hundred_steps(steps, expected):
    assert choose_warmup(steps) == expected


def draw() -> list[float]:
    return [random.random(), np.random.random(), torch.rand(()).item()]


@pytest.fixture
def own_random_state():
    """Leave the other tests' randomness as it was."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def test_seed_everything_same_seed_gives_the_same_numbers(own_random_state):
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert not set(draw()) & set(first)


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1])
def test_seed_everything_takes_every_seed_that_the_flag_allows(seed, own_random_state):
    seed_everything(seed)


def test_load_checkpoint_snapshot_says_what_it_is(tmp_path, one_line):
    path = tmp_path / "d_m_o_last.pt"
    save_tensors({"trainer": {"model": {}}, "run": {}}, path)
    with pytest.raises(ValueError, match="is the snapshot that train_main") as error:
        load_checkpoint(path)
    assert one_line(error).endswith(f"best epoch, is {tmp_path}/d_m_o.pt")
