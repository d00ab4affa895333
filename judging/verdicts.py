"""What detectors say of pictures: verdict, P(fake), likelihood ratio."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from faces_dataset import CLASS_NAMES, FAKE, REAL
from files.provenance import describe_file
from hardware import Precision
from judging.datasets import get_llr_calibration
from judging.pictures import Batch, Picture
from metrics import compute_fake_scores
from metrics.calibration import ScoreNeighbours, check_neighbours
from metrics.operating_point import compute_logit_differences
from trainer import compute_logits
from utils import load_checkpoint

# Of the tables, in their order.
COLUMNS = (
    *("path", "verdict", "fake_score", "threshold", "llr", "width", "height"),
    *("face_left", "face_top", "face_right", "face_bottom", "face_confidence"),
    *("sha256", "model", "checkpoint", "checkpoint_sha256", "warning", "error"),
)


@dataclass(frozen=True)
class Detector:
    """A trained model that is ready to judge.

    Attributes:
        model: as `utils.load_checkpoint` returns it.
        precision: arithmetic of the model; it says where the model is.
        sha256: of the checkpoint.
        neighbours: how many of its validation images with scores alike were fake; empty
            where the checkpoint does not say.
    """

    model: nn.Module
    precision: Precision
    sha256: str
    neighbours: tuple[ScoreNeighbours, ...] = ()

    @property
    def checkpoint_path(self) -> Path:
        """Where the model is from."""
        return self.model.checkpoint_path


def load_detector(path: str | Path, precision: Precision) -> Detector:
    """Load a checkpoint for judging pictures.

    Raises:
        FileNotFoundError, ValueError: as `utils.load_checkpoint`.
    """
    model = load_checkpoint(path, device=precision.device)
    try:
        neighbours = check_neighbours(model.details.get("reliability", []))
    except ValueError as error:
        raise ValueError(f"cannot use the checkpoint {path}: {error}") from error
    sha256 = describe_file(path)["sha256"]
    return Detector(model, precision, sha256, tuple(neighbours))


@dataclass(frozen=True)
class Verdict:
    """What a detector says of a picture.

    Attributes:
        picture: what is known of the file.
        detector: whose verdict it is.
        fake_score: P(fake); None where there is none.
        llr: logarithm of the likelihood ratio, fake over real; None likewise.
        error: why there is no verdict; None where there is one.
    """

    picture: Picture
    detector: Detector = field(repr=False)
    fake_score: float | None = None
    llr: float | None = None
    error: str | None = None

    @property
    def label(self) -> int:
        """The class that the picture is called, from the threshold on fake."""
        return FAKE if self.fake_score >= self.detector.model.threshold else REAL

    @property
    def name(self) -> str:
        """Return real or fake; with a question mark where a warning speaks against it.

        'none' where there is no verdict.
        """
        if self.fake_score is None:
            return "none"
        return CLASS_NAMES[self.label] + ("?" if self.picture.warning else "")

    def to_row(self) -> dict[str, Any]:
        """Return plain values by `COLUMNS`; None where there is nothing to say."""
        has_score = self.fake_score is not None
        model, face = self.detector.model, self.picture.face
        place = (*face.box, face.confidence) if face else (None,) * 5
        values = (
            str(self.picture.path),
            self.name if has_score else None,
            self.fake_score,
            model.threshold,
            self.llr,
            self.picture.width,
            self.picture.height,
            *place,
            self.picture.sha256,
            model.title,
            str(self.detector.checkpoint_path),
            self.detector.sha256,
            self.picture.warning,
            self.error,
        )
        return dict(zip(COLUMNS, values, strict=True))


@dataclass(frozen=True)
class Judged:
    """A picture with what each detector says of it.

    Attributes:
        picture: what is known of the file.
        sample: uint8 (3, 256, 256), as the detectors saw it; None where it cannot be
            read.
        verdicts: in the order of the detectors.
    """

    picture: Picture
    sample: Tensor | None
    verdicts: tuple[Verdict, ...]


def judge_batches(
    batches: Iterable[Batch], detectors: Sequence[Detector]
) -> Iterator[Judged]:
    """Judge pictures batch by batch, as a dataset's images are scored.

    Args:
        batches: as `judging.pictures.load_pictures` yields them.
        detectors: who judges.

    Yields:
        In order, each picture; where it cannot be read, or a model gives it no finite
        score, the verdicts say why.
    """
    for pictures, samples in batches:
        scored = [score_samples(samples, detector) for detector in detectors]
        place = 0
        for picture in pictures:
            if picture.error:
                verdicts = [Verdict(picture, d, error=picture.error) for d in detectors]
                yield Judged(picture, None, tuple(verdicts))
                continue
            verdicts = [
                _build_verdict(picture, detector, fake_scores[place], llrs[place])
                for detector, (fake_scores, llrs) in zip(detectors, scored, strict=True)
            ]
            yield Judged(picture, samples[place], tuple(verdicts))
            place += 1


def score_samples(samples: Tensor, detector: Detector) -> tuple[np.ndarray, np.ndarray]:
    """Score a batch with a detector.

    Args:
        samples: uint8 (n, 3, 256, 256).
        detector: who scores.

    Returns:
        P(fake) and log-likelihood ratios, float64 (n,); NaN where the model gives no
        finite score.
    """
    if not len(samples):
        return np.empty(0), np.empty(0)
    model, device = detector.model, detector.precision.device
    images = model.preprocessing.normalise(samples.to(device))
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(len(samples), dtype=torch.int64)  # nobody knows them
    logits, _ = compute_logits(model, [(images, labels)], detector.precision)
    logits[~logits.isfinite().all(dim=1)] = torch.nan
    calibration, _ = get_llr_calibration(model)
    return (
        compute_fake_scores(logits, model.temperature, model.logit_bias),
        calibration.compute_llrs(compute_logit_differences(logits)),
    )


def _build_verdict(
    picture: Picture, detector: Detector, fake_score: float, llr: float
) -> Verdict:
    if np.isfinite(fake_score) and np.isfinite(llr):
        return Verdict(picture, detector, float(fake_score), float(llr))
    error = f"the model gives {picture.path} no finite score"
    return Verdict(picture, detector, error=error)
