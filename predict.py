"""Say of images whether they are real faces or fake ones."""

import argparse
import hashlib
import os
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import command_line
from files.atomic import check_output, check_writable, open_csv, open_json_lines
from files.names import make_printable
from hardware import choose_precision, prepare_device, show_progress
from judging.finding import (
    STANDARD_INPUT,
    ImageFinder,
    describe_passed_over,
    read_path_list,
    refuse_outputs,
)
from judging.pictures import load_pictures
from judging.verdicts import COLUMNS, Judged, Verdict, judge_batches, load_detector
from judging.words import format_verdict, summarise
from loading.face_finding import CROP_SIDE, FaceFinder
from scores import describe_fake_score

EPILOG = """examples:
  python predict.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt photo.jpg folder/
  python predict.py -cpp A.pt B.pt folder/ --recursive --csv verdicts.csv
  python predict.py -cpp A.pt --find-faces group_photo.jpg
  find photos -name '*.jpg' -print0 | python predict.py -cpp A.pt - -0 --json out.jsonl

prints a line for each image and checkpoint: verdict, P(fake), path. A picture that is
plainly no face crop, as its sides are 1 to 1.5 or more, gets a warning, and its verdict
a question mark. Images that cannot be read are named on stderr, the others are still
judged, and the exit status is 1.

Files are judged while they are being found, in constant memory. Of a folder those are
judged whose names end as an image's (.jpg, .png, ...)."""

MOST_CHARACTERS = 50  # of an image's name, in that of its figure


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    parser.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="image, or folder of images (those directly in it, sorted by name); - "
        "reads a list of them from standard input, one a line",
    )
    parser.add_argument(
        "-0",
        "--null",
        action="store_true",
        help="the paths of the list end with NUL, as find -print0 writes them",
    )
    parser.add_argument(
        "-r",
        "--recursive",
        action="store_true",
        help="enter the subfolders of folders, but for hidden ones and links",
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
        nargs="+",
        action="append",
        required=True,
        metavar="FILE",
        help="checkpoint written by train_main.py; says the model and how it wants "
        "its images; of several, whose names end alike (A.pt B.pt), each gives its own "
        "verdict, and what follows is a PATH",
    )
    parser.add_argument(
        "--find-faces",
        action="store_true",
        help="find the faces in larger pictures, and judge each (needs "
        "requirements-faces.txt)",
    )
    parser.add_argument(
        "--margin",
        type=command_line.number_type(float, lambda x: x > 0, "a number above 0"),
        default=CROP_SIDE,
        metavar="RATIO",
        help="with --find-faces: a crop's side in heights of a face's box, as in the "
        "data that the detector was trained on",
    )
    _add_output_flags(parser)
    command_line.add_compute_flags(parser, seed=False)
    args = parser.parse_args(argv)
    groups = [split_checkpoints(words) for words in args.checkpoint_path]
    args.checkpoint_path = [path for checkpoints, _ in groups for path in checkpoints]
    args.paths += [path for _, paths in groups for path in paths]
    if not args.paths:
        parser.error("no PATH: name images or folders, or - for a list on stdin")
    num_lists = args.paths.count(Path(STANDARD_INPUT))
    if num_lists > 1:
        parser.error("- is given twice: there is one standard input")
    if args.null and not num_lists:
        parser.error("-0 goes with -, a list of paths on standard input")
    if args.csv is not None and args.csv == args.json:
        parser.error(f"--csv and --json both name {args.csv}")
    return args


def split_checkpoints(words: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Tell the checkpoints from the images that follow them on the command line.

    The first is one, whatever its name. So is what has the same ending, as in A.pt
    B.pt, up to the first word that has another, or none, or is a folder.

    Args:
        words: after one -cpp.
    """
    ending = words[0].suffix.lower()
    for number, word in enumerate(words[1:], start=1):
        if not ending or word.suffix.lower() != ending or word.is_dir():
            return list(words[:number]), list(words[number:])
    return list(words), []


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help=f"also write a table, a row for each image and checkpoint: "
        f"{', '.join(COLUMNS)}",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="the same as JSON Lines: an object a line, so that a million images need "
        "no more memory than one",
    )
    parser.add_argument(
        "--explain",
        type=Path,
        nargs="?",
        const=Path("figures"),
        metavar="DIR",
        help="also draw each image beside its saliency map and Grad-CAM, a figure for "
        "each image and checkpoint, in this folder (without DIR: figures)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 when an image could not be read, else 0."""
    args = parse_args(argv)
    precision = choose_precision(args.precision, prepare_device(args.device))
    if args.find_faces:
        FaceFinder()  # says now if it is not installed
    detectors = [load_detector(path, precision) for path in args.checkpoint_path]
    outputs = [path for path in (args.csv, args.json) if path is not None]
    check_outputs(args, outputs)

    finder = build_finder(args)
    batches = load_pictures(
        refuse_outputs(finder, outputs),
        batch_size=args.batch_size,
        device=precision.device,
        workers=args.workers,
        hashed=bool(outputs),
        face_side=args.margin if args.find_faces else None,
        full_decoding=args.full_decoding,
    )
    judged = judge_batches(batches, detectors)
    is_known = sys.stderr.isatty() and not args.find_faces
    total = count_images(args) if is_known else None
    several = len(detectors) > 1
    reporter = Reporter(several=several)
    with ExitStack() as stack:
        writers = open_tables(stack, args.csv, args.json)
        for one in show_progress(judged, "judge", total=total):
            reporter.report(one)
            for verdict in one.verdicts:
                for write in writers:
                    write(verdict)
            if args.explain is not None:
                save_explanations(one, args.explain)

    passed_over = describe_passed_over(finder.num_files, finder.num_folders)
    if passed_over and not args.verbose:
        command_line.say(passed_over, file=sys.stderr)
    for number, detector in enumerate(detectors):
        if names := reporter.names[number]:
            command_line.say(summarise(names, detector, with_detector=several))
    for path in outputs:
        command_line.say(f"wrote {path}")
    return 1 if finder.num_failures or reporter.num_failures else 0


def check_outputs(args: argparse.Namespace, tables: Sequence[Path]) -> None:
    """Raise if a result cannot be written, or would replace what is read.

    The images in folders are not known yet: `refuse_outputs` looks at each as it comes.
    """
    for path in tables:
        check_output(path, [*args.checkpoint_path, *args.paths])
    if args.explain is not None:
        check_writable(args.explain)


def build_finder(args: argparse.Namespace) -> ImageFinder:
    """Return what finds the images that are meant, and says what is passed over."""

    def name(path: Path) -> None:
        if args.verbose:
            subfolder = " (a subfolder)" if path.is_dir() else ""
            command_line.say(f"passed over: {path}{subfolder}", file=sys.stderr)

    return ImageFinder(
        list_paths(args.paths, null=args.null),
        recursive=args.recursive,
        excluded=args.explain,
        on_failure=partial(command_line.say, file=sys.stderr),
        on_passed_over=name,
    )


def list_paths(paths: Iterable[Path], *, null: bool) -> Iterator[Path]:
    """Put the list on standard input in the place of its sign."""
    for path in paths:
        if path == Path(STANDARD_INPUT):
            separator = b"\0" if null else b"\n"
            yield from read_path_list(sys.stdin.buffer, separator=separator)
        else:
            yield path


def count_images(args: argparse.Namespace) -> int | None:
    """Count what there is to judge, to tell the time left; None for a list."""
    if Path(STANDARD_INPUT) in args.paths:
        return None
    options = {"recursive": args.recursive, "excluded": args.explain}
    return sum(1 for _ in ImageFinder(args.paths, **options))


class Reporter:
    """Print verdicts and failures as they come, and count them.

    Args:
        several: whether each line is to say whose verdict it is.

    Attributes:
        names: by the detector's number, how often each `Verdict.name` was given.
        num_failures: images that some detector has no verdict on.
    """

    def __init__(self, *, several: bool) -> None:
        self.several = several
        self.names: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.num_failures = 0

    def report(self, judged: Judged) -> None:
        """Print what is said of a picture."""
        errors = dict.fromkeys(v.error for v in judged.verdicts if v.error)
        for error in errors:
            command_line.say(error, file=sys.stderr)
        self.num_failures += bool(errors)
        for number, verdict in enumerate(judged.verdicts):
            if not verdict.error:
                self.names[number][verdict.name] += 1
                command_line.say(format_verdict(verdict, with_detector=self.several))


def open_tables(
    stack: ExitStack, csv: Path | None, json: Path | None
) -> list[Callable[[Verdict], object]]:
    """Open the tables that are wanted, and return what writes a verdict to each.

    Both get their names when the stack is left without an error.
    """
    writers: list[Callable[[Verdict], object]] = []
    if csv is not None:
        write_row = stack.enter_context(open_csv(csv, header=COLUMNS))
        writers.append(lambda verdict: write_row(list(verdict.to_row().values())))
    if json is not None:
        write_value = stack.enter_context(open_json_lines(json))
        writers.append(lambda verdict: write_value(verdict.to_row()))
    return writers


def save_explanations(judged: Judged, folder: Path) -> None:
    """Draw a picture with its maps, for each detector that has a verdict on it."""
    from explaining.pictures import explain_sample, save_explanation  # two seconds

    for verdict in judged.verdicts:
        if verdict.error:
            continue
        detector = verdict.detector
        explanation = explain_sample(
            judged.sample, verdict.label, detector.model, detector.precision
        )
        score = describe_fake_score(verdict.fake_score)
        lines = [
            f"{verdict.name}, {score}, by {detector.model.title}",
            *textwrap.wrap(make_printable(str(judged.picture.path)), 100),
            judged.picture.warning or "",
        ]
        path = name_figure(folder, verdict)
        save_explanation(explanation, path, "\n".join(filter(None, lines)))
        command_line.say(f"wrote {path}")


def name_figure(folder: Path, verdict: Verdict) -> Path:
    """Return what a figure is called: a name that no other image or detector gives."""
    image, face = verdict.picture.path, verdict.picture.face
    named = (image, verdict.detector.checkpoint_path)
    whole = b"\0".join(os.fsencode(path.absolute()) for path in named)
    whole += repr(face.box).encode() if face else b""
    digest = hashlib.sha256(whole).hexdigest()[:12]
    return folder / f"{image.stem[:MOST_CHARACTERS]}_{digest}_explained.png"


if __name__ == "__main__":
    command_line.run(main)
