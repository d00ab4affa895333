"""What all detectors share: a record that says what their scores mean.

It needs NumPy alone. Who computes the scores is in `detector.py` (a network) and
`exported.py` (ONNX).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from files.classes import FAKE, NEITHER, REAL
from files.names import name_detector, show, spell_for_files
from files.provenance import describe_file
from judging.guarding.guard import Guard
from loading import Preprocessing
from loading.disturbances import parse_condition
from metrics import compute_fake_scores, compute_logit_differences
from metrics.meaning import LlrCalibration, ScoreNeighbours, check_neighbours
from records.checkpoint import (
    ANY_NUMBER,
    DEFAULT_THRESHOLD,
    THRESHOLDS,
    CheckpointRecord,
)

if TYPE_CHECKING:
    from hardware import Precision


@dataclass(frozen=True)
class Scored:
    """What a detector says of N samples; unpacks to real scores, fake scores, labels.

    Attributes:
        logits: float32 (N, 2), real first.
        labels: int64 (N,), as the samples' dataset has them.
        real_scores, fake_scores: float64 (N,), the softmax of the logits, calibrated;
            they sum to 1.
        differences: float64 (N,), fake's logit less real's: what samples are ranked by.
        llrs: float64 (N,), log-likelihood ratios, fake over real, natural logarithm.
    """

    logits: np.ndarray
    labels: np.ndarray
    real_scores: np.ndarray
    fake_scores: np.ndarray
    differences: np.ndarray
    llrs: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.real_scores, self.fake_scores, self.labels))


class BaseDetector:
    """A dataclass that scores pictures, with what a checkpoint says of these scores.

    Attributes:
        preprocessing: what it expects of a picture.
        record: what its checkpoint says.
        path: of its file; None where there is none.

    Raises:
        ValueError: the record's rows of like scores, zones or guard are not what they
            should be.
    """

    preprocessing: Preprocessing | None
    record: CheckpointRecord
    path: Path | None

    def score_samples(self, samples: np.ndarray, precision: "Precision") -> Scored:
        """Score a batch of samples, uint8 (n, S, S, 3), whose labels nobody knows.

        Where the network gives no finite score, all scores are NaN.
        """
        raise NotImplementedError

    def examine(
        self, samples: np.ndarray, precision: "Precision"
    ) -> tuple[Scored, dict[str, np.ndarray]]:
        """Score a batch of samples, and measure of each what a guard compares.

        Args:
            samples: uint8 (n, S, S, 3).

        Returns:
            What `score_samples` does, to the last bit, and numbers by kind (n, F): the
            traits of the samples, and as features what a probe's head reads, else mean
            and deviation of the layer for class activation maps.
        """
        raise NotImplementedError

    def describe_precision(self, precision: "Precision") -> str:
        """Say in which arithmetic, and where, its network runs."""
        return f"{precision.name} on {precision.device.type}"

    def __post_init__(self) -> None:
        conditions = self.guard.conditions if self.guard else ()
        _check_findings(self.record, conditions)
        _ = self.neighbours, self.of_tracks

    @cached_property
    def of_tracks(self) -> "BaseDetector":
        """The same for persons in videos: calibrated on groups, where validation had.

        Raises:
            ValueError: what the record says of it is not what it should be.
        """
        found = self.record.track_calibration
        if not found:
            return self
        entries = {**self.record.to_dict(), "zones": {}, **found}
        del entries["track_calibration"]
        return replace(self, record=CheckpointRecord.from_untrusted(entries))

    @property
    def title(self) -> str:
        """What figures call it: its network's name, and its run's if it has one."""
        return name_detector(self.network_name, self.record.flags)

    @property
    def network_name(self) -> str:
        """What its network is called."""
        return self.record.model_name

    @property
    def file_name(self) -> str:
        """Its title as the names of files have it."""
        return spell_for_files(self.title)

    @property
    def threshold(self) -> float:
        """The least P(fake) that is called fake."""
        threshold = self.record.threshold
        return DEFAULT_THRESHOLD if threshold is None else threshold

    @property
    def real_below(self) -> float:
        """The P(fake) below which a picture is called real: at most the threshold."""
        below = self.record.real_below
        return self.threshold if below is None else min(below, self.threshold)

    def find_zone(self, condition: str = "") -> tuple[float, float]:
        """Return P(fake) below which a picture is real, and at or above which fake.

        The condition is that under which calibration images are most like it.
        """
        zone = self.record.zones.get(condition)
        return tuple(zone) if zone else (self.real_below, self.threshold)

    def decide(self, fake_scores: np.ndarray) -> np.ndarray:
        """Return what P(fake) (n,) is called: real, fake or `NEITHER`, int (n,)."""
        return decide(fake_scores, *self.find_zone())

    @cached_property
    def guard(self) -> Guard | None:
        """What its calibration images were like; None where that is not known."""
        guard = self.record.guard
        return Guard.from_untrusted(guard) if guard else None

    @cached_property
    def least_side(self) -> float:
        """The shorter side of the smallest image that it was calibrated on, pixels."""
        side = self.guard.least_side
        conditions = map(parse_condition, self.record.told_conditions)
        return min([side, *(condition.find_side(side) for condition in conditions)])

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax."""
        return self.record.temperature

    @property
    def llr_line(self) -> LlrCalibration:
        """From logit differences to log-likelihood ratios."""
        if not self.has_llr_line:
            return LlrCalibration(1 / self.temperature, 0.0)
        names = "llr_slope", "llr_intercept", "llr_lower", "llr_upper"
        return LlrCalibration.restore(*(getattr(self.record, name) for name in names))

    @property
    def has_llr_line(self) -> bool:
        """Whether its ratios were calibrated on validation."""
        return None not in (self.record.llr_slope, self.record.llr_intercept)

    @cached_property
    def neighbours(self) -> list[ScoreNeighbours]:
        """How many validation images with like scores were fake; [] if not known."""
        return check_neighbours(self.record.reliability)

    @cached_property
    def provenance(self) -> dict[str, str]:
        """The checkpoint's path and SHA-256."""
        return describe_file(self.path)

    def calibrate(self, logits: np.ndarray, labels: np.ndarray) -> Scored:
        """Turn logits (N, 2) into what they mean."""
        logits = logits.copy()
        logits[~np.isfinite(logits).all(axis=1)] = np.nan
        temperature, bias = self.record.temperature, self.record.logit_bias
        differences = compute_logit_differences(logits)
        return Scored(
            logits=logits,
            labels=labels,
            real_scores=compute_fake_scores(logits[:, ::-1], temperature, -bias),
            fake_scores=compute_fake_scores(logits, temperature, bias),
            differences=differences,
            llrs=self.llr_line.compute_llrs(differences),
        )


def _check_findings(record: CheckpointRecord, conditions: Sequence[str]) -> None:
    """Raise ValueError unless what a record says of conditions makes sense."""
    named = (*record.errors, *record.zones, *record.kept_conditions, *conditions)
    for name in named:
        parse_condition(str(name))
    if any(type(n) is not str for n in (*named, *(record.stable_versions or ()))):
        raise ValueError("its conditions or versions are not all names")
    for row in record.errors.values():
        is_row = type(row) is list and [type(number) for number in row] == [int] * 4
        if not (is_row and 0 <= row[1] <= row[0] > 0 and 0 <= row[3] <= row[2] > 0):
            raise ValueError(f"its errors hold the row {show(row)}")
    for zone in record.zones.values():
        is_zone = type(zone) is list and len(zone) == 2
        is_zone = is_zone and all(end in THRESHOLDS for end in zone)
        if not (is_zone and zone[0] <= zone[1]):
            raise ValueError(f"its zones hold {show(zone)}")
    if any(value not in ANY_NUMBER for value in record.real_differences):
        raise ValueError("its real_differences hold something other than numbers")


def decide(fake_scores: np.ndarray, real_below: float, threshold: float) -> np.ndarray:
    """Return what P(fake) (n,) is called: real, fake or `NEITHER`, int (n,)."""
    decisions = np.where(fake_scores >= threshold, FAKE, NEITHER)
    return np.where(fake_scores < real_below, REAL, decisions)
