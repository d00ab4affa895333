"""A detector on each of the datasets that a test split joins."""

from types import SimpleNamespace

import numpy as np

from hardware import Compute
from judging.parts import measure_parts
from judging.words import describe_part

LABELS = np.array([0, 0, 1, 1] * 3)
PARTS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0])


def measure(places, groups=None):
    """Measure a detector that calls all but the first image fake, and ranks rightly."""
    names = ["faces" if part == 0 else "other" for part in PARTS]
    columns = {"subset": names, "group": groups}
    test = SimpleNamespace(
        pictures=SimpleNamespace(places=places), get_column=columns.get
    )
    scores = np.where(np.arange(len(LABELS)), 0.9, 0.1)
    differences = LABELS + np.linspace(0, 0.5, len(LABELS))
    scored = SimpleNamespace(labels=LABELS, fake_scores=scores, differences=differences)
    detector = SimpleNamespace(score=lambda *_: scored, threshold=0.5)
    return measure_parts(detector, test, Compute())


def test_measure_parts_measures_each_dataset_by_itself():
    first, second = measure({"dataset": PARTS})
    assert (first.name, first.num_images, first.accuracy) == ("faces", 8, 5 / 8)
    assert (second.name, second.num_images, second.accuracy) == ("other", 4, 0.5)
    assert first.auc.auc == second.auc.auc == 1
    said = "test of other: 4 images, accuracy at the threshold 50.0 % [6.8, 93.2], "
    assert describe_part(second).startswith(f"{said}AUC 1.000 [")
    assert measure({}) == []


def test_measure_parts_counts_a_group_once():
    (alone, _), (joined, _) = (
        measure({"dataset": PARTS}, groups) for groups in (None, list("aabbccddaabb"))
    )
    assert np.diff(joined.accuracy_ends) > np.diff(alone.accuracy_ends)
    assert joined.auc.low < alone.auc.low
