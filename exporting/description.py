"""What a caller of an exported detector must know, as plain values."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from files.provenance import VERSION
from judging.detector import Detector
from judging.exported import DIFFERENCE, FAKE_SCORE, PIXELS
from judging.guard import FEATURES


def describe_export(detector: Detector, opset: int) -> dict[str, Any]:
    """Return what `judging.exported` reads, and callers in other languages.

    Args:
        detector: as its checkpoint has it.
        opset: of ONNX.
    """
    side, known = detector.preprocessing.size, detector.record
    # How maps were checked says nothing of a detector that cannot draw any.
    known = replace(known, preprocessing=detector.preprocessing.to_dict(), maps=None)
    return {
        "version": VERSION,
        "title": detector.title,
        "opset": opset,
        "inputs": {PIXELS: f"uint8 (N, {side}, {side}, 3), RGB"},
        "outputs": {
            FAKE_SCORE: "float32 (N,), P(fake), calibrated",
            DIFFERENCE: "float32 (N,), fake's logit less real's",
            FEATURES: "float32 (N, F), what the record's guard compares",
        },
        "checkpoint_sha256": detector.provenance["sha256"],
        "licence": known.licence,
        "record": _to_plain(known.to_dict()),
    }


def write_line(description: dict[str, Any]) -> str:
    """Return a description as a line of JSON."""
    return json.dumps(description, allow_nan=False, ensure_ascii=False)


def _to_plain(value: Any) -> Any:
    """Return lists in place of tensors, each number as short as float32 allows."""
    if isinstance(value, dict):
        return {name: _to_plain(part) for name, part in value.items()}
    if isinstance(value, Tensor):
        value = value.float().numpy()
    if isinstance(value, np.ndarray):
        short = [float(str(number)) for number in value.ravel()]
        return np.array(short).reshape(value.shape).tolist()
    return value
