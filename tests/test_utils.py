"""From names to datasets, networks and detectors."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, TinyNet

from faces_dataset import list_names
from files.names import SPLITS
from files.tensors import save_tensors
from loading import PUBLISHED, SYMMETRIC
from loading.sources.datasets import Source
from models import NETWORKS
from records.recipe import Recipe
from utils import (
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
