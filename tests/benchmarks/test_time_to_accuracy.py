"""The first epoch at the target counts, and ratios are of the same seed."""

import json

import pytest
import time_to_accuracy

SLOW = [
    {"seconds": 120.0, "val_acc": 80.0, "test_acc": 81.0},
    {"seconds": 240.0, "val_acc": 91.0, "test_acc": 82.0},
]
FAST = [
    {"seconds": 30.0, "val_acc": 90.0, "test_acc": 88.0},
    {"seconds": 60.0, "val_acc": 85.0, "test_acc": 70.0},
]


def test_summarise_takes_the_first_epoch_at_the_target_and_the_best_accuracy():
    run = time_to_accuracy.summarise("suite", 0, FAST, 90.0)
    assert (run["epoch"], run["minutes"], run["test_acc"]) == (1, 0.5, 88.0)
    never = time_to_accuracy.summarise("suite", 0, FAST, 95.0)
    assert never["minutes"] is None
    assert "not in 2 epochs" in time_to_accuracy.describe(never)


def test_main_takes_turns_and_compares_seed_by_seed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        time_to_accuracy,
        "run_alone",
        lambda arguments, loop, seed: SLOW if loop == "textbook" else FAST,
    )
    path = tmp_path / "times.json"
    time_to_accuracy.main(["--seeds", "3", "4", "--json", str(path), "--", "-e", "2"])
    report = json.loads(path.read_text())
    assert [(run["loop"], run["seed"]) for run in report["runs"]] == [
        *(("textbook", 3), ("suite", 3)),
        *(("textbook", 4), ("suite", 4)),
    ]
    assert report["flags"] == ["-e", "2"]
    assert "textbook to suite: 8.0 times" in capsys.readouterr().out


@pytest.mark.slow
def test_run_alone_says_which_training_failed_after_its_own_message(capfd):
    with pytest.raises(ValueError, match=r"the suite training of seed 0 failed"):
        time_to_accuracy.run_alone(["--data-root", "none"], "suite", 0)
    assert "no dataset 'synthetic_dataset' under none" in capfd.readouterr().err


def test_run_alone_prints_and_returns_epochs(tmp_path, capsys, monkeypatch):
    script = tmp_path / "loop.py"
    script.write_text(f"print('gloo speaks'); print('{json.dumps(FAST[0])}')")
    monkeypatch.setattr(time_to_accuracy, "__file__", str(script))
    assert time_to_accuracy.run_alone([], "suite", 0) == FAST[:1]
    assert "epoch 1 after 0.5 min: validation" in capsys.readouterr().out
