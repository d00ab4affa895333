"""The benchmarks count right, and run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import flops
import listing
import map_agreement
import measure
import numpy as np
import precision_study
import sample_images
import speed
from settings import (
    DEFAULTS,
    DEFAULTS_BY_TASK,
    TASKS,
    TEXTBOOK,
    Setting,
    list_settings,
)

from models import MaxPool2x2, SimpleNet

MATMUL = {"fp32": 1e9, "bf16": 4e9}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        # 2 images, 5x5 places, 4 filters of 3 * 3 * 3 products.
        ([nn.Conv2d(3, 4, 3)], (2 * 2 * 25 * 4 * 27, 2 * 2 * 25 * 4 * 27)),
        # Depthwise: each filter sees a single channel.
        ([nn.Conv2d(3, 3, 3, groups=3)], (2 * 2 * 25 * 3 * 9, 2 * 2 * 25 * 3 * 9)),
        (
            [nn.Conv2d(3, 1, 7), nn.Flatten(), nn.Linear(1, 10)],
            (2 * 2 * 147 + 2 * 2 * 10, 2 * 2 * 147),
        ),
    ],
)
def test_count_forward_flops_of_small_layers_as_by_hand(layers, expected):
    images = torch.zeros(2, 3, 7, 7)
    assert flops.count_forward_flops(nn.Sequential(*layers), images) == expected


def test_count_task_flops_of_simple_net_as_by_hand():
    first = 6 * 147 * 250 * 250
    forward = first + 16 * 294 * 119 * 119 + 24 * 784 * 53 * 53
    forward += 16224 * 1024 + 1024 * 256 + 256 * 2
    counts = flops.count_task_flops(SimpleNet(), torch.zeros(1, 3, 256, 256))
    assert counts == {
        "train": 2 * (3 * forward - first),
        "eval": 2 * forward,
        "saliency": 4 * forward,
    }


def test_measure_matmul_speed_of_a_small_matrix_is_positive(monkeypatch):
    monkeypatch.setattr(flops, "SIZES", (8,))
    monkeypatch.setitem(flops.OPERATIONS_A_TRIAL, "cpu", 1e3)
    assert flops.measure_matmul_speed(torch.float32, torch.device("cpu")) > 0


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", ["SimpleNet", "XceptionBased"])
def test_list_settings_start_with_the_textbook_and_have_names_of_their_own(model, task):
    settings = list_settings(model, task, workers=2, compiled=True)
    assert settings[0] == TEXTBOOK
    assert DEFAULTS_BY_TASK[task] in settings
    assert len({setting.label for setting in settings}) == len(settings)
    if model == "XceptionBased" or task == "eval":
        assert {s.kernels for s in settings if s.suite} == {True, False}
    quick = list_settings(model, task, workers=2, quick=True)
    assert [(s.suite, s.precision, s.loader) for s in quick] == [
        (False, "fp32", "textbook"),
        (True, "auto", "suite"),
        (True, "fp32", "suite"),
        (True, "auto", "tensors"),
    ]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("data") / "images"
    sample_images.make_sample_images(folder, 1)
    return {"folder": str(folder), "limit": 1, "batch_size": 2}


def test_build_network_runs_as_pytorch_does_where_kernels_are_off():
    plain, own = (
        measure.build_network("SimpleNet", setting, torch.device("cpu"))
        for setting in (TEXTBOOK, DEFAULTS)
    )
    assert type(plain.pool) is nn.MaxPool2d
    assert type(own.pool) is MaxPool2x2
    xception = measure.build_network("XceptionBased", TEXTBOOK, torch.device("cpu"))
    assert not xception.fuse


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "setting",
    [
        TEXTBOOK,
        DEFAULTS,
        Setting("cache", True, "suite", channels_last=True, cache=True),
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


def test_speed_saves_rows_with_ratios_within_each_turn(tmp_path, monkeypatch, capsys):
    results = iter(
        [MATMUL, *make_results(8, 2, 5, 4), MATMUL, *make_results(6, 1, 5, 3)]
    )
    monkeypatch.setattr(speed, "run_job", lambda job: next(results))
    path = tmp_path / "out" / "benchmark.json"
    flags = ["--models", "SimpleNet", "--tasks", "eval", "--quick", "--repeats", "2"]
    flags += ["--batches", "1", "--batch-size", "2", "--json", str(path)]
    assert speed.main(flags) == 0
    report = json.loads(path.read_text())
    textbook, suite, *_ = report["rows"]
    assert textbook["times_textbook"] == 1
    assert textbook["ms_an_image"] == pytest.approx(7000)
    assert suite["times_textbook"] == pytest.approx((8 / 2 + 6 / 1) / 2)
    assert suite["share_of_matmul"] == pytest.approx(3e9 / 1.5 / 4e9)
    assert report["machine"]["torch"] == torch.__version__
    assert "SimpleNet, eval" in capsys.readouterr().out


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
def test_run_job_in_a_fresh_process_measures_or_says_why_not(job):
    setting = {"label": "textbook"}
    task = {**job, "model": "SimpleNet", "task": "eval", "setting": setting}
    assert speed.run_job(task)["seconds"] > 0
    with pytest.raises(ValueError, match=r"textbook failed: .*no folder"):
        speed.run_job({**task, "folder": "/no/such/folder"})


@pytest.mark.slow
def test_listing_of_a_few_files_prints_and_saves_a_row(tmp_path, capsys):
    path = tmp_path / "listing.json"
    flags = ["--sizes", "100", "--folder", str(tmp_path), "--json", str(path)]
    assert listing.main(flags) == 0
    (row,) = json.loads(path.read_text())
    assert row["files"] == 100
    assert row["first_batch_seconds"] >= row["list_seconds"] > 0
    assert list(tmp_path.iterdir()) == [path]
    assert "100" in capsys.readouterr().out


def test_compare_maps_equal_and_reversed_ranks():
    exact = np.array([[[1.0, 2], [3, 4]], [[1, 2], [3, 4]], [[4, 3], [2, 1]]])
    reduced = np.array([[[1.0, 2], [3, 9]], [[4, 3], [2, 1]], [[40, 30], [20, 10]]])
    real, fake = map_agreement.compare_maps(exact, reduced, np.array([0, 0, 1]))
    assert (real["images"], fake["images"]) == (2, 1)
    assert real["median"] == pytest.approx(0)  # of 1 and -1
    assert real["lowest"] == pytest.approx(-1)
    assert fake["median"] == fake["mean_map"] == pytest.approx(1)


def test_compare_maps_constant_maps_are_counted_not_ranked():
    exact = np.array([[[0.0, 0], [0, 0]], [[1, 2], [3, 4]], [[0, 0], [0, 0]]])
    real, fake = map_agreement.compare_maps(exact, exact, np.array([0, 0, 1]))
    assert (real["images"], real["constant"]) == (2, 1)
    assert real["median"] == real["lowest"] == pytest.approx(1)
    assert fake["constant"] == 1
    assert np.isnan([fake["median"], fake["mean_map"]]).all()


def make_runs(precision: str, *accuracies: float) -> list[dict]:
    return [
        {"dataset": "d", "precision": precision, "seed": seed, "test_acc": accuracy}
        for seed, accuracy in enumerate(accuracies)
    ]


def test_summarise_pairs_the_seeds(capsys):
    runs = [*make_runs("bf16", 91, 96), *make_runs("fp32", 90, 92)]
    exact, reduced = precision_study.summarise(runs, ["fp32", "bf16"])
    assert (exact["mean"], exact["mean_difference"]) == (91, 0)
    assert exact["deviation"] == pytest.approx(2**0.5)
    assert reduced["mean_difference"] == pytest.approx(2.5)
    precision_study.print_table([exact, reduced])
    assert "90.0 92.0" in capsys.readouterr().out
    (alone,) = precision_study.summarise(make_runs("fp32", 90), ["fp32"])
    assert alone["deviation"] is None


def test_precision_study_trains_each_pair_once(tmp_path, monkeypatch, capsys):
    commands = []

    def train(command):
        commands.append(command)
        folder = Path(command[command.index("--out-dir") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        record = {"val_acc": [50.0, 80.0, 60.0], "test_acc": [55.0, 75.0, 99.0]}
        monkeypatch.setattr(precision_study, "load_history", lambda path: [record])
        (folder / "history.json").touch()
        return 0, ""

    monkeypatch.setattr(precision_study, "run_to_its_end", train)
    flags = ["-d", "one", "two", "--seeds", "4", "--folder", str(tmp_path / "study")]
    assert precision_study.main([*flags, "--", "-e", "3"]) == 0
    assert len(commands) == 4
    assert all(command[-2:] == ["-e", "3"] for command in commands)
    report = json.loads((tmp_path / "study" / "SimpleNet.json").read_text())
    assert [row["mean"] for row in report["rows"]] == [75.0] * 4
    (tmp_path / "study/one_SimpleNet_fp32_4/x_last.pt").touch()
    precision_study.main([*flags, "--", "-e", "3"])
    assert ["--resume" in command for command in commands[4:]] == [True, *[False] * 3]


def test_precision_study_failed_training_is_quoted(tmp_path, monkeypatch):
    failed = (2, "train_main.py: error: no data")
    monkeypatch.setattr(precision_study, "run_to_its_end", lambda command: failed)
    with pytest.raises(ValueError, match="failed: train_main.py: error: no data"):
        precision_study.main(["--folder", str(tmp_path)])


def test_run_to_its_end_interrupted_lets_the_program_finish(tmp_path, monkeypatch):
    done = tmp_path / "done"
    program = f"import time; time.sleep(0.5); open({str(done)!r}, 'w')"
    communicate = precision_study.subprocess.Popen.communicate
    interrupts = [KeyboardInterrupt]

    def interrupted(self, *args, **kwargs):
        if interrupts:
            raise interrupts.pop()
        return communicate(self, *args, **kwargs)

    monkeypatch.setattr(precision_study.subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        precision_study.run_to_its_end([sys.executable, "-c", program])
    assert done.exists()
    program = "import sys; sys.exit('reason')"
    assert precision_study.run_to_its_end([sys.executable, "-c", program]) == (
        1,
        "reason\n",
    )
