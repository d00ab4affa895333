"""What a score means, once everything is chosen: P(fake), ratios, scores like it.

It needs NumPy alone, as judging with an exported detector does; what is chosen, and
how, is in `operating_point.py`, `calibration.py` and `likelihood_ratios.py`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from files.classes import CLASS_NAMES, FAKE, REAL

# Least ratio of each strength of support: ENFSI 2015, whose scale begins at 2.
_SUPPORT = {
    1e6: "extremely strong",
    1e4: "very strong",
    1e3: "strong",
    1e2: "moderately strong",
    10: "moderate",
    2: "weak",
}
UNBOUNDED = "such a ratio may claim more than its validation images support"


def compute_fake_scores(
    logits: ArrayLike, temperature: float = 1.0, bias: float = 0.0
) -> np.ndarray:
    """Turn logits into P(fake).

    Args:
        logits: (N, 2), real first.
        temperature: divides the logits; above 1 makes scores less sure.
        bias: added to fake's logit after that.

    Returns:
        float64 (N,) probabilities. At differences above about 37 they are all 1.0, so
        rank by `compute_logit_differences`.

    Raises:
        ValueError: for another shape, or a temperature that is not positive.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number, got {temperature}")
    scaled = compute_logit_differences(logits) / temperature + bias
    with np.errstate(over="ignore"):  # 1 / (1 + inf) is 0, as it should be
        return 1 / (1 + np.exp(-scaled))


def compute_logit_differences(logits: ArrayLike) -> np.ndarray:
    """Return fake's logit minus real's, float64 (N,), of logits (N, 2), real first.

    Raises ValueError for another shape.
    """
    array = np.asarray(logits, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"logits must have shape (N, 2), got {array.shape}")
    return array[:, FAKE] - array[:, REAL]


def describe_fake_score(fake_score: float) -> str:
    """Return 'P(fake)=0.123', or 'P(fake)<0.001'."""
    number = format_fake_score(fake_score)
    return f"P(fake){number}" if number[0] in "<>" else f"P(fake)={number}"


def format_fake_score(fake_score: float) -> str:
    """Return '0.123'; no score is certain: '<0.001' and '>0.999' at the ends."""
    number = f"{fake_score:.3f}"
    return {"0.000": "<0.001", "1.000": ">0.999"}.get(number, number)


class LlrCalibration(NamedTuple):
    """llr = slope * score + intercept, clipped to bounds, all in natural logarithms.

    Attributes:
        slope, intercept: of the line.
        lower, upper: at most 0 and at least 0; infinite where no bound is known.
    """

    slope: float
    intercept: float
    lower: float = -np.inf
    upper: float = np.inf

    @classmethod
    def restore(
        cls, slope: float, intercept: float, lower: float | None, upper: float | None
    ) -> "LlrCalibration":
        """Return what a checkpoint says, whose bound is None where none is known."""
        low = -np.inf if lower is None else lower
        return cls(slope, intercept, low, np.inf if upper is None else upper)

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper."""
        return self.lower, self.upper

    def compute_llrs(self, scores: ArrayLike) -> np.ndarray:
        """Turn scores (N,) into log-likelihood ratios of fake over real (N,)."""
        return np.clip(self.extrapolate(scores), self.lower, self.upper)

    def extrapolate(self, scores: ArrayLike) -> np.ndarray:
        """Follow the line beyond the bounds (N,): for P(fake), never as a ratio."""
        return self.slope * np.asarray(scores, dtype=np.float64) + self.intercept

    def get_limit(self, llr: float) -> float | None:
        """Return the bound of ratios with this one's sign; None where none is known."""
        limit = self.lower if llr < 0 else self.upper
        return limit if np.isfinite(limit) else None


def describe_likelihood_ratio(llr: float) -> str:
    """Say in words what a likelihood ratio is worth.

    Args:
        llr: its natural logarithm, fake over real.

    Returns:
        Such as "weak support for 'fake'"; ratios from 1/2 to 2 support neither.

    Source:
        ENFSI 2015, Guideline for evaluative reporting in forensic science, appendix:
        verbal equivalents of likelihood ratios.
    """
    size = abs(llr) + 1e-9  # rounding must not turn 10 into less
    words = (word for ratio, word in _SUPPORT.items() if size >= np.log(ratio))
    strength = next(words, None)
    if strength is None:
        return "no support for either"
    return f"{strength} support for '{CLASS_NAMES[FAKE if llr > 0 else REAL]}'"


def describe_limit(llr: float, limit: float | None, num_samples: int) -> str:
    """Say what a ratio's bound means for it; '' for a ratio within it.

    Args:
        llr: natural logarithm.
        limit: the bound on its side, None where none is known.
        num_samples: how many validation images it rests on, 0 if that is not known.
    """
    if limit is None:
        return f" (no bound is known: {UNBOUNDED})"
    if abs(llr) < abs(limit):
        return ""
    number = f"{num_samples:,}" if num_samples else "the"
    return f" (at its bound: {number} validation images support no larger one)"


def format_ratio(llr: float) -> str:
    """Return a log-likelihood ratio as '3 to 1', a negative one as '1 to 3'."""
    ratio = f"{np.exp(min(abs(llr), 700.0)):.3g}"  # more would overflow
    return f"1 to {ratio}" if llr < 0 else f"{ratio} to 1"


class ScoreNeighbours(NamedTuple):
    """What is known of validation images with similar scores.

    Attributes:
        lowest, highest: P(fake) of the first and the last of them.
        num_fake: how many of them are fake.
        num_samples: how many they are.
    """

    lowest: float
    highest: float
    num_fake: int
    num_samples: int


def check_neighbours(rows: object) -> list[ScoreNeighbours]:
    """Take the rows of `count_neighbours` from an untrusted file.

    Raises ValueError if they are not such rows.
    """
    if not isinstance(rows, list):
        raise ValueError(f"its reliability is a {type(rows).__name__}, not a list")
    lowest_next = 0.0
    for row in rows:
        is_row = isinstance(row, list) and len(row) == 4
        if not is_row or [type(v) for v in row] != [float, float, int, int]:
            raise ValueError("its reliability holds something other than rows of 4")
        low, high, num_fake, num_samples = row
        if not (lowest_next <= low <= high <= 1 and 0 <= num_fake <= num_samples != 0):
            raise ValueError(f"its reliability holds the row {row}")
        lowest_next = high
    return [ScoreNeighbours(*row) for row in rows]


def find_neighbours(
    rows: Sequence[ScoreNeighbours], fake_score: float
) -> ScoreNeighbours:
    """Return the row that a score belongs to, or the nearest."""
    return min(
        rows,
        key=lambda row: max(row.lowest - fake_score, fake_score - row.highest, 0.0),
    )
