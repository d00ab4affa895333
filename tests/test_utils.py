"""From names to datasets, models and checkpoints; scores of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conftest import TinyNet

import models
from faces_dataset import FacesDataset, ResizeToTensor
from files.tensors import save_tensors
from hardware.device import Precision
from loading.batches import BatchLoader
from loading.preprocessing import PUBLISHED, SYMMETRIC
from metrics.calibration import compute_scores
from numerical_analysis import get_soft_scores_and_true_labels
from trainer import compute_logits
from utils import (
    get_nof_parameters,
    list_datasets,
    load_checkpoint,
    load_dataset,
    load_model,
)

FP32 = Precision("fp32", "cpu")


@pytest.fixture
def tiny_model(monkeypatch):
    """Lets the name SimpleNet build a tiny network."""
    spec = models.ModelSpec("SimpleNet", PUBLISHED, lambda *_: TinyNet(PUBLISHED))
    monkeypatch.setitem(models.MODELS, "SimpleNet", spec)


def make_content(**changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    content = {"model": TinyNet().state_dict(), "val_acc": 50.0, "test_acc": 40.0}
    return {**content, "epoch": 1, "model_name": "SimpleNet", **changes}


def test_load_dataset_samples_are_bytes_of_the_size(faces_root):
    dataset = load_dataset(
        "faces", "val", data_root=faces_root.parent, size=16, limit=1
    )
    assert len(dataset) == 2
    image, label = dataset[1]
    assert (image.dtype, image.shape, label) == (torch.uint8, (3, 16, 16), 1)


def test_load_dataset_exclude_leaves_images_out(faces_root):
    dataset = load_dataset(
        "faces", "val", data_root=faces_root.parent, exclude=["real/00.png"]
    )
    assert "00.png" not in dataset.real_image_names


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
    detector = load_checkpoint(tmp_path / "a.pt", "SimpleNet")
    assert (detector.name, detector.threshold) == ("SimpleNet", 0.3)
    assert detector.temperature == detector.model.temperature == 2.5
    assert detector.model.preprocessing == SYMMETRIC
    assert detector.details["val_acc"] == 50.0
    assert not detector.model.training
    for name, value in detector.model.state_dict().items():
        assert torch.equal(value, content["model"][name])


def test_load_checkpoint_original_exercise_has_four_keys_only(tmp_path):
    state = models.SimpleNet().state_dict()
    four = {"model": state, "val_acc": 88.0, "test_acc": 85.0, "epoch": 4}
    torch.save(four, tmp_path / "old.pt")
    detector = load_checkpoint(tmp_path / "old.pt", "SimpleNet")
    assert (detector.threshold, detector.temperature) == (0.5, 1.0)
    assert detector.model.preprocessing == PUBLISHED
    with pytest.raises(ValueError, match="of SimpleNet, not XceptionBased"):
        load_checkpoint(tmp_path / "old.pt", "XceptionBased")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1], "no entry 'model'"),
        ({"val_acc": 1.0}, "no entry 'model'"),
        ({"model": 3}, "no entry 'model'"),
        (make_content(model_name="ResNet"), "'ResNet', which is none of"),
        (make_content(model_name=["SimpleNet"]), "none of|model"),
        (make_content(model={}), "missing"),
        (make_content(model={"conv.weight": torch.zeros(1)}), "do not fit"),
        (make_content(preprocessing=3), "preprocessing must be a dict"),
        (
            make_content(preprocessing={**PUBLISHED.to_dict(), "size": 128}),
            "128 pixels wide, not 256",
        ),
        (make_content(temperature=0.0), "temperature is 0.0"),
        (make_content(temperature=float("nan")), "temperature is nan"),
        (make_content(threshold="x"), "threshold is 'x'"),
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


@pytest.mark.parametrize("batch_size", [1, 2, 5, 9])
def test_compute_logits_any_batch_size_gives_the_datasets_order(
    faces_root, tiny_net, batch_size
):
    model = tiny_net()
    model.preprocessing = SYMMETRIC
    dataset = FacesDataset(faces_root / "train", ResizeToTensor(16))
    logits, labels = compute_logits(
        dataset, model, batch_size=batch_size, precision=FP32
    )
    assert model.training
    images = torch.stack([dataset[index][0] for index in range(9)])
    with torch.no_grad():
        expected = model.eval()(images / 127.5 - 1)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-4, atol=1e-6)
    assert labels.tolist() == [0] * 5 + [1] * 4
    assert logits.dtype == np.float64


def test_get_soft_scores_are_the_softmax_at_the_temperature(faces_root, tiny_net):
    model = tiny_net()
    model.temperature = 0.5
    dataset = FacesDataset(
        faces_root / "val",
        lambda image: (
            torch.from_numpy(np.array(image).transpose(2, 0, 1)).float() / 255
        ),
    )
    real, fake, labels = get_soft_scores_and_true_labels(dataset, model, precision=FP32)
    images, expected_labels = next(iter(BatchLoader(dataset, 5)))
    with torch.no_grad():
        expected = torch.softmax(model.eval()(images) / 0.5, dim=1).numpy()
    np.testing.assert_allclose(np.stack([real, fake], 1), expected, rtol=1e-5)
    np.testing.assert_array_equal(labels, expected_labels)


def test_compute_scores_known_answers_and_extremes():
    logits = np.array([[0.0, 0.0], [0.0, np.log(3)], [2000.0, 0.0]])
    real, fake = compute_scores(logits)
    np.testing.assert_allclose(fake, [0.5, 0.75, 0.0])
    np.testing.assert_allclose(real + fake, 1)
    np.testing.assert_allclose(compute_scores(logits, 2.0)[1][1], 3**0.5 / (1 + 3**0.5))
