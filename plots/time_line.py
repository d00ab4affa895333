"""What a detector says of a video's persons over time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from files.classes import FAKE, NEITHER, REAL
from plots.style import CLASS_COLORS, GREY, wrap_title

_MARKERS = {REAL: "o", FAKE: "^", NEITHER: "s"}
_COLORS = {**CLASS_COLORS, NEITHER: GREY}
_NAMES = {REAL: "called real", FAKE: "called fake", NEITHER: "neither"}
_ROW, _HEAD, _FOOT = 1.6, 0.5, 0.7  # inches
_UNSEEN = {"color": "0.9", "lw": 0, "zorder": 0}
_UNLOOKED = {"facecolor": "0.97", "edgecolor": "0.7", "hatch": "///", "lw": 0}
_LONGEST_TITLE = 105  # characters


class Looked(NamedTuple):
    """What was looked at of a video.

    Attributes:
        seconds: float64 (F,) when its frames are shown, at least one.
        every: seconds between them, as they were asked for.
        cuts: seconds at which the scene changes.
        is_whole: whether that was all of the video.
    """

    seconds: np.ndarray
    every: float
    cuts: Sequence[float] = ()
    is_whole: bool = True

    @property
    def end(self) -> float:
        """Seconds up to which it was looked at."""
        return float(self.seconds[-1]) + self.every / 2


class Line(NamedTuple):
    """What is said of a person.

    Attributes:
        title: the person and the verdict.
        seconds: float64 (T,) of the frames that show the person.
        fake_scores: float64 (T,), P(fake).
        decisions: int (T,), real, fake or `NEITHER`.
        is_judged: bool (T,), whether the score is given.
        zone: P(fake) below which a frame is real, and at or above which fake.
        stretches: start, end (seconds) and label of the parts that differ.
        faces: caption and uint8 (H, W, 3), shown at the right.
    """

    title: str
    seconds: np.ndarray
    fake_scores: np.ndarray
    decisions: np.ndarray
    is_judged: np.ndarray
    zone: tuple[float, float]
    stretches: Sequence[tuple[float, float, int]] = ()
    faces: Sequence[tuple[str, np.ndarray]] = ()


def plot_time_line(axes: Axes, line: Line, looked: Looked) -> Axes:
    """Draw a person's P(fake) over time, and when the person is not seen."""
    is_seen = np.isin(looked.seconds, line.seconds)
    scores = np.full(len(looked.seconds), np.nan)
    scores[is_seen] = line.fake_scores
    axes.plot(looked.seconds, scores, color="0.6", lw=0.8, zorder=1)
    for start, end in _find_runs(~is_seen):
        ends = looked.seconds[[start, end - 1]] + np.array([-0.5, 0.5]) * looked.every
        axes.axvspan(*ends, label="not seen", **_UNSEEN)
    for decision, name in _NAMES.items():
        chosen = line.is_judged & (line.decisions == decision)
        style = {"c": _COLORS[decision], "marker": _MARKERS[decision], "s": 16}
        if chosen.any():
            place = line.seconds[chosen], line.fake_scores[chosen]
            axes.scatter(*place, label=name, zorder=3, clip_on=False, **style)
    if not line.is_judged.all():
        place = line.seconds[~line.is_judged], line.fake_scores[~line.is_judged]
        style = {"c": GREY, "marker": "x", "s": 16, "lw": 1, "zorder": 2}
        axes.scatter(*place, label="cannot be judged", clip_on=False, **style)
    _draw_ground(axes, line, looked)
    axes.set_title(wrap_title(line.title, _LONGEST_TITLE), fontsize=9, loc="left")
    return axes


def _draw_ground(axes: Axes, line: Line, looked: Looked) -> None:
    """Draw bounds, stretches, cuts and what was not looked at."""
    real_below, threshold = line.zone
    bounds = {"fake at or above": (FAKE, threshold)}
    if real_below < threshold:
        bounds["real below"] = REAL, real_below
    for words, (label, bound) in bounds.items():
        style = {"color": _COLORS[label], "lw": 0.8, "ls": (0, (4, 2))}
        axes.axhline(min(bound, 1), label=words, **style)
    for start, end, label in line.stretches:
        axes.axvspan(start, end, 0, 1, color=_COLORS[label], alpha=0.13, lw=0)
    for number, cut in enumerate(looked.cuts):
        axes.axvline(cut, color="0", lw=0.9, ls=":", label="" if number else "cut")
    # Of each period some frame is taken: two may be almost two periods apart.
    gaps = np.flatnonzero(np.diff(looked.seconds) >= 2 * looked.every)
    spans = [looked.seconds[[n, n + 1]] for n in gaps]
    limit = looked.end
    if not looked.is_whole:
        limit = looked.end + max(looked.every, 0.06 * looked.end)
        spans.append(np.array([looked.end, limit]))
    for start, end in spans:
        axes.axvspan(start, end, label="not looked at", **_UNLOOKED)
    axes.set(xlim=(min(0.0, looked.seconds[0]), limit), ylim=(-0.02, 1.02))
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("P(fake)", fontsize=8)
    axes.tick_params(labelsize=8)


def _find_runs(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of true values."""
    edges = np.flatnonzero(np.diff(flags.astype(int), prepend=0, append=0))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def build_time_lines(lines: Sequence[Line], looked: Looked, title: str) -> Figure:
    """Draw persons, one or more, below one another, each with faces at the right."""
    height = _HEAD + _FOOT + _ROW * len(lines)
    figure = Figure(figsize=(10, height), layout="constrained")
    widths = {"width_ratios": [7, 1, 1]}
    cells = figure.subplots(len(lines), 3, squeeze=False, gridspec_kw=widths)
    handles = {}
    for (axes, *places), line in zip(cells, lines, strict=True):
        plot_time_line(axes, line, looked)
        for place in places:
            place.set_axis_off()
        for place, (caption, pixels) in zip(places, line.faces, strict=False):
            place.imshow(pixels)
            place.set_title(caption, fontsize=7)
        shown, names = axes.get_legend_handles_labels()
        handles |= dict(zip(names, shown, strict=True))
    cells[-1][0].set_xlabel("seconds from the start", fontsize=9)
    figure.suptitle(wrap_title(title, _LONGEST_TITLE), fontsize=11)
    figure.legend(
        handles.values(),
        handles,
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=8,
    )
    return figure
