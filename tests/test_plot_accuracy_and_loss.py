"""Tests of the script that draws training curves, and of its figures."""

import json
from pathlib import Path
from typing import Any

import pytest
from reported_runs import make_run
from script_helpers import run_script

import plot_accuracy_and_loss


def write_history(path: Path, *runs: dict[str, Any]) -> Path:
    path.write_text(json.dumps(runs))
    return path


@pytest.mark.parametrize(("number", "num_epochs"), [(None, 3), (1, 1), (2, 2), (3, 3)])
def test_main_draws_the_newest_run_or_the_one_asked_for(
    number, num_epochs, tmp_path, capsys
):
    path = write_history(tmp_path / "h.json", *(make_run(n) for n in (1, 2, 3)))
    flags = ["-m", "SimpleNet", "-d", "faces", "--train_details_json", str(path)]
    flags += ["--run", str(number)] if number else []

    plot_accuracy_and_loss.main([*flags, "--figures-dir", str(tmp_path / "figures")])

    start = f"{tmp_path}/figures/faces_SimpleNet_"
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
        {"model": "SimpleNet", "dataset": "faces"},
        {"model": "Net", "dataset": "data/faces"},  # as old files may have it
        {"model": None, "dataset": 3},
    ],
)
def test_check_run_accepts_what_fits_or_is_not_recorded(recorded):
    run = make_run(**recorded)

    plot_accuracy_and_loss.check_run(run, "faces", "SimpleNet", Path("h.json"))


BAD_HISTORIES = [
    (None, [], "there is no history"),
    ("{", [], "is not JSON"),
    ("[]", [], "expected a list of training runs"),
    ([{"train_loss": [1]}], [], "has no list of numbers under 'train_acc'"),
    ([make_run(0)], [], "has no finished epoch"),
    ([make_run()], ["--run", "2"], "has no run 2; --run takes 1 to 1"),
    ([make_run(model="XceptionBased")], [], "give -m XceptionBased"),
    ([make_run(dataset="others")], [], "give -d others"),
    ([make_run()], ["--figures-dir", "/dev/null/x"], "cannot write to the folder"),
]


@pytest.mark.parametrize(("content", "flags", "message"), BAD_HISTORIES)
def test_main_with_bad_input_says_so_and_writes_nothing(
    content, flags, message, tmp_path
):
    path, figures = tmp_path / "h.json", tmp_path / "figures"
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text)
    given = ["-j", str(path), "-d", "faces", "--figures-dir", str(figures)]

    with pytest.raises((ValueError, OSError), match=message):
        plot_accuracy_and_loss.main([*given, *flags])

    assert not figures.exists()


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_main_with_an_impossible_run_number_exits_with_status_2(number, capsys):
    with pytest.raises(SystemExit) as error:
        plot_accuracy_and_loss.main(["--run", number])

    assert error.value.code == 2
    assert "at least 1" in capsys.readouterr().err


def test_script_with_malformed_json_exits_with_one_line_and_status_2(tmp_path):
    path = tmp_path / "h.json"
    path.write_text("[{]")

    result = run_script(
        "plot_accuracy_and_loss.py", "-j", path, "--figures-dir", tmp_path / "figures"
    )

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(
        f"plot_accuracy_and_loss.py: error: {path} is not JSON, as a history is: "
    )
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_script_needs_no_torch(tmp_path):
    path = write_history(tmp_path / "h.json", make_run())
    code = (
        "import sys; sys.modules['torch'] = None; import plot_accuracy_and_loss as p;"
        f"p.main(['-j', {str(path)!r}, '--figures-dir', {str(tmp_path)!r}])"
    )

    result = run_script("-c", code)

    assert result.stderr == ""
    assert result.returncode == 0
    assert (tmp_path / "fakes_dataset_SimpleNet_losses_plot.png").exists()
