"""Measure what compression, blur, noise and the like leave of trained detectors."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

import command_line
from faces_dataset import FacesDataset, compute_fingerprint, count_classes
from files.atomic import check_writable, save_csv, save_json
from files.names import default_checkpoint_path
from files.provenance import describe_call, describe_file
from files.run_files import get_versions
from hardware import Precision, choose_precision, prepare_device, show_progress
from loading import IMAGE_SIZE, BatchLoader, read_image, read_samples
from loading.disturbances import LEVELS, UNITS, disturb
from metrics import compute_fake_scores, compute_logit_differences
from metrics.delong import compute_auc_kept
from metrics.summary import measure_condition
from plots.paper_tables import list_csv_cells, name_csv_columns
from plots.robustness import build_robustness_figure, format_robustness
from plots.style import save_figure
from trainer import compute_logits
from utils import load_checkpoint, load_dataset, refuse_broken_scores

# What is done to an image, and its level; nothing at first.
CONDITIONS = [("none", 0)]
CONDITIONS += [(name, n + 1) for name in LEVELS for n in range(len(LEVELS[name]))]
PANELS = {name: (UNITS[name], strengths) for name, strengths in LEVELS.items()}

EPILOG = """examples:
  python robustness_analysis.py -m SimpleNet -d fakes_dataset \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt
  python robustness_analysis.py -d fakes_dataset -cpp A.pt B.pt

writes, to the folder of figures (of several detectors: DATASET_robustness):
  DATASET_MODEL_robustness.png    a panel for each disturbance
  DATASET_MODEL_robustness.csv    AUC, EER, accuracy with intervals, a row a level
  DATASET_MODEL_robustness.json   the same, and where it is from"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_data_flags(parser)
    command_line.add_model_flag(parser, from_checkpoint=True)
    command_line.add_checkpoint_flag(parser, several=True)
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    precision = choose_precision(args.precision, prepare_device(args.device))
    paths = args.checkpoint_path or [default_checkpoint_path(args.dataset, args.model)]
    models = [load_checkpoint(path, args.model, precision.device) for path in paths]
    for path in paths:
        command_line.say(f"checkpoint: {path}")
    where = {"data_root": args.data_root, "limit": args.limit}
    faces = load_dataset(
        args.dataset, "test", full_decoding=args.full_decoding, **where
    )
    check_writable(args.figures_dir)
    images = DisturbedFaces(faces, args.seed)
    options = {"batch_size": args.batch_size, "workers": args.workers}
    detectors = []
    for model, title in zip(models, name_detectors(models), strict=True):
        logits = score_conditions(images, model, precision, title=title, **options)
        labels = faces.get_labels()
        detector = measure_detector(model, logits, labels, title=title, seed=args.seed)
        command_line.say(*format_robustness(detector, PANELS), "")
        detectors.append(detector)
    numbers = {
        **{"dataset": args.dataset, "split": "test", "seed": args.seed},
        **{"images": count_classes(faces), "precision": precision.name},
        **{"levels": LEVELS, "units": UNITS, "detectors": detectors},
        "provenance": {
            **describe_call(
                Path(__file__).name,
                sys.argv[1:] if argv is None else argv,
                get_versions(),
            ),
            "inputs": [describe_file(path) for path in paths],
            "file_names_sha256": compute_fingerprint({args.dataset: faces}),
        },
    }
    save_robustness(args.figures_dir, numbers)


class DisturbedFaces(Dataset):
    """Every image of a split under every condition, an image's conditions in a row.

    Args:
        faces: the split, with a `ResizeToTensor`.
        seed: of what is drawn, with an image's number; the same at every level.

    A sample is uint8 (3, 256, 256) with its label. An image is brought to 256 x 256
    before it is disturbed, so that a level is as strong whatever the files' size.
    """

    reads_in_threads = True
    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    def __init__(self, faces: FacesDataset, seed: int) -> None:
        self.faces = faces
        self.seed = seed

    def __len__(self) -> int:
        return len(self.faces) * len(CONDITIONS)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        number, condition = divmod(index, len(CONDITIONS))
        name, level = CONDITIONS[condition]
        path = self.faces.get_path(number)
        to_tensor = self.faces.transform
        image = read_image(path, at_least=to_tensor.at_least)
        if level:
            size = (IMAGE_SIZE, IMAGE_SIZE)
            image = image.resize(size, Image.Resampling.BICUBIC)
            stream = list(LEVELS).index(name)
            generator = np.random.default_rng([self.seed, stream, number])
            image = disturb(image, name, level, generator)
        return to_tensor(image), self.faces.get_label(number)

    def describe(self, index: int) -> str:
        """Return which image a sample is, and what was done to it."""
        number, condition = divmod(index, len(CONDITIONS))
        name, level = CONDITIONS[condition]
        return f"{self.faces.get_path(number)} ({name}, level {level})"


def score_conditions(
    images: DisturbedFaces,
    model: nn.Module,
    precision: Precision,
    *,
    title: str,
    batch_size: int,
    workers: int | None = None,
) -> np.ndarray:
    """Score every image under every condition.

    Args:
        images: of N images.
        model: as `utils.load_checkpoint` returns it.
        precision: arithmetic of the forward pass.
        title: of the detector, beside the progress bar.
        batch_size, workers: as for `loading.BatchLoader`.

    Returns:
        Logits float32 (conditions, N, 2), in the order of `CONDITIONS`.

    Raises:
        ValueError: an image cannot be read, or has no finite score.
    """
    options = {"device": precision.device, "workers": workers}
    loader = BatchLoader(images, batch_size, model.preprocessing, **options)
    batches = show_progress(loader, f"score with {title}")
    logits, _ = compute_logits(model, batches, precision)
    refuse_broken_scores(logits, images.describe)
    return logits.numpy().reshape(-1, len(CONDITIONS), 2).transpose(1, 0, 2)


def measure_detector(
    model: nn.Module, logits: np.ndarray, labels: np.ndarray, *, title: str, seed: int
) -> dict[str, Any]:
    """Compute what each condition leaves of a detector.

    Args:
        model: as `utils.load_checkpoint` returns it.
        logits: (conditions, N, 2), as of `score_conditions`.
        labels: int (N,).
        title: what the detector is called.
        seed: of the bootstrap.

    Returns:
        Plain values for JSON; `conditions` holds by disturbance the numbers of level 0
        and of each level after it.
    """
    scores = np.stack([compute_logit_differences(rows) for rows in logits])
    progress = show_progress(logits, "measure")
    measured = [
        measure_condition(
            row,
            compute_fake_scores(rows, model.temperature, model.logit_bias),
            labels,
            model.threshold,
            seed=seed,
        )
        for row, rows in zip(scores, progress, strict=True)
    ]
    by_condition = dict(zip(CONDITIONS, measured, strict=True))
    kept = compute_auc_kept(scores[0], scores[1:], labels)
    worst = min(CONDITIONS[1:], key=lambda c: by_condition[c]["auc"])
    return {
        "title": title,
        "checkpoint": str(model.checkpoint_path),
        "threshold": model.threshold,
        **kept,
        "auc_kept_in_words": _describe_kept(kept),
        "sentence": f"{title} {_describe_kept(kept)}; least under {worst[0]}, level "
        f"{worst[1]}: AUC {by_condition[worst]['auc']:.3f}",
        "conditions": {
            name: [measured[0], *(by_condition[c] for c in CONDITIONS if c[0] == name)]
            for name in LEVELS
        },
    }


def _describe_kept(kept: dict[str, Any]) -> str:
    """Say how much of the AUC is kept."""
    if kept["auc_kept"] is None:
        return "is not surely better than chance to begin with"
    interval = kept["auc_kept_interval"]
    ends = f" [{', '.join(f'{100 * end:.0f}' for end in interval)}]" if interval else ""
    return f"keeps {100 * kept['auc_kept']:.0f} %{ends} of its AUC above chance"


def name_detectors(models: Sequence[nn.Module]) -> list[str]:
    """Return what the detectors are called: their titles, or where equal their files.

    Raises:
        ValueError: a checkpoint is given twice.
    """
    titles = [model.title for model in models]
    if len(set(titles)) < len(titles):
        titles = [f"{m.title} ({m.checkpoint_path.stem})" for m in models]
    if len(set(titles)) < len(titles):
        titles = [f"{m.title} ({m.checkpoint_path})" for m in models]
    if len(set(titles)) < len(titles):
        raise ValueError("a checkpoint is given twice: each once is enough")
    return titles


def save_robustness(folder: Path, numbers: dict[str, Any]) -> None:
    """Save figure, CSV and JSON, and say where."""
    detectors = numbers["detectors"]
    name = numbers["dataset"]
    if len(detectors) == 1:
        name = f"{name}_{detectors[0]['title']}"
    start = folder / f"{name}_robustness"
    counts = " and ".join(f"{n} {c}" for c, n in numbers["images"].items())
    what = "AUC" if len(detectors) > 1 else f"{detectors[0]['title']}"
    title = f"{what} on {numbers['dataset']}, test split, {counts} images, disturbed"
    save_figure(build_robustness_figure(detectors, PANELS, title), Path(f"{start}.png"))
    header = ["detector", "disturbance", "level", "strength"]
    header += name_csv_columns("robustness")
    save_csv(_list_rows(detectors), f"{start}.csv", header=header)
    save_json(numbers, f"{start}.json")
    command_line.say(*(f"wrote {start}.{end}" for end in ("png", "csv", "json")))


def _list_rows(detectors: Sequence[dict[str, Any]]) -> Iterator[list[Any]]:
    """Yield a row for each detector, disturbance and level."""
    for detector in detectors:
        for name, levels in detector["conditions"].items():
            for level, found in enumerate(levels):
                strength = LEVELS[name][level - 1] if level else ""
                row = [detector["title"], name, level, strength]
                yield row + list_csv_cells(found, "robustness")


if __name__ == "__main__":
    command_line.run(main)
