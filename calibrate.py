"""Choose on validation images anew what a trained detector's scores mean."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import command_line
from command_line import say
from command_line.compute import take_compute, take_source

from explaining.shown import describe_checked, qualify_with_maps
from faces_dataset import FacesDataset
from files.atomic import check_output, set_aside
from files.hub import is_fetched
from files.names import CHECKPOINTS_DIR
from judging.detector import Detector
from judging.qualifying import Policy, split_calibration
from judging.words import describe_qualification, describe_threshold
from loading.sources.datasets import Source
from records.checkpoint_files import save_with_record
from records.recipe import OF_CALIBRATION, Recipe
from tuning import name_kept
from utils import load_checkpoint, open_splits, take_fold

EPILOG = """examples:
  python calibrate.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt
  python calibrate.py -cpp A.pt --calibrate-under photographs --max-fpr 0.05
  python calibrate.py -cpp A.pt -d our_cameras --max-fpr 0.01 --max-fnr 0.05

train_main.py does this at the end of a training. Here it is done again: for a
checkpoint from before, under other conditions, for other error rates, or on images of
other cameras. The weights stay as they are.

writes NAME_calibrated.pt beside the checkpoint, or --output FILE; an earlier file of
that name is renamed, not replaced"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_checkpoint_flag(
        parser,
        "checkpoint written by train_main.py, or the included one, "
        "starter/detector.safetensors",
        required=True,
    )
    parser.add_argument(
        "-d",
        "--dataset",
        metavar="NAME",
        help="folder under --data-root whose splits are used (default: that which the "
        "detector was trained on)",
    )
    command_line.add_source_flags(parser)
    command_line.add_calibration_flags(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="file of the new checkpoint (default: NAME_calibrated.pt beside the old)",
    )
    command_line.add_compute_flags(parser)
    args = parser.parse_args(argv)
    if args.checkpoint_path.suffix.lower() == ".onnx":
        parser.error(
            "an exported detector cannot be calibrated: calibrate the checkpoint that "
            "it was made of, and export that again"
        )
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    compute = take_compute(args)
    path = args.checkpoint_path
    detector = load_checkpoint(path, device=compute.device)
    folder = CHECKPOINTS_DIR if is_fetched(path) else path.parent
    output = args.output or folder / f"{path.stem}_calibrated{path.suffix}"
    check_output(output, [path])
    chosen = {name: getattr(args, name) for name in OF_CALIBRATION}
    chosen = {n: tuple(v) if isinstance(v, list) else v for n, v in chosen.items()}
    recipe = replace(Recipe.from_untrusted(detector.record.flags), **chosen)
    datasets = open_datasets(args.dataset, take_source(args), detector, recipe)
    policy = replace(Policy.of(recipe), seed=args.seed)
    record = qualify_with_maps(detector, datasets, policy, compute)
    kept_before = set_aside([output]).values()
    say(*(f"kept from an earlier run: {path}" for path in kept_before))
    save_with_record(path, record, output)
    say(
        *describe_qualification(record),
        describe_threshold(replace(detector, record=record), "chosen now"),
        *describe_checked(record.maps),
        *(f"note: {note}" for note in record.calibration_notes),
    )
    say(f"wrote {output}")
    kept = name_kept(path.parent, record.backbone_sha256)
    if kept.exists() and output.parent.resolve() != path.parent.resolve():
        say(f"it needs {kept} beside it: copy that as well")


def open_datasets(
    asked: str | None, source: Source, detector: Detector, recipe: Recipe
) -> dict[str, FacesDataset]:
    """Return the splits of the dataset that is given, or of the training's.

    Raises:
        OSError, ValueError: as `open_splits`; or there is nothing to fall back on.
    """
    path, trained_on = detector.path, detector.record.dataset
    dataset = asked or trained_on
    if not dataset:
        raise ValueError(f"{path} does not say what it was trained on: give -d")
    try:
        datasets = open_splits(
            dataset,
            source.follow(detector.record, dataset),
            without_fakes=recipe.splits_without_fakes,
            preprocessing=detector.preprocessing,
        )
    except FileNotFoundError as error:
        if asked:
            raise
        raise FileNotFoundError(
            f"what {path} was trained on is not here, so give -d with a dataset of "
            f"your own: {error}"
        ) from error
    if dataset == trained_on:  # of which some images chose the epoch
        datasets = take_fold(recipe, datasets)
        _, datasets["val"] = split_calibration(recipe, datasets["val"])
    return datasets


if __name__ == "__main__":
    command_line.run(main)
