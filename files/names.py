"""What things are called: splits, models, and a run's files."""

import re
import reprlib
from dataclasses import dataclass
from pathlib import Path

from files.bounds import RUN_NAME

SPLITS = ("train", "val", "test")  # folders of a dataset
DEFAULT_MODEL = "SimpleNet"
OPTIMIZER_NAMES = ("Adam", "SGD", "LBFGS")
OUT_DIR, CHECKPOINTS_DIR = Path("out"), Path("checkpoints")
FIGURES_DIR = Path("figures")
# The included detector, in place of a checkpoint of one's own.
STARTER = Path(__file__).parents[1] / "starter" / "detector.safetensors"
SAFE_SUFFIX = ".safetensors"  # of weights in a file that cannot hold code
LOG_KINDS = ("csv", "tensorboard")
VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".3gp", ".wmv", ".flv", ".ogv"),
)
MASKS = "masks"  # a dataset's folder of masks of what was planted in its fakes


@dataclass(frozen=True)
class RunPaths:
    """Where a run's files are.

    Attributes:
        history: JSON list of runs.
        checkpoint: the model of the best epoch.
        snapshot: everything needed to go on from where training stopped.
        lock: held by the run while it lasts.
        steps, epochs: CSV tables with a row a step, and a row an epoch.
        events: the folder of the same for TensorBoard.
    """

    history: Path
    checkpoint: Path
    snapshot: Path
    lock: Path
    steps: Path
    epochs: Path
    events: Path

    @property
    def logs(self) -> tuple[Path, ...]:
        """The files and the folder that --log writes."""
        return self.steps, self.epochs, self.events


def name_run_files(
    dataset: str,
    model: str,
    optimizer: str = OPTIMIZER_NAMES[0],
    *,
    name: str | None = None,
    out_dir: str | Path = OUT_DIR,
    checkpoints_dir: str | Path = CHECKPOINTS_DIR,
) -> RunPaths:
    """Return where train_main.py keeps a run's files (`name`: its --name)."""
    parts = spell_dataset(dataset), spell_for_files(model), optimizer, name
    stem = "_".join(filter(None, parts))
    out_dir, checkpoints_dir = Path(out_dir), Path(checkpoints_dir)
    return RunPaths(
        history=out_dir / f"{stem}.json",
        checkpoint=checkpoints_dir / f"{stem}.pt",
        snapshot=checkpoints_dir / f"{stem}_last.pt",
        lock=checkpoints_dir / f".{stem}.lock",
        steps=out_dir / f"{stem}_steps.csv",
        epochs=out_dir / f"{stem}_epochs.csv",
        events=out_dir / f"{stem}_tensorboard",
    )


def spell_for_files(model: str) -> str:
    """Return a network's name, such as timm:resnet18, as part of a file's name.

    What some system does not allow there, a colon or a slash, becomes a hyphen.
    """
    return re.sub(r"[^\w.+-]", "-", model)


def spell_dataset(name: str) -> str:
    """Return a dataset's name, such as hf:OWNER/NAME, as part of a file's name."""
    return re.sub(r"[:/\\]", "-", name)


def name_mask(image_path: str | Path) -> Path:
    """Return where the mask of ROOT/SPLIT/fake/STEM.* is: ROOT/masks/SPLIT/STEM.png."""
    path = Path(image_path)
    split = path.parent.parent
    return split.parent / MASKS / split.name / f"{path.stem}.png"


def name_detector(model: str, flags: object) -> str:
    """Return what figures call a detector: its network, and its run's --name if any.

    Args:
        model: the network's name.
        flags: of the training, as an untrusted checkpoint or history has them.
    """
    word = flags.get("name") if isinstance(flags, dict) else None
    return f"{model}_{word}" if word in RUN_NAME else model


def default_checkpoint_path(dataset: str, model: str | None = None) -> Path:
    """Return the checkpoint that the scripts load by default."""
    return name_run_files(dataset, model or DEFAULT_MODEL).checkpoint


def list_history_paths(checkpoint_path: str | Path) -> list[Path]:
    """Return where the history of a checkpoint's run may be, the likeliest first.

    Args:
        checkpoint_path: CHECKPOINTS/STEM.pt, or STEM.1.pt if a later run renamed it.
    """
    path = Path(checkpoint_path)
    name = f"{re.sub(r'[.][0-9]+$', '', path.stem)}.json"
    return list(dict.fromkeys([path.parent.parent / OUT_DIR / name, OUT_DIR / name]))


def make_printable(text: str) -> str:
    """Escape what a terminal would obey or could not show on one line.

    Names and contents of files may hold line breaks or escape sequences, which could
    forge the lines around them.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def shorten(name: str | Path, parts: int = 3) -> str:
    """Return the end of a picture's name: split, class and file."""
    return "/".join(Path(name).parts[-parts:])


def format_percent(rate: float) -> str:
    """Return a rate as it stands everywhere: '5.0 %', rounded as its three decimals."""
    return f"{100 * float(f'{rate:.3f}'):.1f} %"


def show(value: object) -> str:
    """Return the beginning of any value, on one line."""
    return " ".join(reprlib.repr(value).split())[:60]
