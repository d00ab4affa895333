"""Write docs/help.md: what each script prints with --help, 80 columns wide."""

import contextlib
import importlib
import io
import os
import sys
from pathlib import Path
from unittest import mock

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "help.md"
SCRIPTS = sorted(
    path.stem for path in PROJECT.glob("*.py") if "def parse_args" in path.read_text()
)
INTRODUCTION = """# Every flag

What each script prints with `--help`, written by `python tests/make_help.py`. Which of
them you want: [flags.md](flags.md).
"""


def make_page() -> str:
    """Return the whole page."""
    parts = [f"\n## {name}.py\n\n```text\n{get_help(name)}```\n" for name in SCRIPTS]
    return INTRODUCTION + "".join(parts)


def get_help(name: str) -> str:
    """Return a script's help as a terminal of 80 columns shows it."""
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, COLUMNS="80"),
        mock.patch.object(sys, "argv", [f"{name}.py"]),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        importlib.import_module(name).parse_args(["--help"])
    return printed.getvalue()


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    PAGE.write_text(make_page())
