"""Tests of the figures of a training."""

import pytest
from matplotlib.figure import Figure
from reported_runs import make_run

from plots.learning import (
    compute_running_means,
    describe_chance,
    describe_run,
    plot_accuracies,
    plot_curves,
    plot_losses,
    plot_steps,
)


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
        "best on validation: epoch 2,\naccuracy 60.00 %, test 2.00 %"
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
            {split: {"real": 1, "fake": 2} for split in ("train", "val", "test")},
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


@pytest.mark.parametrize("num_epochs", [1, 7, 300])
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
        ({"name": "SGD", "params": {"lr": 10**400}}, "SGD, 3 epochs"),
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


def test_plot_steps_draws_losses_their_means_and_the_rate_below():
    numbers = list(range(1, 151))
    losses, rates = [n / 150 for n in numbers], [0.1] * 149 + [0.2]
    steps = {"step": numbers, "loss": losses, "learning_rate": rates}

    axes = plot_steps(Figure().subplots(), steps, "what")

    raw, smooth, _ = axes.lines
    assert (list(raw.get_ydata()), raw.get_linestyle()) == (losses, "None")
    assert smooth.get_label() == "mean over 5 steps"
    assert smooth.get_ydata()[2:-2] == pytest.approx(losses[2:-2])
    assert smooth.get_ydata()[-1] == pytest.approx(149 / 150)
    (below,) = axes.child_axes
    assert list(below.lines[0].get_ydata()) == rates
    assert list(below.lines[0].get_xdata()) == numbers == list(raw.get_xdata())


def test_compute_running_means_takes_fewer_values_at_the_ends():
    assert list(compute_running_means([1, 2, 6, 3], 3)) == [1.5, 3, 11 / 3, 4.5]
    assert list(compute_running_means([5, 7], 1)) == [5, 7]
