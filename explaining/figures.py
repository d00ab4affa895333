"""Figures of maps beside and over their images, of mean maps, and of checks."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from explaining.checks import CHECKS, Numbers
from explaining.explanation import UNKNOWN, Explanation, to_bytes
from files.classes import CLASS_NAMES, FAKE, REAL
from metrics.meaning import describe_fake_score
from plots.style import (
    FAKE_COLOR,
    GREY,
    MAP_COLORS,
    REAL_COLOR,
    get_line_style,
    make_drawable,
)

MOST_IN_A_ROW = 6
_COLORS = {REAL: REAL_COLOR, FAKE: FAKE_COLOR, UNKNOWN: "black"}


class Section(NamedTuple):
    """Explanations under one heading: all of one class, and why they are shown."""

    heading: str
    label: int
    explanations: Sequence[Explanation]


def build_sections_figure(
    sections: Sequence[Section], title: str, target: str
) -> Figure:
    """Draw sections below each other, each under its heading, all by one method.

    The target, such as 'the true class', is that whose score the maps explain.
    """
    method = sections[0].explanations[0].methods[0]
    longest = max(len(section.explanations) for section in sections)
    most = 2 if method.is_overlay else MOST_IN_A_ROW  # overlays need room
    num_columns = min(most, longest)
    width = max(7.2, 2.2 * num_columns)
    num_rows = [-(-len(section.explanations) // num_columns) for section in sections]
    heights = [0.2 + n * (width / num_columns / 2 + 0.2) for n in num_rows]
    figure = Figure(figsize=(width, sum(heights) + 0.8), layout="constrained")
    strips = figure.subfigures(len(sections), 1, height_ratios=heights, squeeze=False)
    for strip, section, rows in zip(strips[:, 0], sections, num_rows, strict=True):
        color = _COLORS[section.label]
        strip.suptitle(section.heading, color=color, fontsize=10, x=0.01, ha="left")
        cells = list(strip.subplots(rows, num_columns, squeeze=False).flat)
        for axes in cells:
            axes.set_axis_off()
        for axes, explanation in zip(cells, section.explanations, strict=False):
            plot_explanation(axes, explanation)
    figure.suptitle(make_drawable(title), fontsize=11)
    legend = f"right: {method.legend} of {target}\n{method.scale}"
    figure.supxlabel(legend, fontsize=9)
    return figure


def plot_explanation(axes: Axes, explanation: Explanation) -> Axes:
    """Draw an image and, to its right, its map; frame it if the verdict is wrong."""
    picture = explanation.draw(with_outline=True)
    axes.imshow(np.concatenate([to_bytes(explanation.image), picture], axis=1))
    is_wrong = explanation.label not in (UNKNOWN, explanation.verdict)
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=is_wrong, linewidth=3)
    score = describe_fake_score(explanation.fake_score)
    title = f"called {CLASS_NAMES[explanation.verdict]}, {score}"
    axes.set_title(
        f"✗ {title}" if is_wrong else title,
        fontsize=9,
        color=_COLORS[explanation.label],
        weight="bold" if is_wrong else "normal",
    )
    if explanation.is_empty:
        method, values = explanation.methods[0], explanation.maps[0]
        axes.set_xlabel(method.describe(values, explanation.target), fontsize=9)
    return axes


def build_mean_maps_figure(
    mean_maps: np.ndarray, counts: Mapping[str, int], title: str, unit: str
) -> Figure:
    """Draw the mean maps of real and of fake images on one scale."""
    figure = Figure(figsize=(7.2, 3.7), layout="constrained")
    cells = figure.subplots(1, 2)
    brightest = np.percentile(mean_maps, 99.9) or 1.0
    for label, axes in enumerate(cells):
        name = CLASS_NAMES[label]
        picture = axes.imshow(mean_maps[label], cmap=MAP_COLORS, vmin=0, vmax=brightest)
        axes.set_title(f"{name} images, n = {counts[name]}", color=_COLORS[label])
        axes.set_axis_off()
    bar = figure.colorbar(picture, ax=cells, fraction=0.046, extend="max")
    bar.set_label(unit, fontsize=9)
    figure.suptitle(make_drawable(title), fontsize=11)
    return figure


def build_checks_figure(checks: Numbers, title: str) -> Figure:
    """Draw a panel for each check of `explaining.checks.check_maps`, under a title."""
    found = {name: checks[name] for name in CHECKS if checks[name]}
    num_rows, num_columns = (2, 2) if len(found) == 4 else (1, len(found))
    size = (4.2 * num_columns, 3.7 * num_rows + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    cells = figure.subplots(num_rows, num_columns).flat
    for axes, (name, numbers) in zip(cells, found.items(), strict=True):
        _PANELS[name](axes, numbers)
        verdict = "passed" if numbers["passed"] else "failed"
        axes.set_title(f"{name}: {verdict}", fontsize=10)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    figure.suptitle(make_drawable(title), fontsize=11)
    return figure


def plot_randomisation(axes: Axes, numbers: Numbers) -> None:
    """Draw how like the trained detector's maps those of random layers still are."""
    places = range(len(numbers["layers"]) + 1)
    means = [{"mean": 1.0, "interval": [1.0, 1.0]}, *numbers["rank_correlations"]]
    steps = [m["mean"] for m in means], [m["interval"] for m in means]
    _plot_with_band(axes, places, *steps, 0)
    for sign in (-1, 1):
        axes.axhline(sign * numbers["limit"], color=GREY, ls=":")
    axes.set_xticks(places, ["none", *numbers["layers"]], rotation=45, ha="right")
    axes.set_ylim(top=1.05)
    axes.set_xlabel("random layers, from the top down to")
    axes.set_ylabel("rank correlation of the maps")


def plot_removal(axes: Axes, numbers: Numbers, x_label: str) -> None:
    """Draw the class's score as cells are taken out, or put in, by each ranking."""
    names = {"map": "the map's", "random": "at random", "centre": "from the centre"}
    for index, (ranking, label) in enumerate(names.items()):
        curve, area = numbers[ranking], numbers[ranking]["area"]
        low, high = area["interval"]
        label = f"{label}: area {area['mean']:.2f} [{low:.2f}, {high:.2f}]"
        steps = curve["curve"], curve["intervals"]
        _plot_with_band(axes, numbers["shares"], *steps, index, label=label)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(x_label)
    axes.set_ylabel("mean P(explained class)")
    axes.legend(fontsize=8, loc="best")


def plot_mask(axes: Axes, numbers: Numbers) -> None:
    """Draw the maps' mass in the planted faces and at their borders beside the area."""
    places = ("inside", "border")
    for shift, measure, color in ((-0.2, "mass", FAKE_COLOR), (0.2, "area", GREY)):
        means = [numbers[place][measure] for place in places]
        heights = [m["mean"] for m in means]
        errors = [[m["interval"][1] - m["mean"] for m in means]] * 2
        label = "the map's mass" if measure == "mass" else "the area"
        x = [place + shift for place in range(len(places))]
        axes.bar(x, heights, 0.38, yerr=errors, color=color, capsize=3, label=label)
    axes.set_xticks(range(len(places)), ["in the planted face", "at its border"])
    axes.set_ylabel(f"share, {numbers['num_images']} images")
    axes.legend(fontsize=8)


_PANELS = {
    "randomisation": plot_randomisation,
    "deletion": partial(plot_removal, x_label="share of the image taken away"),
    "insertion": partial(plot_removal, x_label="share of the image shown"),
    "mask": plot_mask,
}


def _plot_with_band(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    intervals: Sequence[Sequence[float]],
    index: int,
    **options: Any,
) -> None:
    """Draw a line with its 95 % interval, as number `index`."""
    style = get_line_style(index)
    lows, highs = zip(*intervals, strict=True)
    axes.fill_between(x, lows, highs, color=style["color"], alpha=0.15, lw=0)
    axes.plot(x, y, **style, **options)
