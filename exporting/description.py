"""What a caller of an exported detector must know, as plain values."""

import json
from dataclasses import replace
from typing import Any

from files.provenance import VERSION
from files.tensors import to_plain
from judging.detector import Detector
from judging.exported import DIFFERENCE, FAKE_SCORE, PIXELS
from judging.guarding.guard import FEATURES


def describe_export(detector: Detector, opset: int) -> dict[str, Any]:
    """Return what `judging.exported` reads, and callers in other languages."""
    side, record = detector.preprocessing.size, detector.record
    # How maps were checked says nothing of a detector that cannot draw any.
    record = replace(record, preprocessing=detector.preprocessing.to_dict(), maps=None)
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
        "licence": record.licence,
        "record": to_plain(record.to_dict()),
    }


def write_line(description: dict[str, Any]) -> str:
    """Return a description as a line of JSON."""
    return json.dumps(description, allow_nan=False, ensure_ascii=False)
