"""A video's time line: what a detector says of each person in it, frame by frame."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from explaining.pictures import Drawn
from judging.tracks import Shown, Track, format_seconds
from judging.verdicts import Verdict
from metrics.meaning import describe_fake_score
from plots.style import save_figure
from plots.time_line import Line, Looked, build_time_lines

MOST_LINES = 20  # persons in a figure: those seen longest


def draw_time_line(verdicts: Sequence[Verdict]) -> Figure:
    """Draw a video's persons over time, with the most real and the most fake face.

    The verdicts are of one detector, one or more of them a person's.
    """
    persons = [verdict for verdict in verdicts if verdict.track]
    shown = sorted(persons, key=lambda v: -len(v.track.moments))[:MOST_LINES]
    shown.sort(key=lambda verdict: verdict.picture.person)
    first, clip = shown[0], shown[0].picture.clip
    looked = Looked(np.array(clip.seconds), clip.every, clip.cuts, clip.is_whole)
    title = f"{Path(first.picture.name).name}, by {first.detector.title}"
    if len(shown) < len(persons):
        title += f"; {len(shown)} of {len(persons)} persons, those seen longest"
    return build_time_lines(list(map(_build_line, shown)), looked, title)


def save_time_line(verdicts: Sequence[Verdict], path: Path) -> None:
    """Save what `draw_time_line` draws, as PNG; raise OSError if that fails."""
    save_figure(draw_time_line(verdicts), path)


def _build_line(verdict: Verdict) -> Line:
    track = verdict.track
    said = "; ".join(verdict.reasons) or describe_fake_score(verdict.fake_score)
    return Line(
        f"Person {verdict.picture.person}: {verdict.name}, {said}",
        np.array([moment.seconds for moment in track.moments]),
        np.array([moment.fake_score for moment in track.moments]),
        np.array([moment.decision for moment in track.moments]),
        np.array([not moment.is_withheld for moment in track.moments]),
        verdict.zone,
        [(s.start, s.end, s.label) for s in track.stretches],
        [(of.caption.replace("; ", "\n"), of.pixels) for of in name_shown(track)],
    )


def name_shown(track: Track) -> list[Drawn]:
    """Return a person's most real and most fake face, each with what it is."""
    return list(map(_caption, ("most real", "most fake"), track.shown))


def _caption(name: str, shown: Shown) -> Drawn:
    said = f"at {format_seconds(shown.seconds)}"
    if shown.fake_score is not None:
        said = f"{name}, {said}; {describe_fake_score(shown.fake_score)}"
    return Drawn(said, "As the detector saw it, smaller.", shown.pixels)
