"""A stratified bootstrap of metrics, by whole groups if there are groups."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy
from scipy import special

from files.classes import FAKE, REAL
from metrics.samples import Cells, Samples

# 4 million weights of 8 bytes: 32 MB for each of a few arrays.
_MAX_WEIGHTS_AT_ONCE = 4_000_000
# Sums of equal numbers in another order differ by less.
_NO_SPREAD = 1e-12


def draw_weights(
    samples: Samples, cells: Cells, num_resamples: int, *, seed: int
) -> Iterator[np.ndarray]:
    """Yield how often a sample of each class and cell was drawn, (2, chunk, C)."""
    rng = np.random.default_rng(seed)
    if samples.group_index is not None:
        yield from _draw_group_weights(samples, cells, num_resamples, rng)
        return
    for num_rows in _split(num_resamples, cells.counts.size):
        weights = np.zeros((2, num_rows, cells.counts.shape[1]))
        for label in (REAL, FAKE):
            filled = np.flatnonzero(cells.counts[label])
            counts = cells.counts[label, filled]
            weights[label][:, filled] = _draw_counts(counts, num_rows, rng)
        yield weights


def _split(num_resamples: int, num_weights: int) -> Iterator[int]:
    """Yield how many resamples to draw at once, until all are drawn."""
    chunk = max(1, _MAX_WEIGHTS_AT_ONCE // num_weights)
    for start in range(0, num_resamples, chunk):
        yield min(chunk, num_resamples - start)


def _draw_counts(
    sizes: np.ndarray, num_rows: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw sizes.sum() units with replacement: how many of each cell, (rows, C)."""
    if sizes.size == 0:
        return np.empty((num_rows, 0))
    if sizes.max() > 1:
        return rng.multinomial(sizes.sum(), sizes / sizes.sum(), size=num_rows)
    drawn = rng.integers(sizes.size, size=(num_rows, sizes.size))
    drawn += np.arange(num_rows)[:, None] * sizes.size
    counts = np.bincount(drawn.ravel(), minlength=num_rows * sizes.size)
    return counts.reshape(num_rows, sizes.size)


def _draw_group_weights(
    samples: Samples, cells: Cells, num_resamples: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Draw groups of real samples, of fake ones and of both separately.

    So every resample holds both classes.
    """
    labels, group_index = samples.labels, samples.group_index
    num_groups, num_cells = group_index.max() + 1, cells.counts.shape[1]
    has = np.zeros((2, num_groups), dtype=bool)
    has[labels, group_index] = True
    composition = has[REAL] + 2 * has[FAKE]
    strata = [np.flatnonzero(composition == kind) for kind in (1, 2, 3)]
    contents = [
        count_contents(
            group_index[labels == c], cells.index[labels == c], (num_groups, num_cells)
        )
        for c in (REAL, FAKE)
    ]
    for num_rows in _split(num_resamples, max(2 * num_cells, num_groups)):
        drawn = np.empty((num_rows, num_groups))
        for members in strata:
            drawn[:, members] = _draw_counts(np.ones_like(members), num_rows, rng)
        yield np.stack([drawn @ content for content in contents])


def count_contents(
    group_index: np.ndarray, cell_index: np.ndarray, shape: tuple[int, int]
) -> scipy.sparse.csr_array:
    """Count the samples of each group in each cell, a matrix of the `shape`."""
    ones = np.ones(group_index.size)
    cells = ones, (group_index, cell_index)
    return scipy.sparse.coo_array(cells, shape=shape).tocsr()


def compute_bootstrap_interval(
    values: np.ndarray, estimate: float | None, scale: str, num_units: int
) -> tuple[float, float] | None:
    """Compute the 95 % interval that resampled values give.

    Args:
        values: (R,) resampled values.
        estimate: the value of the samples themselves, or None.
        scale: 'percentiles' for the middle of the values; else the estimate plus and
            minus a margin on the scale 'identity', 'log', 'logit' or 'atanh', to which
            the values' standard deviation is taken by the scale's slope.
        num_units: independent samples or groups that were drawn, of the smaller class.
            With few of them resamples vary by (n - 1) / n of what they should and a
            normal margin is too short; the interval is widened by both.

    Returns:
        The interval; None if the values show no spread, one of them is infinite, or the
        estimate is at an end of its scale.

    Source:
        Hesterberg 2015, sections 3.3 and 5.3, for the widening: the expanded percentile
        interval and the bootstrap t-interval. The delta method for the scales.
    """
    if (
        estimate is None
        or not np.isfinite(values).all()
        or np.ptp(values) <= _NO_SPREAD
    ):
        return None
    units = max(num_units, 2)
    margin = scipy.stats.t.ppf(0.975, units - 1) * (units / (units - 1)) ** 0.5
    if scale == "percentiles":
        tail = scipy.stats.norm.sf(margin)
        low, high = np.quantile(values, [tail, 1 - tail])
        return float(low), float(high)
    return place_interval(estimate, margin * np.std(values, ddof=1), scale)


def place_interval(
    estimate: float, half_width: float, scale: str
) -> tuple[float, float] | None:
    """Return an interval of so much to either side, made symmetric on a scale.

    None if the estimate is at an end of the scale.
    """
    transform, invert, slope = _TRANSFORMS[scale]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        half_width = half_width * slope(estimate)
    if not np.isfinite(half_width):
        return None
    low, high = invert(transform(estimate) + np.array([-half_width, half_width]))
    return float(low), float(high)


# By scale: from a metric to a scale without ends, back again, and the slope there.
_TRANSFORMS: dict[str, tuple[Callable, Callable, Callable]] = {
    "identity": (np.float64, np.float64, np.ones_like),
    "log": (np.log, np.exp, lambda value: 1 / np.float64(value)),
    "logit": (
        special.logit,
        special.expit,
        lambda value: 1 / np.float64(value * (1 - value)),
    ),
    "atanh": (np.arctanh, np.tanh, lambda value: 1 / np.float64(1 - value**2)),
}
