"""The parser, the types of its values, and how lines and errors are printed."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from command_line.early import INTERRUPTED_STATUS, interruptible

from tqdm import tqdm

from files.bounds import Bounds, Words
from files.names import make_printable
from files.provenance import VERSION

USER_ERROR_STATUS = 2

# Errors of torch that are not the suite's, and what to do about them.
FOREIGN_ERRORS = (
    (
        r"DataLoader (worker|timed out)",
        "a process that reads images ended or hangs; --workers 0 does without them",
    ),
    (
        r"gloo|NCCL|Connection (reset|closed)",
        "another process of this run ended; train_main.py and predict.py go on with "
        "--resume",
    ),
    (r"out of memory|can't allocate memory", "a smaller --batch-size needs less"),
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose long flags take hyphens as well as underscores.

    Its errors are a single line, and its help shows the defaults.
    """

    def __init__(self, description: str, *, epilog: str | None = None) -> None:
        super().__init__(
            description=description,
            epilog=epilog,
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )
        self.register("type", Path, take_path)
        self.add_argument("--version", action="version", version=VERSION)

    def parse_known_args(self, args=None, namespace=None):
        """Parse `args` after turning the underscores of long flags into hyphens."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([_hyphenate(arg) for arg in words], namespace)

    def error(self, message: str) -> NoReturn:
        """Print one line on stderr and exit with status 2."""
        _, unknown, words = message.partition("unrecognized arguments: ")
        files = [word for word in words.split() if os.access(word, os.F_OK)]
        if unknown and files and files[0].startswith("-"):
            message += f"; to name the file, write ./{files[0]}"
        line = make_printable(f"{self.prog}: error: {message} (see --help)")
        self.exit(USER_ERROR_STATUS, f"{line}\n")


class _HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter
):
    """Show defaults, if there are any, and keep the epilog's lines."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        is_said = "(default: " in (action.help or "")
        if is_said or action.default is False or action.default in (None, (), []):
            return action.help
        return super()._get_help_string(action)


def _hyphenate(argument: str) -> str:
    """Turn `--batch_size=2` into `--batch-size=2`; leave values alone."""
    if not re.match(r"--[A-Za-z]", argument):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value


def take_path(text: str) -> Path:
    """Return a path; refuse an empty text, which to pathlib is the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text)


def take(allowed: Bounds | Words) -> Callable[[str], Any]:
    """Make an argparse type whose errors say what is allowed."""

    def parse(text: str) -> Any:
        try:
            return allowed.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print each text at once, as one line that a terminal can show.

    Everything that the suite prints goes through here; a progress bar makes way for it.
    """
    for line in lines:
        with tqdm.external_write_mode(file):
            print(make_printable(line), file=file, flush=True)


def describe_error(error: BaseException) -> str:
    """Return an exception's message as one line.

    The message of an error from a data loader's worker holds the worker's traceback,
    of which the user needs the last line.
    """
    text = str(error).strip()
    if "Original Traceback" in text:
        text = re.sub(r"^[\w.]+(Error|Exception): ", "", text.splitlines()[-1])
    return " ".join(text.split()) or type(error).__name__


def describe_foreign_error(error: RuntimeError) -> str | None:
    """Return what to tell the user about one of `FOREIGN_ERRORS`; None for others."""
    for pattern, advice in FOREIGN_ERRORS:
        if re.search(pattern, str(error)):
            return f"{advice} ({describe_error(error)[:200]})"
    return None


def run(
    main: Callable[[Sequence[str] | None], int | None],
    speaks: Callable[[], bool] | None = None,
) -> NoReturn:
    """Run a script's `main` and turn a user's mistake into one line and status 2.

    Of a script that torchrun may start several times at once, `speaks` says whether
    this process is to tell of an error. Other scripts refuse to be started so.
    """
    program = Path(sys.argv[0]).name
    sys.stdout.reconfigure(errors="backslashreplace")  # it may not be UTF-8
    line = None
    try:
        if speaks is None:
            refuse_several(program)
        with interruptible():
            status = _call(main)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        status = 1
    except KeyboardInterrupt as interruption:
        line = str(interruption) or "interrupted"
        status = getattr(interruption, "status", INTERRUPTED_STATUS)
    except (ValueError, OSError, FloatingPointError) as error:
        line, status = f"error: {describe_error(error)}", USER_ERROR_STATUS
    except MemoryError as error:
        line = f"error: not enough memory: {describe_error(error)}"
        status = USER_ERROR_STATUS
    except RuntimeError as error:
        description = describe_foreign_error(error)
        if description is None:
            raise
        line, status = f"error: {description}", USER_ERROR_STATUS
    if line and (speaks is None or speaks()):
        say(f"{program}: {line}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # or Python would fail to flush it, and say so at length
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def refuse_several(task: str) -> None:
    """Raise ValueError if torchrun started several processes of what takes one.

    All but the main process end without a word: they would only repeat it.
    """
    number = int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1
    if number > 1 and os.environ.get("RANK", "0") != "0":
        sys.exit(0)
    if number > 1:
        raise ValueError(
            f"{task} runs in one process, and torchrun started {number}: start it with "
            "python"
        )


def _call(main: Callable[[Sequence[str] | None], int | None]) -> int | str | None:
    """Return a script's status, whether it returns or, after --help, exits."""
    try:
        return main(None)
    except SystemExit as end:
        return end.code
