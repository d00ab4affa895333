"""Runs to draw and to report on: histories, and all files of a small run."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from conftest import make_dataset
from script_helpers import make_checkpoint

from faces_dataset import compute_fingerprint
from hardware import Compute
from loading.sources.datasets import Source
from models import get_network
from records.recipe import Recipe
from reporting import Settings, write_report
from utils import load_checkpoint, open_splits

RUN_ID = "0123456789abcdef"
FLAGS = {**Recipe(dataset="faces").to_dict(), "limit": None, "precision": "fp32"}


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
    source = Source(root / "data")
    preprocessing = get_network("SimpleNet").preprocessing
    splits = open_splits("faces", source, preprocessing=preprocessing)
    path = root / "checkpoints" / "faces_SimpleNet_Adam.pt"
    known = {"dataset": "faces", "flags": FLAGS, "run_id": RUN_ID, "epoch": 2}
    known |= {"versions": {"torch": "2.0", "old": "1.0"}, **entries}
    known["data_fingerprint"] = compute_fingerprint(splits)
    detector = load_checkpoint(make_checkpoint(path, **known))
    scores = np.sort(detector.score(splits["test"]).fake_scores)
    threshold = float(scores[1:3].mean())  # no score is equal to it
    make_checkpoint(path, threshold=threshold, **known)
    history = root / "out" / "faces_SimpleNet_Adam.json"
    history.parent.mkdir()
    counts = {"real": 5, "fake": 4}
    record = make_run(2, run_id=RUN_ID, epochs=2, data=dict.fromkeys(splits, counts))
    history.write_text(json.dumps([record]))
    settings = Settings(source, Compute(workers=0), num_resamples=20)
    return Files(path, history, settings)


def write_page(paths: list[Path], output: Path, files: Files) -> Path:
    """Write the report of checkpoints, and return `output`."""
    write_report(paths, output, files.settings, call=("report.py", ["-cpp"]))
    return output
