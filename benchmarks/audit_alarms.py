"""How often does audit_dataset.py raise an alarm where nothing is wrong?

Real images are stored in random ways (format, quality, size, metadata), and called real
or fake at random, again and again: whatever is then found is a false alarm.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hardware import show_progress

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

import command_line
from auditing.duplicates import find_duplicates
from auditing.findings import list_findings
from auditing.properties import Inspection, inspect
from auditing.shortcuts import find_shortcuts
from files.atomic import check_writable, save_json
from files.names import CLASS_NAMES, REAL, SPLITS
from loading import list_images, read_image

SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__)
    command_line.add_data_flags(parser)
    parser.add_argument(
        "--repetitions",
        type=command_line.positive_int,
        default=50,
        metavar="N",
        help="random splits",
    )
    command_line.add_seed_flag(parser)
    parser.add_argument(
        "--json", type=Path, default=Path("out/audit_alarms.json"), metavar="FILE"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_writable(args.json.parent)
    paths = list_real_images(args.data_root / args.dataset, args.limit)
    with tempfile.TemporaryDirectory() as folder:
        stored = store_randomly(paths, Path(folder), args.seed)
        inspection = inspect(stored, ["train"] * len(stored), [REAL] * len(stored))
    result = {"images": len(paths)}
    result |= count_alarms(inspection, args.repetitions, args.seed)
    save_json(result, args.json)
    command_line.say(*(f"{name}: {value}" for name, value in result.items()))
    command_line.say(f"wrote {args.json}")


def list_real_images(folder: Path, limit: int | None) -> list[Path]:
    """List the real images of all splits, those that the limit lets through."""
    return [
        folder / split / CLASS_NAMES[REAL] / name
        for split in SPLITS
        for name in list_images(folder / split / CLASS_NAMES[REAL])[0][:limit]
    ]


def store_randomly(paths: Sequence[Path], folder: Path, seed: int) -> list[Path]:
    """Store each image in a way that is drawn for it alone."""
    stored = []
    numbers = show_progress(range(len(paths)), "store")
    for number, path in zip(numbers, paths, strict=True):
        rng = np.random.default_rng([seed, number])
        edge = int(rng.choice([224, 256, 320]))
        image = read_image(path).resize((edge, edge), Image.Resampling.BICUBIC)
        target = folder / f"{number}.{rng.choice(['jpg', 'png'], p=[0.8, 0.2])}"
        options: dict[str, Any] = {"exif": b"Exif\0\0"} if rng.random() < 0.5 else {}
        if target.suffix == ".jpg":
            options |= {"quality": int(rng.integers(60, 96))}
            options |= {"progressive": bool(rng.random() < 0.3)}
        image.save(target, **options)
        stored.append(target)
    return stored


def count_alarms(inspection: Inspection, repetitions: int, seed: int) -> dict[str, Any]:
    """Count what is found on random splits and labels of the same images."""
    num_images = len(inspection.paths)
    bounds = np.cumsum(list(SHARES.values()))[:-1] * num_images
    pairs = find_duplicates(inspection)
    alarms, levels, num_alarmed = Counter(), Counter(), 0
    for repetition in show_progress(range(repetitions), "repetitions"):
        rng = np.random.default_rng([seed, repetition])
        places = np.digitize(rng.permutation(num_images), bounds)
        drawn = replace(
            inspection,
            splits=np.array(list(SHARES))[places],
            labels=rng.integers(2, size=num_images),
        )
        shortcuts = find_shortcuts(drawn, seed=repetition)
        found = list_findings(drawn, pairs, [], shortcuts)
        found_levels = {finding.level for finding in found}
        num_alarmed += bool(found_levels - {"info"})
        levels.update(found_levels)
        alarms.update({s.trait.name for s in shortcuts if s.verdict != "fine"})
    return {
        "repetitions": repetitions,
        "splits_with_a_false_alarm": num_alarmed,
        "splits_with_a_finding_of_level": dict(levels),
        "splits_with_an_alarm_of_property": dict(alarms),
        "pairs_that_show_the_same": len(pairs),
    }


if __name__ == "__main__":
    command_line.run(main)
