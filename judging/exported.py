"""A detector that export.py wrote, judged by ONNX Runtime: without PyTorch.

One file holds the network, with its preprocessing, and what the checkpoint said.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from judging.base import BaseDetector, Scored
from judging.guarding.guard import FEATURES
from judging.guarding.traits import measure_traits
from loading import Preprocessing
from records.checkpoint import CheckpointRecord

try:  # an extra, for exported detectors
    import onnxruntime
except ImportError:
    onnxruntime = None

ENTRY = "detector"  # of the file's metadata, that holds what a caller must know
PIXELS = "pixels"
DIFFERENCE, FAKE_SCORE = "logit_difference", "fake_score"
OUTPUTS = (FAKE_SCORE, DIFFERENCE, FEATURES)
_ERRORS_ALONE = 3  # of ONNX Runtime's levels


class _Cpu(NamedTuple):
    """Stands for PyTorch's device."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


@dataclass(frozen=True)
class RuntimeCompute:
    """How ONNX Runtime runs detectors: as a `Compute` on the CPU, in float32."""

    batch_size: int = 32
    workers: ClassVar[int] = 0
    device: ClassVar[_Cpu] = _Cpu()
    precision: ClassVar[SimpleNamespace] = SimpleNamespace(name="fp32")


def prepare_runtime(
    device: str, precision: str, batch_size: int, workers: int | None
) -> RuntimeCompute:
    """Return how exported detectors run, if that is what the flags ask for.

    Raises:
        ValueError: they ask for what only PyTorch does.
    """
    asked = {"--device": device, "--precision": precision, "--workers": workers}
    allowed = ("auto", "cpu", "fp32", None, 0)
    for flag, value in asked.items():
        if value not in allowed:
            raise ValueError(
                f"{flag} {value} is for checkpoints: an exported detector runs on the "
                "CPU, in fp32, and reads pictures itself; leave it out"
            )
    return RuntimeCompute(batch_size)


@dataclass(frozen=True)
class ExportedDetector(BaseDetector):
    """A detector in ONNX.

    Attributes:
        session: ONNX Runtime's; from pixels uint8 (n, S, S, 3) to `OUTPUTS`.

    Raises:
        ValueError: as `BaseDetector`.
    """

    session: Any = field(repr=False)
    preprocessing: Preprocessing
    record: CheckpointRecord
    path: Path | None = None

    def score_samples(self, samples: np.ndarray, precision: object = None) -> Scored:
        """Score a batch of samples, as `BaseDetector.score_samples` says."""
        return self._score(*self._run(samples, DIFFERENCE))

    def describe_precision(self, precision: object = None) -> str:
        """Say by what it runs, whatever a checkpoint's precision is."""
        return "onnxruntime"

    def compute_fake_scores(self, samples: np.ndarray) -> np.ndarray:
        """Return P(fake) (n,) as the graph itself calibrates it, for other programs."""
        return self._run(samples, FAKE_SCORE)[0]

    def examine(
        self, samples: np.ndarray, precision: object = None
    ) -> tuple[Scored, dict[str, np.ndarray]]:
        """Score a batch of samples and measure it, as `BaseDetector.examine` says."""
        differences, features = self._run(samples, DIFFERENCE, FEATURES)
        numbers = measure_traits(samples)
        numbers[FEATURES] = features.astype(np.float64)
        return self._score(differences), numbers

    def _score(self, differences: np.ndarray) -> Scored:
        logits = np.stack([np.zeros_like(differences), differences], axis=1)
        return self.calibrate(logits, np.zeros(len(logits), dtype=np.int64))

    def _run(self, samples: np.ndarray, *names: str) -> list[np.ndarray]:
        try:
            outputs = self.session.run(names, {PIXELS: samples})
        except Exception as error:  # ONNX Runtime's have no base of their own
            raise ValueError(f"{self.path} cannot be run: {error}") from error
        if any(len(output) != len(samples) for output in outputs):
            raise ValueError(f"{self.path} does not give one answer for each picture")
        return outputs


def load_exported(path: Path) -> ExportedDetector:
    """Load a detector that export.py wrote. Nothing in the file is trusted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a detector, or is damaged; or ONNX Runtime is not
            installed.
    """
    if onnxruntime is None:
        raise ValueError(
            f"{path} needs ONNX Runtime, which is not installed: pip "
            "install -r requirements-onnx.txt"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; export.py writes one")
    onnxruntime.set_default_logger_severity(_ERRORS_ALONE)
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        description = session.get_modelmeta().custom_metadata_map.get(ENTRY, "")
    except Exception as error:  # ONNX Runtime's have no base of their own
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"cannot read {path}; it is damaged, no detector in ONNX, or not for this "
            f"ONNX Runtime: {reason}"
        ) from error
    try:
        detector = build_exported(session, description, path)
        _check_graph(session, detector)
        return detector
    except ValueError as error:
        raise ValueError(f"cannot use the detector {path}: {error}") from error


def build_exported(session: Any, description: str, path: Path) -> ExportedDetector:
    """Put a detector together with what its file says of itself.

    Raises ValueError if that is not what export.py writes.
    """
    try:
        record = json.loads(description)["record"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("it does not hold what export.py writes into one") from error
    if not isinstance(record, Mapping):
        raise ValueError(f"its record is a {type(record).__name__}, not an object")
    record = CheckpointRecord.from_untrusted(record)
    preprocessing = Preprocessing.from_untrusted(record.preprocessing)
    return ExportedDetector(session, preprocessing, record, path)


def _check_graph(session: Any, detector: ExportedDetector) -> None:
    """Raise ValueError unless a graph takes and gives what its record says."""
    side, guard = detector.preprocessing.size, detector.guard
    puts = [*session.get_inputs(), *session.get_outputs()]
    shapes = {put.name: (put.type, put.shape[1:]) for put in puts}
    like = guard and guard.likenesses.get(FEATURES)
    width = shapes.get(FEATURES, ("", [0]))[1]
    wanted = {
        PIXELS: ("tensor(uint8)", [side, side, 3]),
        **{name: ("tensor(float)", []) for name in (FAKE_SCORE, DIFFERENCE)},
        FEATURES: ("tensor(float)", [len(like.center)] if like else width),
    }
    if shapes != wanted:
        raise ValueError(f"its graph takes and gives {shapes}, not {wanted}")
