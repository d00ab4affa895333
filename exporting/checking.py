"""Does an exported detector say what its checkpoint says?"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from hardware import Precision, show_progress
from judging.base import BaseDetector
from judging.exported import ExportedDetector
from judging.pictures import (
    Batch,
    InputSpec,
    Reading,
    collate_pictures,
    cut_stream,
    read_picture,
)
from judging.verdicts import judge_batches
from loading import ImageFile
from loading.disturbances import make_backdrop

MOST_APART = 1e-3  # in P(fake)
MOST_OTHER = 0.02  # of the verdicts, of a detector quantised to 8-bit integers
NUM_PICTURES = 100
_BATCH = 10  # pictures


@dataclass(frozen=True)
class Agreement:
    """What two detectors say of the same pictures.

    Attributes:
        largest, mean: difference in P(fake).
        num_other: pictures with another verdict.
    """

    num_pictures: int
    largest: float
    mean: float
    num_other: int

    def describe(self) -> str:
        """Say it in a line."""
        return (
            f"of {self.num_pictures} pictures P(fake) differs by at most "
            f"{self.largest:.2g}, by {self.mean:.2g} on average; "
            f"the verdict differs on {self.num_other}"
        )


def compare(
    detector: BaseDetector, other: ExportedDetector, files: Sequence[ImageFile]
) -> Agreement:
    """Let two detectors judge pictures in float32, without harmless versions of them.

    P(fake) is compared as the graph computes it, as well.

    Raises:
        ValueError: a picture cannot be read, or gets no finite score.
    """
    spec = InputSpec.of(detector)
    batches = list(_load(show_progress(files, "read pictures"), spec))
    by_graph = [other.compute_fake_scores(samples[spec]) for _, samples in batches]
    differences, num_other = [], 0
    judged = judge_batches(batches, [detector, other], Precision(), stability=False)
    scores = np.concatenate(by_graph)
    for (_, (mine, its)), score in zip(judged, scores, strict=True):
        if mine.error or its.error:
            raise ValueError(f"cannot check the export: {mine.error or its.error}")
        far = (abs(mine.fake_score - said) for said in (its.fake_score, score))
        differences.append(max(far))
        num_other += mine.name != its.name
    found = np.array(differences)
    return Agreement(len(found), float(found.max()), float(found.mean()), num_other)


def _load(files: Iterable[ImageFile], spec: InputSpec) -> Iterator[Batch]:
    """Yield pictures in batches, as a user gives them where nobody looks for faces."""
    for batch in cut_stream(files, _BATCH):
        read = [read_picture(file, [spec], Reading(faces=False)) for file in batch]
        yield collate_pictures([one for (one,) in read])


def load_samples(files: Iterable[ImageFile], spec: InputSpec) -> Iterator[np.ndarray]:
    """Yield pictures' samples in batches, uint8 (n, S, S, 3)."""
    for _, samples in _load(files, spec):
        yield samples[spec]


def draw_pictures(side: int, num: int = NUM_PICTURES) -> list[ImageFile]:
    """Return drawn pictures: noise whose power falls with the frequency."""
    generator, files = np.random.default_rng(0), []
    for number in range(num):
        content = BytesIO()
        picture = make_backdrop(generator).resize((side, side))
        picture.save(content, "PNG")
        files.append(ImageFile(f"drawn picture {number + 1}", content.getvalue()))
    return files
