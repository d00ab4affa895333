"""ImageNet weights of Xception: find the file, download it, verify it, read it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from torch import nn
from tqdm import tqdm

from files.atomic import write_atomically
from files.tensors import canonical_state_dict, check_keys, check_tensors, load_tensors

# The address that pretrainedmodels knows (data.lip6.fr) no longer answers.
MIRRORS = (
    "https://github.com/rwightman/pytorch-image-models/releases/download/"
    "v0.1-cadene/xception-43020ad28.pth",
)

TIMEOUT_S = 30.0  # of silence, not of the whole download

CHUNK_BYTES = 1 << 20

WHAT_TO_DO = "give --weights FILE, or --from-scratch to train without"


def find_weights(
    weights_path: Path | None = None,
    *,
    cache_dir: Path | None = None,
    mirrors: Sequence[str] | None = None,
) -> Path:
    """Find the weights file: the one given, else in the cache, else at the mirrors.

    Args:
        weights_path: an explicit file, taken as it is.
        cache_dir: folder of downloads; None: torch.hub's (`TORCH_HOME` moves it).
        mirrors: addresses tried in order, each file name ending in `-SHA256DIGITS.ext`;
            None: `MIRRORS`.

    Returns:
        Path of a file that is there and, unless given, has the right SHA-256.

    Raises:
        FileNotFoundError: when the explicit file is not there.
        OSError: when there is none to be had, with each thing that was tried.
    """
    if weights_path is not None:
        if not weights_path.is_file():
            raise FileNotFoundError(f"no weights file {weights_path}: {WHAT_TO_DO}")
        return weights_path
    cache_dir = cache_dir or Path(torch.hub.get_dir()) / "checkpoints"
    mirrors = MIRRORS if mirrors is None else mirrors
    tried = []
    for name in dict.fromkeys(_file_name(url) for url in mirrors):
        cached = cache_dir / name
        if not cached.is_file():
            tried.append(f"{cached}: not there")
            continue
        digest = hashlib.sha256(cached.read_bytes()).hexdigest()
        if digest.startswith(_hash_digits(name)):
            return cached
        tried.append(f"{cached}: {_wrong_hash(digest, name)}")
    for url in mirrors:
        try:
            return download_weights(url, cache_dir)
        except (OSError, HTTPException, ValueError) as error:
            tried.append(f"{url}: {error or type(error).__name__}")
    raise OSError(f"no ImageNet weights: {WHAT_TO_DO} (tried {'; '.join(tried)})")


def download_weights(url: str, cache_dir: Path) -> Path:
    """Download a weights file into the cache folder, whole and verified or not at all.

    Args:
        url: its file name carries the first digits of its SHA-256.
        cache_dir: made when it is not there.

    Returns:
        Path of the new file.

    Raises:
        OSError: when the server cannot be reached, refuses, or hangs up early.
        ValueError: when the SHA-256 is not the one in the name.
    """
    # torch.hub.download_url_to_file knows no time-out and does not notice a cut.
    path = cache_dir / _file_name(url)
    write_atomically(path, partial(_fetch, url))
    return path


def _fetch(url: str, file: BinaryIO) -> None:
    """Stream an address into an open file, with a bar on a terminal only."""
    name = _file_name(url)
    sha256 = hashlib.sha256()
    request = Request(url, headers={"User-Agent": "face-fakes"})
    try:
        response = urlopen(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()  # it holds the connection
        raise
    with response:
        size = int(response.headers.get("Content-Length") or 0)
        bar = tqdm(
            total=size or None, desc=name, unit="B", unit_scale=True, disable=None
        )
        with bar:
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                sha256.update(chunk)
                bar.update(len(chunk))
            received = file.tell()
    if received < size:
        raise OSError(f"connection cut after {received} of {size} bytes")
    if not sha256.hexdigest().startswith(_hash_digits(name)):
        raise ValueError(_wrong_hash(sha256.hexdigest(), name))


def _file_name(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def _hash_digits(name: str) -> str:
    """The digits that torch.hub would check too; a file without them is no file."""
    match = re.search(r"-([a-f0-9]{8,64})\.", name)
    if match is None:
        raise ValueError(f"{name} carries no SHA-256 digits in its name")
    return match.group(1)


def _wrong_hash(digest: str, name: str) -> str:
    return f"SHA-256 starts with {digest[:12]}, not with {_hash_digits(name)}"


def load_backbone(model: nn.Module, path: Path) -> str:
    """Load ImageNet weights into all of Xception but its last layer.

    Args:
        model: Xception; its `last_linear` is left as it is.
        path: a state dict as torch.save wrote it, plain or under "model" or
            "state_dict"; names as in `canonical_state_dict`; with a last layer or not.

    Returns:
        A sentence for the user: how many tensors came from where.

    Raises:
        ValueError: when the file is damaged, foreign, or not Xception's.
    """
    own = {k: v for k, v in model.state_dict().items() if not _is_final(k)}
    content = load_tensors(path)
    for wrapper in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    try:
        given = canonical_state_dict(content, own)
        backbone = {k: v for k, v in given.items() if not _is_final(k)}
        check_keys(backbone, own)
        check_tensors(backbone, own)
    except ValueError as error:
        raise ValueError(f"{path} holds no weights of Xception: {error}") from error
    model.load_state_dict(backbone, strict=False)
    final = "absent" if len(backbone) == len(given) else "left out"
    return f"ImageNet weights: {len(backbone)} tensors from {path}, final layer {final}"


def _is_final(name: str) -> bool:
    return name.startswith("last_linear.")
