"""What a detector said of each image, and what is true; from CSV and to CSV."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from files.atomic import save_csv
from files.layout import FAKE, REAL
from metrics.groups import groups_from_names


@dataclass(frozen=True)
class ScoreSet:
    """What a detector said about each sample, and what is true."""

    dataset: str
    model: str
    fake_scores: np.ndarray  # (N,) P(fake)
    labels: np.ndarray  # (N,) 0 real, 1 fake
    paths: Sequence[str]  # (N,) what names each sample
    groups: Sequence[str] | None = None  # (N,) or None: each sample on its own
    threshold: float = 0.5
    threshold_source: str = "default"
    unit: str = "images"
    detector: str = ""  # told apart by this where model and dataset are equal

    @property
    def name(self) -> str:
        """The start of file names: {dataset}_{model}, and the detector if needed."""
        return "_".join(filter(None, (self.dataset, self.model, self.detector)))

    @property
    def title(self) -> str:
        """What titles and legends call it."""
        detector = f" ({self.detector})" if self.detector else ""
        if not self.model:
            return f"{self.dataset}{detector}"
        return f"{self.model}{detector} on {self.dataset}"


HEADER = ("path", "label", "score", "group")
_LABELS = {"0": REAL, "1": FAKE, "0.0": REAL, "1.0": FAKE, "real": REAL, "fake": FAKE}


def load_score_set(
    path: str | Path,
    *,
    dataset: str | None = None,
    model: str = "",
    score_column: str = "score",
    label_column: str = "label",
    group_column: str | None = None,
    group_pattern: str | None = None,
) -> ScoreSet:
    """Load scores that this suite, or any other program, wrote.

    Args:
        path: CSV file with a header line, UTF-8. A sample is named by the column
            'path', else by the number of its line.
        dataset, model: what to call it; by default after the file.
        score_column: P(fake).
        label_column: 0 or 'real', 1 or 'fake'.
        group_column: what belongs together; None for no groups.
        group_pattern: takes groups out of the column 'path' instead.

    Returns:
        The samples, in the file's order, with the threshold 0.5.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing or a value is none (the message names the
            line), or the pattern finds no group.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no scores file {path}")
    wanted = [score_column, label_column, *filter(None, [group_column])]
    paths, labels, scores, groups = [], [], [], []
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    try:
        _check_columns(reader.fieldnames or [], wanted, path)
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            paths.append(row.get("path") or str(reader.line_num))
            labels.append(_read_label(row, label_column, place))
            scores.append(_read_score(row, score_column, place))
            groups.append(row[group_column] if group_column else "")
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file: {error}") from error
    if not scores:
        raise ValueError(f"{path} holds no scores, only a header")
    return ScoreSet(
        dataset=dataset or path.stem,
        model=model,
        fake_scores=np.array(scores),
        labels=np.array(labels),
        paths=paths,
        groups=groups if group_column else groups_from_names(paths, group_pattern),
        unit="samples",
        detector=path.stem,
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


def save_score_set(scores: ScoreSet, path: str | Path) -> None:
    """Save paths, labels, scores and groups; `load_score_set` reads the same numbers.

    Raises:
        OSError: the file cannot be written.
    """
    labels, fake_scores = scores.labels.tolist(), scores.fake_scores.tolist()
    groups = scores.groups or [""] * len(scores.paths)
    rows = zip(scores.paths, labels, fake_scores, groups, strict=True)
    save_csv(rows, path, header=HEADER)


def tell_apart(score_sets: Sequence[ScoreSet]) -> list[ScoreSet]:
    """Keep the detector's own name only where model and dataset do not tell it.

    Raises:
        ValueError: two sets would still be saved under one name.
    """
    counts = Counter((scores.dataset, scores.model) for scores in score_sets)
    named = [
        scores
        if counts[scores.dataset, scores.model] > 1
        else replace(scores, detector="")
        for scores in score_sets
    ]
    (name, count), *_ = Counter(scores.name for scores in named).most_common(1)
    if count > 1:
        raise ValueError(
            f"{count} inputs would be saved as {name}_*: give files of different names"
        )
    return named
