"""Scores from CSV and to CSV: those of this suite, and those of any other detector."""

import math
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import numpy as np

from files.atomic import save_csv
from files.classes import CLASS_NAMES, FAKE, LABELS, REAL, read_labels
from files.csv_files import CsvRows, open_csv
from files.provenance import describe_file
from scores.groups import groups_from_names, subsets_from_names
from scores.score_sets import ARBITRARY, LOGIT_DIFFERENCE, RAW_SCORE, ScoreSet

HEADER = ("path", "label", "score", "group", "logit_difference", "llr", "llr_limit")
HEADER += ("subset",)
# In place of `logit_difference` if the scores are another program's.
RAW_COLUMN = "raw_score"
_OWN_NUMBERS = {"logit_difference", RAW_COLUMN, "llr", "llr_limit"}
_LATER = {"llr_limit"}  # columns that files of earlier versions lack
# What other programs call the column that names the samples.
USUAL_PATH_COLUMNS = ("path", "filepath", "imagepath", "imgpath", "file", "filename")
USUAL_PATH_COLUMNS += ("imagefile", "imagename", "image", "img", "name", "utterance")
_COLUMNS = ("score", "label", "path", "group", "subset")
_NAMED = re.compile(r"(.+?):(\w+=.*)")  # FILE:ROLE=COLUMN,..., not C:\FILE
_ROUNDING = 1e-6  # by which P(fake) may lie outside [0, 1]
_MAX_OUTSIDE = 0.1  # share of scores; with more outside they are not P(fake)


@dataclass(frozen=True)
class ScoreFormat:
    """How to read a file of scores.

    Attributes:
        score_column, label_column: what they are called.
        path_column: of the samples' names; None looks for a usual one, an empty text
            leaves the samples without names.
        group_column: of what belongs together; None for no groups.
        subset_column: of the part of the data; None for no parts.
        positive_label: the label that means fake; the file's other one means real.
            None reads the usual words: real, bonafide, genuine, false, 0 against
            fake, spoof, true, 1 and the like.
        real_labels: the labels that mean real, all others meaning fake; none: as
            `positive_label` says.
        lower_is_fake: scores are higher for real samples.
    """

    score_column: str = "score"
    label_column: str = "label"
    path_column: str | None = None
    group_column: str | None = None
    subset_column: str | None = None
    positive_label: str | None = None
    real_labels: Sequence[str] = ()
    lower_is_fake: bool = False


def find_format(text: str, score_format: ScoreFormat) -> tuple[Path, ScoreFormat]:
    """Tell a file from what is said of its columns.

    Args:
        text: FILE, or FILE:ROLE=COLUMN[,ROLE=COLUMN] with the roles score, label, path,
            group and subset. A path that exists as it stands is a FILE.
        score_format: what nothing else is said of.

    Raises:
        ValueError: for another role.
    """
    found = _NAMED.fullmatch(text)
    if found is None or Path(text).exists():
        return Path(text), score_format
    columns: dict[str, str] = {}
    for part in re.split(r",(?=\w+=)", found[2]):
        role, _, column = part.partition("=")
        if role not in _COLUMNS:
            raise ValueError(
                f"{text!r} says what column is {role!r}; it can be said of "
                f"{', '.join(_COLUMNS)}, as in {found[1]}:score=p_fake,label=y"
            )
        columns[f"{role}_column"] = column
    return Path(found[1]), replace(score_format, **columns)


class _Table(NamedTuple):
    """The columns of a file that are read."""

    path: Path
    cells: dict[str, list[str]]
    numbers: dict[str, array]  # of float, an empty cell is NaN
    lines: array  # of int: where each row ends
    path_column: str | None
    is_own: bool  # written by `save_score_set`
    has_decimal_commas: bool

    def refuse(self, index: int, what: str) -> ValueError:
        """Return the error to raise for a row."""
        return ValueError(f"{self.path}, line {self.lines[index]}: {what}")


def load_score_set(
    path: str | Path,
    score_format: ScoreFormat = ScoreFormat(),
    *,
    dataset: str | None = None,
    model: str | None = "",
    group_pattern: str | None = None,
    subset_pattern: str | None = None,
) -> ScoreSet:
    """Load scores that this suite or any other program wrote.

    Args:
        path: CSV file with a header line, UTF-8 or UTF-16, its columns separated by
            comma, semicolon (then numbers may have a decimal comma), tab, or what a
            first line such as 'sep=|' says. Empty rows do not count.
        score_format: which columns it has and what they mean.
        dataset, model: what to call it, None: after the file; no model by default.
        group_pattern, subset_pattern: take groups or subsets out of the samples'
            names, like `groups_from_names` and `subsets_from_names`.

    Returns:
        The samples, in the file's order. Scores that all lie in [0, 1], or beyond it by
        rounding, are P(fake) (P(real) with `lower_is_fake`), and the threshold is 0.5.
        Others only rank the samples, and the threshold is 0. Files of `save_score_set`
        give back all that was saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing or named twice, a row has another number of
            cells, a value makes no sense, or a name is repeated (the message names the
            line); a pattern finds nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no scores file {path}")
    table = _read_table(path, score_format)
    labels = _read_labels(table, score_format)
    scores = _read_scores(table, score_format)
    names = _read_names(table, labels)
    if names is None and (group_pattern or subset_pattern):
        raise ValueError(
            f"{path}: no column names the samples, so no pattern can be looked for in "
            "their names; say which one does with --path-column"
        )
    groups = groups_from_names(names, group_pattern)
    if score_format.group_column:
        groups = _read_words(table, score_format.group_column)
    subsets = subsets_from_names(names, labels, subset_pattern)
    if score_format.subset_column:
        subsets = _read_subsets(table, score_format.subset_column, labels)
    return ScoreSet(
        dataset=dataset or path.stem,
        model=path.stem if model is None else model,
        labels=labels,
        **scores,
        paths=names,
        groups=groups,
        subsets=subsets,
        unit="samples",
        detector=path.stem,
        provenance={"inputs": [describe_file(path)]},
    )


def _read_table(path: Path, score_format: ScoreFormat) -> _Table:
    """Read the wanted columns; every row must have as many cells as the header."""
    with open_csv(path) as content:
        header = content.header
        _check_header(header, score_format, path)
        table = _Table(
            path,
            {},
            {},
            array("q"),
            path_column=_find_path_column(header, score_format),
            is_own=_is_own(header, score_format),
            has_decimal_commas=content.has_decimal_commas,
        )
        _read_rows(content, table, score_format)
    if not table.lines:
        raise ValueError(f"{path} holds no scores, only a header")
    return table


def _check_header(header: Sequence[str], score_format: ScoreFormat, path: Path) -> None:
    """Refuse (ValueError) a header that lacks a column."""
    known = f"it has {', '.join(map(repr, header)) or 'none'}"
    asked = _list_asked_columns(score_format)
    if missing := {what: name for what, name in asked.items() if name not in header}:
        names = " and no column ".join(map(repr, missing.values()))
        flags = ", ".join(f"--{what.replace('_', '-')}" for what in missing)
        hint = f"; name yours: {flags}" if header else ""
        raise ValueError(f"{path} has no column {names}; {known}{hint}")


def _list_asked_columns(score_format: ScoreFormat) -> dict[str, str]:
    """Return the wanted columns, by the field that names each."""
    asked = {what: getattr(score_format, f"{what}_column") for what in _COLUMNS}
    is_needed = {"score", "label"}  # the others may have none
    return {f"{w}_column": n for w, n in asked.items() if n or w in is_needed}


def _find_path_column(header: Sequence[str], score_format: ScoreFormat) -> str | None:
    """Return the column that names the samples: the wanted one, or a usual one."""
    if score_format.path_column is not None:
        return score_format.path_column or None
    plain = {name.lower().replace("_", "").replace("-", ""): name for name in header}
    return next((plain[name] for name in USUAL_PATH_COLUMNS if name in plain), None)


def _is_own(header: Sequence[str], score_format: ScoreFormat) -> bool:
    """Say whether this suite wrote a file, and its scores are wanted as they are."""
    names = {RAW_COLUMN if n not in header else n for n in HEADER if n not in _LATER}
    is_plain = score_format.score_column == "score" and not score_format.lower_is_fake
    return is_plain and names <= set(header)


def _read_rows(content: CsvRows, table: _Table, score_format: ScoreFormat) -> None:
    """Put the cells of an open file's rows into a table."""
    header = content.header
    asked = _list_asked_columns(score_format)
    names = [name for what, name in asked.items() if what != "score_column"]
    names += filter(None, [table.path_column])
    words = [
        # Words that many rows share are kept in memory once.
        (
            header.index(name),
            table.cells.setdefault(name, []).append,
            str if name == table.path_column else intern,
        )
        for name in dict.fromkeys(names)
    ]
    names = [score_format.score_column]
    names += sorted(_OWN_NUMBERS & set(header)) if table.is_own else []
    numbers = [
        (header.index(name), table.numbers.setdefault(name, array("d")), name)
        for name in dict.fromkeys(names)
    ]
    for line, row in content.rows:
        table.lines.append(line)
        for index, keep, share in words:
            keep(share(row[index]))
        # Kept as numbers, because a million rows' texts would take 65 MB.
        for index, column, name in numbers:
            column.append(_read_number(row[index], name, table))


def _read_number(text: str, column: str, table: _Table) -> float:
    """Return the finite number in the row read last, NaN for an empty cell."""
    try:
        number = float(text.replace(",", ".") if table.has_decimal_commas else text)
    except ValueError:
        number = math.nan
    if text and not math.isfinite(number):
        raise table.refuse(-1, f"{column} {text!r:.60} is not a finite number")
    return number


def _read_labels(table: _Table, score_format: ScoreFormat) -> np.ndarray:
    """Return the labels (N,), by the usual words or by the positive one."""
    texts = table.cells[score_format.label_column]
    blank = next((n for n, text in enumerate(texts) if not text.strip()), None)
    if blank is not None:
        raise table.refuse(blank, "there is no label")
    if score_format.real_labels:
        try:
            return np.array(read_labels(texts, score_format.real_labels), np.int64)
        except ValueError as error:
            raise ValueError(f"{table.path}: {error}") from None
    words = {text: text.strip().lower() for text in dict.fromkeys(texts)}
    meanings: Mapping[str, int] = LABELS
    if score_format.positive_label is not None:
        meanings = _tell_by_positive_label(words, score_format.positive_label, table)
    labels = {text: meanings.get(word, -1) for text, word in words.items()}
    unknown = next((text for text, label in labels.items() if label < 0), None)
    if unknown is not None:
        raise table.refuse(
            texts.index(unknown),
            f"label {unknown!r:.60} is not 0, 1, real, fake or the like: name the one "
            "that means fake with --positive-label, or those that mean real with "
            "--real-labels",
        )
    return np.fromiter(map(labels.__getitem__, texts), np.int64, len(texts))


def _tell_by_positive_label(
    words: Mapping[str, str], positive: str, table: _Table
) -> dict[str, int]:
    """Return what a file's two labels mean, given the positive one."""
    found, meant = set(words.values()), positive.strip().lower()
    if meant not in found or len(found) > 2:
        raise ValueError(
            f"{table.path}: --positive-label {positive!r} goes with two labels, itself "
            f"and another; there are {', '.join(map(repr, sorted(words)[:5]))}"
        )
    return {word: FAKE if word == meant else REAL for word in found}


def _read_scores(table: _Table, score_format: ScoreFormat) -> dict[str, Any]:
    """Return what a `ScoreSet` knows of its samples' scores."""
    scores, notes = _round_into_unit(table, score_format.score_column)
    ranking = -scores if score_format.lower_is_fake else scores
    if scores.min() < 0 or scores.max() > 1:
        percent = scores.min() >= 0 and 50 < scores.max() <= 100
        hint = "; percent should be divided by 100" if percent else ""
        return {
            "scores": ranking,
            "fake_scores": None,
            "score_name": RAW_SCORE,
            "threshold": 0.0,
            "threshold_source": f"{ARBITRARY}, as the scores are not "
            f"probabilities: --calibrate-on or --threshold choose one{hint}",
            "notes": notes,
        }
    if score_format.lower_is_fake:
        # Ranked by the scores as they are: 1 - 1e-20 is 1.
        saved = {"scores": ranking, "score_name": RAW_SCORE}
        return {**saved, "fake_scores": 1 - scores, "notes": notes}
    saved = _read_own_scores(table) if table.is_own else {}
    return {"scores": scores, "fake_scores": scores, "notes": notes, **saved}


def _round_into_unit(table: _Table, column: str) -> tuple[np.ndarray, list[str]]:
    """Return a column, clipped to [0, 1] if rounding alone left it, and notes."""
    scores = _get_numbers(table, column)
    clipped = np.clip(scores, 0, 1)
    outside = np.flatnonzero(scores != clipped)
    is_rounded = np.abs(scores - clipped).max() <= _ROUNDING
    is_odd = is_rounded or outside.size <= _MAX_OUTSIDE * scores.size
    if not outside.size or not is_odd:
        return scores, []
    first = outside[0]
    found = f"{outside.size} of {scores.size} scores lie outside [0, 1], the first is "
    found += f"{scores[first]} in line {table.lines[first]}: "
    if is_rounded:
        return clipped, [f"{found}taken for 0 or 1, because rounding can do that"]
    return scores, [f"{found}mend them if the scores are P(fake)"]


def _read_own_scores(table: _Table) -> dict[str, Any]:
    """Return the raw scores and likelihood ratios that this suite saved."""
    saved: dict[str, Any] = {}
    names = {"logit_difference": LOGIT_DIFFERENCE, RAW_COLUMN: RAW_SCORE}
    for column, name in names.items():
        if _holds_numbers(table, column):
            saved |= {"scores": _get_numbers(table, column), "score_name": name}
    if _holds_numbers(table, "llr"):
        saved |= {"llrs": _get_numbers(table, "llr"), "llr_source": "read from file"}
        if _holds_numbers(table, "llr_limit"):
            saved["llr_bounds"] = _read_bounds(saved["llrs"], table)
    return saved


def _read_bounds(llrs: np.ndarray, table: _Table) -> tuple[float, float]:
    """Return the bound on each side, infinite where no ratio is on that side."""
    limits = _get_numbers(table, "llr_limit")
    lower = limits[llrs < 0].max(initial=-np.inf)
    upper = limits[llrs >= 0].min(initial=np.inf)
    outside = np.flatnonzero((llrs < lower) | (llrs > upper))
    if outside.size:
        raise table.refuse(int(outside[0]), "llr lies beyond an llr_limit of this file")
    return float(lower), float(upper)


def _holds_numbers(table: _Table, column: str) -> bool:
    return not np.isnan(table.numbers.get(column, math.nan)).all()


def _get_numbers(table: _Table, column: str) -> np.ndarray:
    """Return a column's finite numbers, float64 (N,)."""
    numbers = np.array(table.numbers[column])
    empty = np.flatnonzero(np.isnan(numbers))
    if empty.size:
        raise table.refuse(int(empty[0]), f"{column} '' is not a finite number")
    return numbers


def _read_names(table: _Table, labels: np.ndarray) -> list[str] | None:
    """Return the samples' names, none of them twice; None without names."""
    if table.path_column is None or not any(table.cells[table.path_column]):
        return None
    names = _read_words(table, table.path_column)
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        other = first.setdefault(name, index)
        if other != index:
            raise table.refuse(index, _describe_repetition(table, labels, other, index))
    return names


def _describe_repetition(
    table: _Table, labels: np.ndarray, first: int, second: int
) -> str:
    """Say what is wrong with two rows that share a name."""
    name, line = table.cells[table.path_column][second], table.lines[first]
    what = f"{table.path_column} {name!r:.200} is in line {line} already"
    if labels[first] != labels[second]:
        what += f", there {CLASS_NAMES[labels[first]]}, here the other"
    return f"{what}; a sample counts once (--path-column names another column, '' none)"


def _read_words(table: _Table, column: str) -> list[str]:
    """Return a column's texts, none of them empty."""
    words = table.cells[column]
    if not all(words):
        raise table.refuse(words.index(""), f"the column {column!r} is empty")
    return words


def _read_subsets(table: _Table, column: str, labels: np.ndarray) -> list[str]:
    """Return a column's texts; only real samples may have empty ones."""
    subsets = table.cells[column]
    for index, (subset, label) in enumerate(zip(subsets, labels, strict=True)):
        if label == FAKE and not subset:
            raise table.refuse(index, f"the column {column!r} is empty at a fake")
    return subsets


def save_score_set(scores: ScoreSet, path: str | Path) -> None:
    """Save all that is known of each sample; `load_score_set` reads the same numbers.

    The column `score` is P(fake), or the score if there is no P(fake). The column
    `logit_difference` is called `raw_score` if the scores are another program's, and is
    empty if P(fake) is all there is. `llr_limit` is the bound on the side of each
    ratio, empty if none is known. What else the dataset says of each sample follows.
    """
    is_raw = scores.score_name == RAW_SCORE and scores.fake_scores is not None
    header = [RAW_COLUMN if is_raw and n == "logit_difference" else n for n in HEADER]
    others = {f"table_{n}" if n in header else n: of for n, of in scores.others.items()}
    is_known = scores.score_name == LOGIT_DIFFERENCE or is_raw
    columns = (
        scores.paths,
        scores.labels,
        scores.scores if scores.fake_scores is None else scores.fake_scores,
        scores.groups,
        scores.scores if is_known else None,
        scores.llrs,
        _list_limits(scores),
        scores.subsets,
        *others.values(),
    )
    cells = [
        repeat("", len(scores.labels)) if column is None else _list_values(column)
        for column in columns
    ]
    save_csv(zip(*cells, strict=True), path, header=[*header, *others])


def _list_limits(scores: ScoreSet) -> np.ndarray | None:
    """Return the bound on the side of each ratio; None where they are not known."""
    if scores.llrs is None:
        return None
    limits = np.where(scores.llrs < 0, *scores.llr_bounds)
    return limits if np.isfinite(limits).all() else None


def _list_values(column: Sequence[Any] | np.ndarray) -> Iterable[Any]:
    """Return Python's own numbers, which are written without loss."""
    is_array = isinstance(column, np.ndarray)
    return (value.item() for value in column) if is_array else column
