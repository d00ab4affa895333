"""Runs to draw and to report on: histories, and all files of a small run."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from conftest import make_dataset
from script_helpers import make_checkpoint

from faces_dataset import compute_fingerprint
from hardware import Precision
from judging.datasets import score_dataset
from reporting import Settings, write_report
from utils import load_checkpoint, load_dataset

RUN_ID = "0123456789abcdef"
FLAGS = {"model": "SimpleNet", "dataset": "faces", "optimizer": "Adam", "lr": 0.001}
FLAGS |= {"augment": "published", "self_blend": 0.0, "limit": None, "compile": False}


class Files(NamedTuple):
    """Where a run's files are, and what its report is asked for."""

    checkpoint: Path
    history: Path
    settings: Settings


def make_run(num_epochs: int = 3, **entries: Any) -> dict[str, Any]:
    """A run whose numbers tell their curve and epoch."""
    steps = range(num_epochs)
    curves = {
        f"{split}_{kind}": [start + 10 * place + step for step in steps]
        for place, split in enumerate(("train", "val", "test"))
        for kind, start in (("loss", 0.5), ("acc", 40.0))
    }
    return {**curves, **entries}


def make_files(root: Path, **entries: Any) -> Files:
    """Write a dataset, a checkpoint that errs on both sides, and its history."""
    make_dataset(root / "data" / "faces")
    where = {"data_root": root / "data"}
    splits = {n: load_dataset("faces", n, **where) for n in ("train", "val", "test")}
    path = root / "checkpoints" / "faces_SimpleNet_Adam.pt"
    known = {
        "dataset": "faces",
        "flags": FLAGS,
        "run_id": RUN_ID,
        "epoch": 2,
        "versions": {"torch": "2.0"},
        "data_fingerprint": compute_fingerprint(splits),
    }
    entries = {**known, **entries}
    if "threshold" not in entries:
        model = load_checkpoint(make_checkpoint(path, **entries))
        scores = score_dataset("faces", splits["test"], model, split="test")
        entries["threshold"] = float(np.median(scores.fake_scores))
    make_checkpoint(path, **entries)
    history = root / "out" / "faces_SimpleNet_Adam.json"
    history.parent.mkdir()
    counts = {"real": 5, "fake": 4}
    record = make_run(2, run_id=RUN_ID, epochs=2, data=dict.fromkeys(splits, counts))
    history.write_text(json.dumps([record]))
    return Files(path, history, Settings(num_resamples=20, workers=0, **where))


def write_page(paths: list[Path], output: Path, files: Files) -> Path:
    """Write the report of checkpoints, and return `output`."""
    options = {"precision": Precision(), "script": "report.py", "arguments": ["-cpp"]}
    write_report(paths, output, files.settings, **options)
    return output
