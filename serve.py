"""Judge pictures on a page in the browser, on this machine alone."""

import argparse
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import command_line
from hardware import choose_precision, prepare_device
from judging.verdicts import load_detector
from loading.face_finding import CROP_SIDE, FaceFinder
from serving.app import MEGA, build_app
from serving.guard import LOCAL_NAMES
from serving.server import check_installed, get_address, open_socket, serve

EPILOG = """example:
  python serve.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam.pt

opens a page in the browser: drop a picture on it, and it says what predict.py says,
with what that is worth and what the detector looked at. Pictures stay in this machine's
memory and are forgotten with the answer; nothing is sent anywhere. Ctrl-C ends it.

Needs Flask and waitress: pip install -r requirements-page.txt"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_line.Parser(__doc__, epilog=EPILOG)
    parser.add_argument(
        "-cpp",
        "-cp",
        "--checkpoint-path",
        type=Path,
        required=True,
        metavar="FILE",
        help="checkpoint written by train_main.py",
    )
    parser.add_argument(
        "--port",
        type=command_line.number_type(
            int, lambda n: 0 <= n < 2**16, "a whole number from 0 to 65535"
        ),
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
        type=command_line.number_type(
            float, lambda v: 0 < v <= 1000, "a number above 0, at most 1000"
        ),
        default=20,
        metavar="MB",
        help="size of the largest file that is taken",
    )
    parser.add_argument(
        "--margin",
        type=command_line.number_type(float, lambda x: x > 0, "a number above 0"),
        default=CROP_SIDE,
        metavar="RATIO",
        help="of a picture that is no face crop the faces are judged, where "
        "requirements-faces.txt is installed: a crop's side in heights of a face",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="do not open the page in the browser"
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="where the model runs: auto (a GPU if there is one), cpu, cuda, cuda:1, "
        "mps",
    )
    parser.add_argument(
        "--precision",
        choices=command_line.PRECISIONS,
        default="auto",
        help="arithmetic of the model, as of predict.py",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script until Ctrl-C; return 0."""
    args = parse_args(argv)
    check_installed()
    with open_socket(args.host, args.port) as listening:
        precision = choose_precision(args.precision, prepare_device(args.device))
        detector = load_detector(args.checkpoint_path, precision)
        most = args.max_megabytes
        app = build_app(
            detector,
            host=args.host,
            most_megabytes=most,
            face_side=args.margin if can_find_faces() else None,
        )
        if args.host not in LOCAL_NAMES:
            command_line.say(
                f"warning: --host {args.host} lets other machines use this page, "
                "unencrypted and without a password",
                file=sys.stderr,
            )
        try:
            open_page(get_address(listening), in_browser=not args.no_browser)
            serve(app, listening, most_bytes=int(most * MEGA))
        except KeyboardInterrupt:
            pass  # before the server was there to take it
    command_line.say("the page is closed")
    return 0


def can_find_faces() -> bool:
    """Say whether the finder is installed, and on the terminal if it is not."""
    try:
        FaceFinder()
    except ValueError as error:
        command_line.say(f"pictures that are no face crops get a warning: {error}")
        return False
    return True


def open_page(address: str, *, in_browser: bool) -> None:
    """Say where the page is, and open it."""
    command_line.say(f"the page is at {address} (Ctrl-C ends it)")
    if in_browser:
        # In a thread: a browser in the terminal would keep the server waiting.
        opening = threading.Thread(target=webbrowser.open, args=[address], daemon=True)
        opening.start()


if __name__ == "__main__":
    command_line.run(main)
