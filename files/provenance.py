"""Where numbers come from: the command, the versions, the files with their hashes."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


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
    script: str, arguments: Sequence[str], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return what ran, when (UTC), and with which versions.

    Args:
        script: its file name.
        arguments: the words after it.
        versions: by package.
    """
    return {
        "command": shlex.join(["python", script, *arguments]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": dict(versions),
    }
