"""The peer of numerical_analysis.py: scikit-learn's numbers, intervals and displays.

    python benchmarks/peer_scores.py scores.csv 1000

Written as its documentation shows: a function a number, resamples in a loop.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn import metrics
from sklearn.calibration import CalibrationDisplay

NUMBERS = {
    "auc": metrics.roc_auc_score,
    "average precision": metrics.average_precision_score,
    "brier": metrics.brier_score_loss,
    "log loss": metrics.log_loss,
    "accuracy": lambda labels, scores: metrics.accuracy_score(labels, scores >= 0.5),
    "F1": lambda labels, scores: metrics.f1_score(labels, scores >= 0.5),
}
DISPLAYS = {
    "roc": metrics.RocCurveDisplay,
    "det": metrics.DetCurveDisplay,
    "precision_recall": metrics.PrecisionRecallDisplay,
    "reliability": CalibrationDisplay,
}


def main() -> None:
    """Print each number with its 95 % interval, and save the figures here."""
    path, num_resamples = sys.argv[1], int(sys.argv[2])
    with Path(path).open(newline="") as handle:
        rows = [(int(r["label"]), float(r["score"])) for r in csv.DictReader(handle)]
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    rng = np.random.default_rng(0)
    resamples = rng.integers(0, len(labels), (num_resamples, len(labels)))
    for name, compute in NUMBERS.items():
        values = [compute(labels[places], scores[places]) for places in resamples]
        print(name, compute(labels, scores), np.quantile(values, [0.025, 0.975]))
    for name, display in DISPLAYS.items():
        figure = Figure()
        display.from_predictions(labels, scores, ax=figure.add_subplot())
        figure.savefig(f"{name}.png", dpi=220)
    figure = Figure()
    matrix = metrics.confusion_matrix(labels, scores >= 0.5)
    metrics.ConfusionMatrixDisplay(matrix).plot(ax=figure.add_subplot())
    figure.savefig("confusion.png", dpi=220)


if __name__ == "__main__":
    main()
