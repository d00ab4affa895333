"""Every setting is what its row in the table says."""

import importlib.util

import measure
import pytest
import torch
from measure import DEFAULTS, TASKS, TEXTBOOK, Setting, list_settings
from sample_images import make_sample_images
from torch import nn

from loading import ResizeToTensor
from models import MaxPool2x2

READING = ["suite, kept pixels", "suite, ready tensors"]
QUICK = ["textbook", "suite", "suite, fp32", *READING]
ON_A_GPU = [
    *("textbook", "textbook, 8 workers", "timm, 8 workers", "suite"),
    *("suite, fp32", "suite, fp16", "suite, compiled", *READING),
]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("data") / "images"
    make_sample_images(folder, 1)
    return {"folder": str(folder), "limit": 1, "batch_size": 2}


def test_list_settings_quick_are_these_rows_and_all_hold_them(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "timm")
    options = {"workers": 8, "compiled": True, "on_gpu": True}
    quick = list_settings("train", quick=True, **options)
    assert [setting.label for setting in quick] == ON_A_GPU
    assert set(quick) < set(list_settings("train", **options))
    assert "timm" not in {s.loader for s in list_settings("saliency", workers=8)}

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for task in TASKS:
        quick = list_settings(task, workers=2, quick=True)
        assert [setting.label for setting in quick] == QUICK
        settings = list_settings(task, workers=2)
        assert len({setting.label for setting in settings}) == len(settings)
        assert {s.processes for s in settings} == (
            {0, 1, 2} if task == "train" else {0}
        )


def test_build_network_without_kernels_is_pytorchs_alone():
    plain, own = (
        measure.build_network("SimpleNet", setting, torch.device("cpu"))
        for setting in (TEXTBOOK, DEFAULTS)
    )
    assert (type(plain.pool), plain.fuse) == (nn.MaxPool2d, False)
    assert (type(own.pool), own.fuse) == (MaxPool2x2, True)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "setting",
    [
        TEXTBOOK,
        DEFAULTS,
        Setting("tensors", True, "tensors", channels_last=True, fused=True),
        Setting("kept", True, "kept", channels_last=True, fused=True),
        Setting("levers", loader="suite", precision="bf16", channels_last=True),
    ],
    ids=lambda setting: setting.label,
)
def test_measure_gives_the_time_of_an_image(task, setting, job):
    result = measure.measure("SimpleNet", task, setting, job)
    assert result["images"] == 2
    assert result["seconds"] > 0
    assert result["peak_bytes"] > 1e7


def test_measure_reading_decodes_whole_or_small(tmp_path, monkeypatch):
    sizes, read = [], ResizeToTensor.__call__

    def note(transform, image):
        sizes.append(image.size)
        return read(transform, image)

    monkeypatch.setattr(ResizeToTensor, "__call__", note)
    make_sample_images(tmp_path, 1, (2048, 1024))
    for full in (True, False):
        result = measure.measure_reading({"folder": str(tmp_path), "full": full})
        assert result["images"] == 2
    assert sizes == [(2048, 1024)] * 3 + [(1024, 512)] * 3  # the first one twice
