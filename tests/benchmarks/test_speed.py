"""The table's ratios are those within a turn, and a failed measurement says why."""

import importlib.util
import json
import sys

import pytest
import speed
import torch
from processes import run_command
from sample_images import make_sample_images

MATMUL = {"fp32": 1e9, "bf16": 4e9}


def make_results(*seconds: float) -> list[dict]:
    shared = {"images": 2, "peak_bytes": 10**6, "flops": 3e9}
    return [
        {**shared, "seconds": value, "precision": "bf16" if place else "fp32"}
        for place, value in enumerate(seconds)
    ]


def test_speed_saves_rows_with_ratios_within_each_turn(tmp_path, monkeypatch, capsys):
    photographs = [{"seconds": s} for s in (0.1, 0.04, 0.2, 0.05)]
    turns = [MATMUL, *make_results(8, 2, 5, 5, 4)]
    turns += [MATMUL, *make_results(6, 1, 5, 5, 3)]
    results = iter(photographs + turns)
    monkeypatch.setattr(speed, "run_job", lambda job: next(results))
    monkeypatch.setattr(speed, "make_sample_images", lambda *args: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # no timm
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tmp_path / "out" / "benchmark.json"
    flags = ["--models", "SimpleNet", "--tasks", "eval", "read", "--quick"]
    speed.main([*flags, "--repeats", "2", "--json", str(path)])

    report = json.loads(path.read_text())
    textbook, suite, *_ = report["rows"]
    assert textbook["times_textbook"] == 1
    assert textbook["ms_an_image"] == pytest.approx(7000)
    assert suite["times_textbook"] == pytest.approx((8 / 2 + 6 / 1) / 2)
    assert suite["share_of_matmul"] == pytest.approx(3e9 / 1.5 / 4e9)
    assert suite["range"] == pytest.approx([8 / 2, 6 / 1])
    assert report["read"] == [
        {"whole": 0.1, "small": 0.04},
        {"whole": 0.2, "small": 0.05},
    ]
    output = capsys.readouterr().out
    assert "whole 150.0 ms, small 45.0 ms (3.2 times" in output
    assert "SimpleNet, eval" in output


def test_run_job_starts_a_process_or_torchruns_and_says_why_one_failed(monkeypatch):
    commands = []

    def fail(command, label):
        commands.append(command[1:-2])
        return run_command([sys.executable, "-c", "raise OSError('no folder')"], label)

    monkeypatch.setattr(speed, "run_command", fail)
    for setting in ({"label": "textbook"}, {"label": "two", "processes": 2}):
        with pytest.raises(ValueError, match=f"train {setting['label']} failed: OSErr"):
            speed.run_job({"task": "train", "setting": setting})
    assert commands[0] == []
    assert commands[1][-1] == "--nproc-per-node=2"


@pytest.mark.slow
def test_run_job_measures_in_a_fresh_process(tmp_path):
    make_sample_images(tmp_path / "images", 1)
    job = {"folder": str(tmp_path / "images"), "task": "read", "full": True}
    result = speed.run_job(job)
    assert result["seconds"] > 0
    assert result["images"] == 2
