"""Checkpoints and processes for the tests of scripts."""

import os
import struct
import subprocess
import sys
import zlib
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from files.checkpoint import start_record
from files.tensors import save_tensors
from models import NETWORKS, MaxPool2x2, SimpleNet, SteadyLinear, build_model

PROJECT = Path(__file__).resolve().parent.parent


class SmallSimpleNet(SimpleNet):
    """SimpleNet for images of 64 pixels."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.pool = MaxPool2x2()
        self.conv1 = nn.Conv2d(3, 6, 7)
        self.conv2 = nn.Conv2d(6, 16, 7)
        self.conv3 = nn.Conv2d(16, 24, 7)
        self.fc1 = SteadyLinear(24 * 2 * 2, 16)
        self.fc2 = SteadyLinear(16, 16)
        self.fc3 = SteadyLinear(16, 2)


def replace_simple_net() -> AbstractContextManager[object]:
    """Let the name SimpleNet mean a network of a 700th of the parameters."""
    network = NETWORKS["SimpleNet"]
    preprocessing = replace(network.preprocessing, size=64)
    small = replace(network, build=SmallSimpleNet, preprocessing=preprocessing)
    return mock.patch.dict(NETWORKS, SimpleNet=small)


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
    torch.nn.init.constant_(model.fc2.bias, 10)
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
