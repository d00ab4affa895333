"""What ran: the trainings in all histories of a folder, and runs of one recipe."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from files.names import make_printable, show
from records.history import check_run, get_best_epoch, load_history
from records.recipe import OF_A_RUN, READING, Recipe, describe_shared, spell

# Flags that have a column of their own, or do not change what is learnt.
_SHOWN = ("dataset", "model", "tune", "epochs", "precision", *OF_A_RUN)


@dataclass(frozen=True)
class Training:
    """A run of a history; texts of an untrusted file are printable.

    Attributes:
        path, number: of the history, and which of its runs, 1 the oldest.
        dataset, model, tune, seed, fold, name: as its flags say; '' if unknown.
        changed: its other flags that do not have their defaults, as on a command line.
        recipe: equal for runs that differ in seed, fold and name alone.
        best_epoch, num_epochs, num_planned: epochs; how many it was to have, 0 if that
            is not known.
        val_acc, test_acc: in the best epoch, percent.
        seconds: that its epochs took; None if that was not recorded.
        started: when, in UTC.
    """

    path: Path
    number: int
    dataset: str
    model: str
    tune: str
    seed: str
    fold: str
    name: str
    changed: str
    recipe: str
    best_epoch: int
    num_epochs: int
    num_planned: int
    val_acc: float
    test_acc: float
    seconds: float | None
    started: str

    @property
    def is_whole(self) -> bool:
        """Whether it has had all its epochs, as far as that is known."""
        return self.num_epochs >= self.num_planned


@dataclass(frozen=True)
class TrainingSet:
    """Runs of one recipe that have had all their epochs, two or more.

    Attributes:
        runs: the runs.
        means, deviations: of the accuracies of `val` and `test`, percent.
    """

    runs: Sequence[Training]
    means: Mapping[str, float]
    deviations: Mapping[str, float]


def list_trainings(folder: Path) -> tuple[list[Training], list[str]]:
    """Read all histories, *.json, of a folder.

    Returns:
        The trainings, the best on validation first, and a line for each history or run
        that cannot be read, or has no epoch yet.

    Raises:
        FileNotFoundError: there is no such folder, or no history in it.
    """
    paths = sorted(folder.glob("*.json"))
    if folder.is_file():
        raise FileNotFoundError(f"{folder} is a file: --out-dir names the folder")
    if not paths:
        raise FileNotFoundError(
            f"there is no history, *.json, in {folder}: train_main.py writes one of "
            "each training; --out-dir names another folder"
        )
    found, broken = [], []
    for path in paths:
        try:
            runs = load_history(path)
        except (ValueError, OSError) as error:
            broken.append(make_printable(str(error)))
            continue
        for number, run in enumerate(runs, start=1):
            try:
                found.append(_read(run, path, number))
            except ValueError as error:
                broken.append(make_printable(str(error)))
    return sorted(found, key=lambda of: (-of.val_acc, str(of.path))), broken


def _read(run: Mapping[str, Any], path: Path, number: int) -> Training:
    """Take a training out of a history's run; raise ValueError if it is of no use."""
    where = f"run {number} of {path}"
    check_run(run, where)
    best = get_best_epoch(run)
    if not best:
        raise ValueError(f"{where} has no finished epoch yet")
    flags = run.get("flags")
    flags = flags if isinstance(flags, Mapping) else {}
    facts = {**flags, **{n: run[n] for n in ("dataset", "model") if n in run}}
    planned = run.get("epochs", flags.get("epochs"))
    texts = {n: _spell(facts.get(n)) for n in ("dataset", "model", "tune", *OF_A_RUN)}
    return Training(
        path,
        number,
        **texts,
        changed=_list_changed(flags),
        recipe=describe_shared(facts),
        best_epoch=best,
        num_epochs=len(run["val_acc"]),
        num_planned=planned if type(planned) is int else 0,
        val_acc=run["val_acc"][best - 1],
        test_acc=run["test_acc"][best - 1],
        seconds=run.get("seconds"),
        started=_spell(run.get("started")),
    )


def _spell(value: object) -> str:
    """Return a short text for any value of a file, '' for none."""
    if value is None:
        return ""
    return make_printable(value[:80]) if isinstance(value, str) else show(value)


def _list_changed(flags: Mapping[str, Any]) -> str:
    """Return the flags that are not as they are by default, as on a command line."""
    defaults = {**Recipe().to_dict(), **READING}
    words = []
    for name, default in defaults.items():
        value = flags.get(name, default)
        if name in _SHOWN or value == default:
            continue
        several = value if isinstance(value, list) else [value]
        values = [] if value is True else map(_spell, several)
        words.append(" ".join([spell(name), *values]))
    return " ".join(words)


def group_trainings(trainings: Sequence[Training]) -> list[TrainingSet]:
    """Put runs of one recipe together, if two or more have had all their epochs.

    A seed on a fold counts once, with its newest run: the others say the same again.
    """
    by_recipe: dict[str, dict[Any, Training]] = {}
    for training in sorted(trainings, key=lambda of: (of.started, of.number)):
        if training.is_whole:
            runs = by_recipe.setdefault(training.recipe, {})
            runs[training.seed, training.fold] = training
    sets = []
    for runs in map(list, map(dict.values, by_recipe.values())):
        if len(runs) > 1:
            rows = {s: [getattr(r, f"{s}_acc") for r in runs] for s in ("val", "test")}
            means = {split: statistics.mean(row) for split, row in rows.items()}
            spread = {split: statistics.stdev(row) for split, row in rows.items()}
            sets.append(TrainingSet(runs, means, spread))
    return sorted(sets, key=lambda of: -of.means["val"])
