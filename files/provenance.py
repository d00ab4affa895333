"""Where numbers come from: the command, the versions, the files and their hashes."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

VERSION = "1.0.0"  # of this suite
_CHUNK_BYTES = 1 << 20


def get_versions(*more: str) -> dict[str, str]:
    """Return the versions that a result may depend on.

    Args:
        more: packages in addition to those that every result depends on.
    """
    packages = ("torch", "torchvision", "numpy", "pillow", *more)
    suite = {"suite": VERSION, "python": platform.python_version()}
    return suite | {name: version(name) for name in packages}


def describe_file(path: str | Path) -> dict[str, str]:
    """Return a file's path as given and the SHA-256 of its content.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return {"path": str(path), "sha256": digest.hexdigest()}


def describe_call(
    script: str, words: Sequence[str] | None, *more: str
) -> dict[str, Any]:
    """Return what ran, when (UTC), and with which versions.

    Args:
        script: its path, of which the name is given.
        words: after it; None: those of this process, as for `main`.
        more: packages, as for `get_versions`.
    """
    words = sys.argv[1:] if words is None else words
    return {
        "command": format_command(Path(script).name, words),
        "date": format_now(),
        "versions": get_versions(*more),
    }


def format_now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def format_command(
    script: str | Path, words: Sequence[object], *, windows: bool = os.name == "nt"
) -> str:
    """Return a command line for a shell; those of Windows do not know single quotes."""
    join = subprocess.list2cmdline if windows else shlex.join
    return join(["python", str(script), *map(str, words)])
