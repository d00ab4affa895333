"""The JSON history: a list of training runs, the newest last (no torch)."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from files.atomic import save_json
from files.bounds import Bounds
from files.names import show

CURVES = ("train_loss", "train_acc", "val_loss", "val_acc", "test_loss", "test_acc")
_LOSSES = Bounds(0, 1e39)  # nats; of a training that diverges what float32 holds
_PERCENT = Bounds(0, 100 + 1e-10)  # rounded
_SECONDS = Bounds(0, 1e12)


def load_history(path: str | Path) -> list[dict[str, Any]]:
    """Load the runs of a history file.

    Files of the original exercise will do: the six curves are all that a run needs.

    Returns:
        The runs, oldest first, each a dict. Its curves must still be checked with
        `check_run`, so that a broken run does not lock the others.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a history.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no history {path}; train_main.py writes one, "
            "out/DATASET_MODEL_OPTIMIZER.json"
        )
    try:
        runs = json.loads(path.read_bytes())  # in UTF-8, 16 or 32
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not JSON, as a history is: {str(error)[:100]}"
        ) from error
    runs = [runs] if isinstance(runs, dict) else runs
    is_list = isinstance(runs, list) and runs and all(type(r) is dict for r in runs)
    if not is_list:
        raise ValueError(
            f"{path} is not a history: expected a list of training runs, one at least"
        )
    return runs


def save_run(run: dict[str, Any], path: str | Path) -> None:
    """Put a run into a history file: over the one with its `run_id`, else at the end.

    Raises:
        ValueError: the file is not a history; it is left as it is.
        OSError: the file cannot be written.
    """
    path = Path(path)
    runs = _drop_nan(load_history(path)) if path.exists() else []
    run_ids = [old.get("run_id") for old in runs]
    if run["run_id"] in run_ids:
        runs[run_ids.index(run["run_id"])] = run
    else:
        runs.append(run)
    save_json(runs, path)


def get_best_epoch(history: Mapping[str, Any]) -> int:
    """Return the epoch, from 1, of the checkpoint, as the history records it.

    Of one that does not, the first with the best validation accuracy; of none, 0.
    """
    accuracies, best = history["val_acc"], history.get("best_epoch")
    if best in Bounds(1, len(accuracies), int):
        return best
    return accuracies.index(max(accuracies)) + 1 if accuracies else 0


def check_run(run: Any, where: str) -> None:
    """Raise ValueError unless a run holds six curves of one length that can be.

    They are of numbers, and neither these nor its seconds are beyond what there is.
    """
    if not isinstance(run, dict):
        raise ValueError(f"{where} is not a training run: expected a JSON object")
    for curve in CURVES:
        values = run.get(curve)
        if not isinstance(values, list) or not all(map(_is_number, values)):
            raise ValueError(f"{where} has no list of numbers under {curve!r}")
        allowed = _PERCENT if curve.endswith("acc") else _LOSSES
        for epoch, value in enumerate(values, start=1):
            _check_number(f"{where} has in epoch {epoch} the {curve}", value, allowed)
    if run.get("seconds") is not None:
        _check_number(f"{where} has the seconds", run["seconds"], _SECONDS)
    lengths = {curve: len(run[curve]) for curve in CURVES}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{where} has curves of different lengths: {lengths}")


def _check_number(what: str, value: Any, allowed: Bounds) -> None:
    if value not in allowed:
        raise ValueError(f"{what} {show(value)}; expected {allowed}")


def _drop_nan(value: Any) -> Any:
    """Replace NaN and infinities, which JSON does not have, with null."""
    if isinstance(value, dict):
        return {name: _drop_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_drop_nan(item) for item in value]
    is_broken = isinstance(value, float) and not _is_number(value)
    return None if is_broken else value


def _is_number(value: Any) -> bool:
    """Say whether a value is a finite number (JSON's true and false are not)."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max
