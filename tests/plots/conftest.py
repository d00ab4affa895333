"""Analyses of made-up detectors, and axes to draw them on."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit

from metrics.analysis import Analysis, analyse
from metrics.score_sets import ScoreSet


def _make_analysis(
    kind: str = "good", num_real: int = 60, num_fake: int = 40, **options: str
) -> Analysis:
    labels = np.repeat([0, 1], [num_real, num_fake])
    noise = np.random.default_rng(0).normal(size=labels.size)
    signs = 2 * labels - 1
    scores = {
        "good": expit(noise + signs),
        "random": expit(noise),
        "perfect": expit(noise + 20 * signs),
        "inverted": expit(noise - 20 * signs),
        "constant": np.full(labels.size, 0.5),
    }[kind]
    paths = [f"{index}.png" for index in range(labels.size)]
    scores = ScoreSet("faces", "SimpleNet", scores, labels, paths, **options)
    return analyse(scores, num_resamples=20)


@pytest.fixture
def make_analysis():
    """Analyses a good, random, perfect, inverted or constant detector."""
    return _make_analysis


@pytest.fixture
def axes() -> Axes:
    """Empty axes."""
    return Figure().add_subplot()
