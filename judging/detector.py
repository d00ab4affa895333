"""A trained detector: its network, what it expects of a picture, what a score means."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from faces_dataset import FacesDataset, compute_fingerprint, list_names
from files.checkpoint import (
    ANY_NUMBER,
    DEFAULT_THRESHOLD,
    THRESHOLDS,
    CheckpointRecord,
    show,
)
from files.names import FAKE, NEITHER, REAL, name_detector, spell_for_files
from files.provenance import describe_file
from hardware import Compute, Precision, choose_precision, show_progress
from judging.guard import FEATURES, Guard
from judging.traits import measure_traits
from loading import BatchLoader, Preprocessing, find_preprocessing
from loading.batches import name_sample
from loading.disturbances import parse_condition
from metrics import compute_fake_scores, compute_logit_differences
from metrics.calibration import ScoreNeighbours, check_neighbours
from metrics.likelihood_ratios import LlrCalibration
from models import Layout
from scores import LOGIT_DIFFERENCE, ScoreSet
from trainer import Batches, compute_logits, evaluation_mode
from tuning.probe import Probe, pool_layers


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


@dataclass(frozen=True)
class Detector:
    """A trained network that is ready to judge.

    Attributes:
        network: from images (N, 3, S, S) to logits (N, 2), real first.
        preprocessing: what it expects of a picture; None: floats, already normalised.
        record: what its checkpoint says; the defaults where there is none.
        path: of the checkpoint; None where there is none.
        layer: whose activations class activation maps weigh.
        layout: how the network's layers arrange their activations.

    Raises:
        ValueError: the record's rows of like scores, zones or guard are not what they
            should be.
    """

    network: nn.Module = field(repr=False)
    preprocessing: Preprocessing | None = None
    record: CheckpointRecord = field(default_factory=CheckpointRecord)
    path: Path | None = None
    layer: str = "conv3"
    layout: Layout = field(default_factory=Layout)

    def __post_init__(self) -> None:
        check_neighbours(self.record.reliability)
        _ = self.guard
        conditions = () if self.guard is None else self.guard.conditions
        _check_findings(self.record, conditions)
        _ = self.of_tracks

    @cached_property
    def of_tracks(self) -> "Detector":
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
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def title(self) -> str:
        """What figures call it: its network's name, and its run's if it has one."""
        name = self.record.model_name or type(self.network).__name__
        return name_detector(name, self.record.flags)

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
        """Return P(fake) below which a picture is called real, and from which fake.

        Args:
            condition: under which calibration images are most like the picture.
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
        told = map(parse_condition, self.record.told_conditions)
        return min([side, *(condition.find_side(side) for condition in told)])

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

    def choose_compute(self) -> Compute:
        """Return how to run it where nobody said how: as suits its device."""
        return Compute(choose_precision("auto", self.device))

    def score(self, dataset: Dataset, compute: Compute | None = None) -> Scored:
        """Score every sample of a dataset, behind a progress bar.

        Args:
            dataset: samples as `loading.BatchLoader` takes them.
            compute: how; default as suits the device. Processes that share the work
                all get all scores.

        Raises:
            ValueError: a sample cannot be read, or gets no finite score; the message
                names it.
        """
        compute = compute or self.choose_compute()
        dealt = compute.deal(len(dataset))
        logits, labels = torch.empty(0, 2), torch.empty(0, dtype=torch.int64)
        if dealt or not len(dataset):  # else there are fewer batches than processes
            batches = BatchLoader(
                Subset(dataset, [number for batch in dealt for number in batch]),
                compute.batch_size,
                self.preprocessing,
                device=self.device,
                workers=compute.workers,
                alone=True,
            )
            batches = show_progress(batches, f"score with {self.title}")
            logits, labels = compute_logits(self.network, batches, compute.precision)
        logits, labels = (compute.collect(rows, dealt) for rows in (logits, labels))
        scored = self.calibrate(logits, labels)
        broken = np.flatnonzero(~np.isfinite(scored.logits).all(axis=1))
        if len(broken):
            raise ValueError(
                f"the network gives {len(broken)} of {len(scored.logits)} images no "
                f"finite score, the first is {name_sample(dataset, int(broken[0]))}: "
                "its weights are of no use"
            )
        return scored

    def score_samples(self, samples: Tensor, precision: Precision) -> Scored:
        """Score a batch of samples, uint8 (n, 3, S, S), whose labels nobody knows.

        Where the network gives no finite score, all scores are NaN.
        """
        images = self.preprocessing.normalise(samples.to(self.device))
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.zeros(len(samples), dtype=torch.int64)
        return self.score_batches([(images, labels)], precision)

    def examine(
        self, samples: Tensor, precision: Precision
    ) -> tuple[Scored, dict[str, np.ndarray]]:
        """Score a batch of samples, and measure of each what a guard compares.

        Args:
            samples: uint8 (n, 3, S, S).
            precision: arithmetic of the network.

        Returns:
            What `score_samples` does, to the last bit, and numbers by kind (n, F): the
            traits of the samples, and as features what a probe's head reads, else mean
            and deviation of the layer for class activation maps.
        """
        images = self.preprocessing.normalise(samples.to(self.device))
        images = images.contiguous(memory_format=torch.channels_last)
        network = self.network
        with evaluation_mode(network), torch.no_grad(), precision.autocast():
            if isinstance(network, Probe):
                features, logits = network.run(images)
            else:
                layers = [self.layer], self.layout
                features = torch.cat(pool_layers(network, *layers, images), dim=1)
                logits = network(images)
        labels = torch.zeros(len(samples), dtype=torch.int64)
        numbers = measure_traits(samples)
        numbers[FEATURES] = features.float().cpu().double().numpy()
        return self.calibrate(logits.float().cpu(), labels), numbers

    def score_batches(self, batches: Batches, precision: Precision) -> Scored:
        """Score batches of normalised images, float32 (n, 3, S, S), and labels (n,)."""
        logits, labels = compute_logits(self.network, batches, precision)
        return self.calibrate(logits, labels)

    def calibrate(self, logits: Tensor, labels: Tensor) -> Scored:
        """Turn logits (N, 2) into what they mean."""
        logits = logits.clone()
        logits[~logits.isfinite().all(dim=1)] = torch.nan
        temperature, bias = self.record.temperature, self.record.logit_bias
        differences = compute_logit_differences(logits)
        return Scored(
            logits=logits.numpy(),
            labels=labels.numpy(),
            real_scores=compute_fake_scores(logits.flip(1), temperature, -bias),
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


def as_detector(model: Detector | nn.Module) -> Detector:
    """Return a detector: of a network alone, one that is not calibrated."""
    if isinstance(model, Detector):
        return model
    return Detector(model, find_preprocessing(model))


def build_score_set(
    name: str,
    dataset: FacesDataset,
    detector: Detector,
    scored: Scored,
    *,
    split: str,
    groups: Sequence[str] | None = None,
    subsets: Sequence[str] | None = None,
) -> ScoreSet:
    """Put together what a detector from a checkpoint said of a split.

    Args:
        name: of the dataset.
        dataset: the split.
        detector: who scored it.
        scored: what it said.
        split: its name.
        groups, subsets: of its samples, as `ScoreSet` has them.
    """
    stored, none = "chosen on validation, in the checkpoint", "the checkpoint holds"
    has_threshold = detector.record.threshold is not None
    llr_source = f"logit difference over temperature: {none} no calibration"
    return ScoreSet(
        dataset=name,
        split=split,
        model=detector.title,
        scores=scored.differences,
        labels=scored.labels,
        fake_scores=scored.fake_scores,
        llrs=scored.llrs,
        llr_bounds=detector.llr_line.bounds,
        paths=list_names(dataset),
        groups=groups,
        subsets=subsets,
        threshold=detector.threshold,
        threshold_source=stored if has_threshold else f"default, {none} none",
        llr_source=stored if detector.has_llr_line else llr_source,
        score_name=LOGIT_DIFFERENCE,
        detector=detector.path.stem,
        provenance=_describe_source(name, dataset, detector),
        others=dataset.list_others(),
        flags=detector.record.flags,
    )


def _describe_source(
    name: str, dataset: FacesDataset, detector: Detector
) -> dict[str, Any]:
    return {
        "inputs": [detector.provenance],
        "trained_on": detector.record.dataset or None,
        "file_names_sha256": compute_fingerprint({name: dataset}),
    }
