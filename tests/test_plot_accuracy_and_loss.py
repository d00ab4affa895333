"""Tests of the script that draws training curves, and of its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from script_helpers import run_script

import plot_accuracy_and_loss
from plot_accuracy_and_loss import (
    describe_chance,
    describe_run,
    plot_accuracies,
    plot_curves,
    plot_losses,
)


def make_run(num_epochs: int = 3, **entries: Any) -> dict[str, Any]:
    """A run whose numbers tell their curve and epoch."""
    steps = range(num_epochs)
    curves = {
        f"{split}_{kind}": [start + 10 * place + step for step in steps]
        for place, split in enumerate(("train", "val", "test"))
        for kind, start in (("loss", 0.5), ("acc", 40.0))
    }
    return {**curves, **entries}


def write_history(path: Path, *runs: dict[str, Any]) -> Path:
    path.write_text(json.dumps(runs))
    return path


def test_plot_curves_draws_each_split_over_the_epochs_and_marks_the_best():
    run = make_run(val_acc=[50.0, 60.0, 60.0], test_acc=[1.0, 2.0, 3.0])

    axes = plot_curves(Figure().subplots(), run, "acc")

    lines = {line.get_label().split("\n")[0]: line for line in axes.lines}
    for name, curve in (("training", "train"), ("validation", "val"), ("test", "test")):
        assert list(lines[name].get_xdata()) == [1, 2, 3]
        assert list(lines[name].get_ydata()) == run[f"{curve}_acc"]
    best = axes.lines[-1]
    assert set(best.get_xdata()) == {2}
    assert best.get_label() == (
        "best validation accuracy 60.00 %: epoch 2,\ntest there 2.00 %"
    )
    assert axes.get_xlabel() == "Epoch"


def test_plot_curves_draws_chance_of_each_quantity():
    data = {"train": {"real": 5, "fake": 5}, "test": {"real": 6, "fake": 2}}
    run = make_run(data=data)

    accuracies, losses = (
        plot_curves(Figure().subplots(), run, quantity) for quantity in ("acc", "loss")
    )

    assert [line.get_ydata()[0] for line in accuracies.lines[3:5]] == [50, 75]
    assert len({line.get_linestyle() for line in accuracies.lines[3:5]}) == 2
    assert losses.lines[3].get_ydata()[0] == pytest.approx(0.693147, abs=1e-6)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, [(50, "chance: 50 %")]),
        ({"train": 3, "test": {"real": "6"}}, [(50, "chance: 50 %")]),
        (
            {split: {"real": 2, "fake": 1} for split in ("train", "val", "test")},
            [
                (
                    pytest.approx(66.6667, abs=1e-3),
                    "chance, one answer for all: 66.7 % (training, validation, test)",
                )
            ],
        ),
    ],
)
def test_describe_chance_takes_the_larger_class_where_counts_are_known(data, expected):
    assert describe_chance(make_run(data=data), "acc") == expected


@pytest.mark.parametrize("num_epochs", [1, 2, 7, 300])
def test_plot_curves_has_integer_ticks_and_shows_every_epoch(num_epochs):
    figure = Figure()
    axes = plot_losses(figure.subplots(), make_run(num_epochs), "SimpleNet on faces")

    figure.draw_without_rendering()

    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert shown
    assert all(tick == int(tick) for tick in shown)
    assert low < 1 <= num_epochs < high
    assert num_epochs > 40 or axes.lines[0].get_marker() == "o"


def test_figures_say_model_data_recipe_units_and_sizes():
    params = {"lr": 0.001, "weight_decay": 0}
    run = make_run(
        optimizer={"name": "Adam", "params": params},
        data={"train": {"real": 7, "fake": 5}, "val": {"real": 2, "fake": 1}},
    )

    losses = plot_losses(Figure().subplots(), run, "SimpleNet on $faces$")
    accuracies = plot_accuracies(Figure().subplots(), run, "SimpleNet on faces")

    assert losses.get_title() == (
        "Loss: SimpleNet on \\$faces\\$\nAdam, learning rate 0.001, 3 epochs"
    )
    assert accuracies.get_title().startswith("Accuracy: SimpleNet on faces\n")
    assert losses.get_ylabel() == "Mean cross-entropy (nats)"
    assert accuracies.get_ylabel() == "Accuracy"
    assert accuracies.yaxis.get_major_formatter()(50).endswith(" %")
    labels = [line.get_label() for line in losses.lines[:3]]
    assert labels == ["training (n = 12)", "validation (n = 3)", "test"]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (None, "3 epochs"),
        ("SGD", "SGD, 3 epochs"),
        ({"name": "Adam"}, "Adam, 3 epochs"),
        (
            {"name": "Adam", "params": {"lr": 0.01}},
            "Adam, learning rate 0.01, 3 epochs",
        ),
        ({"name": "SGD", "params": [{"lr": 1}]}, "SGD, learning rate 1, 3 epochs"),
        ({"params": {"param_groups": [{"lr": 2e-5}]}}, "learning rate 2e-05, 3 epochs"),
        ({"name": "Adam", "params": []}, "Adam, 3 epochs"),
        ({"name": 5, "params": {"lr": "fast"}}, "3 epochs"),
    ],
)
def test_describe_run_tells_what_is_recorded(optimizer, expected):
    assert describe_run(make_run(optimizer=optimizer)) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            {"batch_size": 32, "lr_schedule": "cosine", "momentum": 0.9, "seed": 0},
            ", batch size 32, cosine schedule, momentum 0.9, seed 0",
        ),
        ({"lr_schedule": "constant", "grad_clip": None, "weight_decay": 0.0}, ""),
        ("no mapping", ""),
    ],
)
def test_describe_run_tells_flags_that_are_not_the_default(flags, expected):
    run = make_run(flags=flags, warmup_steps=38)

    assert describe_run(run) == f"3 epochs, warm-up of 38 steps{expected}"


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
