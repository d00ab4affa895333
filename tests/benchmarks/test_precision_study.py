"""Each pair of arithmetic and seed is trained once, and compared with its like."""

import json
import sys
from pathlib import Path

import precision_study
import pytest


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
