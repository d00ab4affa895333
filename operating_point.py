"""Choose a checkpoint's threshold and temperature on validation data; store them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration import choose_threshold, compute_fake_scores, fit_temperature
from faces_dataset import FacesDataset
from precision import Precision
from tensor_files import load_tensors, save_tensors
from utils import compute_logits, load_checkpoint


@dataclass(frozen=True)
class OperatingPoint:
    """What was chosen on the validation split.

    Attributes:
        temperature: divides the logits, so that the scores are calibrated.
        threshold: P(fake) after that, from which on the verdict is 'fake'.
        policy: how the threshold was chosen.
        fake_share: the share of images whose larger logit says 'fake'.
        num_samples: how many images were scored.
    """

    temperature: float
    threshold: float
    policy: str
    fake_share: float
    num_samples: int


def store_operating_point(
    checkpoint_path: Path,
    dataset: FacesDataset,
    *,
    policy: str = "eer",
    precision: Precision,
    device: object,
    workers: int = 0,
) -> OperatingPoint:
    """Choose temperature and threshold for a checkpoint and write them into it.

    Args:
        checkpoint_path: the file to complete; replaced atomically.
        dataset: the validation split; never the test split.
        policy: as `calibration.choose_threshold` takes it.
        precision: arithmetic of the forward pass.
        device: where the model runs.
        workers: processes that read images.

    Raises:
        ValueError: the policy is none.
    """
    model = load_checkpoint(checkpoint_path, device=device).model
    logits, labels = compute_logits(
        dataset, model, precision=precision, workers=workers
    )
    temperature = fit_temperature(logits, labels)
    fake_scores = compute_fake_scores(logits, temperature)
    point = OperatingPoint(
        temperature=temperature,
        threshold=choose_threshold(fake_scores, labels, policy),
        policy=policy,
        fake_share=float(np.mean(logits[:, 1] > logits[:, 0])),
        num_samples=len(labels),
    )
    content = load_tensors(checkpoint_path)
    content["temperature"] = point.temperature
    content["threshold"] = point.threshold
    content["threshold_policy"] = f"{policy} on {point.num_samples} validation images"
    save_tensors(content, checkpoint_path)
    return point
