"""A training's losses and accuracies, epoch by epoch; its losses step by step."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from files.bounds import Bounds
from plots.style import (
    GREY,
    PALE_COLOR,
    SPLIT_COLORS,
    SPLIT_MARKERS,
    finish_axes,
    wrap_title,
)
from records.history import get_best_epoch

TrainingRun = Mapping[str, Any]  # of a history file

_TITLE_WIDTH = 52  # characters
_RATES = Bounds(0, 1e300)
_SMOOTHED_SHARE = 0.01  # of the steps, on each side

# split -> name in the legend, line style
_STYLES = {
    "train": ("training", "-"),
    "val": ("validation", "--"),
    "test": ("test", "-."),
}

_CHANCE_DASHES = ("--", "-.")  # for splits of different proportions

# flag, its default, how a title says another value
_RECIPE = (
    ("batch_size", None, "batch size {}"),
    ("lr_schedule", "constant", "{} schedule"),
    ("momentum", 0, "momentum {}"),
    ("weight_decay", 0, "weight decay {}"),
    ("class_weights", "none", "{} class weights"),
    ("grad_clip", None, "gradient norm at most {}"),
    ("augment", "published", "{} augmentation"),
    ("self_blend", 0.0, "share of self-blended fakes {}"),
    ("face_landmarks", False, "faces found by their landmarks"),
    ("cutmix", 0.0, "share of CutMix batches {}"),
    ("recalibrate_bn", 0, "batch norm recalibrated on {} batches"),
    ("full_decoding", False, "JPEGs decoded whole"),
    ("limit", None, "first {} images of each class"),
    ("fold", None, "fold {}"),
    ("seed", None, "seed {}"),
)


def plot_losses(axes: Axes, run: TrainingRun, title: str) -> Axes:
    """Draw the losses under `title` and what is known of the run."""
    plot_curves(axes, run, "loss")
    axes.set_ylabel("Mean cross-entropy (nats)")
    axes.set_ylim(bottom=0, top=1.05 * axes.get_ylim()[1])
    return finish_axes(axes, _build_title("Loss", title, run), columns=1)


def plot_accuracies(axes: Axes, run: TrainingRun, title: str) -> Axes:
    """Draw the accuracies under `title` and what is known of the run."""
    plot_curves(axes, run, "acc")
    axes.set_ylabel("Accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(100, symbol=" %"))
    return finish_axes(axes, _build_title("Accuracy", title, run), columns=1)


def _build_title(kind: str, title: str, run: TrainingRun) -> str:
    texts = f"{kind}: {title}", describe_run(run)
    return "\n".join(wrap_title(text, _TITLE_WIDTH) for text in texts)


def plot_curves(axes: Axes, run: TrainingRun, quantity: str) -> Axes:
    """Draw the curves of 'loss' or 'acc', chance, and the best checkpoint's epoch."""
    num_epochs = len(run[f"train_{quantity}"])
    epochs = range(1, num_epochs + 1)
    for split, (name, line_style) in _STYLES.items():
        axes.plot(
            epochs,
            run[f"{split}_{quantity}"],
            label=name + _count_images(run, split),
            color=SPLIT_COLORS[split],
            ls=line_style,
            marker=SPLIT_MARKERS[split],
            ms=6 if num_epochs <= 40 else 0,
        )
    for number, (height, label) in enumerate(describe_chance(run, quantity)):
        dashes = _CHANCE_DASHES[number % len(_CHANCE_DASHES)]
        axes.axhline(height, color=GREY, ls=dashes, lw=1.2, label=label)
    best = get_best_epoch(run)
    axes.axvline(
        best,
        color=GREY,
        ls=":",
        label=f"best on validation: epoch {best},\naccuracy "
        f"{run['val_acc'][best - 1]:.2f} %, test {run['test_acc'][best - 1]:.2f} %",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    margin = max(0.5, 0.02 * num_epochs)
    axes.set(xlim=(1 - margin, num_epochs + margin), xlabel="Epoch")
    return axes


def plot_steps(axes: Axes, steps: Mapping[str, Sequence[float]], title: str) -> Axes:
    """Draw the loss of each step, raw and smoothed, and the learning rate below.

    `steps` has the columns `step`, `loss` and `learning_rate`, of equal length.
    """
    window = 1 + 2 * round(_SMOOTHED_SHARE * len(steps["step"]))
    smooth = compute_running_means(steps["loss"], window)
    axes.plot(steps["step"], steps["loss"], ".", ms=3, color=PALE_COLOR, label="a step")
    label = f"mean over {window} steps" if window > 1 else None
    axes.plot(steps["step"], smooth, color=SPLIT_COLORS["train"], label=label)
    axes.axhline(math.log(2), color=GREY, ls="--", lw=1.2, label="chance, 0.693")
    axes.set_ylabel("Mean cross-entropy (nats)")
    axes.set_ylim(bottom=0)
    axes.tick_params(labelbottom=False)
    below = axes.inset_axes((0, -0.34, 1, 0.28), sharex=axes)
    below.plot(steps["step"], steps["learning_rate"], color=SPLIT_COLORS["val"])
    below.set(xlabel="Step", ylabel="Learning rate")
    below.set_ylim(bottom=0)
    below.grid(alpha=0.25)
    return finish_axes(axes, wrap_title(title, _TITLE_WIDTH), legend_top=-0.5)


def compute_running_means(values: Sequence[float], window: int) -> np.ndarray:
    """Return the mean of the `window` values around each, of fewer at the ends.

    The values are (N,), N at least `window`; the means float64 (N,).
    """
    counts = np.convolve(np.ones(len(values)), np.ones(window), "same")
    return np.convolve(values, np.ones(window), "same") / counts


def describe_run(run: TrainingRun) -> str:
    """Return what a run records of its recipe: optimizer, learning rate, epochs, ..."""
    num_epochs = len(run["val_acc"])
    parts = [f"{num_epochs} epoch{'s' if num_epochs > 1 else ''}"]
    optimizer = run.get("optimizer")
    if isinstance(optimizer, Mapping):
        rate = _find_rate(optimizer.get("params"))
        parts = ([f"learning rate {rate:g}"] if rate is not None else []) + parts
        optimizer = optimizer.get("name")
    if isinstance(optimizer, str):
        parts = [optimizer, *parts]
    if run.get("warmup_steps"):
        parts.append(f"warm-up of {run['warmup_steps']} steps")
    flags = run.get("flags")
    flags = flags if isinstance(flags, Mapping) else {}
    for flag, default, text in _RECIPE:
        if flags.get(flag, default) not in (default, None):
            parts.append(text.format(flags[flag]))
    return ", ".join(parts)


def describe_chance(run: TrainingRun, quantity: str) -> list[tuple[float, str]]:
    """Return what a detector reaches that knows nothing about its image, in words too.

    The accuracy is that of always answering the larger class, which differs between
    splits of different proportions. It is 50 % if the run does not record how many
    images there are.
    """
    if quantity == "loss":
        return [(math.log(2), "chance: P(fake) = 0.5 for all, 0.693")]
    splits: dict[float, list[str]] = {}
    for split, (name, *_) in _STYLES.items():
        if counts := _get_counts(run, split):
            share = 100 * max(counts) / sum(counts)
            splits.setdefault(share, []).append(name)
    return [
        (share, f"chance, one answer for all: {share:.1f} % ({', '.join(names)})")
        for share, names in splits.items()
    ] or [(50.0, "chance: 50 %")]


def _count_images(run: TrainingRun, split: str) -> str:
    """Return ` (n = 1500)` if a run records how many images its splits have."""
    counts = _get_counts(run, split)
    return f" (n = {sum(counts)})" if counts else ""


def _get_counts(run: TrainingRun, split: str) -> list[int]:
    """Return how many images of each class a split has, if that is recorded."""
    data = run.get("data")
    counts = data.get(split) if isinstance(data, Mapping) else None
    if not isinstance(counts, Mapping):
        return []
    return [number for number in counts.values() if type(number) is int and number > 0]


def _find_rate(params: Any) -> float | None:
    """Find the learning rate in an optimizer's parameters, in files of any age."""
    if isinstance(params, list) and params:  # an optimizer's param_groups
        params = params[0]
    if not isinstance(params, Mapping):
        return None
    if "param_groups" in params:  # an optimizer's state_dict()
        return _find_rate(params["param_groups"])
    rate = params.get("lr")
    return float(rate) if rate in _RATES else None
