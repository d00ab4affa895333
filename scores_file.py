"""Scores as CSV: a line a sample, with its path, label, score and group."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from files import save_csv
from metrics import CLASS_NAMES

HEADER = ("path", "label", "score", "group")
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, CLASS_NAMES[0]: 0, CLASS_NAMES[1]: 1}


@dataclass(frozen=True)
class ScoreColumns:
    """The columns of a scores file."""

    paths: list[str]  # (N,) what stands under 'path', else the line's number
    labels: np.ndarray  # int64 (N,)
    fake_scores: np.ndarray  # float64 (N,)
    groups: list[str] | None


def load_scores(
    path: Path,
    *,
    score_column: str = "score",
    label_column: str = "label",
    group_column: str | None = None,
) -> ScoreColumns:
    """Read scores that this suite, or any other program, wrote.

    Args:
        path: CSV file with a header line, UTF-8.
        score_column: P(fake).
        label_column: 0 or 'real', 1 or 'fake'.
        group_column: what belongs together; None for no groups.

    Returns:
        The columns, in the file's order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing or a value is none; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no scores file {path}")
    wanted = [score_column, label_column, *filter(None, [group_column])]
    names, labels, scores, groups = [], [], [], []
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    try:
        _check_columns(reader.fieldnames or [], wanted, path)
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            names.append(row.get("path") or str(reader.line_num))
            labels.append(_read_label(row, label_column, place))
            scores.append(_read_score(row, score_column, place))
            groups.append(row[group_column] if group_column else "")
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file: {error}") from error
    if not scores:
        raise ValueError(f"{path} holds no scores, only a header")
    return ScoreColumns(
        names, np.array(labels), np.array(scores), groups if group_column else None
    )


def _check_columns(found: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(found) or 'none'}"
        )


def _read_label(row: Mapping[str, Any], column: str, place: str) -> int:
    text = (row[column] or "").strip().lower()
    if text not in _LABELS:
        raise ValueError(f"{place}: label {text!r} is not 0, 1, real or fake")
    return _LABELS[text]


def _read_score(row: Mapping[str, Any], column: str, place: str) -> float:
    text = row[column] or ""
    try:
        score = float(text)
    except ValueError:
        score = np.nan
    if not 0 <= score <= 1:
        raise ValueError(f"{place}: score {text!r} is no probability in [0, 1]")
    return score


def save_scores(columns: ScoreColumns, path: Path) -> None:
    """Write scores so that `load_scores` reads the same numbers back.

    Raises:
        OSError: the file cannot be written.
    """
    groups = columns.groups or [""] * len(columns.paths)
    rows = zip(
        columns.paths,
        columns.labels.tolist(),
        columns.fake_scores.tolist(),
        groups,
        strict=True,
    )
    save_csv(rows, path, header=HEADER)
