"""A video's persons over time: what is drawn where."""

import numpy as np
from matplotlib.figure import Figure

from files.classes import FAKE, NEITHER, REAL
from plots.time_line import Line, Looked, build_time_lines, plot_time_line

LOOKED = Looked(np.array([0.0, 1, 2.4, 3, 7, 8]), 1.0, (2.5,), is_whole=False)
LINE = Line(
    "Person 1: costs $5",
    np.array([0.0, 3, 7, 8]),
    np.array([0.1, 0.4, 0.9, 0.8]),
    np.array([REAL, NEITHER, FAKE, FAKE]),
    np.array([True, True, True, False]),
    (0.3, 0.6),
    [(7.0, 8.0, FAKE)],
    [("most real", np.zeros((9, 9, 3), np.uint8))],
)


def test_plot_time_line_marks_frames_bounds_cuts_and_what_was_not_seen_or_looked_at():
    axes = plot_time_line(Figure().subplots(), LINE, LOOKED)

    places = {s.get_label(): s.get_offsets().tolist() for s in axes.collections}
    assert places == {
        "called real": [[0, 0.1]],
        "neither": [[3, 0.4]],
        "called fake": [[7, 0.9]],
        "cannot be judged": [[8, 0.8]],
    }
    levels = {line.get_label(): line.get_ydata()[0] for line in axes.lines[1:3]}
    assert levels == {"fake at or above": 0.6, "real below": 0.3}
    (cut,) = (line for line in axes.lines if line.get_label() == "cut")
    assert set(cut.get_xdata()) == {2.5}
    spans = [
        (p.get_label(), p.get_x(), p.get_x() + p.get_width()) for p in axes.patches
    ]
    assert ("not seen", 0.5, 2.9) in spans
    assert [span[0] for span in spans].count("not looked at") == 2
    assert ("not looked at", 3.0, 7.0) in spans
    assert ("not looked at", 8.5, 9.5) in spans
    assert any(span[1:] == (7.0, 8.0) for span in spans)  # the stretch
    assert axes.get_xlim() == (0.0, 9.5)


def test_build_time_lines_gives_each_person_a_row_and_one_legend():
    figure = build_time_lines([LINE, LINE], LOOKED, "a.mp4")
    rows = figure.axes[::3]
    assert [axes.get_title(loc="left") for axes in rows] == [r"Person 1: costs \$5"] * 2
    assert [len(axes.images) for axes in figure.axes] == [0, 1, 0] * 2
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(names) == len(set(names)) == 9
