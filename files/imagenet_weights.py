"""ImageNet weights of Xception: find the file, download it, verify it, read it."""

import hashlib
import socket
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import torch
from torch import nn

from files.tensors import canonical_state_dict, check_keys, check_tensors, load_tensors

SHA256_DIGITS = "43020ad28"  # the first ones

# The address that pretrainedmodels knows (data.lip6.fr) no longer answers.
URL = (
    "https://github.com/rwightman/pytorch-image-models/releases/download/"
    f"v0.1-cadene/xception-{SHA256_DIGITS}.pth"
)

TIMEOUT_S = 30.0  # of silence, not for the whole download
WHAT_TO_DO = "give --weights FILE, or --from-scratch to train without"


def find_weights(
    weights_path: str | Path | None = None, *, cache_dir: str | Path | None = None
) -> Path:
    """Find the weights file: the one given, else in the cache, else at `URL`.

    Args:
        weights_path: the user's file, taken as it is.
        cache_dir: folder of downloads; None: torch.hub's (`TORCH_HOME` moves it).

    Returns:
        Path of an existing file; unless it was given, its SHA-256 is right.

    Raises:
        FileNotFoundError: the given file does not exist.
        OSError: no file can be found; the message says what was tried.
    """
    if weights_path is not None:
        weights_path = Path(weights_path)
        if not weights_path.is_file():
            raise FileNotFoundError(
                f"there is no weights file {weights_path}: {WHAT_TO_DO}"
            )
        return weights_path
    cache_dir = Path(cache_dir or Path(torch.hub.get_dir()) / "checkpoints")
    cached = cache_dir / URL.rsplit("/", 1)[-1]
    missing = "not there"
    if cached.is_file():
        digest = hashlib.sha256(cached.read_bytes()).hexdigest()
        if digest.startswith(SHA256_DIGITS):
            return cached
        missing = f"SHA-256 starts with {digest[:12]}, not with {SHA256_DIGITS}"
    try:
        _download(cached)
    # RuntimeError: the hash is wrong, maybe because the connection was cut.
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        tried = f"{cached}: {missing}; {URL}: {error or type(error).__name__}"
        raise OSError(
            f"no ImageNet weights were found: {WHAT_TO_DO} (tried {tried})"
        ) from error
    return cached


def _download(path: Path) -> None:
    """Download the weights, whole and verified, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # torch.hub sets none
    try:
        torch.hub.download_url_to_file(
            URL, str(path), SHA256_DIGITS, progress=sys.stderr.isatty()
        )
    finally:
        socket.setdefaulttimeout(before)


def load_backbone(model: nn.Module, path: str | Path) -> None:
    """Load ImageNet weights into Xception, except for its last layer.

    Args:
        model: Xception; its `last_linear` stays as it is.
        path: a state dict that torch.save wrote, plain or under "model" or
            "state_dict", with or without a last layer; names as for
            `canonical_state_dict`.

    Raises:
        ValueError: the file is damaged, or does not hold weights of Xception.
    """
    whole = model.state_dict()
    own = {k: v for k, v in whole.items() if not _is_final(k)}
    content = load_tensors(path)
    for wrapper in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    try:
        given = canonical_state_dict(content, whole)
        backbone = {k: v for k, v in given.items() if not _is_final(k)}
        check_keys(backbone, own)
        check_tensors(backbone, own)
    except ValueError as error:
        raise ValueError(
            f"{path} does not hold weights of Xception: {error}"
        ) from error
    model.load_state_dict(backbone, strict=False)


def _is_final(name: str) -> bool:
    return name.startswith("last_linear.")
