"""What a training run looks like: its curves over the epochs (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Run = Mapping[str, Any]
# split -> name in the legend, colour (Okabe and Ito), line style, marker
_STYLES = {
    "train": ("training", "#0072B2", "-", "o"),
    "val": ("validation", "#D55E00", "--", "s"),
    "test": ("test", "#009E73", "-.", "^"),
}


def plot_curves(axes: Axes, run: Run, quantity: str) -> Axes:
    """Draw a quantity's three curves, and mark the epoch of the best checkpoint.

    Args:
        axes: where to draw.
        run: a run of a history file.
        quantity: loss or acc.

    Returns:
        The same axes.
    """
    num_epochs = len(run[f"train_{quantity}"])
    epochs = range(1, num_epochs + 1)
    for split, (name, color, line_style, marker) in _STYLES.items():
        axes.plot(
            epochs,
            run[f"{split}_{quantity}"],
            label=name + _count_images(run, split),
            color=color,
            ls=line_style,
            marker=marker,
            ms=6 if num_epochs <= 40 else 0,
        )
    best = get_best_epoch(run)
    axes.axvline(
        best,
        color="#666666",
        ls=":",
        label=f"best validation accuracy: {run['val_acc'][best - 1]:.2f} %,\n"
        f"epoch {best}; test there {run['test_acc'][best - 1]:.2f} %",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    margin = max(0.5, 0.02 * num_epochs)
    axes.set(xlim=(1 - margin, num_epochs + margin), xlabel="epoch")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False)
    return axes


def build_losses_figure(run: Run, title: str) -> Figure:
    """Draw the losses under `title` and what is known of the run."""
    figure, axes = _make_figure(run, f"Loss of {title}")
    plot_curves(axes, run, "loss")
    axes.set_ylabel("mean cross-entropy (nats)")
    axes.set_ylim(bottom=0)
    return figure


def build_accuracies_figure(run: Run, title: str) -> Figure:
    """Draw the accuracies under `title` and what is known of the run."""
    figure, axes = _make_figure(run, f"Accuracy of {title}")
    plot_curves(axes, run, "acc")
    axes.set_ylabel("accuracy (%)")
    return figure


def get_best_epoch(run: Run) -> int:
    """Return the first epoch, from 1, of the highest validation accuracy."""
    return run["val_acc"].index(max(run["val_acc"])) + 1


def describe_run(run: Run) -> str:
    """Return what a run records of its recipe: optimizer, learning rate, epochs."""
    num_epochs = len(run["val_acc"])
    parts = [f"{num_epochs} epoch{'s' if num_epochs > 1 else ''}"]
    optimizer = run.get("optimizer")
    if isinstance(optimizer, Mapping):
        rate = _find_rate(optimizer.get("params"))
        parts = ([f"learning rate {rate:g}"] if rate is not None else []) + parts
        optimizer = optimizer.get("name")
    if isinstance(optimizer, str):
        parts = [optimizer, *parts]
    return ", ".join(parts)


def _count_images(run: Run, split: str) -> str:
    """Return ` (n = 1500)` where a run records how many images its splits have."""
    data = run.get("data")
    counts = data.get(split) if isinstance(data, Mapping) else None
    if not isinstance(counts, Mapping):
        return ""
    numbers = [number for number in counts.values() if type(number) is int]
    return f" (n = {sum(numbers)})"


def _find_rate(params: Any) -> float | None:
    """Find the learning rate in an optimizer's parameters, however old the file."""
    if isinstance(params, list) and params:  # an optimizer's param_groups
        params = params[0]
    if not isinstance(params, Mapping):
        return None
    if "param_groups" in params:  # an optimizer's state_dict()
        return _find_rate(params["param_groups"])
    rate = params.get("lr")
    return float(rate) if type(rate) in (int, float) else None


def _make_figure(run: Run, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    axes = figure.subplots()
    text = f"{title}\n{describe_run(run)}"
    axes.set_title(text.replace("$", r"\$"))  # no formulas
    return figure, axes
