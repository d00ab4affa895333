"""Score sets from files, and what is done to them before they are analysed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis import ScoreSet
from metrics import groups_from_names
from scores_file import load_scores


def load_score_set(
    path: Path,
    *,
    dataset: str | None = None,
    model: str = "",
    score_column: str = "score",
    label_column: str = "label",
    group_column: str | None = None,
    group_pattern: str | None = None,
) -> ScoreSet:
    """Load scores that came from elsewhere.

    Args:
        path: CSV file, as `scores_file.load_scores` reads it.
        dataset, model: what to call it; by default after the file.
        score_column, label_column, group_column: of the file.
        group_pattern: takes groups out of the column 'path' instead.

    Returns:
        The scores, with the threshold 0.5.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no scores and labels, or the pattern finds no group.
    """
    columns = load_scores(
        path,
        score_column=score_column,
        label_column=label_column,
        group_column=group_column,
    )
    groups = groups_from_names(columns.paths, group_pattern) or columns.groups
    return ScoreSet(
        dataset=dataset or Path(path).stem,
        model=model,
        fake_scores=columns.fake_scores,
        labels=columns.labels,
        paths=columns.paths,
        groups=groups,
        unit="samples",
        detector=Path(path).stem,
    )


def apply_threshold(scores: ScoreSet, threshold: float | None) -> ScoreSet:
    """Return the scores with another threshold; None leaves the one they have."""
    if threshold is None:
        return scores
    return replace(scores, threshold=threshold, threshold_source="given by --threshold")


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
