"""From names to objects: datasets, models, checkpoints, optimizers, schedules, losses."""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from faces_dataset import FacesDataset, ResizeToTensor
from files.layout import SPLITS
from files.tensors import load_model_state, load_tensors
from loading import (
    PUBLISHED,
    Preprocessing,
    check_images,
    describe_bad_images,
)
from models import MODELS, build_model


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators (on every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


DEFAULT_THRESHOLD = 0.5


@dataclass
class Detector:
    """A trained model with all that is needed to judge an image.

    Attributes:
        model: in evaluation mode, on its device; `model.preprocessing` is its own.
        path: the checkpoint that it came from.
        threshold: P(fake) from which on the verdict is 'fake'.
        temperature: what the logits are divided by before the softmax.
        details: the checkpoint's other entries (`val_acc`, `epoch`, `flags`, ...).
    """

    model: nn.Module
    path: Path
    threshold: float
    temperature: float
    details: dict[str, Any]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name


def load_dataset(
    name: str,
    split: str,
    *,
    data_root: Path,
    size: int = PUBLISHED.size,
    limit: int | None = None,
    exclude: Collection[str] = (),
) -> FacesDataset:
    """Open one split of a dataset, its images as uint8 tensors of a model's size.

    Args:
        name: the dataset's folder under `data_root`.
        split: train, val or test.
        data_root: folder that holds the datasets.
        size: height and width of the samples, uint8 (3, size, size).
        limit: use only the first `limit` images of each class.
        exclude: images to leave out, as `real/NAME` or `fake/NAME`.

    Raises:
        FileNotFoundError: there is no such dataset; the message names those there are.
        ValueError: a class has no image.
    """
    folder = Path(data_root) / name
    if not folder.is_dir():
        found = list_datasets(data_root)
        known = f"found: {', '.join(found)}" if found else "it holds no dataset"
        raise FileNotFoundError(
            f"there is no dataset {name!r} under {data_root} ({known}); name another "
            "with -d and --data-root, or make examples with make_demo_datasets.py"
        )
    transform = ResizeToTensor(size)
    return FacesDataset(folder / split, transform, limit=limit, exclude=exclude)


def list_datasets(data_root: Path) -> list[str]:
    """List the folders under `data_root` that hold the splits of a dataset."""
    if not Path(data_root).is_dir():
        return []
    folders = sorted(Path(data_root).iterdir())
    return [f.name for f in folders if any((f / split).is_dir() for split in SPLITS)]


def load_model(
    name: str,
    device: torch.device | str = "cpu",
    *,
    weights_path: Path | None = None,
    from_scratch: bool = False,
) -> nn.Module:
    """Build an untrained detector and bring it to a device, in channels-last format.

    Raises:
        ValueError: no model is called so, or the weights file is not one.
        OSError: the ImageNet weights cannot be had.
    """
    model = build_model(name, weights_path=weights_path, from_scratch=from_scratch)
    return model.to(device, memory_format=torch.channels_last)


def load_checkpoint(
    path: Path, model_name: str | None = None, device: torch.device | str = "cpu"
) -> Detector:
    """Load a trained detector.

    Args:
        path: a file that train_main.py wrote, or the original exercise (a dict with
            `model`, `val_acc`, `test_acc`, `epoch`).
        model_name: what the model is expected to be; None takes what the file says.
        device: where the model goes.

    Raises:
        FileNotFoundError: there is no such file; the message says how to make one.
        ValueError: the file is no checkpoint, is damaged, or is of another model.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no checkpoint {path}; train_main.py writes one, "
            "checkpoints/DATASET_MODEL_OPTIMIZER.pt"
        )
    content = load_tensors(path)
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise ValueError(f"{path} is no checkpoint: it has no entry 'model'")
    stored_name = content.get("model_name") or _recognise_model(state)
    if model_name is not None and stored_name != model_name:
        raise ValueError(f"{path} is a checkpoint of {stored_name}, not {model_name}")
    if not isinstance(stored_name, str) or stored_name not in MODELS:
        raise ValueError(
            f"{path} is a checkpoint of {stored_name!r}, which is none of "
            f"{', '.join(MODELS)}"
        )
    model = build_model(stored_name, from_scratch=True)
    try:
        load_model_state(model, state)
        model.preprocessing = _get_preprocessing(content)
    except ValueError as error:
        raise ValueError(f"cannot use the checkpoint {path}: {error}") from error
    model.temperature = _get_number(content, "temperature", 1.0, path)
    if model.temperature <= 0:
        raise ValueError(
            f"{path} is no checkpoint: its temperature is {model.temperature}"
        )
    threshold = _get_number(content, "threshold", DEFAULT_THRESHOLD, path)
    model.eval().to(device, memory_format=torch.channels_last)
    details = {key: value for key, value in content.items() if key != "model"}
    return Detector(model, path, threshold, model.temperature, details)


def get_nof_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _recognise_model(state: dict[str, Any]) -> str:
    """Tell by the names of its tensors which model a state dict is of."""
    return "SimpleNet" if any("fc3." in str(key) for key in state) else "XceptionBased"


def _get_preprocessing(content: dict[str, Any]) -> Preprocessing:
    """Return the stored preprocessing; the original exercise stored none."""
    if "preprocessing" not in content:
        return PUBLISHED
    preprocessing = Preprocessing.from_dict(content["preprocessing"])
    if preprocessing.size != PUBLISHED.size:  # fc1's shape depends on it
        raise ValueError(
            f"its images are {preprocessing.size} pixels wide, not {PUBLISHED.size}"
        )
    return preprocessing


def _get_number(content: dict[str, Any], key: str, default: float, path: Path) -> float:
    """Return a stored finite number, or the default where there is none."""
    value = content.get(key, default)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{path} is no checkpoint: its {key} is {value!r:.60}")
    return float(value)


def open_splits(
    name: str,
    *,
    data_root: Path,
    limit: int | None = None,
    check: str = "auto",
    skip_bad_images: bool = False,
) -> tuple[dict[str, FacesDataset], dict[str, list[str]]]:
    """Open the training, validation and test split of a dataset.

    Args:
        name: the dataset's folder under `data_root`.
        data_root: folder that holds the datasets.
        limit: use only the first `limit` images of each class and split.
        check: how to look for unreadable images, as `image_checks.check_images`.
        skip_bad_images: leave them out instead of refusing the dataset.

    Returns:
        The datasets by split, and for each split with images left out their names.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a class is empty, or images cannot be read.
    """

    def open_split(split: str, exclude: frozenset[str] = frozenset()) -> FacesDataset:
        return load_dataset(
            name, split, data_root=data_root, limit=limit, exclude=exclude
        )

    datasets = {split: open_split(split) for split in SPLITS}
    bad = check_images(datasets, check)
    if bad and not skip_bad_images:
        raise ValueError(
            f"{describe_bad_images(bad)}; mend or remove them, or leave them out with "
            "--skip-bad-images"
        )
    skipped = {split: [image.name for image in images] for split, images in bad.items()}
    for split, names in skipped.items():
        datasets[split] = open_split(split, frozenset(names))
    return datasets, skipped
