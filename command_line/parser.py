"""The parser, the types of its values, and what is shown: lines, errors, progress."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TextIO, TypeVar

from tqdm import tqdm

from files.names import make_printable

T = TypeVar("T")
Number = TypeVar("Number", int, float)
USER_ERROR_STATUS = 2

# torch's errors that no line of the suite's is to blame for, and what to do.
FOREIGN_ERRORS = (
    (
        r"DataLoader (worker|timed out)",
        "a process that reads images ended or hangs; --workers 0 reads without",
    ),
    (
        r"gloo|NCCL|Connection (reset|closed)",
        "another process of this training ended; --resume goes on from the snapshot",
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

    def parse_known_args(self, args=None, namespace=None):
        """Parse `args` after turning the underscores of long flags into hyphens."""
        given = sys.argv[1:] if args is None else args
        return super().parse_known_args([_hyphenate(arg) for arg in given], namespace)

    def error(self, message: str) -> NoReturn:
        """Print one line on stderr and exit with status 2."""
        line = make_printable(f"{self.prog}: error: {message} (see --help)")
        self.exit(USER_ERROR_STATUS, f"{line}\n")


class _HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter
):
    """Show defaults (unless there is none to show) and keep the epilog's lines."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def _hyphenate(argument: str) -> str:
    """Turn `--batch_size=2` into `--batch-size=2`; leave values alone."""
    if not re.match(r"--[A-Za-z]", argument):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value


def number_type(
    kind: type[Number], condition: Callable[[Number], bool], allowed: str
) -> Callable[[str], Number]:
    """Make an argparse type that says which numbers are allowed."""

    def parse(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not condition(value):
            raise argparse.ArgumentTypeError(f"expected {allowed}, got {text!r}")
        return value

    return parse


positive_int = number_type(int, lambda n: n >= 1, "a whole number of at least 1")
non_negative_int = number_type(int, lambda n: n >= 0, "a whole number of at least 0")

positive_float = number_type(
    float, lambda v: 0 < v < float("inf"), "a number greater than 0"
)

non_negative_float = number_type(
    float, lambda v: 0 <= v < float("inf"), "a number of at least 0"
)
fraction = number_type(float, lambda v: 0 <= v < 1, "a number from 0 up to 1")
inner_fraction = number_type(float, lambda v: 0 < v < 1, "a number between 0 and 1")
# torch takes no seed of more than 64 bits.
seed = number_type(int, lambda n: 0 <= n < 2**63, "a whole number from 0 to 2^63 - 1")


def dataset_name(text: str) -> str:
    """Take a folder's name, with the slash that completion in a shell leaves."""
    name = text.rstrip("/\\")
    if not name or name != Path(name).name or name in (".", ".."):
        raise argparse.ArgumentTypeError(
            f"expected the name of a folder under --data-root, got {text!r}"
        )
    return name


def run_name(text: str) -> str:
    """Take a word that goes into file names and cannot be taken for another file's."""
    is_word = re.fullmatch(r"[A-Za-z0-9_-]+", text)
    if not is_word or text == "last" or text.endswith("_last"):  # the snapshot's name
        raise argparse.ArgumentTypeError(
            f"expected letters, digits, - and _, and no 'last' at the end, got {text!r}"
        )
    return text


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print each text as one line that a terminal can show, at once.

    Whatever the suite prints goes through here; a progress bar makes way for it.

    Args:
        lines: what to print.
        file: default stdout.
    """
    for line in lines:
        with tqdm.external_write_mode(file):
            print(make_printable(line), file=file, flush=True)


def describe_error(error: BaseException) -> str:
    """Return an exception's message as one line.

    An error from a data loader's worker process carries the worker's whole traceback
    in its message; its last line is what the user needs.
    """
    text = str(error).strip()
    if "Original Traceback" in text:
        text = re.sub(r"^[\w.]+(Error|Exception): ", "", text.splitlines()[-1])
    return " ".join(text.split()) or type(error).__name__


def describe_foreign_error(error: RuntimeError) -> str | None:
    """Return what to tell the user of one of `FOREIGN_ERRORS`, None for another."""
    for pattern, advice in FOREIGN_ERRORS:
        if re.search(pattern, str(error)):
            return f"{advice} ({describe_error(error)[:200]})"
    return None


def run(main: Callable[[Sequence[str] | None], int | None]) -> NoReturn:
    """Run a script's `main` and turn a user's mistake into one line and status 2."""
    program = Path(sys.argv[0]).name
    sys.stdout.reconfigure(errors="backslashreplace")  # it may not be UTF-8
    try:
        status = main(None)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except KeyboardInterrupt:
        say(f"{program}: interrupted", file=sys.stderr)
        status = 130
    except (ValueError, OSError, FloatingPointError) as error:
        say(f"{program}: error: {describe_error(error)}", file=sys.stderr)
        status = USER_ERROR_STATUS
    except RuntimeError as error:
        description = describe_foreign_error(error)
        if description is None:
            raise
        say(f"{program}: error: {description}", file=sys.stderr)
        status = USER_ERROR_STATUS
    sys.exit(status)
