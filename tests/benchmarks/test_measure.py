"""Every setting of every task is measured, and none is listed twice."""

import importlib.util
from dataclasses import replace

import measure
import pytest
import torch
from measure import DEFAULTS, TASKS, TEXTBOOK, Setting, list_settings
from sample_images import make_sample_images
from torch import nn

from faces_dataset import ResizeToTensor
from models import MaxPool2x2


@pytest.mark.parametrize("task", TASKS)
def test_list_settings_start_with_the_textbook_and_have_names_of_their_own(
    task, monkeypatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    settings = list_settings(task, workers=2, compiled=True)
    assert settings[0] == TEXTBOOK
    assert DEFAULTS in settings
    assert len({setting.label for setting in settings}) == len(settings)
    assert {s.kernels for s in settings if s.suite} == {True, False}
    quick = list_settings(task, workers=2, quick=True)
    assert [(s.suite, s.precision, s.loader) for s in quick] == [
        (False, "fp32", "textbook"),
        (True, "auto", "suite"),
        (True, "fp32", "suite"),
        (True, "auto", "tensors"),
    ]


def test_list_settings_hold_the_peer_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    for task, count in (("train", 2), ("eval", 2), ("saliency", 0)):
        settings = list_settings(task, workers=2, quick=True)
        peers = [setting for setting in settings if setting.loader == "timm"]
        assert [setting.workers for setting in peers] == [0, 2][:count]


def test_list_settings_on_a_gpu_are_those_that_differ_there(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    options = {"workers": 8, "compiled": True, "on_gpu": True}
    quick = list_settings("train", quick=True, **options)
    assert [setting.label for setting in quick] == [
        *("textbook", "textbook, 8 workers", "timm, 8 workers", "suite"),
        *("suite, fp32", "suite, fp16", "suite, compiled", "suite, ready tensors"),
    ]
    whole = list_settings("train", **options)
    assert set(quick) < set(whole)
    assert not any(setting.blocks for setting in whole if not setting.suite)
    assert all(setting.kernels for setting in whole if setting.suite)


def test_measure_compiled_runs_a_batch_thrice_before_it_counts(job, monkeypatch):
    batches = []
    monkeypatch.setattr(measure, "compile_model", lambda model, device: None)
    monkeypatch.setattr(
        measure, "run_suite", lambda given, *rest: batches.append(len(list(given)))
    )
    for compiled in (True, False):
        measure.measure("SimpleNet", "eval", replace(DEFAULTS, compiled=compiled), job)
    assert batches == [3, 1, 1, 1]


def test_list_settings_compare_one_process_with_two_in_training():
    settings = list_settings("train", workers=2)
    assert [s.processes for s in settings if s.processes] == [1, 2]
    assert not any(s.processes for s in list_settings("eval", workers=2))


@pytest.mark.parametrize("full", [True, False])
def test_measure_reading_reads_every_image_as_it_is_told(tmp_path, monkeypatch, full):
    sizes = []
    read = ResizeToTensor.__call__

    def note(transform, image):
        sizes.append(image.size)
        return read(transform, image)

    monkeypatch.setattr(ResizeToTensor, "__call__", note)
    make_sample_images(tmp_path, 1, (2048, 1024))
    result = measure.measure_reading({"folder": str(tmp_path), "full": full})
    assert result["images"] == 2
    assert set(sizes) == {(2048, 1024) if full else (1024, 512)}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("data") / "images"
    make_sample_images(folder, 1)
    return {"folder": str(folder), "limit": 1, "batch_size": 2}


def test_build_network_runs_as_pytorch_does_where_kernels_are_off():
    plain, own = (
        measure.build_network("SimpleNet", setting, torch.device("cpu"))
        for setting in (TEXTBOOK, DEFAULTS)
    )
    assert type(plain.pool) is nn.MaxPool2d
    assert type(own.pool) is MaxPool2x2
    assert (plain.fuse, own.fuse) == (False, True)
    xception = measure.build_network("XceptionBased", TEXTBOOK, torch.device("cpu"))
    assert not xception.fuse


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "setting",
    [
        TEXTBOOK,
        DEFAULTS,
        Setting("suite", True, "suite", channels_last=True),
        Setting("tensors", True, "tensors", channels_last=True, fused=True),
        Setting("levers", loader="suite", precision="bf16"),
        Setting("format", channels_last=True),
    ],
    ids=lambda setting: setting.label,
)
def test_measure_gives_the_time_of_an_image(task, setting, job):
    result = measure.measure("SimpleNet", task, setting, job)
    assert result["seconds"] > 0
    assert result["images"] == 2
    assert result["flops"] > 3e8
    assert result["peak_bytes"] > 1e7
