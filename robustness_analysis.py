"""Measure what compression, blur, noise and the like leave of trained detectors."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import command_line
from command_line import say
from command_line.compute import take_network, take_shared_compute, take_source

from faces_dataset import compute_fingerprint, count_classes
from files.atomic import check_writable, save_csv, save_json
from files.names import default_checkpoint_path, spell_dataset, spell_for_files
from files.provenance import describe_call
from hardware import distributed, show_progress
from judging.conditions import JudgedConditions, judge_conditions
from judging.detector import Detector
from judging.qualifying import MOST_TIMES
from loading.disturbances import AS_IT_IS, LEVELS, UNITS, Condition, parse_conditions
from loading.disturbed_faces import DisturbedFaces
from metrics.delong import compute_auc_kept
from metrics.samples import check_samples
from metrics.summary import compute_columns
from metrics.verdicts import check_promise, measure_rates
from plots.paper_tables import list_csv_cells, name_csv_columns
from plots.robustness import (
    build_errors_figure,
    build_robustness_figure,
    format_errors,
    format_robustness,
    list_rate_cells,
    name_rate_columns,
)
from plots.style import save_figure
from utils import load_checkpoint, open_for

DEFAULT = [name for name in LEVELS if name != "found"]  # which takes a face finder

EPILOG = """examples:
  python robustness_analysis.py -m SimpleNet -d fakes_dataset \\
      -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt
  python robustness_analysis.py -d fakes_dataset -cpp A.pt B.pt
  python robustness_analysis.py -d fakes_dataset -cpp A.pt --conditions photographs
  python robustness_analysis.py -d fakes_dataset -cpp A.pt --conditions face jpeg=70

writes, to the folder of figures (of several detectors: DATASET_robustness):
  DATASET_MODEL_robustness.png    a panel for each disturbance
  DATASET_MODEL_robustness.csv    AUC, EER, accuracy, false alarms, misses, share
                                  inconclusive, with intervals, a row a level
  DATASET_MODEL_robustness.json   the same, and where it is from
  DATASET_MODEL_errors.png        of each detector: false alarms, misses, share
                                  inconclusive, a panel for each disturbance"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_dataset_flag(parser)
    command_line.add_model_flag(parser, take_network, from_checkpoint=True)
    command_line.add_checkpoint_flag(parser, nargs="+")
    parser.add_argument(
        "--conditions",
        nargs="+",
        metavar="NAME",
        help=f"what is done to the images: {', '.join(LEVELS)}; one level, such as "
        "face=96; photographs for those that --calibrate-under photographs takes "
        "(default: all levels of all but found, which takes a face finder)",
    )
    parser.add_argument(
        "--stability",
        action="store_true",
        help="for verdicts, judge harmless versions of each image as well, as "
        "predict.py does: up to seven times as long",
    )
    command_line.add_compute_flags(parser)
    command_line.add_figures_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    conditions = list_conditions(args.conditions or DEFAULT)
    compute = take_shared_compute(args)
    paths = args.checkpoint_path or [default_checkpoint_path(args.dataset, args.model)]
    detectors = [load_checkpoint(path, args.model, compute.device) for path in paths]
    say(*(f"checkpoint: {path}" for path in paths))
    source = take_source(args)
    check_writable(args.figures_dir)
    measured = []
    for detector, title in zip(detectors, name_detectors(detectors), strict=True):
        faces = open_for(detector, args.dataset, source)
        images = DisturbedFaces(faces, conditions, args.seed)
        judged = judge_conditions(detector, images, compute, stability=args.stability)
        if not distributed.is_main():
            continue
        numbers = measure_detector(
            detector, judged, conditions, title=title, seed=args.seed
        )
        say(*format_robustness(numbers), "", *format_errors(numbers), "")
        measured.append(numbers)
    if not distributed.is_main():
        return
    numbers = {
        **{"dataset": args.dataset, "split": "test", "seed": args.seed},
        **{"images": count_classes(faces), "precision": compute.precision.name},
        **{"levels": list_strengths(conditions), "units": UNITS},
        **{"stability": args.stability, "detectors": measured},
        "provenance": {
            **describe_call(__file__, argv),
            "inputs": [detector.provenance for detector in detectors],
            "file_names_sha256": compute_fingerprint({args.dataset: faces}),
        },
    }
    for path in save_robustness(args.figures_dir, numbers):
        say(f"wrote {path}")


def list_conditions(texts: Sequence[str]) -> list[Condition]:
    """Return the conditions that texts name, ordered by disturbance and level.

    Raises ValueError as `parse_conditions`, or if they name nothing that is done.
    """
    names = list(LEVELS)
    _, *others = parse_conditions(texts)
    if not others:
        raise ValueError("--conditions names nothing that is done to the images")
    return [AS_IT_IS, *sorted(others, key=lambda c: (names.index(c.name), c.level))]


def list_strengths(conditions: Sequence[Condition]) -> dict[str, list[float]]:
    """Return by disturbance the strengths of those of its levels that are measured."""
    strengths: dict[str, list[float]] = {}
    for condition in conditions[1:]:
        strengths.setdefault(condition.name, []).append(condition.strength)
    return strengths


def measure_detector(
    detector: Detector,
    judged: JudgedConditions,
    conditions: Sequence[Condition],
    *,
    title: str,
    seed: int,
) -> dict[str, Any]:
    """Compute what each condition leaves of a detector.

    Args:
        judged: what it said of N images.
        conditions: under which; the first is as they are.
        title: what the detector is called.

    Returns:
        Plain values for JSON; `conditions` holds by disturbance the numbers of the
        images as they are, and of each level after it.
    """
    most = detector.record.most_false_alarms
    is_promise = most is not None and MOST_TIMES * most < 1
    promised = MOST_TIMES * most if is_promise else None
    measured = [
        {
            **{"condition": str(condition), "level": condition.level},
            **_measure_condition(
                detector, judged, number, promised=promised, seed=seed
            ),
        }
        for number, condition in enumerate(show_progress(conditions, "measure"))
    ]
    scores = judged.differences
    kept = compute_auc_kept(scores[0], scores[1:], judged.labels)
    worst = min(measured[1:], key=lambda numbers: numbers["auc"])
    words = _describe_kept(kept, len(conditions) - 1)
    of_each = list(zip(conditions, measured, strict=True))
    return {
        "title": title,
        "checkpoint": str(detector.path),
        "threshold": detector.threshold,
        "real_below": detector.real_below,
        "promised_false_alarms": promised,
        **kept,
        "auc_kept_in_words": words,
        "sentence": f"{title} {words}; least under {worst['condition']}: AUC "
        f"{worst['auc']:.3f}",
        "conditions": {
            name: [measured[0], *(found for c, found in of_each if c.name == name)]
            for name in list_strengths(conditions)
        },
    }


def _measure_condition(
    detector: Detector,
    judged: JudgedConditions,
    number: int,
    *,
    promised: float | None,
    seed: int,
) -> dict[str, Any]:
    """Return all numbers of one condition, intervals beside them."""
    fake_scores, labels = judged.fake_scores[number], judged.labels
    columns = judged.differences[number], labels, detector.threshold
    samples = check_samples(*columns, fake_scores=fake_scores)
    rates = measure_rates(labels, detector.decide(fake_scores), judged.verdicts[number])
    return {
        **compute_columns(samples, "robustness", seed=seed),
        **rates,
        "keeps_promise": check_promise(rates, promised),
    }


def _describe_kept(kept: dict[str, Any], num_levels: int) -> str:
    """Say how much of the AUC is kept, on average over so many levels."""
    if kept["auc_kept"] is None:
        return "is not surely better than chance to begin with"
    interval = kept["auc_kept_interval"]
    ends = f" [{', '.join(f'{100 * end:.0f}' for end in interval)}]" if interval else ""
    share = f"{100 * kept['auc_kept']:.0f} %{ends}"
    return f"keeps {share} of its AUC above chance over {num_levels} levels"


def name_detectors(detectors: Sequence[Detector]) -> list[str]:
    """Return what the detectors are called: titles, or where equal also their files."""
    ways = [
        [d.title for d in detectors],
        [f"{d.title} ({d.path.stem})" for d in detectors],
        [f"{d.title} ({d.path})" for d in detectors],
    ]
    return next(titles for titles in ways if len(set(titles)) == len(titles))


def save_robustness(folder: Path, numbers: dict[str, Any]) -> list[Path]:
    """Save figures, CSV and JSON, and return their paths."""
    detectors = numbers["detectors"]
    dataset = numbers["dataset"]
    names = [
        f"{spell_dataset(dataset)}_{spell_for_files(of['title'])}" for of in detectors
    ]
    name = names[0] if len(names) == 1 else dataset
    png, csv, json = (folder / f"{name}_robustness.{e}" for e in ("png", "csv", "json"))
    counts = " and ".join(f"{n} {c}" for c, n in numbers["images"].items())
    where = f"on {dataset}, test split, {counts} images, disturbed"
    panels = {n: (UNITS[n], values) for n, values in numbers["levels"].items()}
    subject = "AUC" if len(detectors) > 1 else detectors[0]["title"]
    figure = build_robustness_figure(detectors, panels, f"{subject} {where}")
    save_figure(figure, png)
    header = ["detector", "disturbance", "level", "strength"]
    header += [*name_csv_columns("robustness"), *name_rate_columns()]
    save_csv(list_rows(detectors), csv, header=header)
    save_json(numbers, json)
    errors = [folder / f"{name}_errors.png" for name in names]
    for detector, path in zip(detectors, errors, strict=True):
        title = f"Errors of {detector['title']} {where}"
        save_figure(build_errors_figure(detector, panels, title), path)
    return [png, csv, json, *errors]


def list_rows(detectors: Sequence[dict[str, Any]]) -> Iterator[list[Any]]:
    """Yield a row for each detector, disturbance and level."""
    for detector in detectors:
        for name, levels in detector["conditions"].items():
            for found in levels:
                level = found["level"]
                strength = Condition(name, level).strength if level else ""
                row = [detector["title"], name, level, strength]
                row += list_csv_cells(found, "robustness")
                yield row + list_rate_cells(found)


if __name__ == "__main__":
    command_line.run(main, distributed.speaks_first)
