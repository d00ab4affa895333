"""Judge pictures and videos on a page in the browser, on this machine alone."""

import argparse
import sys
import threading
import webbrowser
from collections.abc import Sequence
from functools import partial

import command_line
from command_line import say, take
from command_line.compute import take_compute
from command_line.faces import add_reading_flags, take_reading

from files.bounds import Bounds
from files.names import STARTER, make_printable
from hardware import Precision
from judging.detector import Detector
from judging.verdicts import Verdict
from judging.words import describe_limits, describe_scope, describe_unlooked
from loading import ImageFile
from reporting.case import Case
from serving.app import Judge, build_app
from serving.guard import LOCAL_NAMES, Limits
from serving.server import check_installed, get_address, open_socket, serve
from utils import load_checkpoint

EPILOG = """example:
  python serve.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt

opens a page in the browser. Drop a picture or a video on it, and it says what
predict.py says of each face or person, what that is worth, what the detector looked at,
and what the file says of itself; all of it can be saved as a case report. What you drop
stays on this machine and is forgotten with the answer; nothing is sent anywhere. Ctrl-C
ends it. Videos need requirements-faces.txt.

Needs Flask and waitress: pip install -r requirements-page.txt"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_checkpoint_flag(
        parser,
        "checkpoint written by train_main.py (default: the included detector, "
        "starter/README.md)",
    )
    parser.add_argument(
        "--port",
        type=take(Bounds(0, 65535, int)),
        default=8000,
        metavar="N",
        help="of the page's address; 0 takes any that is free",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="NAME",
        help="where to listen; anything but the default lets other machines in",
    )
    parser.add_argument(
        "--max-megabytes",
        type=take(Bounds(0, 1000, above=True)),
        default=20,
        metavar="MB",
        help="size of the largest picture that is taken",
    )
    parser.add_argument(
        "--max-video-megabytes",
        type=take(Bounds(0, 1000, above=True)),
        default=100,
        metavar="MB",
        help="size of the largest video that is taken; it is held in memory",
    )
    parser.add_argument(
        "--max-video-seconds",
        type=take(Bounds(0, 3600, above=True)),
        default=120,
        metavar="S",
        help="length of the longest video that is taken",
    )
    add_reading_flags(parser)
    parser.add_argument(
        "--no-browser", action="store_true", help="do not open the page in the browser"
    )
    command_line.add_device_flags(parser, workers=False)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script until Ctrl-C; return 0."""
    args = parse_args(argv)
    check_installed()
    with open_socket(args.host, args.port) as listening:
        precision = take_compute(args).precision
        reading = take_reading(args)
        path = args.checkpoint_path or STARTER
        detector = load_checkpoint(path, device=precision.device)
        judge = Judge(detector, precision, reading)
        words = list_words(args, precision)
        build_case = partial(build_report, detector, precision, words)
        limits = Limits(
            args.max_megabytes, args.max_video_megabytes, args.max_video_seconds
        )
        app = build_app(judge, build_case, host=args.host, limits=limits)
        notes = describe_limits(detector)
        notes += [] if reading.looks else [describe_unlooked()]
        say(*(f"note: {note}" for note in [*notes, describe_scope(detector)] if note))
        if args.host not in LOCAL_NAMES:
            say(
                f"warning: --host {args.host} lets other machines use this page, "
                "unencrypted and without a password",
                file=sys.stderr,
            )
        try:
            open_page(get_address(listening), in_browser=not args.no_browser)
            on_end = app.extensions["worker"].stop
            serve(app, listening, host=args.host, limits=limits, on_end=on_end)
        except KeyboardInterrupt:
            pass  # before the server could take it
    say("the page is closed")
    return 0


def list_words(args: argparse.Namespace, precision: Precision) -> list[str]:
    """Return predict.py's flags by which it judges as the page does."""
    words = [] if args.checkpoint_path is None else ["-cpp", str(args.checkpoint_path)]
    if args.find_faces is not None:
        words.append("--find-faces" if args.find_faces else "--no-find-faces")
    for name in ("margin", "least_height", "trusted", "every", "most_frames"):
        if (value := getattr(args, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, "--device", str(precision.device), "--precision", precision.name]


def build_report(
    detector: Detector,
    precision: Precision,
    words: Sequence[str],
    file: ImageFile,
    verdicts: Sequence[Verdict],
) -> str:
    """Return the case report of a picture or a video, as predict.py writes it.

    `words` are those of `list_words`, `verdicts` on each of its faces or persons.
    """
    name = make_printable(file.name)
    call = "predict.py", [*words, "--report", "case.html", "--", name]
    case = Case([detector], precision, call)
    case.add(file, [[verdict] for verdict in verdicts])
    return case.render()


def open_page(address: str, *, in_browser: bool) -> None:
    """Say where the page is, and open it."""
    say(f"the page is at {address} (Ctrl-C ends it)")
    if in_browser:
        # In a thread, because a browser in the terminal would block the server.
        opening = threading.Thread(target=webbrowser.open, args=[address], daemon=True)
        opening.start()


if __name__ == "__main__":
    command_line.run(main)
