"""What detectors say of pictures: verdict, P(fake), likelihood ratio."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from files.names import CLASS_NAMES, FAKE, REAL
from hardware import Precision
from judging.detector import Detector
from judging.pictures import Batch, Picture, View


@dataclass(frozen=True)
class Verdict:
    """What a detector says of a picture.

    Attributes:
        picture: what is known of it.
        detector: whose verdict it is.
        fake_score: P(fake); None where there is none.
        llr: logarithm of the likelihood ratio, fake over real; None likewise.
        error: why there is no verdict; None where there is one.
        sample: uint8 (3, S, S), as the detector saw it; None where it did not.
    """

    picture: Picture
    detector: Detector = field(repr=False)
    fake_score: float | None = None
    llr: float | None = None
    error: str | None = None
    sample: Tensor | None = field(default=None, repr=False)

    @property
    def label(self) -> int:
        """The class that the picture is called: fake at or above the threshold."""
        return FAKE if self.fake_score >= self.detector.threshold else REAL

    @property
    def name(self) -> str:
        """Real or fake, with a question mark where a warning speaks against it.

        'none' where there is no verdict.
        """
        if self.fake_score is None:
            return "none"
        return CLASS_NAMES[self.label] + ("?" if self.picture.warning else "")

    @property
    def llr_limit(self) -> float | None:
        """The bound of ratios like this one; None where none is known, or no ratio."""
        return None if self.llr is None else self.detector.llr_line.get_limit(self.llr)

    def to_row(self) -> dict[str, Any]:
        """Return plain values by `COLUMNS`; None where there is nothing to say."""
        return {name: get(self) for name, get in _COLUMNS.items()}


def _get_place(verdict: Verdict, number: int) -> float | None:
    face = verdict.picture.face
    return None if face is None else (*face.box, face.confidence)[number]


# Of the tables of predict.py, in their order.
_COLUMNS = {
    "path": lambda v: v.picture.name,
    "verdict": lambda v: None if v.fake_score is None else v.name,
    "fake_score": lambda v: v.fake_score,
    "threshold": lambda v: v.detector.threshold,
    "llr": lambda v: v.llr,
    "llr_limit": lambda v: v.llr_limit,
    "width": lambda v: v.picture.width,
    "height": lambda v: v.picture.height,
    "face_left": lambda v: _get_place(v, 0),
    "face_top": lambda v: _get_place(v, 1),
    "face_right": lambda v: _get_place(v, 2),
    "face_bottom": lambda v: _get_place(v, 3),
    "face_confidence": lambda v: _get_place(v, 4),
    "sha256": lambda v: v.picture.sha256,
    "model": lambda v: v.detector.title,
    "checkpoint": lambda v: v.detector.provenance["path"],
    "checkpoint_sha256": lambda v: v.detector.provenance["sha256"],
    "warning": lambda v: v.picture.warning,
    "error": lambda v: v.error,
}
COLUMNS = tuple(_COLUMNS)


def judge_batches(
    batches: Iterable[Batch],
    detectors: Sequence[Detector],
    precision: Precision,
    *,
    margin: float | None = None,
) -> Iterator[tuple[Picture, list[Verdict]]]:
    """Judge pictures batch by batch, as a dataset's images are scored.

    Args:
        batches: as `judging.pictures.load_pictures` yields them.
        detectors: who judges.
        precision: arithmetic of the networks.
        margin: of the views, as for `View.of`.

    Yields:
        In order, each picture and each detector's verdict; where it cannot be read, or
        a network gives it no finite score, the verdicts say why.
    """
    for pictures, samples in batches:
        columns = [
            _judge(
                pictures, samples.get(View.of(detector, margin)), detector, precision
            )
            for detector in detectors
        ]
        yield from zip(pictures, map(list, zip(*columns, strict=True)), strict=True)


def _judge(
    pictures: Sequence[Picture],
    samples: Tensor | None,
    detector: Detector,
    precision: Precision,
) -> list[Verdict]:
    """Return a detector's verdicts on a batch, of which some pictures may be broken."""
    verdicts, number = [], 0
    scored = None if samples is None else detector.score_samples(samples, precision)
    for picture in pictures:
        if picture.error:
            verdicts.append(Verdict(picture, detector, error=picture.error))
            continue
        fake_score, llr = scored.fake_scores[number], scored.llrs[number]
        if np.isfinite(fake_score) and np.isfinite(llr):
            judged = float(fake_score), float(llr), None, samples[number]
        else:
            judged = None, None, f"the network gives {picture.name} no finite score"
        verdicts.append(Verdict(picture, detector, *judged))
        number += 1
    return verdicts
