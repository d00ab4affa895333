"""Where everything lies and what it is called: classes, splits, models, a run's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Named here as well as in models.py, so that --help need not import torch.
MODEL_NAMES = ("SimpleNet", "XceptionBased")


def default_checkpoint_path(
    dataset: str, model: str, optimizer: str = "Adam", *, folder: Path | None = None
) -> Path:
    """Return where train_main.py keeps the best checkpoint of such a run."""
    return (folder or Path("checkpoints")) / f"{dataset}_{model}_{optimizer}.pt"


@dataclass(frozen=True)
class RunPaths:
    """Where a run's files are.

    Attributes:
        history: JSON list of runs.
        checkpoint: the model of the best epoch.
        snapshot: everything needed to go on from where training stopped.
    """

    history: Path
    checkpoint: Path
    snapshot: Path

    @classmethod
    def make(cls, name: str, *, out_dir: Path, checkpoints_dir: Path) -> RunPaths:
        """Name the files of the run `{dataset}_{model}_{optimizer}`."""
        return cls(
            history=out_dir / f"{name}.json",
            checkpoint=checkpoints_dir / f"{name}.pt",
            snapshot=checkpoints_dir / f"{name}_last.pt",
        )


REAL = 0

FAKE = 1

CLASS_NAMES = ("real", "fake")

SPLITS = ("train", "val", "test")
