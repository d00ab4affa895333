"""Measure what compression, blur, noise and the like leave of trained detectors."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import command_line
from command_line import say
from command_line.compute import take_compute, take_network

from faces_dataset import compute_fingerprint, count_classes
from files.atomic import check_writable, save_csv, save_json
from files.names import default_checkpoint_path, spell_for_files
from files.provenance import describe_call
from hardware import show_progress
from judging.detector import Detector, Scored
from loading.disturbances import AS_IT_IS, LEVELS, UNITS, Condition
from loading.disturbed_faces import DisturbedFaces
from metrics.delong import compute_auc_kept
from metrics.summary import measure_condition
from plots.paper_tables import list_csv_cells, name_csv_columns
from plots.robustness import build_robustness_figure, format_robustness
from plots.style import save_figure
from utils import Source, load_checkpoint, open_source

# What is done to an image, and at which level; nothing in the first condition.
CONDITIONS = [AS_IT_IS]
CONDITIONS += [Condition(n, k + 1) for n in LEVELS for k in range(len(LEVELS[n]))]
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
    command_line.add_dataset_flag(parser)
    command_line.add_model_flag(parser, take_network, from_checkpoint=True)
    command_line.add_checkpoint_flag(parser, nargs="+")
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    compute = take_compute(args)
    paths = args.checkpoint_path or [default_checkpoint_path(args.dataset, args.model)]
    detectors = [load_checkpoint(path, args.model, compute.device) for path in paths]
    say(*(f"checkpoint: {path}" for path in paths))
    source = Source(args.data_root, "test", args.limit)
    check_writable(args.figures_dir)
    measured = []
    for detector, title in zip(detectors, name_detectors(detectors), strict=True):
        faces = open_source(args.dataset, source, preprocessing=detector.preprocessing)
        scored = detector.score(DisturbedFaces(faces, CONDITIONS, args.seed), compute)
        numbers = measure_detector(detector, scored, title=title, seed=args.seed)
        say(*format_robustness(numbers, PANELS), "")
        measured.append(numbers)
    numbers = {
        **{"dataset": args.dataset, "split": "test", "seed": args.seed},
        **{"images": count_classes(faces), "precision": compute.precision.name},
        **{"levels": LEVELS, "units": UNITS, "detectors": measured},
        "provenance": {
            **describe_call(__file__, sys.argv[1:] if argv is None else argv),
            "inputs": [detector.provenance for detector in detectors],
            "file_names_sha256": compute_fingerprint({args.dataset: faces}),
        },
    }
    for path in save_robustness(args.figures_dir, numbers):
        say(f"wrote {path}")


def measure_detector(
    detector: Detector, scored: Scored, *, title: str, seed: int
) -> dict[str, Any]:
    """Compute what each condition leaves of a detector.

    Args:
        detector: who scored.
        scored: what it said of `DisturbedFaces`, of N images.
        title: what the detector is called.
        seed: of the bootstrap.

    Returns:
        Plain values for JSON; `conditions` holds by disturbance the numbers of level 0
        and of each level after it.
    """
    scores, fake_scores = (
        values.reshape(-1, len(CONDITIONS)).T  # (conditions, N)
        for values in (scored.differences, scored.fake_scores)
    )
    labels = scored.labels[:: len(CONDITIONS)]
    rows = zip(scores, show_progress(fake_scores, "measure"), strict=True)
    measured = [
        measure_condition(*row, labels, detector.threshold, seed=seed) for row in rows
    ]
    by_condition = dict(zip(CONDITIONS, measured, strict=True))
    kept = compute_auc_kept(scores[0], scores[1:], labels)
    worst = min(CONDITIONS[1:], key=lambda c: by_condition[c]["auc"])
    return {
        "title": title,
        "checkpoint": str(detector.path),
        "threshold": detector.threshold,
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


def name_detectors(detectors: Sequence[Detector]) -> list[str]:
    """Return what the detectors are called: their titles, or where equal their files.

    Raises:
        ValueError: a checkpoint is given twice.
    """
    ways = [
        [d.title for d in detectors],
        [f"{d.title} ({d.path.stem})" for d in detectors],
        [f"{d.title} ({d.path})" for d in detectors],
    ]
    for titles in ways:
        if len(set(titles)) == len(titles):
            return titles
    raise ValueError("a checkpoint is given twice: each once is enough")


def save_robustness(folder: Path, numbers: dict[str, Any]) -> list[Path]:
    """Save figure, CSV and JSON, and return their paths."""
    detectors = numbers["detectors"]
    name = numbers["dataset"]
    if len(detectors) == 1:
        name = f"{name}_{spell_for_files(detectors[0]['title'])}"
    png, csv, json = (folder / f"{name}_robustness.{e}" for e in ("png", "csv", "json"))
    counts = " and ".join(f"{n} {c}" for c, n in numbers["images"].items())
    what = "AUC" if len(detectors) > 1 else f"{detectors[0]['title']}"
    title = f"{what} on {numbers['dataset']}, test split, {counts} images, disturbed"
    save_figure(build_robustness_figure(detectors, PANELS, title), png)
    header = ["detector", "disturbance", "level", "strength"]
    header += name_csv_columns("robustness")
    save_csv(_list_rows(detectors), csv, header=header)
    save_json(numbers, json)
    return [png, csv, json]


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
