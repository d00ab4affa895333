"""Tests of the script that draws training curves, and of its figures."""

import json
from pathlib import Path

import pytest
from reported_runs import make_run

import plot_accuracy_and_loss as script

BROKEN = make_run(2, val_loss=[float("nan"), 1.0])


def run(tmp_path: Path, content: object, *flags: str) -> None:
    """Draw a run of a history that holds so many runs, or this text."""
    path = tmp_path / "h.json"
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text)
    where = ["-j", str(path), "--figures-dir", str(tmp_path / "figures")]
    script.main([*where, "-d", "faces", *flags])


@pytest.mark.parametrize(("number", "num_epochs"), [(None, 3), (1, 1), (3, 3)])
def test_main_draws_the_newest_run_or_the_one_asked_for(
    number, num_epochs, tmp_path, capsys
):
    runs = [make_run(1), BROKEN, make_run(3)]  # one that diverged locks no other
    run(tmp_path, runs, "-m", "my-net", *(["--run", str(number)] if number else []))

    start = f"{tmp_path}/figures/faces_my-net_"
    names = [
        f"{start}losses_plot.png",
        f"{start}accuracies_plot.png",
        f"{start}losses_and_accuracies.csv",
    ]
    assert capsys.readouterr().out.splitlines() == [f"wrote {name}" for name in names]
    assert sorted(map(str, (tmp_path / "figures").iterdir())) == sorted(names)
    lines = Path(names[2]).read_text().splitlines()
    header = "epoch,train_loss,train_acc,val_loss,val_acc,test_loss,test_acc"
    assert lines[:2] == [header, "1,0.5,40.0,10.5,50.0,20.5,60.0"]
    assert len(lines) == num_epochs + 1


@pytest.mark.parametrize(
    "recorded",
    [
        {},
        {"model": "SimpleNet", "dataset": "faces", "flags": {}},
        {"model": "Net", "dataset": "data/faces"},  # as old files may have it
        {"model": None, "dataset": 3, "flags": {}},
    ],
)
def test_check_origin_accepts_what_fits_or_is_not_recorded(recorded):
    script.check_origin(make_run(**recorded), "faces", "SimpleNet", Path("h.json"))


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (None, [], "there is no history .*; train_main.py writes one"),
        ("{", [], "is not JSON"),
        ("[]", [], "expected a list of training runs"),
        ([{"train_loss": [1]}], [], "has no list of numbers under 'train_acc'"),
        ([BROKEN, make_run()], ["--run", "1"], "run 1 of .* numbers under 'val_loss'"),
        ([make_run(0)], [], "has no finished epoch"),
        ([make_run()], ["--run", "2"], "has no run 2; --run takes 1 to 1"),
        ([make_run(model="XceptionBased", flags={})], [], "give -m XceptionBased"),
        ([make_run(dataset="others")], [], "give -d others"),
        ([make_run()], ["--figures-dir", "/dev/null/x"], "cannot write to the folder"),
    ],
)
def test_main_with_bad_input_says_so_and_writes_nothing(
    content, flags, message, tmp_path
):
    with pytest.raises((ValueError, OSError), match=message):
        run(tmp_path, content, *flags)

    assert not (tmp_path / "figures").exists()


def draw_steps(tmp_path: Path, text: str, *more: str) -> None:
    (tmp_path / "a_steps.csv").write_text(text)
    where = ["--figures-dir", str(tmp_path / "figures")]
    script.main(["--steps", str(tmp_path / "a_steps.csv"), *where, *more])


def test_main_draws_the_steps_of_a_run_that_still_writes(tmp_path, capsys):
    rows = "1,0.7,0.1\n2,0.6,0.2\n3,0."  # the last one is not finished
    draw_steps(tmp_path, f"step,loss,learning_rate\n{rows}")
    figure = tmp_path / "figures" / "a_steps.png"
    assert capsys.readouterr().out == f"wrote {figure}\n"
    assert list((tmp_path / "figures").iterdir()) == [figure]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no columns step, loss and learning_rate"),
        ("epoch,loss\n1,2\n", "has no columns step, loss and learning_rate"),
        ("step,loss,learning_rate\n1,0.", "is not a log .* with a finished row"),
        ("step,loss,learning_rate\n1,2\n", "is not a log"),
        ("step,loss,learning_rate\n1,2,high\n", "is not a log"),
        ("step,loss,learning_rate\n1,1e308,1\n", r"the loss 1e\+308; expected at most"),
    ],
)
def test_main_steps_of_something_else_are_refused(text, message, tmp_path, refused):
    with refused(message):
        draw_steps(tmp_path, text)
    assert not (tmp_path / "figures").exists()
    with pytest.raises(FileNotFoundError, match="there is no log"):
        script.main(["--steps", str(tmp_path / "other.csv")])
