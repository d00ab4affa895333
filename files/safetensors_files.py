"""Files of safetensors: weights, and words about them. They cannot hold code.

An optional extra (`requirements-hub.txt`): the package safetensors.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from files.atomic import write_atomically


def save_safetensors(
    tensors: Mapping[str, Tensor], words: Mapping[str, str], path: Path
) -> None:
    """Save tensors and words about them, atomically.

    Args:
        tensors: by name, on any device and in any memory format.
        words: text by name; with one name the file has the same bytes each time.
        path: the file to write.

    Raises:
        ValueError: the package safetensors is not installed.
        OSError: the file cannot be written.
    """
    package = _import_package(path)
    plain = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    content = package.save(plain, metadata=dict(words))
    write_atomically(path, lambda handle: handle.write(content))


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Load a file of safetensors, to the CPU.

    Returns:
        The tensors by name, and the words about them.

    Raises:
        ValueError: it is damaged, or the package safetensors is not installed.
    """
    package = _import_package(path)
    try:
        with package.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
            return tensors, file.metadata() or {}
    # safetensors has an error of its own, which derives from nothing narrower.
    except Exception as error:
        raise ValueError(f"refused to load {path}: it is damaged ({error})") from error


def _import_package(path: Path) -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ValueError(
            f"{path} needs the package safetensors: pip install -r requirements-hub.txt"
        ) from error
    return safetensors.torch
