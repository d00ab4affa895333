"""What ran, as tables: for the terminal, as CSV and as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from files.atomic import save_csv, save_text
from plots.paper_tables import format_markdown_tables
from plots.tables import align_columns
from records.trainings import Training, TrainingSet

HEADER = ("dataset", "model", "trained", "seed", "fold", "epoch", "val", "test")
HEADER += ("took", "history", "flags")
SETS_HEADER = (*HEADER[:3], "runs", "val", "SD", "test", "SD", HEADER[-1])
CSV_HEADER = ("dataset", "model", "tune", "seed", "fold", "name", "best_epoch")
CSV_HEADER += ("num_epochs", "num_planned", "val_acc", "test_acc", "seconds")
CSV_HEADER += ("started", "path", "number", "changed")


def build_runs(trainings: Sequence[Training]) -> list[list[str]]:
    """Return a header and a row for each training."""
    rows = [list(HEADER)]
    for of in trainings:
        epochs = f"{of.best_epoch} of {of.num_epochs}"
        if not of.is_whole:
            epochs += f", interrupted before {of.num_planned}"
        cells = [of.dataset, of.model, of.tune or "all", of.seed, of.fold, epochs]
        cells += [f"{of.val_acc:.2f} %", f"{of.test_acc:.2f} %"]
        cells += [format_time(of.seconds), f"{of.path.name} {of.number}", of.changed]
        rows.append(cells)
    return rows


def build_sets(sets: Sequence[TrainingSet]) -> list[list[str]]:
    """Return a header and a row for the runs of each recipe."""
    rows = [list(SETS_HEADER)]
    for of in sets:
        one = of.runs[0]
        numbers = [
            text
            for split in ("val", "test")
            for text in (f"{of.means[split]:.2f} %", f"{of.deviations[split]:.2f}")
        ]
        start = [one.dataset, one.model, one.tune or "all", str(len(of.runs))]
        rows.append([*start, *numbers, one.changed])
    return rows


def format_time(seconds: float | None) -> str:
    """Return a duration such as '3 h 05 min' or '12 s'; '-' for none."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def format_trainings(
    trainings: Sequence[Training], sets: Sequence[TrainingSet]
) -> list[str]:
    """Return the tables for the terminal, as lines."""
    lines = align_columns(build_runs(trainings))
    if sets:
        title = "runs that differ in seed, fold and name alone: mean and deviation"
        lines += ["", title, *align_columns(build_sets(sets))]
    return lines


def save_trainings(
    trainings: Sequence[Training], sets: Sequence[TrainingSet], folder: Path
) -> list[Path]:
    """Save the tables, and return what was written."""
    paths = [folder / "trainings.csv", folder / "trainings.md"]
    rows = [[getattr(of, column) for column in CSV_HEADER] for of in trainings]
    save_csv(rows, paths[0], header=list(CSV_HEADER))
    tables = [build_runs(trainings), *([build_sets(sets)] if sets else [])]
    save_text(format_markdown_tables(*tables), paths[1])
    return paths
