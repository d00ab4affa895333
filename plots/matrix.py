"""Which detector holds on which data: AUCs, trained on by tested on."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from files.names import make_printable
from plots.style import (
    AUC_COLORS,
    FRAME_COLOR,
    format_with_interval,
    make_drawable,
)
from scores.analysis import Analysis

HOME_NOTE = "trained on this dataset"


class AucMatrix(NamedTuple):
    """Every detector on every dataset."""

    detectors: list[str]  # rows
    datasets: list[str]  # columns
    cells: dict[tuple[str, str], Analysis]  # by row and column


def build_auc_matrix(analyses: Sequence[Analysis]) -> AucMatrix | None:
    """Arrange analyses by detector and dataset.

    None unless each of several detectors was tested on the same several datasets.
    """
    cells = {(_name_detector(a), a.scores.dataset): a for a in analyses}
    detectors = list(dict.fromkeys(detector for detector, _ in cells))
    datasets = list(dict.fromkeys(dataset for _, dataset in cells))
    is_whole = len(cells) == len(analyses) == len(detectors) * len(datasets)
    if not is_whole or min(len(detectors), len(datasets)) < 2:
        return None
    return AucMatrix(detectors, datasets, cells)


def format_auc_matrix(matrix: AucMatrix) -> str:
    """Return the AUCs as a table, a row for each detector."""
    names = [make_printable(name) for name in matrix.detectors]
    heads = [make_printable(name) for name in matrix.datasets]
    start = max(map(len, names)) + 2
    width = max(24, *(len(head) + 2 for head in heads))
    lines = [f"AUC, detector by data it was tested on (*: {HOME_NOTE})"]
    lines.append(" " * start + "".join(f"{head:<{width}}" for head in heads))
    for name, detector in zip(names, matrix.detectors, strict=True):
        line = f"{name:<{start}}"
        for dataset in matrix.datasets:
            analysis = matrix.cells[detector, dataset]
            home = " *" if _is_home(analysis) else ""
            cell = format_with_interval(analysis.numbers, "auc") + home
            line += f"{cell:<{width}}"
        lines.append(line)
    return "\n".join(line.rstrip() for line in lines)


def build_auc_rows(matrix: AucMatrix) -> tuple[list[str], list[list[Any]]]:
    """Return the header and the rows of the matrix as a CSV file, a row a cell."""
    header = ["detector", "dataset", "is_home", "num_real", "num_fake", "auc"]
    rows = []
    for (detector, dataset), analysis in matrix.cells.items():
        numbers, is_home = analysis.numbers, int(_is_home(analysis))
        values = [numbers[n] for n in ("num_real", "num_fake", "auc")]
        ends = numbers["auc_interval"]
        rows.append([detector, dataset, is_home, *values, *ends])
    return [*header, "auc_low", "auc_high"], rows


def plot_auc_matrix(axes: Axes, matrix: AucMatrix) -> Axes:
    """Draw the AUCs as a heat map, red below chance, framed if trained on it."""
    rows = [[matrix.cells[d, e] for e in matrix.datasets] for d in matrix.detectors]
    grid = np.array([[analysis.numbers["auc"] for analysis in row] for row in rows])
    axes.imshow(grid, cmap=AUC_COLORS, vmin=0, vmax=1, aspect="auto")
    for (row, column), auc in np.ndenumerate(grid):
        analysis = rows[row][column]
        text = format_with_interval(analysis.numbers, "auc").replace(" [", "\n[")
        color = "white" if abs(auc - 0.5) > 0.35 else "black"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
        if _is_home(analysis):
            corner = (column - 0.48, row - 0.48)
            look = {"fill": False, "lw": 3, "ec": FRAME_COLOR}
            axes.add_patch(Rectangle(corner, 0.96, 0.96, **look))
    names = [make_drawable(name) for name in matrix.datasets]
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize=9)
    names = [make_drawable(name) for name in matrix.detectors]
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_xlabel("Tested on")
    axes.set_title(f"AUC [95 %]; framed: {HOME_NOTE}", fontsize=10)
    return axes


def _name_detector(analysis: Analysis) -> str:
    scores = analysis.scores
    name = f" ({scores.own_name})" if scores.own_name else ""
    return f"{scores.model}{name}" if scores.model else scores.own_name


def _is_home(analysis: Analysis) -> bool:
    return analysis.scores.provenance.get("trained_on") == analysis.scores.dataset
