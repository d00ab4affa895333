"""Checkpoints on the Hugging Face hub, in the layout that publish.py writes.

Nothing that is fetched runs: `record.json` names one file of safetensors and its
SHA-256, and no other file is asked for. An optional extra (`requirements-hub.txt`): the
package huggingface_hub, which keeps what it fetched.
"""

import json
import logging
import re
from pathlib import Path
from typing import Any

from files.bounds import Words
from files.names import SAFE_SUFFIX
from files.provenance import describe_file

PREFIX = "hf:"
RECORD = "record.json"
MOST_BYTES = 10_000_000  # of record.json
WEIGHTS_FILE = Words(rf"\w[\w.+-]{{0,199}}\{SAFE_SUFFIX}", f"NAME{SAFE_SUFFIX}")
SHA256 = Words(r"[0-9a-f]{64}", "a SHA-256")
_NAME = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_SNAPSHOTS = "snapshots"  # in the hub's cache, a folder for each revision


def find_checkpoint(name: str | Path) -> Path:
    """Return where a checkpoint is on this machine; one of the hub is fetched first.

    Args:
        name: a file; or hf:OWNER/NAME of the hub, with @REVISION (a commit's hash, a
            tag or a branch) if it is not to be the newest.

    Returns:
        The file. Of the hub's its folder is named by the commit.

    Raises:
        ValueError: it cannot be fetched, is not one that publish.py laid out, or its
            weights are not those that its record names.
    """
    text = str(name)
    if not text.startswith(PREFIX):
        return Path(name)
    match = _NAME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text} is not hf:OWNER/NAME, with @REVISION if need be")
    record_path = _fetch(text, match["name"], RECORD, match["revision"])
    weights = _read_weights(text, record_path)
    path = _fetch(text, match["name"], weights["file"], get_revision(record_path))
    digest = describe_file(path)["sha256"]
    if digest != weights["sha256"]:
        raise ValueError(
            f"{text}: the SHA-256 of {path.name} starts with {digest[:12]}, and its "
            f"{RECORD} says {weights['sha256'][:12]}: publish it again"
        )
    return path


def is_fetched(path: Path) -> bool:
    """Say whether a file lies in the hub's cache, where nothing else belongs."""
    return path.parent.parent.name == _SNAPSHOTS


def get_revision(path: Path) -> str:
    """Return the hash of the commit that a fetched file is of."""
    return path.parent.name


def import_package(task: str) -> Any:
    """Return the package huggingface_hub.

    Raises:
        ValueError: it is not installed; `task` needs it.
    """
    try:
        import huggingface_hub.errors
    except ImportError as error:
        raise ValueError(
            f"{task} needs the package huggingface_hub: pip install -r "
            "requirements-hub.txt"
        ) from error
    return huggingface_hub


def _fetch(text: str, name: str, file: str, revision: str | None) -> Path:
    """Return a file of a repository, from the hub or from its cache."""
    hub = import_package(text)
    errors = hub.errors
    connection_error = getattr(errors, "HTTPError", OSError)  # before 1.0 an OSError
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # of its retries
    try:
        return Path(hub.hf_hub_download(name, file, revision=revision))
    except (errors.EntryNotFoundError, OSError, ValueError, connection_error) as error:
        # One that is not in the cache, and cannot be reached, is of the first kind too.
        is_missing = isinstance(error, errors.EntryNotFoundError)
        if is_missing and not isinstance(error, errors.LocalEntryNotFoundError):
            raise ValueError(
                f"{text} has no {file}: it is not a detector that publish.py laid out"
            ) from error
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"cannot fetch {text}: {reason}") from error


def _read_weights(text: str, path: Path) -> dict[str, Any]:
    """Return what a record from the hub says of its weights: `file` and `sha256`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        weights = json.loads(path.read_text(encoding="utf-8"))["weights"]
        if weights["file"] in WEIGHTS_FILE and weights["sha256"] in SHA256:
            return weights
        raise ValueError("no file of safetensors, or no SHA-256")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{text}: its {RECORD} does not say which file holds the weights: it is "
            "not a detector that publish.py laid out"
        ) from error
