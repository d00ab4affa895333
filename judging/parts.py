"""How good a detector is on each of the datasets that a test split joins."""

from typing import NamedTuple

import numpy as np

from faces_dataset import FacesDataset
from hardware import Compute
from judging.detector import Detector
from metrics import compute_delong_interval
from metrics.delong import AucInterval
from metrics.error_rates import compute_proportion_interval, count_hits
from metrics.samples import index_groups


class Part(NamedTuple):
    """A detector on the test split of one of the datasets.

    Attributes:
        accuracy: fraction, at the threshold.
        accuracy_ends: 95 % interval of it, in which a group counts once.
        auc: with its 95 % interval, likewise.
    """

    name: str
    num_images: int
    accuracy: float
    accuracy_ends: tuple[float, float]
    auc: AucInterval


def measure_parts(
    detector: Detector, test: FacesDataset, compute: Compute
) -> list[Part]:
    """Measure a detector on each of the datasets that a test split joins; [] of one.

    Raises:
        ValueError: an image cannot be read, or has no finite score; or a dataset lacks
            a class.
    """
    parts = test.pictures.places.get("dataset")
    if parts is None:
        return []
    scored, names = detector.score(test, compute), test.get_column("subset")
    of_images, measured = test.get_column("group"), []
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        labels = scored.labels[rows]
        groups = None if of_images is None else [of_images[row] for row in rows]
        index = None if groups is None else index_groups(groups, len(rows))
        is_right = (scored.fake_scores[rows] >= detector.threshold) == labels
        ends = compute_proportion_interval(*count_hits(is_right, index))
        auc = compute_delong_interval(scored.differences[rows], labels, groups=groups)
        measured.append(Part(names[rows[0]], len(rows), is_right.mean(), ends, auc))
    return measured
