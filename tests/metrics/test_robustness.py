"""What is kept under disturbances, by hand and by resampling."""

import numpy as np
import pytest
from metrics.robustness import compute_auc_kept, measure_condition

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
PERFECT = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
HALF = np.array([1.0, 3, 5, 7, 6, 4, 8, 2])  # AUC 9 / 16


def compute_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    real, fake = scores[labels == 0], scores[labels == 1]
    return (fake[:, None] > real).mean() + 0.5 * (fake[:, None] == real).mean()


def test_auc_kept_by_hand():
    rows = np.stack([PERFECT, HALF, -PERFECT])

    found = compute_auc_kept(PERFECT, rows, LABELS)

    expected = (0.5 + (compute_auc(HALF, LABELS) - 0.5) - 0.5) / 3 / 0.5
    assert found["auc_kept"] == pytest.approx(expected)
    low, high = found["auc_kept_interval"]
    assert low < expected < high


def test_auc_kept_of_undisturbed_scores_is_all_without_doubt():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    scores = rng.normal(size=200) + labels

    found = compute_auc_kept(scores, np.stack([scores, 2 * scores]), labels)

    assert found["auc_kept"] == pytest.approx(1)
    assert found["auc_kept_interval"] == pytest.approx([1, 1], abs=1e-6)


def test_auc_kept_interval_is_as_wide_as_the_bootstraps():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [150, 100])
    clean = rng.normal(size=250) + 2 * labels
    rows = np.stack([clean + rng.normal(0, s, 250) for s in (1, 2, 4)])
    found = compute_auc_kept(clean, rows, labels)

    values = []
    for _ in range(400):
        chosen = np.r_[rng.integers(150, size=150), 150 + rng.integers(100, size=100)]
        aucs = [compute_auc(r[chosen], labels[chosen]) - 0.5 for r in (clean, *rows)]
        values.append(np.mean(aucs[1:]) / aucs[0])

    low, high = found["auc_kept_interval"]
    assert (high - low) / 3.92 == pytest.approx(np.std(values), rel=0.15)


def test_auc_kept_of_a_detector_at_chance_is_none():
    found = compute_auc_kept(HALF, np.stack([HALF]), LABELS)

    assert found == {"auc_kept": None, "auc_kept_interval": None}


def test_auc_kept_of_one_sample_a_class_has_no_interval():
    found = compute_auc_kept(
        np.array([0.0, 1.0]), np.array([[0.0, 1.0]]), np.array([0, 1])
    )

    assert found == {"auc_kept": 1.0, "auc_kept_interval": None}


def test_measure_condition_gives_the_three_numbers_with_intervals():
    fake_scores = 1 / (1 + np.exp(-(HALF - 4.5)))

    found = measure_condition(HALF, fake_scores, LABELS, 0.5)

    assert found["auc"] == pytest.approx(compute_auc(HALF, LABELS))
    assert found["accuracy"] == ((HALF >= 4.5) == LABELS).mean()
    assert found["eer"] == pytest.approx(0.5, abs=0.13)
    for name in ("auc", "eer", "accuracy"):
        low, high = found[f"{name}_interval"]
        assert low <= found[name] <= high
