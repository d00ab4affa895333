"""Judge pictures on a page in the browser, on this machine alone."""

import argparse
import sys
import threading
import webbrowser
from collections.abc import Sequence

import command_line
from command_line import say, take
from command_line.compute import take_compute

from files.bounds import Bounds
from loading.face_finding import FaceFinder
from loading.preprocessing import MARGINS
from serving.app import MEGA, Judge, build_app
from serving.guard import LOCAL_NAMES
from serving.server import check_installed, get_address, open_socket, serve
from utils import load_checkpoint

EPILOG = """example:
  python serve.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt

opens a page in the browser. Drop a picture on it, and it says what predict.py says,
what that is worth, and what the detector looked at. Pictures stay in this machine's
memory and are forgotten with the answer; nothing is sent anywhere. Ctrl-C ends it.

Needs Flask and waitress: pip install -r requirements-page.txt"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    command_line.add_checkpoint_flag(
        parser, "checkpoint written by train_main.py", required=True
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
        help="size of the largest file that is taken",
    )
    parser.add_argument(
        "--margin",
        type=take(MARGINS),
        metavar="RATIO",
        help="with requirements-faces.txt, in pictures that are not face crops each "
        "face is judged: a crop's side in heights of a face's box (default: that of "
        "the data that the detector was trained on, by its checkpoint)",
    )
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
        detector = load_checkpoint(args.checkpoint_path, device=precision.device)
        judge = Judge(detector, precision, can_find_faces(), args.margin)
        most = args.max_megabytes
        app = build_app(judge, host=args.host, most_megabytes=most)
        if args.host not in LOCAL_NAMES:
            say(
                f"warning: --host {args.host} lets other machines use this page, "
                "unencrypted and without a password",
                file=sys.stderr,
            )
        try:
            open_page(get_address(listening), in_browser=not args.no_browser)
            serve(app, listening, host=args.host, most_bytes=int(most * MEGA))
        except KeyboardInterrupt:
            pass  # before the server could take it
    say("the page is closed")
    return 0


def can_find_faces() -> bool:
    """Return whether the face finder is installed; say so if it is not."""
    try:
        FaceFinder()
    except ValueError as error:
        say(f"pictures that are not face crops get a warning: {error}")
        return False
    return True


def open_page(address: str, *, in_browser: bool) -> None:
    """Say where the page is, and open it."""
    say(f"the page is at {address} (Ctrl-C ends it)")
    if in_browser:
        # In a thread, because a browser in the terminal would block the server.
        opening = threading.Thread(target=webbrowser.open, args=[address], daemon=True)
        opening.start()


if __name__ == "__main__":
    command_line.run(main)
