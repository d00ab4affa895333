"""Lay out a trained detector for a model hub: card, weights, record, hashes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import command_line
from command_line import say, take

from files.atomic import check_free, grow_folder
from judging.words import describe_limits
from records.checkpoint import KINDS
from reporting.card import (
    LICENCE,
    REPOSITORY,
    UNKNOWN,
    Publication,
    load_measured,
    save_publication,
)
from utils import load_checkpoint

EPILOG = """examples:
  python publish.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt --to hub/simple
  python publish.py -cpp A.pt --to hub/a --repository me/a --licence mit
  python publish.py -cpp A.pt --to hub/a --numbers figures/fakes_SimpleNet_metrics.json

writes a folder to upload as it is:
  README.md              the model card, with every number that the checkpoint holds
  CHECKPOINT.safetensors the weights, which cannot hold code, with the record
  record.json            the record, and the SHA-256 of the weights
  SHA256SUMS             of the other files

Once it is on the Hugging Face hub, every script takes -cpp hf:OWNER/NAME@REVISION.

Needs pip install -r requirements-hub.txt"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_checkpoint_flag(
        parser, "checkpoint written by train_main.py", required=True
    )
    parser.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder, new, or empty and not the current one",
    )
    parser.add_argument(
        "--repository",
        type=take(REPOSITORY),
        default=Publication.repository,
        metavar="OWNER/NAME",
        help="where it will be, for the commands on the card",
    )
    parser.add_argument(
        "--without-frozen",
        action="store_true",
        help="leave out the weights that stayed frozen: kilobytes for megabytes, for "
        "those who can get the network's own weights to start from",
    )
    parser.add_argument(
        "--licence",
        type=take(LICENCE),
        default=UNKNOWN,
        metavar="ID",
        help="of the weights, as the hub spells it (mit, apache-2.0, cc-by-4.0): yours "
        "to choose, within that of the data and of the weights it started from",
    )
    parser.add_argument(
        "--about",
        type=Path,
        metavar="FILE",
        help="a text in Markdown for the card: what only you know, such as whose faces "
        "the images show, and who agreed",
    )
    parser.add_argument(
        "--knows",
        type=take(KINDS),
        default="",
        metavar="TEXT",
        help="what kinds of fakes it knows, to be said wherever it judges instead of "
        "the dataset's name: 'two kinds of fakes, ...' (default: as the checkpoint "
        "says)",
    )
    parser.add_argument(
        "--numbers",
        type=Path,
        nargs="+",
        default=(),
        metavar="FILE",
        help="also put these numbers of it on the card: DATASET_MODEL_metrics.json of "
        "numerical_analysis.py, DATASET_MODEL_robustness.json of "
        "robustness_analysis.py",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    args = parse_args(argv)
    check_free(args.to, "--to")
    detector = load_checkpoint(args.checkpoint_path)
    measured = [load_measured(path, detector) for path in args.numbers]
    publication = Publication(
        *(args.repository, args.licence, measured),
        about=read_text(args.about) if args.about else "",
        knows=args.knows,
        with_frozen=not args.without_frozen,
    )
    with grow_folder(args.to) as folder:
        save_publication(detector, publication, folder)
        names = sorted(path.name for path in folder.iterdir())
    say(*(f"wrote {args.to / name}" for name in names))
    say(*(f"note: {limit}" for limit in describe_limits(detector)))
    if args.licence == UNKNOWN:
        say("note: without a --licence nobody knows what they may do with it")
    say(f"read {args.to / 'README.md'}, then upload the folder as it is")


def read_text(path: Path) -> str:
    """Read a text that is somebody's own.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not text in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text in UTF-8 ({error})") from error


if __name__ == "__main__":
    command_line.run(main)
