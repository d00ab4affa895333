"""From names to objects: datasets, networks, detectors."""

import os
import random
from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from faces_dataset import FacesDataset, join, list_names
from files.hub import find_checkpoint
from files.imagenet_weights import PACKAGES
from files.names import DEFAULT_MODEL, SPLITS, STARTER, shorten
from files.tensors import guess_network, load_model_state
from judging.detector import Detector
from loading import (
    PUBLISHED,
    Preprocessing,
    ResizeToTensor,
    check_images,
    describe_bad_images,
)
from loading.kept_pixels import KeptPixels
from loading.sources.datasets import Source, open_pictures
from models import Network, build_model, get_network
from records.checkpoint import CheckpointRecord
from records.checkpoint_files import read_checkpoint
from records.recipe import Recipe
from scores.groups import Leak, deal_folds, find_leaks, groups_from_names
from tuning import Tuning, list_frozen, load_start, merge_low_ranks, tune


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators (on every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def load_dataset(
    name: str,
    split: str,
    *,
    data_root: str | Path = "datasets",
    limit: int | None = None,
    real_only: bool = False,
    preprocessing: Preprocessing | None = None,
) -> FacesDataset:
    """Open one split of a dataset, its images as uint8 tensors (3, S, S).

    `BatchLoader` and `Trainer` normalise them as the network's `preprocessing` says.

    Args:
        name: as `open_splits` takes it.
        split: train, val or test.
        data_root: folder that holds the datasets.
        limit: use only the first `limit` images of each class.
        real_only: as `FacesDataset` takes it.
        preprocessing: of the network; says how large S is; default 256.

    Raises:
        OSError, ValueError: as `open_splits`.
    """
    source = Source(data_root, split, limit)
    options = {"real_only": real_only, "preprocessing": preprocessing}
    return open_source(name, source, **options)


def open_source(
    name: str,
    source: Source,
    *,
    real_only: bool = False,
    preprocessing: Preprocessing | None = None,
) -> FacesDataset:
    """Open the split that a source names, as `open_splits` does."""
    split = source.split
    options = {"without_fakes": [split] * real_only, "preprocessing": preprocessing}
    return open_splits(name, source, splits=[split], **options)[split]


def open_for(detector: Detector, name: str, source: Source) -> FacesDataset:
    """Open the split that a source names, as a detector's training read its images."""
    own = source.follow(detector.record, name)
    return open_source(name, own, preprocessing=detector.preprocessing)


def open_splits(
    name: str,
    source: Source | None = None,
    *,
    splits: Collection[str] = SPLITS,
    without_fakes: Collection[str] = (),
    preprocessing: Preprocessing | None = None,
) -> dict[str, FacesDataset]:
    """Open several splits of a dataset.

    Args:
        name: under the data root a folder, or a table without its ending; hf:OWNER/NAME
            of the Hugging Face hub; several of these, joined by +.
        source: where it is, default the folder `datasets`; its `split` is ignored.
        splits: which ones to open.
        without_fakes: splits of which only the real images are read.
        preprocessing: as for `load_dataset`.

    Raises:
        FileNotFoundError: there is no such dataset, and the message names those there
            are; or a folder is missing.
        ValueError: a class is empty, or a table cannot be used.
    """
    opened = open_pictures(name, source or Source(), splits, without_fakes)
    transform = ResizeToTensor(preprocessing)
    return {
        split: FacesDataset(pictures, transform, real_only=split in without_fakes)
        for split, pictures in opened.items()
    }


def find_shared_files(datasets: Mapping[str, FacesDataset]) -> list[Leak]:
    """Find files that are in two splits, as those of joined datasets may be."""
    here = Path.cwd()
    files = {
        split: {
            os.path.normpath(here / dataset.get_file(index).name)
            for index in range(len(dataset))
        }
        for split, dataset in datasets.items()
        if "dataset" in dataset.pictures.places
    }
    return find_leaks(files)


def drop_bad_images(
    datasets: dict[str, FacesDataset], check: str = "auto", *, skip: bool = False
) -> tuple[dict[str, FacesDataset], dict[str, list[str]]]:
    """Look for unreadable images; refuse the dataset or leave them out.

    Args:
        check: how to look, as `loading.check_images` takes it.
        skip: leave them out instead of refusing the dataset.

    Returns:
        By split the datasets, and the names of the images left out.

    Raises:
        ValueError: images cannot be read, or a class has no image left.
    """
    bad = check_images(datasets, check)
    if bad and not skip:
        raise ValueError(
            f"{describe_bad_images(bad)}; repair or remove them, or leave them out "
            "with --skip-bad-images"
        )
    kept = dict(datasets)
    for split, images in bad.items():
        kept[split] = datasets[split].drop([image.index for image in images])
    return kept, {
        split: [shorten(image.name, parts=2) for image in images]
        for split, images in bad.items()
    }


def keep_pixels(datasets: Collection[FacesDataset], folder: Path) -> str:
    """Let datasets of one network keep their pixels; return a line that says so."""
    kept = KeptPixels(folder, next(iter(datasets)).transform)
    for dataset in datasets:
        dataset.kept = kept
    return kept.make_room(datasets)


def take_fold(
    recipe: Recipe, datasets: Mapping[str, FacesDataset]
) -> dict[str, FacesDataset]:
    """Return the splits of a recipe's fold; without one, those of the folders.

    Folds are made of `train` and `val`; other splits stay. Raises ValueError if the
    recipe's pattern finds no group, or there are too few groups.
    """
    if recipe.fold is None:
        return dict(datasets)
    whole = join({split: datasets[split] for split in ("train", "val")})
    names = list_names(whole)
    column = whole.get_column("group")
    groups = groups_from_names(names, recipe.group_by, column) or names
    number, num_folds = recipe.fold_of
    is_val = deal_folds(groups, whole.get_labels(), num_folds) == number
    train, val = (whole.drop(np.flatnonzero(out)) for out in (is_val, ~is_val))
    return {**datasets, "train": train, "val": val}


def load_model(
    name: str,
    device: torch.device | str = "cpu",
    *,
    weights_path: str | Path | None = None,
    from_scratch: bool = False,
) -> nn.Module:
    """Build an untrained network and bring it to a device, in channels-last format.

    Raises:
        ValueError: there is no such network, or the file does not hold its weights.
        OSError: no ImageNet weights can be found.
    """
    model = build_model(name, weights_path=weights_path, from_scratch=from_scratch)
    return model.to(device, memory_format=torch.channels_last)


def load_checkpoint(
    path: str | Path, model_name: str | None = None, device: torch.device | str = "cpu"
) -> Detector:
    """Load a trained detector, with all that is needed to judge a picture.

    Args:
        path: a file that train_main.py wrote, or the original exercise (a dict with
            `model`, `val_acc`, `test_acc`, `epoch`); or hf:OWNER/NAME[@REVISION], which
            publish.py laid out.
        model_name: the network that is expected; None accepts what the file says.
        device: where the network goes.

    Raises:
        FileNotFoundError: there is no such file; the message says how to make one.
        ValueError: the file is damaged, not a checkpoint, or another network's.
    """
    path = find_checkpoint(path)
    if path == STARTER:
        _check_starter()
    state, record = read_checkpoint(path)
    try:
        record = replace(record, model_name=_name_network(record, state, model_name))
        spec = get_network(record.model_name)
        network, _ = _rebuild(spec, record, state, path.parent)
        network = network.eval().to(device, memory_format=torch.channels_last)
        return Detector(
            network,
            _read_preprocessing(record),
            record,
            path=path,
            layer=(
                f"backbone.{record.features[-1]}"
                if record.tune == "head"
                else spec.layer
            ),
            layout=spec.layout,
        )
    except ValueError as error:
        raise ValueError(f"cannot use the checkpoint {path}: {error}") from error


def _check_starter() -> None:
    """Raise ValueError where what the included detector needs is missing."""
    needed = ("timm", "safetensors", PACKAGES["tf_efficientnet_lite2"])
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ValueError(
            f"the included detector needs {', '.join(missing)}: pip install -r "
            "requirements-networks.txt, or name a checkpoint of yours with -cpp"
        )


def read_whole(detector: Detector) -> tuple[dict[str, Any], CheckpointRecord]:
    """Read a detector's checkpoint so that it needs no other file.

    Returns its state dict, the frozen weights included, and its record. It raises what
    `load_checkpoint` does, which returned the detector.
    """
    record = detector.record
    state, _ = read_checkpoint(detector.path)
    if record.backbone_sha256 and not record.whole:
        spec = get_network(record.model_name)
        _, state = _rebuild(spec, record, state, detector.path.parent)
        record = replace(record, whole=True)
    return state, record


def _rebuild(
    spec: Network, record: CheckpointRecord, state: dict[str, Any], folder: Path
) -> tuple[nn.Module, dict[str, Any]]:
    """Build a checkpoint's network; return it and all its weights."""
    network = spec.build()
    needs_start = record.backbone_sha256 and not record.whole
    if needs_start:
        load_start(network, spec, record, folder)
    network = tune(network, spec, Tuning.from_record(record))
    if needs_start:
        own = network.state_dict()
        state = {**{name: own[name] for name in list_frozen(network)}, **state}
    load_model_state(network, state, record.model_name)
    merge_low_ranks(network)
    return network, state


def _read_preprocessing(record: CheckpointRecord) -> Preprocessing:
    """Return what a network expects; how it decoded JPEGs was a flag in old files."""
    if not record.preprocessing:  # the original exercise used one and stored none
        return PUBLISHED
    was_full = {"full_decoding": record.flags.get("full_decoding", False)}
    return Preprocessing.from_untrusted({**was_full, **record.preprocessing})


def _name_network(
    record: CheckpointRecord, state: dict[str, Any], wanted: str | None
) -> str:
    """Return whose checkpoint it is; raise ValueError if another is expected."""
    name = record.model_name
    if not name:  # the original exercise stored none: the tensors' names tell
        name = guess_network(state) or wanted or DEFAULT_MODEL
    if wanted not in (None, name):
        raise ValueError(f"it is of {name}, not {wanted}")
    return name


def get_nof_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
