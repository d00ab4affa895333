"""Checkpoints and datasets in, score sets out: the step that runs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import utils
from analysis import ScoreSet
from faces_dataset import SPLITS, FacesDataset
from metrics import Leak, find_leaks, groups_from_names
from precision import choose_precision, prepare_device


@dataclass(frozen=True)
class ScoringOptions:
    """How images are read and scored."""

    data_root: Path
    split: str = "test"
    limit: int | None = None
    group_pattern: str | None = None
    batch_size: int = 32
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None


def compute_score_set(
    detector: utils.Detector, dataset_name: str, options: ScoringOptions
) -> ScoreSet:
    """Score one split of a dataset with a trained detector.

    Args:
        detector: as `utils.load_checkpoint` returns it.
        dataset_name: folder under `options.data_root`.
        options: how to read and score.

    Returns:
        The scores, with the threshold that the checkpoint holds.

    Raises:
        FileNotFoundError: there is no such dataset.
        ValueError: an image cannot be read, or the pattern finds no group in a name.
    """
    model = detector.model
    dataset = utils.load_dataset(
        dataset_name,
        options.split,
        data_root=options.data_root,
        size=model.preprocessing.size,
        limit=options.limit,
    )
    groups = groups_from_names(_list_names(dataset), options.group_pattern)
    device = next(model.parameters()).device
    _, fake_scores, labels = utils.get_soft_scores_and_true_labels(
        dataset,
        model,
        batch_size=options.batch_size,
        precision=choose_precision(options.precision, device),
        workers=options.workers,
    )
    is_stored = "threshold" in detector.details
    return ScoreSet(
        dataset=dataset_name,
        model=detector.name,
        fake_scores=fake_scores,
        labels=labels,
        paths=[str(dataset.get_path(index)) for index in range(len(dataset))],
        groups=groups,
        threshold=detector.threshold,
        threshold_source="chosen on validation, in the checkpoint"
        if is_stored
        else "default, the checkpoint holds none",
        detector=detector.path.stem,
    )


def compute_score_sets(
    pairs: Sequence[tuple[Path, Sequence[str]]],
    model_name: str | None,
    options: ScoringOptions,
) -> list[ScoreSet]:
    """Score datasets with checkpoints, each checkpoint loaded once.

    Args:
        pairs: a checkpoint's path and the names of the datasets that it scores.
        model_name: what each checkpoint has to be; None takes what it says.
        options: how to read and score.

    Returns:
        A score set for each checkpoint and dataset, in that order.

    Raises:
        OSError, ValueError: as `utils.load_checkpoint` and `compute_score_set`.
    """
    device = prepare_device(options.device)
    score_sets = []
    for path, dataset_names in pairs:
        detector = utils.load_checkpoint(path, model_name, device)
        score_sets += [
            compute_score_set(detector, name, options) for name in dataset_names
        ]
    return score_sets


def find_dataset_leaks(dataset_name: str, options: ScoringOptions) -> list[Leak]:
    """Find groups that the splits of a dataset share, by the names of all files."""
    folder = options.data_root / dataset_name
    datasets = {
        split: FacesDataset(folder / split)
        for split in SPLITS
        if (folder / split).is_dir()
    }
    return find_leaks(
        {
            split: groups_from_names(_list_names(dataset), options.group_pattern) or []
            for split, dataset in datasets.items()
        }
    )


def describe_leaks(dataset_name: str, options: ScoringOptions) -> str:
    """Say which groups the splits of a dataset share, in a line for each pair."""
    leaks = find_dataset_leaks(dataset_name, options)
    if not leaks:
        return f"{dataset_name}: no group is in more than one split"
    return "\n".join(
        f"{dataset_name}: LEAK, {len(leak.groups)} groups are in both {leak.split_a} "
        f"and {leak.split_b}: {', '.join(leak.groups[:5])}"
        f"{', ...' if len(leak.groups) > 5 else ''}"
        for leak in leaks
    )


def _list_names(dataset: FacesDataset) -> list[str]:
    return [*dataset.real_image_names, *dataset.fake_image_names]
