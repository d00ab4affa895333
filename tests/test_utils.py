"""From names to datasets, models, checkpoints, optimizers, schedules and losses."""

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, TinyNet
from torch import nn

from faces_dataset import list_names
from files.checkpoint import CheckpointRecord
from files.names import SPLITS
from files.recipe import Recipe
from files.tensors import save_tensors
from loading import PUBLISHED, SYMMETRIC
from models import NETWORKS
from utils import (
    Source,
    build_criterion,
    build_optimizer,
    build_scheduler,
    drop_bad_images,
    get_nof_parameters,
    load_checkpoint,
    load_dataset,
    load_model,
    open_source,
    open_splits,
    seed_everything,
    take_fold,
)


def test_load_dataset_samples_are_bytes_of_the_networks_size(faces_root):
    source = Source(str(faces_root.parent), "val", limit=1)
    for options, size in (({}, 256), ({"preprocessing": TINY.preprocessing}, 64)):
        dataset = open_source("faces", source, **options)
        assert len(dataset) == 2
        image, label = dataset[1]
        assert (image.dtype, image.shape, label) == (torch.uint8, (3, size, size), 1)


def test_load_dataset_unknown_name_lists_those_there_are(own_faces_root, refused):
    root = own_faces_root.parent
    (root / "other").mkdir()
    (root / "a" / "test").mkdir(parents=True)
    no_dataset = "holds no dataset"
    for folder, found in (
        ("", "found: a, faces"),
        ("faces", no_dataset),
        ("x", "is not there"),
    ):
        with refused(f"'none'.*{found}", FileNotFoundError):
            load_dataset("none", "val", data_root=root / folder)


def test_what_is_not_yet_a_dataset_is_answered_with_the_command(tmp_path, refused):
    for name in ("a.tar", "b.zip"):
        (tmp_path / name).touch()
    (tmp_path / "c" / "train" / "genuine").mkdir(parents=True)
    for name, first, source in (
        ("a", r"a.tar is not a dataset: python", "a.tar"),
        ("a.tar", r"a.tar is not a dataset: python", "a.tar"),
        ("b", r"b.zip is not a dataset: unpack it, then python", "b"),
        ("b.zip", r"unpack it, then python", "b"),
        ("c", "real; .* python", "c"),
    ):
        command = f"make_table.py .*/{source} --to .*/{name[0]}_table.csv makes one"
        with refused(f"{first} {command}", FileNotFoundError):
            load_dataset(name, "train", data_root=tmp_path)


def test_real_labels_are_refused_where_folders_say_what_is_real(
    own_faces_root, refused
):
    root = own_faces_root.parent
    given = Source(root, "train", real_labels=["genuine"])
    for name in ("faces", "faces+faces"):
        with refused("the folders of faces.* say what is real, so --real-labels"):
            open_source(name, given)
    table = "path,label,split\na.png,genuine,train\nb.png,sd,train\n"
    (root / "t.csv").write_text(table)
    assert len(open_source("faces+t", given)) == 9 + 2
    record = CheckpointRecord(dataset="faces+t", flags=given.to_flags())
    assert open_source("faces", Source(root).follow(record, "faces"))


def test_open_splits_opens_those_asked_for(own_faces_root):
    for path in (own_faces_root / "train" / "fake").iterdir():
        path.unlink()
    source = Source(own_faces_root.parent, limit=3)
    datasets = open_splits("faces", source, without_fakes=("train",))
    assert {split: len(data) for split, data in datasets.items()} == {
        **{"train": 6, "val": 5, "test": 5}
    }
    assert list(open_splits("faces", source, splits=("test",))) == ["test"]
    with pytest.raises(ValueError, match="no images in"):
        open_splits("faces", source)


def test_drop_bad_images_refuses_them_or_leaves_them_out(own_faces_root, refused):
    for name in ("train/real/00.png", "train/real/03.png"):
        (own_faces_root / name).write_bytes(b"")
    (own_faces_root / "test/fake/01.png").write_text("no image")
    source = Source(own_faces_root.parent)
    datasets = open_splits("faces", source)
    with refused("3 of the images cannot be read") as error:
        drop_bad_images(datasets)
    assert "train/real/00.png: the file is empty" in str(error.value)
    assert "test/fake/01.png: not an image file" in str(error.value)
    kept, skipped = drop_bad_images(datasets, "full", skip=True)
    assert skipped == {"train": ["real/00.png", "real/03.png"], "test": ["fake/01.png"]}
    assert kept["train"].real_image_names == ["01.png", "02.png", "04.png"]
    assert [len(kept[split]) for split in SPLITS] == [7, 5, 4]
    # With a limit, no image comes in that nobody has checked.
    datasets = open_splits("faces", Source(own_faces_root.parent, limit=2))
    kept, skipped = drop_bad_images(datasets, skip=True)
    assert skipped == {"train": ["real/00.png"], "test": ["fake/01.png"]}
    assert [len(kept[split]) for split in SPLITS] == [3, 4, 3]
    for path in (own_faces_root / "val" / "fake").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no readable images in"):
        drop_bad_images(open_splits("faces", source), skip=True)


def test_load_model_is_channels_last_and_counts_its_parameters(tiny_net):
    model = load_model("SimpleNet")
    assert model.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    model = tiny_net()  # convolution 4 x 3 x 3 x 3 + 4, norm 2 x 4, last 4 x 2 + 2
    assert get_nof_parameters(model) == 112 + 8 + 10
    model.conv.weight.requires_grad_(False)
    assert get_nof_parameters(model) == 22


@pytest.fixture
def tiny_simple_net(monkeypatch):
    """Lets the name SimpleNet, which old files mean, build a tiny network."""
    monkeypatch.setitem(NETWORKS, "SimpleNet", TINY)


def make_content(**changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    content = {"model": TinyNet().state_dict(), "val_acc": 50.0, "test_acc": 40.0}
    return {**content, "epoch": 1, **changes}


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("name", ["TinyNet", "SimpleNet"])
def test_load_checkpoint_comes_back_whole(
    tiny_simple_net, tiny_network, tmp_path, name, prefix
):
    state = make_content()["model"]
    wrapped = {f"{prefix}{name}": value for name, value in state.items()}
    content = make_content(model=wrapped, threshold=0.3)
    content |= {} if prefix else {"model_name": name}
    stored = {**SYMMETRIC.to_dict(), "size": 96, "full_decoding": True}
    save_tensors({**content, "preprocessing": stored}, tmp_path / "a.pt")
    detector = load_checkpoint(str(tmp_path / "a.pt"), name)
    assert (detector.title, detector.threshold, detector.layer) == (name, 0.3, "conv")
    assert detector.preprocessing.to_dict() == stored
    assert (detector.path, detector.record.val_acc) == (tmp_path / "a.pt", 50.0)
    assert not detector.network.training
    for key, value in detector.network.state_dict().items():
        assert torch.equal(value, state[key])


@pytest.mark.slow
def test_load_checkpoint_of_the_original_exercise_has_four_entries(tmp_path):
    torch.manual_seed(0)
    for prefix in ("", "_orig_mod."):
        state = NETWORKS["SimpleNet"].build().state_dict()
        state = {f"{prefix}{name}": value for name, value in state.items()}
        torch.save(make_content(model=state), tmp_path / "old.pt")
        detector = load_checkpoint(tmp_path / "old.pt")
        assert (detector.title, detector.threshold) == ("SimpleNet", 0.5)
        assert (detector.temperature, detector.preprocessing) == (1.0, PUBLISHED)
        with pytest.raises(ValueError, match="it is of SimpleNet, not XceptionBased"):
            load_checkpoint(tmp_path / "old.pt", "XceptionBased")


# What the version before 1.0.0 wrote.
BEFORE = {
    **{"run_id": "ab", "format_version": 2, "model_name": "SimpleNet", "dataset": "d"},
    **{"class_names": ["real", "fake"], "versions": {"python": "3.10"}},
    **{"preprocessing": {"mean": [0.5] * 3, "std": [0.5] * 3}, "data_fingerprint": "x"},
    **{"temperature": 2.0, "temperature_interval": [1.0, 3.0], "logit_bias": 0.5},
    **{"log_losses": [0.6, 0.5], "calibration_notes": [], "val_fake_share": 0.4},
    **{"llr_slope": 0.5, "llr_intercept": 0.1, "reliability": [[0.1, 0.9, 2, 5]]},
    **{"threshold": 0.45, "threshold_policy": "equal error rates on 5"},
}


@pytest.mark.parametrize("is_full", [True, False])
def test_load_checkpoint_of_an_older_version_is_read(
    tiny_simple_net, tmp_path, is_full
):
    flags = {"name": "w", "limit": None, "full_decoding": is_full, "recalibrate_bn": 0}
    save_tensors(make_content(**BEFORE, flags=flags), tmp_path / "old.pt")
    detector = load_checkpoint(tmp_path / "old.pt")
    assert (detector.title, detector.threshold) == ("SimpleNet_w", 0.45)
    assert (detector.temperature, detector.record.logit_bias) == (2.0, 0.5)
    assert detector.llr_line == (0.5, 0.1, -np.inf, np.inf)
    assert tuple(detector.neighbours[0]) == (0.1, 0.9, 2, 5)
    expected = {**SYMMETRIC.to_dict(), "full_decoding": is_full}
    assert detector.preprocessing.to_dict() == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_name": "ResNet"}, "unknown model 'ResNet': choose from"),
        ({"model": {}}, "these weights do not fit SimpleNet: .*missing"),
        (
            {"model": {**TinyNet().state_dict(), "fc.bias": torch.ones(2).int()}},
            "int32",
        ),
        ({"preprocessing": {**SYMMETRIC.to_dict(), "size": 9.5}}, "preprocessing size"),
        ({"reliability": [[0.9, 0.1, 1, 2]]}, "its reliability holds the row"),
    ],
)
def test_load_checkpoint_bad_content_is_refused(
    tiny_simple_net, tmp_path, changes, reason, refused
):
    content = {"model_name": "SimpleNet", **make_content(), **changes}
    save_tensors(content, tmp_path / "bad.pt")
    with refused(f"cannot use the checkpoint .*{reason}") as error:
        load_checkpoint(tmp_path / "bad.pt")
    assert "bad.pt" in str(error.value)


def make_weight() -> nn.Linear:
    """One weight and no bias: w = 1."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    return model


def step(model: nn.Linear, optimizer: torch.optim.Optimizer, gradient: float) -> float:
    model.weight.grad = torch.full_like(model.weight, gradient)
    optimizer.step()
    return model.weight.item()


def test_build_optimizer_steps_by_hand():
    model = make_weight()
    optimizer = build_optimizer("SGD", model, lr=0.1, momentum=0.5, weight_decay=0.2)
    first = 1 - 0.1 * (2 + 0.2 * 1)
    velocity = 0.5 * 2.2 + (2 + 0.2 * first)
    assert step(model, optimizer, 2) == pytest.approx(first)
    assert step(model, optimizer, 2) == pytest.approx(first - 0.1 * velocity)
    model = make_weight()
    optimizer = build_optimizer("Adam", model, lr=0.1, momentum=0.5)
    assert step(model, optimizer, 1e-3) == pytest.approx(0.9, abs=1e-5)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    both = nn.Sequential(make_weight(), model)
    both[0].weight.requires_grad_(False)
    (group,) = build_optimizer("SGD", both, lr=0.1).param_groups
    assert [id(p) for p in group["params"]] == [id(model.weight)]
    with pytest.raises(ValueError, match="'RMSprop'; allowed: Adam, SGD"):
        build_optimizer("RMSprop", model, lr=0.1)


@pytest.mark.parametrize(
    ("name", "warmup", "expected"),
    [
        ("constant", 3, [0.25, 0.5, 0.75, 1, 1]),
        ("cosine", 0, [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0, 0]),
        ("cosine", 2, [1 / 3, 2 / 3, 1, 0.5, 0, 0]),
    ],
)
def test_build_scheduler_factors_of_four_steps_by_hand(name, warmup, expected):
    optimizer = build_optimizer("SGD", make_weight(), lr=2.0)
    scheduler = build_scheduler(optimizer, name, num_steps=4, num_warmup_steps=warmup)
    rates = []
    for _ in expected:
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([2 * factor for factor in expected])
    with pytest.raises(ValueError, match="'linear'; allowed: constant, cosine"):
        build_scheduler(optimizer, "linear", num_steps=4)


@pytest.mark.parametrize(
    ("name", "weights"),
    [("none", [1, 1, 1, 1]), ("balanced", [4 / 6, 4 / 2, 4 / 2, 4 / 6])],
)
def test_build_criterion_weighs_classes_by_hand(name, weights):
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0], [0.0, 3.0]])
    gaps = [2.0, 1.0, -0.5, -3.0]  # true logit minus the other
    losses = [math.log1p(math.exp(-gap)) for gap in gaps]
    criterion = build_criterion(name, np.array([0, 0, 0, 1]))
    expected = np.average(losses, weights=weights)
    loss = criterion(logits, torch.tensor([0, 1, 1, 0]))
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("seed", [0, 2**32 + 7, 2**63 - 1])
def test_seed_everything_same_seed_gives_the_same_numbers(seed):
    def draw(seed: int) -> list[float]:
        seed_everything(seed)
        return [random.random(), np.random.random(), torch.rand(()).item()]

    assert draw(seed) == draw(seed)
    assert not set(draw(seed)) & set(draw(5))


def test_take_fold_every_image_validates_once_with_its_group(faces_root):
    splits = open_splits("faces", Source(faces_root.parent))
    assert take_fold(Recipe(seed=1), splits) == splits
    names = [{*list_names(d)} for d in splits.values()]
    # In the tiny dataset all images of one number are one group.
    for pattern in (None, "prefix"):
        seen = []
        for number in range(3):
            recipe = Recipe(fold=f"{number}/3", group_by=pattern, seed=number)
            train, val, test = map(list_names, take_fold(recipe, splits).values())
            assert {*train, *val} == names[0] | names[1]
            assert not {*train} & {*val}
            assert {*test} == names[2]
            files = [{name[-6:] for name in part} for part in (train, val)]
            assert bool(files[0] & files[1]) == (pattern is None)
            seen += val
        assert sorted(seen) == sorted(names[0] | names[1])


@pytest.mark.parametrize(
    ("dataset", "given", "expected"),
    [
        ("a", {}, (["x"], [0.5, 0.2, 0.3])),
        ("a+b", {"real_labels": ["y"]}, (["y"], [0.5, 0.2, 0.3])),
        ("b", {"shares": (0, 0, 1)}, (["x"], (0, 0, 1))),
        ("c", {}, ((), None)),
    ],
)
def test_follow_reads_a_dataset_as_its_training_did(dataset, given, expected):
    trained = Source(real_labels=["x"], shares=[0.5, 0.2, 0.3], limit=9)
    record = CheckpointRecord(dataset="a+b", flags=trained.to_flags())
    source = Source(limit=4, split="val", **given).follow(record, dataset)
    assert (source.real_labels, source.shares) == expected
    assert (source.limit, source.split) == (4, "val")
