"""The ways in which the scores of a group, such as a video's frames, become one."""

from collections.abc import Callable

import numpy as np

# From a group's scores to the score that it is judged by, and that in words.
GROUP_SCORES: dict[str, tuple[str, Callable[[np.ndarray], float]]] = {
    "mean-logit": ("mean", np.mean),
    "mean-probability": ("mean", np.mean),
    "median": ("median", np.median),
    "max": ("highest", np.max),
    "top3": ("mean of the three highest", lambda scores: np.sort(scores)[-3:].mean()),
}
