"""Say of images whether they are real faces or fake ones."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import command_line
from faces_dataset import ResizeToTensor
from files.atomic import check_writable, save_csv
from files.layout import CLASS_NAMES, FAKE, REAL
from hardware import Precision, choose_precision, choose_workers, prepare_device
from loading import list_images, read_image, read_samples
from numerical_analysis import get_soft_scores_and_true_labels
from utils import Detector, load_checkpoint

EPILOG = """example:
  python predict.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt photo.jpg folder/

prints a line for each image: verdict, P(fake), path. Images that cannot be read are
named on stderr, the others are still judged, and the exit status is 1."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="image, or folder of images (those directly in it, sorted by name)",
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
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 when an image could not be read, else 0."""
    args = parse_args(argv)

    device = prepare_device(args.device)
    detector = load_checkpoint(args.checkpoint_path, device=device)
    if args.csv is not None:
        check_is_file_name(args.csv)
    files, failures = find_images(args.paths)
    for failure in failures:
        print(make_printable(failure.reason), file=sys.stderr)
    verdicts = []
    for result in judge_images(
        files,
        detector,
        batch_size=args.batch_size,
        precision=choose_precision(args.precision, device),
        workers=choose_workers(args.workers, device),
    ):
        if isinstance(result, Unreadable):
            failures.append(result)
            print(make_printable(result.reason), file=sys.stderr)
        else:
            verdicts.append(result)
            print(format_verdict(result), flush=True)
    if verdicts:
        print(summarise(verdicts, detector))
    if args.csv is not None:
        rows = [(v.path, v.name, v.fake_score, detector.threshold) for v in verdicts]
        header = ["path", "verdict", "fake_score", "threshold"]
        save_csv(rows, args.csv, header=header)
        print(f"wrote {args.csv}")
    return 1 if failures else 0


def check_is_file_name(path: Path) -> None:
    """Raise ValueError or OSError when no file can be written there."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; --csv takes the name of a file")
    check_writable(path.parent)


def format_verdict(verdict: Verdict) -> str:
    """Return a verdict as a line."""
    path = make_printable(str(verdict.path))
    return f"{verdict.name}  P(fake)={verdict.fake_score:.3f}  {path}"


def summarise(verdicts: Sequence[Verdict], detector: Detector) -> str:
    """Return how many images are called what, from which threshold on, and why that."""
    num_fake = sum(verdict.name == "fake" for verdict in verdicts)
    source = "the default, as the checkpoint has none of its own"
    if "threshold" in detector.details:
        policy = detector.details.get("threshold_policy")
        source = f"from the checkpoint{f': {policy}' if policy else ''}"
    return (
        f"{num_fake} fake, {len(verdicts) - num_fake} real by {detector.name}; "
        f"called fake from P(fake) = {detector.threshold:.4g} on ({source})"
    )


def make_printable(text: str) -> str:
    """Escape what a file name may hold and a terminal cannot show on one line."""
    escaped = text.encode("utf-8", "backslashreplace").decode()
    return escaped.replace("\n", "\\n").replace("\r", "\\r")


@dataclass(frozen=True)
class Verdict:
    """What a detector says of an image.

    Attributes:
        path: the image.
        name: real or fake.
        fake_score: P(fake).
    """

    path: Path
    name: str
    fake_score: float


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that could not be judged, and why, in a sentence."""

    path: Path
    reason: str


def find_images(paths: Sequence[Path]) -> tuple[list[Path], list[Unreadable]]:
    """Replace folders by the images that are directly in them, sorted by name.

    Returns:
        The image files, in the order given, and the folders that hold none.
    """
    files, empty = [], []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        try:
            names, _ = list_images(path)
        except OSError as error:
            empty.append(Unreadable(path, f"cannot list {path}: {error.strerror}"))
            continue
        files += [path / name for name in names]
        if not names:
            empty.append(Unreadable(path, f"there is no image in the folder {path}"))
    return files, empty


def judge_images(
    paths: Sequence[Path],
    detector: Detector,
    *,
    batch_size: int = 32,
    precision: Precision | None = None,
    workers: int = 0,
) -> Iterator[Verdict | Unreadable]:
    """Judge image files in batches, as `utils.get_soft_scores_and_true_labels` does.

    Args:
        paths: image files.
        detector: as `utils.load_checkpoint` returns it.
        batch_size: images in a batch.
        precision: arithmetic of the model; default as suits its device.
        workers: processes that read images.

    Yields:
        For each path a verdict or why there is none, batch by batch in the order of
        `paths`; a batch's unreadable images come first.
    """
    remaining = iter(paths)
    files = ImageFiles(paths, detector.model.preprocessing.size)
    for samples in _read_in_batches(files, batch_size, workers):
        readable: list[tuple[Path, Tensor]] = []
        for sample, path in zip(samples, remaining, strict=False):
            if isinstance(sample, str):
                yield Unreadable(path, sample)
            else:
                readable.append((path, sample))
        yield from _judge_batch(readable, detector, precision)


class ImageFiles(Dataset):
    """Image files as uint8 tensors (3, size, size), or as a sentence on what is wrong.

    Args:
        paths: the files.
        size: height and width of the tensors.
    """

    reads_in_threads = True

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        self.paths = paths
        self.transform = ResizeToTensor(size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            return self.transform(read_image(self.paths[index]))
        except ValueError as error:
            return str(error)


def _read_in_batches(
    files: ImageFiles, batch_size: int, workers: int
) -> Iterator[list[Tensor | str]]:
    """Read files in order: each by the next free process, or here, in threads."""
    if workers:
        samples = iter(DataLoader(files, batch_size=None, num_workers=workers))
        while batch := list(itertools.islice(samples, batch_size)):
            yield batch
        return
    for start in range(0, len(files), batch_size):
        indices = range(start, min(start + batch_size, len(files)))
        yield read_samples(files, indices)


def _judge_batch(
    batch: Sequence[tuple[Path, Tensor]],
    detector: Detector,
    precision: Precision | None,
) -> Iterator[Verdict]:
    """Judge images that could be read."""
    if not batch:
        return
    samples = [(sample, REAL) for _, sample in batch]  # the labels are not looked at
    _, fake_scores, _ = get_soft_scores_and_true_labels(
        samples, detector.model, batch_size=len(batch), precision=precision
    )
    for (path, _), score in zip(batch, fake_scores.tolist(), strict=True):
        label = FAKE if score >= detector.threshold else REAL
        yield Verdict(path, CLASS_NAMES[label], score)


if __name__ == "__main__":
    command_line.run(main)
