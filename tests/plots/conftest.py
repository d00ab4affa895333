"""Analyses of made-up detectors, and axes to draw them on."""

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit

from scores.analysis import Analysis, analyse
from scores.score_sets import LOGIT_DIFFERENCE, ScoreSet


def _make_analysis(
    kind: str = "good",
    num_real: int = 60,
    num_fake: int = 40,
    *,
    prevalence: float | None = None,
    **options: Any,
) -> Analysis:
    labels = np.repeat([0, 1], [num_real, num_fake])
    noise = np.random.default_rng(0).normal(size=labels.size)
    signs = 2 * labels - 1
    logits = {
        "good": noise + signs,
        "random": noise,
        "perfect": noise + 20 * signs,
        "inverted": noise - 20 * signs,
        "constant": np.zeros(labels.size),
        "tied": np.round(noise + signs),  # few scores, each of both classes
    }[kind]
    columns = {
        "fake_scores": expit(logits),
        "llrs": 2 * logits,  # of the good detector, exactly
        "paths": [f"{index}.png" for index in range(labels.size)],
        "score_name": LOGIT_DIFFERENCE,
    }
    scores = ScoreSet("faces", "SimpleNet", logits, labels, **{**columns, **options})
    return analyse(scores, num_resamples=20, prevalence=prevalence)


@pytest.fixture(scope="session")
def make_analysis():
    """Analyses a good, random, perfect, inverted, constant or tied detector, once."""
    made: dict[str, Analysis] = {}

    def make(*args: Any, **options: Any) -> Analysis:
        key = repr((args, options))
        if key not in made:
            made[key] = _make_analysis(*args, **options)
        return made[key]

    return make


@pytest.fixture
def axes() -> Axes:
    return Figure().add_subplot()
