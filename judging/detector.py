"""A trained detector: its network, what it expects of a picture, what a score means."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from faces_dataset import FacesDataset, compute_fingerprint, list_names
from hardware import Compute, Precision, choose_precision, show_progress
from judging.base import BaseDetector, Scored
from judging.guarding.guard import FEATURES
from judging.guarding.traits import measure_traits
from loading import BatchLoader, Preprocessing, find_preprocessing
from loading.batches import name_sample
from models import Layout
from records.checkpoint import CheckpointRecord
from scores.score_sets import LOGIT_DIFFERENCE, STORED, ScoreSet
from trainer import Batches, compute_logits, evaluation_mode
from tuning.probe import Probe, pool_layers


@dataclass(frozen=True)
class Detector(BaseDetector):
    """A trained network that is ready to judge.

    Attributes:
        network: from images (N, 3, S, S) to logits (N, 2), real first.
        preprocessing: what it expects of a picture; None: floats, already normalised.
        record: what its checkpoint says; the defaults where there is none.
        layer: whose activations class activation maps weigh.
        layout: how the network's layers arrange their activations.

    Raises:
        ValueError: as `BaseDetector`.
    """

    network: nn.Module = field(repr=False)
    preprocessing: Preprocessing | None = None
    record: CheckpointRecord = field(default_factory=CheckpointRecord)
    path: Path | None = None
    layer: str = "conv3"
    layout: Layout = field(default_factory=Layout)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def network_name(self) -> str:
        """What its network is called."""
        return self.record.model_name or type(self.network).__name__

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
        compute = compute or Compute(choose_precision("auto", self.device))
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
        scored = self.calibrate(logits.numpy(), labels.numpy())
        broken = np.flatnonzero(~np.isfinite(scored.logits).all(axis=1))
        if len(broken):
            raise ValueError(
                f"the network gives {len(broken)} of {len(scored.logits)} images no "
                f"finite score, the first is {name_sample(dataset, int(broken[0]))}: "
                "its weights are of no use"
            )
        return scored

    def score_samples(self, samples: np.ndarray, precision: Precision) -> Scored:
        """Score a batch of samples, as `BaseDetector.score_samples` says."""
        labels = torch.zeros(len(samples), dtype=torch.int64)
        return self.score_batches([(self._take(samples), labels)], precision)

    def examine(
        self, samples: np.ndarray, precision: Precision
    ) -> tuple[Scored, dict[str, np.ndarray]]:
        """Score a batch of samples and measure it, as `BaseDetector.examine` says."""
        images, network = self._take(samples), self.network
        with evaluation_mode(network), torch.no_grad(), precision.autocast():
            if isinstance(network, Probe):
                features, logits = network.run(images)
            else:
                layers = [self.layer], self.layout
                features = torch.cat(pool_layers(network, *layers, images), dim=1)
                logits = network(images)
        numbers = measure_traits(samples)
        numbers[FEATURES] = features.float().cpu().double().numpy()
        labels = np.zeros(len(samples), dtype=np.int64)
        return self.calibrate(logits.float().cpu().numpy(), labels), numbers

    def _take(self, samples: np.ndarray) -> Tensor:
        """Return samples as the network's images, float32 (n, 3, S, S)."""
        images = torch.from_numpy(samples).permute(0, 3, 1, 2)
        images = self.preprocessing.normalise(images.to(self.device))
        return images.contiguous(memory_format=torch.channels_last)

    def score_batches(self, batches: Batches, precision: Precision) -> Scored:
        """Score batches of normalised images, float32 (n, 3, S, S), and labels (n,)."""
        logits, labels = compute_logits(self.network, batches, precision)
        return self.calibrate(logits.numpy(), labels.numpy())


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
    """Put together what a detector from a checkpoint said of a split."""
    none = "the checkpoint holds"
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
        threshold_source=STORED if has_threshold else f"default, {none} none",
        llr_source=STORED if detector.has_llr_line else llr_source,
        score_name=LOGIT_DIFFERENCE,
        detector=detector.path.stem,
        provenance={
            "inputs": [detector.provenance],
            "trained_on": detector.record.dataset or None,
            "file_names_sha256": compute_fingerprint({name: dataset}),
        },
        others=dataset.list_others(),
        flags=detector.record.flags,
    )
