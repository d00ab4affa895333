"""The table's ratios are those within a turn, and a failed measurement says why."""

import importlib.util
import json

import pytest
import speed
import torch
from sample_images import make_sample_images

MATMUL = {"fp32": 1e9, "bf16": 4e9}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("data") / "images"
    make_sample_images(folder, 1)
    return {"folder": str(folder), "limit": 1, "batch_size": 2}


def test_speed_saves_rows_with_ratios_within_each_turn(tmp_path, monkeypatch, capsys):
    results = iter(
        [MATMUL, *make_results(8, 2, 5, 4), MATMUL, *make_results(6, 1, 5, 3)]
    )
    monkeypatch.setattr(speed, "run_job", lambda job: next(results))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # no peer
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tmp_path / "out" / "benchmark.json"
    flags = ["--models", "SimpleNet", "--tasks", "eval", "--quick", "--repeats", "2"]
    flags += ["--batches", "1", "--batch-size", "2", "--json", str(path)]
    speed.main(flags)
    report = json.loads(path.read_text())
    textbook, suite, *_ = report["rows"]
    assert textbook["times_textbook"] == 1
    assert textbook["ms_an_image"] == pytest.approx(7000)
    assert suite["times_textbook"] == pytest.approx((8 / 2 + 6 / 1) / 2)
    assert suite["share_of_matmul"] == pytest.approx(3e9 / 1.5 / 4e9)
    assert suite["range"] == pytest.approx([8 / 2, 6 / 1])
    assert report["machine"]["torch"] == torch.__version__
    assert "SimpleNet, eval" in capsys.readouterr().out


def test_speed_of_reading_alone_is_saved(tmp_path, monkeypatch, capsys):
    seconds = iter([0.1, 0.04, 0.2, 0.05])
    monkeypatch.setattr(speed, "run_job", lambda job: {"seconds": next(seconds)})
    monkeypatch.setattr(speed, "make_sample_images", lambda *args: None)
    path = tmp_path / "benchmark.json"
    speed.main(["--tasks", "read", "--repeats", "2", "--json", str(path)])
    expected = [{"whole": 0.1, "small": 0.04}, {"whole": 0.2, "small": 0.05}]
    assert json.loads(path.read_text())["read"] == expected
    assert f"saved {path}" in capsys.readouterr().out


def test_describe_reading_has_medians_and_the_median_ratio():
    turns = [
        {"whole": 0.1, "small": 0.04},
        {"whole": 0.2, "small": 0.04},
        {"whole": 0.3, "small": 0.2},
    ]
    assert "whole 200.0 ms, small 40.0 ms (2.5 times" in speed.describe_reading(turns)


def make_results(*seconds: float) -> list[dict]:
    return [
        {
            "seconds": value,
            "images": 2,
            "peak_bytes": 10**6,
            "precision": "bf16" if place else "fp32",
            "flops": 3e9,
        }
        for place, value in enumerate(seconds)
    ]


@pytest.mark.slow
def test_run_job_in_fresh_processes_measures_or_says_why_not(job):
    setting = {"label": "textbook"}
    task = {**job, "model": "SimpleNet", "task": "train", "setting": setting}
    two = {**setting, "suite": True, "loader": "suite", "processes": 2}
    result = speed.run_job({**task, "setting": two})
    assert result["seconds"] > 0
    assert result["images"] == 2  # of both processes
    with pytest.raises(ValueError, match=r"textbook failed: .*no folder"):
        speed.run_job({**task, "folder": "/no/such/folder"})
