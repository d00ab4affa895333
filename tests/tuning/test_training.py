"""Trainings of few weights from the command line, and what their checkpoints hold."""

import json
import math
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, TinyNet

import publish
import train_main
from files.names import RunPaths, name_run_files
from files.tensors import load_tensors
from hardware import prepare_compute
from judging.detector import Detector
from loading.sources.datasets import Source
from models import NETWORKS
from records.checkpoint_files import read_checkpoint, save_checkpoint
from records.history import CURVES, load_history
from records.recipe import Recipe
from records.run_files import RunFiles
from records.run_log import load_table
from tuning import Probe
from utils import load_checkpoint, open_source, read_whole

pytestmark = pytest.mark.usefixtures("tiny_network")
HEAD = ("--tune", "head", "--features", "conv", "--self-blend", "0.5")


def train(faces_root: Path, folder: Path, *more: str) -> RunPaths:
    words = [
        *("-d", faces_root.name, "--data-root", str(faces_root.parent), "-b", "2"),
        *("-m", "TinyNet", "-e", "2", "--device", "cpu", "--precision", "fp32"),
        *("--out-dir", str(folder / "out"), "--features-dir", str(folder / "kept")),
        *("--checkpoints-dir", str(folder / "checkpoints"), *more),
    ]
    train_main.main(words)
    optimizer = "LBFGS" if "head" in more else "Adam"
    name = more[more.index("--name") + 1] if "--name" in more else None
    folders = {"out_dir": folder / "out", "checkpoints_dir": folder / "checkpoints"}
    return name_run_files("faces", "TinyNet", optimizer, name=name, **folders)


@pytest.fixture(scope="module")
def trained(tiny_network, faces_root, tmp_path_factory) -> RunPaths:
    return train(faces_root, tmp_path_factory.mktemp("probe"), *HEAD)


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """How many images a training sends through a probe's backbone, call by call."""
    monkeypatch.setattr(train_main, "qualify_best", lambda *given: None)
    counts, compute = [], Probe.compute_features

    def count(probe: Probe, images: torch.Tensor) -> torch.Tensor:
        counts.append(len(images))
        return compute(probe, images)

    monkeypatch.setattr(Probe, "compute_features", count)
    return counts


def read_curves(files: RunPaths) -> dict[str, list[float]]:
    (run,) = load_history(files.history)
    return {curve: run[curve] for curve in CURVES}


def judge(detector: Detector, faces_root: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits and labels of the test split."""
    preprocessing = detector.preprocessing
    source = Source(faces_root.parent)
    test = open_source("faces", source, preprocessing=preprocessing)
    scored = detector.score(test, prepare_compute("cpu", "fp32"))
    return torch.tensor(scored.logits), torch.tensor(scored.labels)


def assert_equal_checkpoints(files: RunPaths, others: RunPaths) -> None:
    first, second = (load_tensors(f.checkpoint)["model"] for f in (files, others))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_head_is_measured_as_it_judges_and_its_checkpoint_holds_it_alone(
    trained, faces_root
):
    state, record = read_checkpoint(trained.checkpoint)
    assert {name.split(".")[0] for name in state} == {"head"}
    assert (record.tune, record.features, record.hidden) == ("head", ["conv"], 0)
    snapshot = load_tensors(trained.snapshot)["trainer"]["model"]
    assert snapshot.keys() == {"mean", "scale", "first.weight", "first.bias"}
    (run,) = load_history(trained.history)
    assert (run["optimizer"]["name"], run["bn_batches"]) == ("LBFGS", 0)
    detector = load_checkpoint(trained.checkpoint, "TinyNet")
    assert detector.layer == "backbone.conv"
    loss = torch.nn.functional.cross_entropy(*judge(detector, faces_root)).item()
    assert loss == pytest.approx(run["test_loss"][record.epoch - 1], abs=1e-6)


@pytest.mark.slow
def test_features_that_are_kept_are_not_computed_again(
    trained, faces_root, counted, capsys
):
    folder = trained.history.parents[1]
    abouts = [json.loads(p.read_text()) for p in (folder / "kept").glob("*.json")]
    depends = {"model", "backbone", "layer", "files", "preprocessing", "precision"}
    depends |= {"kernels", "device", "augmentation", "seed", "view", "format"}
    assert all(about.keys() == depends for about in abouts)
    assert {about["model"] for about in abouts} == {"TinyNet"}
    words = (*HEAD, "--name", "again", "--log", "csv")
    again = train(faces_root, folder, *words)
    assert counted == []
    assert_equal_checkpoints(trained, again)
    counted.clear()
    train(faces_root, folder, *words, "-e", "3", "--resume")
    assert sum(counted) == 9  # one more view of the training images
    assert "resumed after epoch 2, batch 0 of the next" in capsys.readouterr().out
    logged = load_table(again.epochs)
    assert logged["epoch"] == [1, 2, 3]
    assert logged["val_acc"] == load_history(again.history)[0]["val_acc"]
    assert all(map(math.isnan, logged["learning_rate"]))
    assert [path.exists() for path in again.logs] == [False, True, False]
    counted.clear()
    train(faces_root, folder, *HEAD[:4], "--augment", "none", "--name", "plain")
    assert sum(counted) == 9 + 5  # one view is like the other; test is kept


def test_runs_of_several_seeds_share_what_does_not_depend_on_the_seed(
    faces_root, tmp_path, counted, monkeypatch
):
    seed = train_main.seed_everything  # the same weights to start from, as if loaded
    monkeypatch.setattr(train_main, "seed_everything", lambda _: seed(0))
    plain = (*HEAD[:4], "-e", "1", "--seeds", "0", "1")
    train(faces_root, tmp_path, *plain, "--augment", "none")
    assert sum(counted) == 9 + 5 + 5
    counted.clear()
    train(faces_root, tmp_path, *plain)
    assert sum(counted) == 9 + 9  # each seed sees the training images in its own view


def test_interrupted_views_go_on_where_they_were(
    trained, faces_root, tmp_path, counted, monkeypatch, capsys
):
    calls, original = [], RunFiles.at_safe_point

    def interrupt(files: RunFiles, trainer: train_main.Trainer) -> None:
        calls.append(1)
        if len(calls) == 3:
            files._signal = signal.SIGTERM
        original(files, trainer)

    with monkeypatch.context() as patch:
        patch.setattr(RunFiles, "at_safe_point", interrupt)
        train(faces_root, tmp_path, *HEAD)
    assert "stopped by SIGTERM" in capsys.readouterr().out
    assert sum(counted) == 6
    counted.clear()
    files = train(faces_root, tmp_path, *HEAD, "--resume")
    assert sum(counted) == 3 + 9 + 5 + 5
    assert read_curves(files) == read_curves(trained)
    assert_equal_checkpoints(files, trained)
    with pytest.raises(ValueError, match="started from other weights") as error:
        torch.manual_seed(5)
        with monkeypatch.context() as patch:
            patch.setattr(train_main, "seed_everything", lambda seed: None)
            train(faces_root, tmp_path, *HEAD, "--resume", "-e", "3")
    assert "\n" not in str(error.value)


def test_whole_checkpoint_needs_nothing_beside_it(trained, faces_root, tmp_path):
    files = train(faces_root, tmp_path, *HEAD, "--whole")
    assert not list((tmp_path / "checkpoints").glob("backbone_*"))
    whole, head = (load_checkpoint(f.checkpoint) for f in (files, trained))
    for name, value in head.network.state_dict().items():
        is_run = not name.startswith("backbone.fc.")
        assert not is_run or torch.equal(value, whole.network.state_dict()[name])
    state, record = read_whole(head)
    save_checkpoint(state, record, tmp_path / "published.safetensors")
    alone = load_checkpoint(tmp_path / "published.safetensors")
    for name, value in head.network.state_dict().items():
        assert torch.equal(value, alone.network.state_dict()[name])
    copied = tmp_path / "alone.pt"
    copied.write_bytes(trained.checkpoint.read_bytes())
    with pytest.raises(
        ValueError,
        match="alone.pt: it does not hold its frozen weights, and .*backbone",
    ):
        load_checkpoint(copied)


def test_publish_may_leave_frozen_weights_out(trained, faces_root, tmp_path, refused):
    words = ["--to", str(tmp_path / "head"), "--without-frozen"]
    publish.main(["-cpp", str(trained.checkpoint), *words])
    (head,) = (tmp_path / "head").glob("*.safetensors")
    with pytest.raises(ValueError, match="does not hold its frozen weights"):
        load_checkpoint(head)
    (frozen,) = trained.checkpoint.parent.glob("backbone_*")
    shutil.copy(frozen, head.parent)
    judged = [judge(load_checkpoint(p), faces_root) for p in (trained.checkpoint, head)]
    assert torch.equal(judged[0][0], judged[1][0])
    card = (head.parent / "README.md").read_text()
    assert f"predict.py -cpp {head.name} photo.jpg" in card
    assert f"`{head.name}` holds what was trained. The weights that stayed" in card
    whole = tmp_path / "whole.safetensors"
    save_checkpoint(*read_whole(load_checkpoint(head)), whole)
    words = ["--to", str(tmp_path / "other"), "--without-frozen"]
    with refused("whole.safetensors has no frozen weights to leave out", ValueError):
        publish.main(["-cpp", str(whole), *words])


@pytest.mark.slow
def test_auto_compares_layers_and_hidden_units_are_kept(
    faces_root, tmp_path, monkeypatch, capsys
):
    class Deeper(TinyNet):
        def __init__(self) -> None:
            super().__init__()
            self.second = torch.nn.Conv2d(4, 5, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.second(self.norm(self.conv(images)).relu())
            return super().forward(images)

    monkeypatch.setitem(NETWORKS, "TinyNet", replace(TINY, build=Deeper))
    words = ("--tune", "head", "--hidden", "3", "-e", "1")
    files = train(faces_root, tmp_path, *words)
    lines = capsys.readouterr().out.splitlines()
    assert "comparing 2 layers on 9 training images" in lines
    losses = {
        line.split(":")[0].strip(): float(line.split()[4].rstrip(","))
        for line in lines
        if "validation log loss" in line and line.startswith("  ")
    }
    assert losses.keys() == {"conv", "second"}
    best = min(losses, key=losses.get)
    detector = load_checkpoint(files.checkpoint)
    record = detector.record
    assert (record.features, record.hidden) == ([best], 3)
    assert f"the head reads {best}, which has the least log loss" in lines
    scored = judge(detector, faces_root)
    (run,) = load_history(files.history)
    loss = torch.nn.functional.cross_entropy(*scored).item()
    assert loss == pytest.approx(run["test_loss"][0], abs=1e-6)
    train(faces_root, tmp_path, *words[:-1], "2", "--resume")
    assert "comparing" not in capsys.readouterr().out
    assert load_tensors(files.snapshot)["features"] == [best]


def test_norms_leaves_the_rest_and_stores_only_what_changed(
    trained, faces_root, tmp_path
):
    files = train(faces_root, tmp_path, "--tune", "norms", "--recalibrate-bn", "0")
    state, record = read_checkpoint(files.checkpoint)
    assert record.tune == "norms"
    assert {name.split(".")[0] for name in state} == {"norm", "fc"}
    detector = load_checkpoint(files.checkpoint)
    start = load_checkpoint(trained.checkpoint).network.backbone
    assert torch.equal(detector.network.conv.weight, start.conv.weight)
    assert not torch.equal(detector.network.norm.weight, start.norm.weight)
    assert torch.equal(detector.network.norm.weight, state["norm.weight"])


def test_recipe_gives_way_to_what_is_to_be_tuned():
    def take(words: str) -> Recipe:
        return train_main.parse_args(words.split()).recipe

    probe = take("--recipe probe --tune norms")
    assert (probe.tune, probe.features, probe.optimizer) == ("norms", None, "Adam")
    assert (probe.self_blend, probe.model) == (0.5, "XceptionBased")
    head = take("--recipe general --tune head -e 2")
    assert (head.optimizer, head.lr, head.epochs, head.augment) == (
        *("LBFGS", 0.001, 2, "robust"),
    )


def test_layer_decay_reaches_the_optimizer(faces_root, tmp_path):
    files = train(faces_root, tmp_path, "--layer-decay", "0.5", "-e", "1")
    groups = load_tensors(files.snapshot)["trainer"]["optimizer"]["param_groups"]
    rates = [group["initial_lr"] for group in groups]
    np.testing.assert_allclose(rates, [0.00025, 0.0005, 0.001])
