"""Write a trained detector for other programs: ONNX, checked against its checkpoint."""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import command_line
from command_line import say
from command_line.compute import take_source

from exporting.checking import (
    MOST_APART,
    MOST_OTHER,
    NUM_PICTURES,
    compare,
    draw_pictures,
    load_samples,
)
from exporting.description import describe_export
from exporting.formats import FORMATS, OPSET, check_packages, load_program
from exporting.quantising import save_quantised
from files.atomic import check_free, grow_folder, save_json
from files.provenance import describe_file
from judging.detector import Detector
from judging.exported import load_exported
from judging.inputs import ImageFinder
from judging.pictures import InputSpec
from loading import ImageFile
from loading.sources.datasets import Source, find_dataset
from utils import load_checkpoint, open_for

EPILOG = """examples:
  python export.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt --to exported
  python predict.py -cpp exported/detector.onnx photo.jpg
  python export.py -cpp A.pt --to small --int8 --format onnx safetensors
  python export.py -cpp A.pt --to checked --pictures photos

writes detector.onnx (or .pt2, .safetensors), detector.json with all that a caller must
know, and example.py and example.html, which judge a picture in Python and in a browser.
Preprocessing and calibration are in the graph: bytes go in, P(fake) comes out. The
detector judges 100 pictures before and after; where P(fake) differs by more than 0.001
nothing is written. They are those of the validation split, if it is found, or yours, or
drawn ones. To judge with detector.onnx, requirements-onnx.txt is enough."""

ROOM = Path(__file__).parent / "exporting"
IN_FP32 = (
    "note: checkpoint and export were compared in fp32; a checkpoint that predict.py "
    "judges in bf16, its default on many CPUs, may differ by up to 0.06 in P(fake)"
)
EXAMPLES = ("example.py", "example.html")


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
        "--to",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder, new, or empty and not the current one",
    )
    _add_format_flags(parser)
    _add_picture_flags(parser)
    args = parser.parse_args(argv)
    args.format = list(dict.fromkeys(args.format or ["onnx"]))
    if args.int8 and "onnx" not in args.format:
        parser.error("--int8 goes with --format onnx")
    return args


def _add_format_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        nargs="+",
        choices=tuple(FORMATS),
        help="onnx: for any program (default); pt2: for PyTorch without the network's "
        "code, where ONNX lacks what it computes; safetensors: its weights alone",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="also write detector_int8.onnx, in 8-bit integers, if at most 2 %% of the "
        "verdicts change; needs the dataset",
    )


def _add_picture_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags on what the export is checked on."""
    parser.add_argument(
        "--pictures",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="images, or folders of them, to check the export on",
    )
    parser.add_argument(
        "-d",
        "--dataset",
        metavar="NAME",
        help="dataset under --data-root to check the export on (default: that which "
        "the detector was trained on, if it is there)",
    )
    command_line.add_source_flags(parser)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_packages()
    check_free(args.to, "--to")
    detector = load_checkpoint(args.checkpoint_path)
    source = replace(take_source(args), limit=args.limit or NUM_PICTURES // 2)
    dataset = choose_dataset(args.dataset, source, detector)
    if args.int8 and dataset is None:
        raise ValueError(
            "--int8 is calibrated on training images, and no dataset is found: name it "
            "with -d and --data-root"
        )
    pictures = find_pictures(args.pictures, dataset, source, detector)
    description = describe_export(detector, OPSET)
    names = [f"detector.{name}" for name in args.format]
    with grow_folder(args.to) as folder:
        for kind, name in zip(args.format, names, strict=True):
            FORMATS[kind](detector, description, folder / name)
            check(detector, folder / name, pictures)
        if args.int8:
            names.append("detector_int8.onnx")
            train = list_files(dataset, replace(source, split="train"), detector)
            samples = load_samples(train, InputSpec.of(detector))
            onnx, int8 = folder / "detector.onnx", folder / names[-1]
            save_quantised(onnx, int8, samples, description)
            check_quantised(detector, int8, pictures)
        hashes = {name: describe_file(folder / name)["sha256"] for name in names}
        for name in EXAMPLES if "onnx" in args.format else ():
            shutil.copyfile(ROOM / name, folder / name)
            names.append(name)
        save_json({**description, "sha256": hashes}, folder / "detector.json")
    for path in [args.to / name for name in (*names, "detector.json")]:
        say(f"wrote {path} ({path.stat().st_size / 1e3:,.0f} kB)")
    if args.format != ["safetensors"]:  # weights alone were compared with nothing
        say(IN_FP32)


def choose_dataset(asked: str | None, source: Source, detector: Detector) -> str | None:
    """Return the dataset that is given, or that of the training if it is there."""
    trained_on = detector.record.dataset
    parts = trained_on.split("+") if trained_on else [""]
    is_there = all(part and find_dataset(part, source.data_root) for part in parts)
    return asked or (trained_on if is_there else None)


def list_files(dataset: str, source: Source, detector: Detector) -> list[ImageFile]:
    """Return the pictures of the split that a source names."""
    faces = open_for(detector, dataset, source)
    return [faces.get_file(number) for number in range(len(faces))]


def find_pictures(
    paths: Sequence[Path] | None,
    dataset: str | None,
    source: Source,
    detector: Detector,
) -> list[ImageFile]:
    """Return pictures to check an export on, and say which they are."""
    if paths:
        if missing := [path for path in paths if not path.exists()]:
            raise FileNotFoundError(f"there is no picture {missing[0]}")
        pictures = [ImageFile(p) for p in islice(ImageFinder(paths), NUM_PICTURES)]
        if not pictures:
            raise ValueError(f"there is no image in {', '.join(map(str, paths))}")
        say(f"checked on {len(pictures)} pictures that were given")
    elif dataset:
        pictures = list_files(dataset, replace(source, split="val"), detector)
        say(f"checked on {len(pictures)} validation images of {dataset}")
    else:
        pictures = draw_pictures(detector.preprocessing.size)
        say(f"checked on {len(pictures)} pictures of drawn noise: no dataset was found")
    return pictures


def check(detector: Detector, path: Path, pictures: Sequence[ImageFile]) -> None:
    """Say how far an export is from its checkpoint; raise ValueError if too far."""
    if path.suffix == ".safetensors":  # the weights as they are
        return
    load = load_exported if path.suffix == ".onnx" else load_program
    agreement = compare(detector, load(path), pictures)
    say(f"{path.name}: {agreement.describe()}")
    if agreement.largest > MOST_APART:
        raise ValueError(
            f"{path.name} does not agree with {detector.path}: P(fake) differs by "
            f"{agreement.largest:.2g}, at most {MOST_APART:g} is allowed; nothing is "
            "written"
        )


def check_quantised(
    detector: Detector, path: Path, pictures: Sequence[ImageFile]
) -> None:
    """Say what 8-bit integers cost; raise ValueError if too much."""
    agreement = compare(detector, load_exported(path), pictures)
    say(f"{path.name}: {agreement.describe()}")
    if agreement.num_other > MOST_OTHER * agreement.num_pictures:
        raise ValueError(
            f"int8 changes {agreement.num_other} of {agreement.num_pictures} verdicts, "
            f"and at most {100 * MOST_OTHER:g} % may change: leave out --int8; nothing "
            "is written"
        )


if __name__ == "__main__":
    command_line.run(main)
