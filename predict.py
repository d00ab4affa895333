"""Say of images whether they are real faces or fake ones."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import command_line
from faces_dataset import CLASS_NAMES, FAKE, REAL, ResizeToTensor
from files.atomic import check_output, save_csv
from hardware import Precision, choose_precision, prepare_device
from loading import IMAGE_SIZE, BatchLoader, list_images, read_image, read_samples
from metrics import compute_fake_scores
from trainer import compute_logits
from utils import load_checkpoint

EPILOG = """example:
  python predict.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt photo.jpg folder/

prints a line for each image: verdict, P(fake), path. Images that cannot be read are
named on stderr, the others are still judged, and the exit status is 1. Of a folder
those files are judged whose names end as an image's (.jpg, .png, ...); its subfolders
are not entered: name them too, as in folder/*/."""

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
ADDRESS = re.compile(r"[a-z]{2,}:/", re.IGNORECASE)  # a `Path` keeps one slash of two


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    parser.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="image, or folder of images (those directly in it, sorted by name)",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="name the files and subfolders of a folder that are passed over",
    )
    parser.add_argument(
        "-cpp",
        "-cp",
        "--checkpoint-path",
        type=Path,
        required=True,
        metavar="FILE",
        help="checkpoint written by train_main.py; says the model and how it wants "
        "its images",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="also write path, verdict, fake_score and threshold to this file",
    )
    command_line.add_compute_flags(parser, seed=False)
    args = parser.parse_args(argv)
    if not args.paths:
        parser.error("no PATH: name images or folders (standard input is not read)")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 when an image could not be read, else 0."""
    args = parse_args(argv)

    precision = choose_precision(args.precision, prepare_device(args.device))
    model = load_checkpoint(args.checkpoint_path, device=precision.device)
    files, failures, passed_over = find_images(args.paths)
    if args.csv is not None:
        check_output(args.csv, [args.checkpoint_path, *files])
    verdicts, unreadable = judge_images(
        files,
        model,
        precision,
        batch_size=args.batch_size,
        workers=args.workers,
    )
    failures += unreadable

    notes = describe_passed_over(passed_over, verbose=args.verbose)
    for failure in notes + failures:
        command_line.say(failure, file=sys.stderr)
    for verdict in verdicts:
        command_line.say(format_verdict(verdict))
    if verdicts:
        command_line.say(summarise(verdicts, model))
    if args.csv is not None:
        rows = [(*verdict, model.threshold) for verdict in verdicts]
        header = ["path", "verdict", "fake_score", "threshold"]
        save_csv(rows, args.csv, header=header)
        command_line.say(f"wrote {args.csv}")
    return 1 if failures else 0


class Verdict(NamedTuple):
    """What a detector says of an image.

    Attributes:
        path: the image.
        name: real or fake.
        fake_score: P(fake).
    """

    path: str | Path
    name: str
    fake_score: float


def find_images(
    paths: Sequence[str | Path],
) -> tuple[list[Path], list[str], list[Path]]:
    """Replace folders by the images that are directly in them, sorted by name.

    Returns:
        The image files, in the order given; for each folder that gives none a sentence
        that says so; and what else is in the folders.
    """
    files, failures, passed_over = [], [], []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        try:
            names, _ = list_images(path)
            others = sorted({entry.name for entry in path.iterdir()} - set(names))
        except OSError as error:
            failures.append(f"cannot list {path}: {error.strerror}")
            continue
        files += [path / name for name in names]
        passed_over += [path / name for name in others]
        if not names:
            failures.append(f"there is no image in the folder {path}")
    return files, failures, passed_over


def describe_passed_over(paths: Sequence[Path], *, verbose: bool) -> list[str]:
    """Say how much in the folders is not judged, or name each."""
    subfolders = [path for path in paths if path.is_dir()]
    if verbose:
        return [
            f"passed over: {path}{' (a subfolder)' if path in subfolders else ''}"
            for path in paths
        ]
    counts = [
        f"{count} {what}{'s' if count > 1 else ''}"
        for count, what in (
            (len(paths) - len(subfolders), "file"),
            (len(subfolders), "subfolder"),
        )
        if count
    ]
    return [f"passed over: {' and '.join(counts)} (-v names them)"] if paths else []


def judge_images(
    paths: Sequence[str | Path],
    model: nn.Module,
    precision: Precision,
    *,
    batch_size: int = 32,
    workers: int | None = None,
) -> tuple[list[Verdict], list[str]]:
    """Judge image files in batches, as a dataset's images are scored.

    Args:
        paths: image files.
        model: as `utils.load_checkpoint` returns it.
        precision: arithmetic of the model; it says where the model is.
        batch_size: images in a batch.
        workers: processes that read images; None chooses what suits the device.

    Returns:
        In the order of `paths`: a verdict on each image that can be read and scored,
        and for each of the others a sentence that says why it cannot.
    """
    if not paths:
        return [], []
    loader = BatchLoader(
        ImageFiles(paths),
        batch_size,
        model.preprocessing,
        device=precision.device,
        workers=workers,
    )
    batches = command_line.progress(loader, "judge")
    logits, are_unreadable = compute_logits(model, batches, precision)
    have_scores = logits.isfinite().all(dim=1)
    logits[~have_scores] = 0
    fake_scores = compute_fake_scores(logits, model.temperature, model.logit_bias)
    columns = are_unreadable.tolist(), have_scores.tolist(), fake_scores.tolist()
    verdicts, failures = [], []
    for path, is_unreadable, has_score, fake_score in zip(paths, *columns, strict=True):
        if is_unreadable:
            failures.append(describe_failure(path))
        elif not has_score:
            failures.append(f"the model gives {path} no finite score")
        else:
            label = FAKE if fake_score >= model.threshold else REAL
            verdicts.append(Verdict(path, CLASS_NAMES[label], fake_score))
    return verdicts, failures


class ImageFiles(Dataset):
    """Image files as uint8 tensors (3, 256, 256) that are labelled 0.

    A file that cannot be read is a black image, labelled 1.
    """

    reads_in_threads = True
    __getitems__ = read_samples  # a `DataLoader` asks for a batch so

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = paths
        self.transform = ResizeToTensor()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        try:
            image = read_image(self.paths[index], at_least=self.transform.at_least)
            return self.transform(image), 0
        except ValueError:
            return torch.zeros(3, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.uint8), 1


def describe_failure(path: str | Path) -> str:
    """Say why a file could not be read, and what to do, by reading it once more."""
    suffix = Path(path).suffix.lower()
    if str(path) == "-":
        return "standard input (-) cannot be judged: save the image and give its path"
    if ADDRESS.match(str(path)):
        address = str(path).replace(":/", "://", 1)
        return f"{address} is an address: download the image first and give its path"
    if suffix in VIDEO_SUFFIXES:
        return (
            f"{path} is a video: save its frames as images first, for instance with "
            "ffmpeg -i VIDEO -vf fps=1 frame_%04d.png"
        )
    if suffix == ".pdf":
        return (
            f"{path} is a PDF: take the images out of it first, for instance with "
            "pdfimages -png PDF image"
        )
    try:
        read_image(path)
    except ValueError as error:
        return str(error)
    return f"cannot read the image {path}: it changed meanwhile; try again"


def format_verdict(verdict: Verdict) -> str:
    """Return a verdict as a line."""
    score = command_line.describe_fake_score(verdict.fake_score)
    return f"{verdict.name}  {score}  {verdict.path}"


def summarise(verdicts: Sequence[Verdict], model: nn.Module) -> str:
    """Return how many images are called what, from which threshold on, and why that."""
    num_fake = sum(verdict.name == CLASS_NAMES[FAKE] for verdict in verdicts)
    source = "the default, as the checkpoint has none of its own"
    if "threshold" in model.details:
        policy = model.details.get("threshold_policy")
        source = f"from the checkpoint{f': {policy}' if policy else ''}"
    return (
        f"{num_fake} fake, {len(verdicts) - num_fake} real by {model.name}; "
        f"called fake from P(fake) = {model.threshold:.4g} on ({source})"
    )


if __name__ == "__main__":
    command_line.run(main)
