"""Hostile checkpoints: predict.py uses each, or refuses it in a line with its name."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY, TinyNet
from PIL import Image
from torch import Tensor

import predict
from loading import PUBLISHED
from models import NETWORKS

Content = dict[str, Any]


def make_content() -> Content:
    torch.manual_seed(0)
    return {
        **{"model": TinyNet().state_dict(), "val_acc": 90.0, "epoch": 1},
        **{"format_version": 2, "run_id": "a", "model_name": "SimpleNet"},
        **{"dataset": "d", "class_names": ["real", "fake"], "data_fingerprint": "x"},
        **{"temperature": 1.5, "threshold": 0.4, "threshold_policy": "eer on 4"},
        **{"val_fake_share": 0.5, "preprocessing": PUBLISHED.to_dict()},
        **{"flags": {"lr": 0.1, "limit": None}, "versions": {"torch": "2.10"}},
    }


def set_entry(name: str, value: Any) -> Callable[[Content], Content]:
    return lambda content: {**content, name: value}


def change_weight(change: Callable[[Tensor], Any]) -> Callable[[Content], Content]:
    def apply(content: Content) -> Content:
        weight = change(content["model"]["fc.weight"])
        return {**content, "model": {**content["model"], "fc.weight": weight}}

    return apply


HUGE, EXPANDED = torch.full((2, 4), 3e38), torch.ones(1).expand(2**20, 2**20)
USED = ""  # the reason of a file that is used
ENDLESS: Content = {}  # within itself: it would be printed for ever
ENDLESS["flags"] = ENDLESS
CASES: dict[str, tuple[Callable[[Content], Any], str]] = {
    "sound": (lambda content: content, USED),
    "half the precision": (change_weight(Tensor.half), USED),
    "other model": (set_entry("model_name", "x\n\x1b[2K"), "unknown model"),
    "long name": (set_entry("model_name", "x" * 10_000), "unknown model"),
    "infinite temperature": (set_entry("temperature", math.inf), "temperature is inf"),
    "preprocessing": (set_entry("preprocessing", {"mean": 0}), "cannot use the check"),
    "reliability": (set_entry("reliability", [[0.5, 0.4, 1, 2]]), "its reliability"),
    "control characters": (set_entry("threshold_policy", "\r\x1b[2Kreal"), USED),
    "holds itself": (set_entry("flags", ENDLESS), "hold each other too many times"),
    "sparse": (change_weight(Tensor.to_sparse), "other than tensors"),
    "complex": (change_weight(Tensor.cfloat), "other than tensors"),
    "quantised": (
        change_weight(lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)),
        "other than tensors",
    ),
    "expanded to 4 TB": (change_weight(lambda w: EXPANDED), "has shape"),
    "scores not finite": (change_weight(lambda w: HUGE), "no finite score"),
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("RGB", (256, 256), "teal").save(tmp_path / "face.png")
    return tmp_path / "face.png"


def judge(path: Path, image: Path, capsys: pytest.CaptureFixture) -> list[str]:
    """Return what predict.py prints, or the message of its error."""
    try:
        predict.main(["-cpp", str(path), str(image), "--device", "cpu"])
    except ValueError as error:
        assert path.name in str(error)
        return [str(error)]
    printed = capsys.readouterr()
    return [*printed.out.splitlines(), *printed.err.splitlines()]


@pytest.mark.filterwarnings("ignore:.*quantize:UserWarning")
@pytest.mark.parametrize("is_zip", [True, False], ids=["archive", "before torch 1.6"])
@pytest.mark.parametrize("name", CASES)
def test_predict_hostile_checkpoint_is_used_or_refused(
    name, is_zip, image, monkeypatch, capsys
):
    monkeypatch.setitem(NETWORKS, "SimpleNet", TINY)
    change, reason = CASES[name]
    path = image.with_name("hostile.pt")
    content = change(make_content())
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    lines = judge(path, image, capsys)
    assert all(line.isprintable() and len(line) < 1000 for line in lines)
    assert any(reason in line for line in lines)
    assert any("P(fake)" in line for line in lines) == (reason == USED)
