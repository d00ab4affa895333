"""Say of images whether they are real faces or fake ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cli
from files import check_writable, save_csv

if TYPE_CHECKING:
    from utils import Detector
    from verdicts import Verdict

EPILOG = """example:
  python predict.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt photo.jpg folder/

prints a line for each image: verdict, P(fake), path. Images that cannot be read are
named on stderr, the others are still judged, and the exit status is 1."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.Parser(__doc__, epilog=EPILOG)
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
    cli.add_compute_flags(parser, seed=False)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 when an image could not be read, else 0."""
    args = parse_args(argv)

    from precision import choose_precision, choose_workers, prepare_device
    from utils import load_checkpoint
    from verdicts import Unreadable, find_images, judge_images

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


if __name__ == "__main__":
    cli.run(main)
