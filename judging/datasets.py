"""From a detector and a dataset to what it says of each image."""

from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from faces_dataset import FacesDataset, compute_fingerprint
from files.provenance import describe_file
from hardware import Precision, choose_precision, show_progress
from loading import BatchLoader
from metrics import compute_fake_scores
from metrics.likelihood_ratios import LlrCalibration
from metrics.operating_point import compute_logit_differences
from scores import LOGIT_DIFFERENCE, ScoreSet, groups_from_names, subsets_from_names
from trainer import compute_logits
from utils import refuse_broken_scores


def compute_dataset_logits(
    dataset: Dataset,
    model: nn.Module,
    *,
    batch_size: int = 32,
    precision: Precision | None = None,
    workers: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Score every image of a dataset, behind a progress bar.

    Args:
        dataset: samples as `loading.BatchLoader` takes them.
        model: from images to logits (B, 2), on any device.
        batch_size: images in a batch.
        precision: arithmetic of the forward pass; default as suits the device.
        workers: processes that read images; default as suits the device.

    Returns:
        Logits float32 (N, 2) and labels int64 (N,), in the dataset's order.

    Raises:
        ValueError: a score is not finite; the message names the image.
    """
    precision = precision or choose_precision("auto", next(model.parameters()).device)
    batches = BatchLoader(
        dataset,
        batch_size,
        getattr(model, "preprocessing", None),
        device=precision.device,
        workers=workers,
    )
    batches = show_progress(batches, "score")
    logits, labels = compute_logits(model, batches, precision)
    refuse_broken_scores(logits, getattr(dataset, "get_path", "image {}".format))
    return logits, labels


def score_dataset(
    name: str,
    dataset: FacesDataset,
    model: nn.Module,
    *,
    split: str,
    group_pattern: str | None = None,
    subset_pattern: str | None = None,
    **options: Any,
) -> ScoreSet:
    """Score one split with a detector.

    Args:
        name: of the dataset.
        dataset: the split.
        model: as `utils.load_checkpoint` returns it.
        split: its name.
        group_pattern, subset_pattern: as for `scores.groups_from_names` and
            `scores.subsets_from_names`.
        options: as for `compute_dataset_logits`.
    """
    paths = list_paths(dataset)
    groups = groups_from_names(paths, group_pattern)
    subsets = subsets_from_names(paths, dataset.get_labels(), subset_pattern)
    logits, labels = compute_dataset_logits(dataset, model, **options)
    differences = compute_logit_differences(logits)
    calibration, llr_source = get_llr_calibration(model)
    source = "default, the checkpoint holds none"
    if "threshold" in model.details:
        source = "chosen on validation, in the checkpoint"
    return ScoreSet(
        dataset=name,
        split=split,
        model=model.title,
        scores=differences,
        labels=labels.numpy(),
        fake_scores=compute_fake_scores(logits, model.temperature, model.logit_bias),
        llrs=calibration.compute_llrs(differences),
        paths=paths,
        groups=groups,
        subsets=subsets,
        threshold=model.threshold,
        threshold_source=source,
        llr_source=llr_source,
        score_name=LOGIT_DIFFERENCE,
        detector=model.checkpoint_path.stem,
        provenance={
            "inputs": [describe_file(model.checkpoint_path)],
            "trained_on": model.details.get("dataset"),
            "file_names_sha256": compute_fingerprint({name: dataset}),
        },
    )


def get_llr_calibration(model: nn.Module) -> tuple[LlrCalibration, str]:
    """Return a checkpoint's calibration of likelihood ratios and where it is from."""
    stored = [model.details.get(f"llr_{name}") for name in LlrCalibration._fields]
    if None not in stored:
        return LlrCalibration(*stored), "chosen on validation, in the checkpoint"
    return (
        LlrCalibration(1 / model.temperature, 0.0),
        "logit difference over temperature: the checkpoint holds no calibration",
    )


def list_paths(dataset: FacesDataset) -> list[str]:
    """Return the paths of a dataset's images, in order."""
    return [str(dataset.get_path(index)) for index in range(len(dataset))]
