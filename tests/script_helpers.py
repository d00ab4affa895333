"""Checkpoints and processes for the tests of scripts."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import torch

from files.checkpoint import start_record
from files.tensors import save_tensors
from models import build_model

PROJECT = Path(__file__).resolve().parent.parent


def make_checkpoint(path: Path, **entries: object) -> Path:
    """Write a checkpoint of a SimpleNet with random weights, and return `path`."""
    torch.manual_seed(0)
    model = build_model("SimpleNet")
    record = start_record(
        **{"model_name": "SimpleNet", "preprocessing": model.preprocessing.to_dict()},
        **{"val_acc": 50.0, "test_acc": 50.0, "epoch": 1},
    )
    content = {"model": model.state_dict(), **record.to_dict()}
    save_tensors({**content, **entries}, path)
    return path


def make_broken_checkpoint(path: Path) -> Path:
    """Write a checkpoint whose finite weights give no finite score."""
    model = build_model("SimpleNet")
    torch.nn.init.constant_(model.fc3.weight, 3e38)
    return make_checkpoint(path, model=model.state_dict())


def make_huge_png(width: int, height: int) -> bytes:
    """Return a small PNG file that claims to have so many pixels."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def run_script(
    *arguments: object, folder: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    """Run one of the project's scripts in a process of its own."""
    words = [PROJECT / w if str(w).endswith(".py") else w for w in arguments]
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
