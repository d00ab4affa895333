"""Checkpoints and processes for the tests of scripts."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from files.tensors import save_tensors
from judging import clips, pictures
from loading.face_finding import Face
from loading.videos.tracking import Tracker
from models import NETWORKS, MaxPool2x2, SimpleNet, SteadyLinear, build_model
from records.checkpoint import start_record

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


def make_clip(path: Path, *, num_seconds: int = 8) -> Path:
    """Write a video, two frames a second: red at the left, from 2 s blue at the right.

    `find_squares` finds these as faces, and `follow_from_left` tells them apart.
    """
    code, size = cv2.VideoWriter_fourcc(*"MJPG"), (400, 200)
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 2.0, size)
    for number in range(2 * num_seconds):
        noise = np.random.default_rng(number).integers(0, 40, (200, 400, 3))
        noise[:, :200, 2] += 200
        noise[:, 200:, 0] += 200 * (number >= 4)
        video.write(noise.astype(np.uint8))
    video.release()
    return path


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait, but not for ever."""
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def let_squares_be_faces(patch: pytest.MonkeyPatch) -> None:
    """Let the squares in `make_clip` be found, and nothing else; no network looks."""
    patch.setattr(pictures, "can_find_faces", lambda: True)
    patch.setattr(pictures, "find_faces", lambda picture: [])
    patch.setattr(clips, "find_faces", find_squares)
    patch.setattr(Tracker, "follow", follow_from_left)


def find_squares(picture: Image.Image) -> list[Face]:
    """Stands for the network that finds faces, in the frames of `make_clip`."""
    left, right = Face((60, 60, 140, 140), 0.9, ()), Face((260, 60, 340, 140), 0.8, ())
    return [right, left] if picture.getpixel((300, 100))[2] > 150 else [left]


def follow_from_left(_: object, frame: object, faces: Sequence[Face]) -> list[int]:
    """Stands for `Tracker.follow`: the persons by their place."""
    return [1 if face.box[0] < 200 else 2 for face in faces]
