"""Say of images and videos whether they show real faces or fake ones."""

import argparse
import hashlib
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import command_line
from command_line import refuse_several, say, take_fields
from command_line.faces import add_reading_flags, take_reading

from files.atomic import check_outputs, check_writable, set_aside
from files.names import FIGURES_DIR, STARTER, make_printable
from hardware import processes, show_progress
from judging.base import BaseDetector
from judging.headlines import judge_several
from judging.inputs import (
    STANDARD_INPUT,
    ImageFinder,
    describe_passed_over,
    read_path_list,
    refuse_outputs,
)
from judging.pictures import Reading, list_input_specs, load_pictures
from judging.tally import Said, VerdictCounts
from judging.together import judge_together
from judging.verdict_tables import (
    COLUMNS,
    FRAME_COLUMNS,
    PART,
    TableFiles,
    VerdictTables,
    open_tables,
)
from judging.verdicts import Faces, Verdict, group_faces, judge_batches
from judging.words import (
    describe_counting,
    describe_limits,
    describe_scope,
    describe_unlooked,
    format_verdict,
    summarise,
)
from loading import ImageFile
from loading.image_files import get_extensions
from metrics.meaning import describe_fake_score

if TYPE_CHECKING:
    from hardware import Compute, Precision

EPILOG = """examples:
  python predict.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt photo.jpg folder/
  python predict.py -cpp A.pt B.pt folder/ --recursive --csv verdicts.csv
  python predict.py -cpp A.pt group_photo.jpg --report case.html
  python predict.py -cpp A.pt clip.mp4 --explain figures --frames frames.csv
  find photos -name '*.jpg' -print0 | python predict.py -cpp A.pt - -0 --json out.jsonl

prints a line for each image, face and checkpoint: verdict, P(fake), path. A verdict is
real, fake or inconclusive, and then the line says why: the picture is unlike those that
the detector was calibrated on, or not a face crop, its score lies between the bounds,
or a harmless change of it turns real into fake or the reverse. With
requirements-faces.txt installed, faces are found, each is judged, and a picture with
several gets a line of its own. Then videos are judged, too: a line for each person, by
the frames that show it. Images that cannot be read are named on stderr, the others are
still judged, and the exit status is 1.

Files are judged while they are being found, in constant memory. In a folder, files
whose names end as an image's (.jpg, .png, .heic, ...) or a video's are judged."""

MOST_CHARACTERS = 50  # of an image's name, in that of its figure


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    _add_input_flags(parser)
    command_line.add_checkpoint_flag(
        parser,
        "checkpoint written by train_main.py, or detector.onnx by export.py; says the "
        "network and how it wants its images; of several, whose names end alike (A.pt "
        "B.pt), each gives its own verdict, and what follows is a PATH (default: the "
        "included detector, starter/README.md)",
        nargs="+",
        action="append",
    )
    add_reading_flags(parser)
    parser.add_argument(
        "--no-stability",
        action="store_true",
        help="do not judge harmless versions of each picture as well (JPEG 90 and 70, "
        "smaller, shifted, mirrored), none of which may get the opposite verdict, real "
        "for fake or the reverse: up to seven times as fast",
    )
    _add_output_flags(parser)
    command_line.add_compute_flags(parser, seed=False)
    args = parser.parse_args(argv)
    groups = [split_checkpoints(words) for words in args.checkpoint_path or [[STARTER]]]
    args.checkpoint_path = [path for checkpoints, _ in groups for path in checkpoints]
    args.paths += [path for _, paths in groups for path in paths]
    if reason := find_conflict(args):
        parser.error(reason)
    return args


def _add_input_flags(parser: argparse.ArgumentParser) -> None:
    """Add PATH, and the flags on how lists and folders are read."""
    parser.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="image, video, or folder of them (those directly in it, sorted by name); "
        "- reads a list of them from standard input, one a line",
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


def find_conflict(args: argparse.Namespace) -> str | None:
    """Say which flags do not go together, or lack a value; None where all is well."""
    is_taken = args.explain is not None and os.access(args.explain, os.F_OK)
    if not args.paths or (is_taken and args.explain.is_file()):
        return explain_no_path(args.checkpoint_path, args.explain)
    checkpoints = args.checkpoint_path
    if twice := [path for path in checkpoints if checkpoints.count(path) > 1]:
        return f"{twice[0]} is given twice as a checkpoint"
    num_lists = args.paths.count(Path(STANDARD_INPUT))
    if num_lists > 1:
        return "- is given twice: there is one standard input"
    if args.null and not num_lists:
        return "-0 goes with -, a list of paths on standard input"
    if any(map(is_exported, args.checkpoint_path)) and (args.explain or args.report):
        return "--explain and --report draw maps, which need the checkpoint"
    for flag in ("csv", "json", "frames", "report"):
        if getattr(args, flag) == Path(STANDARD_INPUT):
            return f"--{flag} writes a file, not to standard output; name one"
    if args.frames and args.frames.name.isdigit():
        return f"--frames takes a FILE, got {args.frames}; how many: --most-frames"
    if args.resume and (args.report or not (args.csv or args.json or args.frames)):
        return "--resume goes with --csv, --json or --frames, and without --report"
    return None


def explain_no_path(checkpoints: Sequence[Path], figures: Path | None) -> str:
    """Say that no picture is named, or which flag took it for its own value."""
    if figures not in (None, FIGURES_DIR):
        return (
            f"{figures} was taken as the folder of --explain; name the picture first, "
            f"or --explain DIR {figures}"
        )
    for path in checkpoints:
        if path.suffix.lower() in get_extensions() or path.is_dir():
            return (
                f"{path} was taken as the checkpoint; name one before it, -cpp FILE "
                f"{path}, or leave out -cpp"
            )
    return "no PATH: name images or folders, or - for a list on stdin"


def split_checkpoints(words: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Tell the checkpoints after one -cpp from the images that follow them.

    The first is one, whatever its name. So is what has the same ending, as in A.pt
    B.pt, up to the first word that has another, or none, or is a folder.
    """
    ending = words[0].suffix.lower()
    for number, word in enumerate(words[1:], start=1):
        if not ending or word.suffix.lower() != ending or word.is_dir():
            return list(words[:number]), list(words[number:])
    return list(words), []


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
    for flag, text in (
        (
            "--csv",
            "also write a table, a row for each image or person, and checkpoint: "
            f"{', '.join(COLUMNS)}",
        ),
        (
            "--json",
            "the same as JSON Lines: an object a line, so that a million images need "
            "no more memory than one",
        ),
        (
            "--frames",
            "also write a table of videos, a row for each frame, person and "
            f"checkpoint: {', '.join(FRAME_COLUMNS)}",
        ),
    ):
        parser.add_argument(flag, type=Path, metavar="FILE", help=text)
    parser.add_argument(
        "--resume",
        action="store_true",
        help=f"with --csv, --json or --frames: go on from FILE{PART}, in which a run "
        "that was ended left what it had judged; start anew if there is none",
    )
    _add_page_flags(parser)


def _add_page_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags on what is drawn for a reader."""
    parser.add_argument(
        "--explain",
        type=Path,
        nargs="?",
        const=FIGURES_DIR,
        metavar="DIR",
        help="also draw each image beside those maps that passed their checks for the "
        "detector, a figure for each image and checkpoint, in this folder (without "
        "DIR: figures); of a video its time line",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="also write a case report, one page that needs no other file: each "
        "picture with its SHA-256, faces, maps and verdict, what that is worth, and "
        "what was refused and why (at most 100 pictures)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 1 when an image could not be read, else 0."""
    args = parse_args(argv)
    compute, reading = take_compute(args), take_reading(args)
    detectors = load_detectors(args.checkpoint_path, compute)
    files = take_fields(args, TableFiles)
    outputs = [*files.wanted, *filter(None, [args.report])]
    written = [*outputs, *files.parts]
    check_outputs(written, [*args.checkpoint_path, *args.paths])
    check_folder_and_report(args.explain, args.report)

    finder, total = take_finder(args, reading)
    how = {"compute": compute, "reading": reading, "stability": not args.no_stability}
    paths, reporter = refuse_outputs(finder, written), Reporter(detectors)
    writers = [reporter.report]
    with ExitStack() as stack:
        if files.wanted and processes.is_main():
            tables = open_tables(files, detectors, **how, resume=args.resume)
            tables = stack.enter_context(tables)
            paths = tables.skip(paths)
            reporter.count(tables)
            writers.insert(0, tables.add)  # what is printed is kept
        if args.explain is not None:
            writers.append(partial(save_figures, args.explain, compute.precision))
        if args.report is not None and processes.is_main():
            call = __file__, argv
            case = start_case(args.report, detectors, compute.precision, call, total)
            writers.append(fill_case(stack.enter_context(case), finder))
        with_samples = args.explain is not None or args.report is not None
        judge = partial(judge_paths, detectors, **how)
        judged = judge_together(
            *(paths, judge, detectors, compute), with_samples=with_samples
        )
        done = reporter.num_before
        for faces in show_progress(judged, "judge", total=total, initial=done):
            for write in writers:
                write(faces)
        if not reporter.has_judged and processes.is_main():  # earlier tables hold more
            kept = set_aside(files.wanted).values()
            say(*(f"kept from an earlier run: {path}" for path in kept))
    if not processes.is_main():
        return 0
    say_unjudged(finder, reading, verbose=args.verbose)
    reporter.summarise()
    say(*(f"wrote {path}" for path in outputs))
    return 1 if finder.num_failures or reporter.num_failures else 0


def take_finder(
    args: argparse.Namespace, reading: Reading
) -> tuple[ImageFinder, int | None]:
    """Return what finds the pictures that are named, and how many if that is told."""
    where = {"recursive": args.recursive, "excluded": args.explain}
    where["videos"] = reading.looks
    finder = ImageFinder(
        list_paths(args.paths, null=args.null),
        **where,
        on_failure=[partial(say, file=sys.stderr)],
        on_passed_over=[name_passed_over] if args.verbose else [],
    )
    is_told = sys.stderr.isatty() or args.report is not None
    is_counted = is_told and processes.is_main()
    return finder, count_images(args.paths, **where) if is_counted else None


def say_unjudged(finder: ImageFinder, reading: Reading, *, verbose: bool) -> None:
    """Say what was passed over, and if nobody looked for faces."""
    passed_over = describe_passed_over(finder.num_files, finder.num_folders)
    if passed_over and not verbose:
        say(passed_over, file=sys.stderr)
    if not reading.looks:
        say(f"note: {describe_unlooked()}", file=sys.stderr)


def check_folder_and_report(folder: Path | None, report: Path | None) -> None:
    """Check that a report is called HTML, and that figures can be written to a folder.

    Raises:
        ValueError: the report has another ending.
        OSError: the folder cannot be written.
    """
    if report and report.suffix.lower() not in ("", ".html", ".htm"):
        raise ValueError(f"--report {report}: it writes HTML; name it .html")
    if folder is not None:
        check_writable(folder)


def is_exported(path: Path) -> bool:
    """Say whether a file is a detector that export.py wrote."""
    return path.suffix.lower() == ".onnx"


def take_compute(args: argparse.Namespace) -> "Compute":
    """Return how the detectors run; exported ones need no PyTorch.

    Raises:
        ValueError: as `take_shared_compute` or `prepare_runtime`; or PyTorch is needed,
            and not installed.
    """
    if all(map(is_exported, args.checkpoint_path)):
        from judging.exported import prepare_runtime  # ONNX Runtime

        refuse_several("predict.py with an exported detector")
        how = args.device, args.precision, args.batch_size, args.workers
        return prepare_runtime(*how)
    try:
        from command_line.compute import take_shared_compute  # PyTorch
    except ImportError as error:
        raise ValueError(
            f"a checkpoint needs PyTorch ({error}): pip install -r "
            "requirements.txt, or name a detector.onnx of export.py"
        ) from error
    return take_shared_compute(args)


def load_detectors(paths: Sequence[Path], compute: "Compute") -> list[BaseDetector]:
    """Load detectors, and say what they know, as far as that is on record.

    Raises:
        ValueError, OSError: as `load_checkpoint` or `load_exported`.
    """
    detectors = [load_detector(path, compute) for path in paths]
    if processes.is_main():
        scopes = filter(None, map(describe_scope, detectors))
        say(*(f"note: {scope}" for scope in scopes), file=sys.stderr)
    return detectors


def load_detector(path: Path, compute: "Compute") -> BaseDetector:
    """Load a detector from a checkpoint, or from what export.py made of one.

    Raises:
        ValueError, OSError: as `load_checkpoint` or `load_exported`.
    """
    if is_exported(path):
        from judging.exported import load_exported  # ONNX Runtime

        return load_exported(path)
    from utils import load_checkpoint  # PyTorch

    return load_checkpoint(path, device=compute.device)


def judge_paths(
    detectors: Sequence[BaseDetector],
    paths: Iterable[Path],
    *,
    compute: "Compute",
    reading: Reading,
    stability: bool,
) -> Iterator[Faces]:
    """Judge pictures and videos, and yield the faces in each."""
    batches = load_pictures(
        paths,
        list_input_specs(detectors),
        batch_size=compute.batch_size,
        device=compute.device,
        workers=compute.workers,
        reading=reading,
    )
    judged = judge_batches(batches, detectors, compute.precision, stability=stability)
    for faces in group_faces(judged):
        picture = faces[0][0].picture
        if picture.clip is not None and reading.looks:  # it was set aside
            from judging.clips import judge_clip  # OpenCV and SciPy

            faces = judge_clip(Path(picture.name), detectors, compute, reading)
        yield faces


def start_case(
    path: Path,
    detectors: Sequence[BaseDetector],
    precision: "Precision",
    call: tuple[str, Sequence[str] | None],
    num_pictures: int | None,
) -> AbstractContextManager[Any]:
    """Return a case report that is written when it is left without an error.

    Raises:
        ValueError: there are too many pictures for it.
    """
    from reporting.case import check_number, open_case  # two seconds

    check_number(num_pictures or 0)
    return open_case(path, detectors, precision, call, tell=say)


def fill_case(case: Any, finder: ImageFinder) -> Callable[[Faces], None]:
    """Let a case report hear of what is found; return what adds a judged picture."""
    finder.on_failure.append(case.refuse)
    finder.on_passed_over.append(case.pass_over)
    return lambda faces: case.add(ImageFile(faces[0][0].picture.name), faces)


def name_passed_over(path: Path) -> None:
    """Name a file or a subfolder that is not judged."""
    subfolder = " (a subfolder)" if path.is_dir() else ""
    say(f"passed over: {path}{subfolder}", file=sys.stderr)


def list_paths(paths: Iterable[Path], *, null: bool) -> Iterator[Path]:
    """Put the list on standard input in the place of its sign.

    Raises:
        ValueError: it is empty, or as `read_path_list`.
    """
    for path in paths:
        if path != Path(STANDARD_INPUT):
            yield path
            continue
        separator = b"\0" if null else b"\n"
        listed = read_path_list(sys.stdin.buffer, separator=separator)
        if (first := next(listed, None)) is None:
            raise ValueError("the list on standard input names no picture")
        yield first
        yield from listed


def count_images(paths: Sequence[Path], **where: Any) -> int | None:
    """Count what there is to judge, to tell the time left; None for a list."""
    if Path(STANDARD_INPUT) in paths:
        return None
    return sum(1 for _ in ImageFinder(paths, **where))


class Reporter:
    """Print verdicts and failures as they come, and count them.

    Of several detectors each line says whose verdict it is.

    Attributes:
        num_failures: images on which some detector has no verdict.
        num_before: images that an ended run had judged.
    """

    def __init__(self, detectors: Sequence[BaseDetector]) -> None:
        self._detectors = detectors
        self._several = len(detectors) > 1
        self._tallies = [VerdictCounts() for _ in detectors]
        self.num_failures = self.num_before = 0

    @property
    def has_judged(self) -> bool:
        """Whether any picture has a verdict."""
        return any(tally.num_files for tally in self._tallies)

    def count(self, tables: VerdictTables) -> None:
        """Count what an ended run had said, and say how much that is."""
        self.num_before = tables.num_before
        for rows in tables.rows():
            self.num_failures += any(row["error"] for row in rows)
            said = [Said(*map(row.get, Said._fields)) for row in rows]
            for number, tally in enumerate(self._tallies):
                tally.add(said[number :: len(self._tallies)])
        if self.num_before:
            say(f"resumed after {self.num_before} pictures")

    def report(self, faces: Faces) -> None:
        """Print what is said of a picture, and of each face in it."""
        errors = dict.fromkeys(v.error for face in faces for v in face if v.error)
        say(*errors, file=sys.stderr)
        self.num_failures += bool(errors)
        for face in faces:
            for verdict in face:
                if not verdict.error:
                    say(format_verdict(verdict, with_detector=self._several))
        for tally, verdicts in zip(
            self._tallies, zip(*faces, strict=True), strict=True
        ):
            tally.add(list(map(Said.of, verdicts)))
            if said := judge_several(verdicts):
                whose = f"  by {verdicts[0].detector.path}" if self._several else ""
                say(f"{verdicts[0].picture.name}: {said}{whose}")

    def summarise(self) -> None:
        """Print how often each verdict was given, and what detectors cannot tell."""
        for tally, detector in zip(self._tallies, self._detectors, strict=True):
            if tally.names:
                said = summarise(tally.names, detector, with_detector=self._several)
                say(tally.complete(said))
        notes = [limit for d in self._detectors for limit in describe_limits(d)]
        if any(tally.kinds["person"] for tally in self._tallies):
            notes += map(describe_counting, self._detectors)
        say(*(f"note: {note}" for note in notes), file=sys.stderr)


def save_figures(folder: Path, precision: "Precision", faces: Faces) -> None:
    """Draw each face, or a video's time line, for each detector; say where."""
    if faces[0][0].picture.clip is not None:
        from explaining.time_lines import save_time_line  # two seconds

        for verdicts in zip(*faces, strict=True):
            if any(verdict.track for verdict in verdicts):
                path = name_figure(folder, verdicts[0], "time_line")
                save_time_line(verdicts, path)
                say(f"wrote {path}")
        return
    for face in faces:
        for verdict in face:
            if not verdict.error:
                say(f"wrote {save_figure(verdict, folder, precision)}")


def save_figure(verdict: Verdict, folder: Path, precision: "Precision") -> Path:
    """Draw a picture with its maps, and return where."""
    from explaining.pictures import explain_verdict, save_explanation  # two seconds

    path, title = name_figure(folder, verdict), title_figure(verdict)
    has_face = verdict.picture.num_faces != 0
    explanation = explain_verdict(verdict, precision)
    save_explanation(explanation, path, title, has_face=has_face)
    return path


def title_figure(verdict: Verdict) -> str:
    """Return what stands above a picture and its maps; no score that means nothing."""
    score = describe_fake_score(verdict.fake_score)
    score = "P(fake) not given" if verdict.is_withheld else score
    which = ", ".join([make_printable(verdict.picture.name), *name_face(verdict)])
    lines = [
        f"{verdict.name}, {score}, by {verdict.detector.title}",
        *textwrap.wrap(which, 100),
        *textwrap.wrap("; ".join(verdict.reasons), 100),
    ]
    return "\n".join(lines)


def name_face(verdict: Verdict) -> list[str]:
    """Return which of a picture's faces is judged; [] where there is one, or none."""
    picture = verdict.picture
    is_one_of_several = picture.number is not None and picture.num_faces > 1
    return [f"face {picture.number}"] if is_one_of_several else []


def name_figure(folder: Path, verdict: Verdict, what: str = "explained") -> Path:
    """Return what a figure is called: a name that no other image or detector gives."""
    image, face = Path(verdict.picture.name), verdict.picture.face
    named = (image, verdict.detector.path)
    whole = b"\0".join(os.fsencode(path.absolute()) for path in named)
    whole += repr(face.box).encode() if face else b""
    digest = hashlib.sha256(whole).hexdigest()[:12]
    which = [face.replace(" ", "") for face in name_face(verdict)]
    parts = [image.stem[:MOST_CHARACTERS], *which, digest, what]
    return folder / f"{'_'.join(parts)}.png"


if __name__ == "__main__":
    command_line.run(main, processes.speaks_first)
