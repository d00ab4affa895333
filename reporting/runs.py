"""From a checkpoint to all that a report says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from faces_dataset import FacesDataset, compute_fingerprint, count_classes
from files.history import load_history
from files.names import CLASS_NAMES, SPLITS, list_history_paths
from hardware import Precision, show_progress
from judging.datasets import score_dataset
from reporting.maps import Maps, explain_detector
from scores import tell_apart
from scores.analysis import Analysis, analyse
from utils import load_checkpoint, load_dataset

NUM_SAMPLES = 6  # training images of each class that a page shows


@dataclass(frozen=True)
class Settings:
    """What a report is of, and how it is computed.

    Attributes:
        dataset: what is judged; None: each checkpoint's own.
        data_root: folder that holds the datasets.
        split: val or test.
        limit: only the first images of each class.
        history_path: the run's history; None: looked for beside the checkpoint.
        batch_size, workers: of the scoring.
        full_decoding: of large JPEGs, as `ResizeToTensor` takes it.
        seed: of the bootstrap, and of the training images that are shown.
        num_resamples: of the bootstrap.
    """

    dataset: str | None = None
    data_root: Path = Path("datasets")
    split: str = "test"
    limit: int | None = None
    history_path: Path | None = None
    batch_size: int = 32
    workers: int | None = None
    full_decoding: bool = False
    seed: int = 0
    num_resamples: int = 1000


class History(NamedTuple):
    """A run's record in a history file.

    Attributes:
        run: the record; None where there is none.
        path: the file.
        note: where it was looked for, or why it is of no use.
    """

    run: Mapping[str, Any] | None
    path: Path | None
    note: str


@dataclass(frozen=True)
class Training:
    """What a detector was trained on.

    Attributes:
        dataset: its name, '' where nobody recorded it.
        counts: split -> class -> images.
        note: where the counts are from, and whether the files are still those.
        samples: class -> some random images of the training split, and how many there
            are.
        history: of the run.
    """

    dataset: str
    counts: Mapping[str, Mapping[str, int]]
    note: str
    samples: Mapping[str, tuple[list[Path], int]]
    history: History


@dataclass(frozen=True)
class Run:
    """A trained detector, judged.

    Attributes:
        model: as `utils.load_checkpoint` returns it.
        analysis: the numbers.
        training: what it was trained on.
        maps: its mistakes, and where it looks.
    """

    model: nn.Module
    analysis: Analysis
    training: Training
    maps: Maps


def collect_runs(
    checkpoint_paths: Sequence[Path], settings: Settings, precision: Precision
) -> list[Run]:
    """Judge and explain detectors.

    Args:
        checkpoint_paths: one, or several to compare.
        settings: as below.
        precision: arithmetic of the scores; it says where the models are.

    Raises:
        ValueError, OSError: a file is missing or of no use; a checkpoint does not say
            what it was trained on, and no dataset is named; the history that is asked
            for does not hold the run.
    """
    models = [
        load_checkpoint(path, device=precision.device) for path in checkpoint_paths
    ]
    names = [settings.dataset or _get_dataset(model) for model in models]
    datasets = {
        name: load_dataset(
            name,
            settings.split,
            data_root=settings.data_root,
            limit=settings.limit,
            full_decoding=settings.full_decoding,
        )
        for name in dict.fromkeys(names)
    }
    trainings = [describe_training(model, settings) for model in models]
    options = {"batch_size": settings.batch_size, "workers": settings.workers}
    score_sets = tell_apart(
        [
            score_dataset(
                name,
                datasets[name],
                model,
                split=settings.split,
                precision=precision,
                **options,
            )
            for name, model in zip(names, models, strict=True)
        ]
    )
    runs = []
    for index, scores in enumerate(show_progress(score_sets, "report")):
        maps = explain_detector(
            scores,
            datasets[names[index]],
            models[index],
            precision=precision,
            num_mistakes=6 if len(models) == 1 else 3,
            workers=settings.workers,
        )
        analysis = analyse(
            scores, num_resamples=settings.num_resamples, seed=settings.seed
        )
        runs.append(Run(models[index], analysis, trainings[index], maps))
    return runs


def _get_dataset(model: nn.Module) -> str:
    """Return the name of the dataset that a checkpoint says it was trained on."""
    name = model.details.get("dataset", "")
    if not name or name != Path(name).name:  # from a stranger: no path
        raise ValueError(
            f"{model.checkpoint_path} does not say what it was trained on: name the "
            "dataset to judge with -d"
        )
    return name


def describe_training(model: nn.Module, settings: Settings) -> Training:
    """Find out what a detector was trained on, from its files and the data folder.

    Raises:
        ValueError, OSError: as for `find_history`.
    """
    history = find_history(model, settings.history_path)
    name = model.details.get("dataset", "")
    splits = _open_splits(name, model, settings.data_root)
    recorded = history.run and history.run.get("data")
    if _are_counts(recorded):
        counts, note = recorded, "The counts are those recorded by the training."
    else:
        counts = {split: count_classes(data) for split, data in splits.items()}
        note = "The counts are those of the data folder as it is now."
    if not counts:
        note = "Nothing recorded how many images there were."
    note = f"{note} {_compare_names(model, splits, history)}".strip()
    samples = {}
    if "train" in splits:
        samples = _choose_samples(splits["train"], settings.seed)
    return Training(name, counts, note, samples, history)


def find_history(model: nn.Module, given: Path | None) -> History:
    """Find the record of a detector's run, by the run's number.

    Args:
        model: as `utils.load_checkpoint` returns it.
        given: the history file; None looks for it beside the checkpoint.

    Raises:
        ValueError, OSError: the file that was given is no history, or does not hold
            the run.
    """
    if given is not None:
        return _search(given, model)
    found = [
        path for path in list_history_paths(model.checkpoint_path) if path.is_file()
    ]
    if not found:
        wanted = list_history_paths(model.checkpoint_path)[0]
        return History(None, None, f"there is no history {wanted}")
    try:
        return _search(found[0], model)
    except (ValueError, OSError) as error:
        return History(None, found[0], str(error))


def _search(path: Path, model: nn.Module) -> History:
    """Return a model's run in a history; without a number it is the newest."""
    runs = load_history(path)
    number = model.details.get("run_id")
    if number is not None:
        runs = [run for run in runs if run.get("run_id") == number]
    if not runs or not runs[-1]["train_loss"]:
        raise ValueError(
            f"the history {path} holds no finished epoch of the run that wrote "
            f"{model.checkpoint_path}"
        )
    return History(runs[-1], path, "")


def _open_splits(
    name: str, model: nn.Module, data_root: Path
) -> dict[str, FacesDataset]:
    """Open what a detector was trained on, as it was; {} where that is not there."""
    if not name or name != Path(name).name:
        return {}
    flags = model.details.get("flags", {})
    limit = flags.get("limit")
    try:
        return {
            split: load_dataset(
                name,
                split,
                data_root=data_root,
                limit=limit if type(limit) is int and limit > 0 else None,
                real_only=flags.get("self_blend") == 1 and split != "test",
            )
            for split in SPLITS
        }
    except (ValueError, OSError):
        return {}


def _are_counts(value: Any) -> bool:
    """Say whether a history's counts are usable: it may be anybody's file."""
    return isinstance(value, Mapping) and all(
        split in SPLITS
        and isinstance(counts, Mapping)
        and all(type(counts.get(name)) is int for name in CLASS_NAMES)
        for split, counts in value.items()
    )


def _compare_names(
    model: nn.Module, splits: Mapping[str, FacesDataset], history: History
) -> str:
    """Say whether the files in the data folder are called as those of the training."""
    expected = model.details.get("data_fingerprint")
    if not splits or not expected or (history.run or {}).get("skipped_images"):
        return ""
    if compute_fingerprint(splits) == expected:
        return "The file names of all splits are those of the training."
    return (
        "The file names in the data folder are not those of the training: files were "
        "added, removed or left out since."
    )


def _choose_samples(
    dataset: FacesDataset, seed: int
) -> dict[str, tuple[list[Path], int]]:
    """Choose random images of each class, from which fakes may be yet to be made."""
    generator, chosen = np.random.default_rng(seed), {}
    for label, name in enumerate(CLASS_NAMES):
        indices = np.flatnonzero(dataset.get_labels() == label)
        size = min(NUM_SAMPLES, len(indices))
        picked = np.sort(generator.choice(indices, size, replace=False))
        paths = [dataset.get_path(index) for index in picked.tolist()]
        chosen[name] = paths, len(indices)
    return chosen
