"""From names to objects: datasets, models, checkpoints, optimizers and losses."""

import math
import random
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from faces_dataset import FacesDataset, ResizeToTensor
from files.names import MODEL_NAMES, OPTIMIZER_NAMES, SPLITS, name_detector
from files.run_files import check_entries
from files.tensors import load_model_state, load_tensors
from loading import PUBLISHED, Preprocessing, check_images, describe_bad_images
from models import build_model

DEFAULT_THRESHOLD = 0.5
MOST_WARMUP_STEPS = 100


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
    full_decoding: bool = False,
) -> FacesDataset:
    """Open one split of a dataset, its images as uint8 tensors (3, 256, 256).

    What a model expects of them is its `preprocessing`, which normalises a batch;
    `BatchLoader` and `Trainer` do it by themselves.

    Args:
        name: the dataset's folder under `data_root`.
        split: train, val or test.
        data_root: folder that holds the datasets.
        limit: use only the first `limit` images of each class.
        real_only: as `FacesDataset` takes it.
        full_decoding: as `ResizeToTensor` takes it.

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
    transform = ResizeToTensor(full_decoding=full_decoding)
    return FacesDataset(folder / split, transform, limit=limit, real_only=real_only)


def list_datasets(data_root: str | Path) -> list[str]:
    """List the folders under `data_root` that hold the splits of a dataset."""
    if not Path(data_root).is_dir():
        return []
    folders = sorted(Path(data_root).iterdir())
    return [f.name for f in folders if any((f / split).is_dir() for split in SPLITS)]


def open_splits(
    name: str,
    *,
    data_root: str | Path,
    limit: int | None = None,
    without_fakes: Collection[str] = (),
    full_decoding: bool = False,
    check: str = "auto",
    skip_bad_images: bool = False,
) -> tuple[dict[str, FacesDataset], dict[str, list[str]]]:
    """Open all splits of a dataset, unreadable images refused or left out.

    Args:
        name: the dataset's folder under `data_root`.
        data_root: folder that holds the datasets.
        limit: use only the first `limit` images of each class and split; those that
            are left out are not replaced by others.
        without_fakes: splits of which only the real images are read.
        full_decoding: as `ResizeToTensor` takes it.
        check: how to look for unreadable images, as `loading.check_images` takes it.
        skip_bad_images: leave them out instead of refusing the dataset.

    Returns:
        The datasets by split, and for each split with images left out their names.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a class is empty, or images cannot be read.
    """
    datasets = {
        split: load_dataset(
            name,
            split,
            data_root=data_root,
            limit=limit,
            real_only=split in without_fakes,
            full_decoding=full_decoding,
        )
        for split in SPLITS
    }
    bad = check_images(datasets, check)
    if bad and not skip_bad_images:
        raise ValueError(
            f"{describe_bad_images(bad)}; mend or remove them, or leave them out with "
            "--skip-bad-images"
        )
    for split, images in bad.items():
        datasets[split] = datasets[split].drop([image.index for image in images])
    return datasets, {
        split: [f"{image.path.parent.name}/{image.path.name}" for image in images]
        for split, images in bad.items()
    }


def load_model(
    name: str,
    device: torch.device | str = "cpu",
    *,
    weights_path: str | Path | None = None,
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
    path: str | Path, model_name: str | None = None, device: torch.device | str = "cpu"
) -> nn.Module:
    """Load a trained detector, with all that is needed to judge an image.

    Args:
        path: a file that train_main.py wrote, or the original exercise (a dict with
            `model`, `val_acc`, `test_acc`, `epoch`).
        model_name: what the model is expected to be; None takes what the file says.
        device: where the model goes.

    Returns:
        The model in evaluation mode, with `name`, `preprocessing` and `title` (its
        name, and its run's if it has one); `threshold`, the
        P(fake) from which on the verdict is 'fake'; `temperature`, what the logits are
        divided by before the softmax; `logit_bias`, what is then added to fake's;
        `checkpoint_path`; and `details`, the file's other entries (`val_acc`, `epoch`,
        `flags`, ...).

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
    if isinstance(content, dict) and isinstance(content.get("trainer"), dict):
        best = path.with_name(path.name.replace("_last", ""))
        raise ValueError(
            f"{path} is the snapshot that train_main.py --resume goes on from; the "
            f"checkpoint, the model of the best epoch, is {best}"
        )
    if not isinstance(state, dict):
        raise ValueError(f"{path} is no checkpoint: it has no entry 'model'")
    try:
        check_entries(content)
        model = build_model(_get_model_name(content, model_name), from_scratch=True)
        load_model_state(model, state)
        if "preprocessing" in content:
            model.preprocessing = Preprocessing.from_dict(content["preprocessing"])
        else:  # the original exercise used one for both models, and stored none
            model.preprocessing = PUBLISHED
        model.temperature = float(content.get("temperature", 1))
        model.logit_bias = float(content.get("logit_bias", 0))
        model.threshold = float(content.get("threshold", DEFAULT_THRESHOLD))
        if model.temperature <= 0:
            raise ValueError(f"its temperature is {model.temperature}")
    except ValueError as error:
        raise ValueError(f"cannot use the checkpoint {path}: {error}") from error
    model.title = name_detector(model.name, content.get("flags"))
    model.checkpoint_path = path
    model.details = {key: value for key, value in content.items() if key != "model"}
    return model.eval().to(device, memory_format=torch.channels_last)


def refuse_broken_scores(logits: Tensor, get_name: Callable[[int], object]) -> None:
    """Raise ValueError that names the first image whose logits are not finite.

    Finite weights can be large enough for that.

    Args:
        logits: (N, 2).
        get_name: from 0 ... N - 1 to what the image is called.
    """
    broken = (~logits.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if broken:
        raise ValueError(
            f"the model gives {len(broken)} of {len(logits)} images no finite score, "
            f"the first is {get_name(broken[0])}: its weights are of no use"
        )


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
) -> torch.optim.Optimizer:
    """Build Adam or SGD over a model's trainable parameters.

    The fused implementations update all parameters in one pass over the memory.

    Args:
        name: Adam or SGD.
        model: already on its device.
        lr: learning rate.
        momentum: of SGD; Adam's first-moment decay stays 0.9.
        weight_decay: L2 penalty.

    Raises:
        ValueError: no optimizer is called so.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    shared: dict[str, Any] = {
        "lr": lr,
        "weight_decay": weight_decay,
        "fused": parameters[0].device.type in ("cpu", "cuda"),
    }
    if name == "Adam":
        return torch.optim.Adam(parameters, **shared)
    if name == "SGD":
        return torch.optim.SGD(parameters, momentum=momentum, **shared)
    allowed = ", ".join(OPTIMIZER_NAMES)
    raise ValueError(f"unknown optimizer {name!r}; allowed: {allowed}")


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
        num_warmup_steps: in which the rate first grows from near zero.

    Raises:
        ValueError: no schedule is called so.

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


def choose_warmup(steps_an_epoch: int) -> int:
    """Return in how many steps the learning rate grows where nobody said it.

    Full steps from the first one on often leave SimpleNet's last convolution dead on
    small sets, in a plain loop as well (docs/results.md). An epoch of growing ones, at
    most 100, keeps it alive; a large set hardly notices.
    """
    return min(MOST_WARMUP_STEPS, steps_an_epoch)


def build_criterion(class_weights: str, labels: np.ndarray) -> nn.Module:
    """Build the cross-entropy loss.

    Args:
        class_weights: none, or balanced: each class weighs the same in sum.
        labels: of the training split, int64 (N,).

    Returns:
        A module from logits (N, 2) and labels (N,) to the (weighted) mean loss.
    """
    if class_weights == "none":
        return nn.CrossEntropyLoss()
    counts = np.bincount(labels, minlength=2)
    weights = torch.from_numpy(len(labels) / (len(counts) * counts))
    return nn.CrossEntropyLoss(weights.float())


def _get_model_name(content: dict[str, Any], wanted: str | None) -> str:
    """Return which model a checkpoint is of, or refuse it (ValueError)."""
    name = content.get("model_name")
    if name is None:  # the original exercise: told by the names of its tensors
        is_simple = any("fc3." in str(key) for key in content["model"])
        name = MODEL_NAMES[0] if is_simple else MODEL_NAMES[1]
    if name not in MODEL_NAMES:
        raise ValueError(f"its model is {name!r:.60}, none of {', '.join(MODEL_NAMES)}")
    if wanted not in (None, name):
        raise ValueError(f"it is of {name}, not {wanted}")
    return name
