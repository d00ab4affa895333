"""Several runs of one recipe as one result, with the chance of both images and runs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy

from metrics.all_metrics import METRICS, Metric, compute_weighted_metrics
from metrics.bootstrap import count_contents, draw_weights, place_interval
from metrics.delong import compute_aucs_and_covariance, compute_delong_interval
from metrics.samples import MAX_CELLS, Samples, build_cells, check_samples, index_groups
from metrics.summary import measure_samples

_BIASED = ("min_cllr",)  # on few samples too low: an interval around it would mislead


class MeanOfRuns(NamedTuple):
    """The mean of a metric over runs, and the chance in it.

    Attributes:
        mean: over the runs.
        of_runs: the part of its variance that more runs would lessen.
        of_images: the part that only more images would lessen.
        num_free: degrees of freedom of the variance.
    """

    mean: float
    of_runs: float
    of_images: float
    num_free: float

    @property
    def standard_error(self) -> float:
        """Of the mean, for other runs on other images."""
        return float(np.sqrt(self.of_runs + self.of_images))

    @property
    def margin(self) -> float:
        """How far the 95 % interval reaches to either side."""
        return float(scipy.stats.t.ppf(0.975, self.num_free)) * self.standard_error


class RunsTest(NamedTuple):
    """The test of whether two recipes differ in the mean over all their runs."""

    difference: float
    low: float
    high: float
    num_free: float
    p_value: float


def combine_runs(
    values: np.ndarray, covariance: np.ndarray, num_units: int
) -> MeanOfRuns:
    """Combine a metric's values of several runs on the same images.

    The value of run r is mu + a_r + e_r: a_r is what this run is better than the mean
    of all runs, e_r the chance of the images, which runs share in part. Both runs and
    images are random, so that the mean's variance is that of other runs on others. With
    MS the variance of the R values, V the mean variance of their e, and C the mean
    covariance of two runs' e, it is MS / R + C.

    Args:
        values: (R,) of at least two runs.
        covariance: (R, R) of the runs' values over samples of images.
        num_units: images, or groups of them, in the smaller class.

    Source: Obuchowski & Rockette 1995, with runs in the role of readers; one modality,
        degrees of freedom and C not below 0 by Hillis 2007. Deviations, justified by
        benchmarks/interval_coverage.py: MS is at least V - C, because a's variance is
        not below 0, or two runs that happen to agree would have hardly an interval; C
        counts as known to `num_units` - 1 degrees of freedom (Satterthwaite), not to
        infinitely many, so that with runs that hardly differ Student's t remains.
    """
    num_runs = len(values)
    of_runs = _find_mean_square(values, covariance) / num_runs
    of_images = max(_average_pairs(covariance), 0.0)
    parts = [(of_runs, num_runs - 1), (of_images, num_units - 1)]
    return MeanOfRuns(float(np.mean(values)), of_runs, of_images, _count_free(parts))


def compare_means(
    values: tuple[np.ndarray, np.ndarray], covariance: np.ndarray, num_units: int
) -> RunsTest:
    """Test the difference of two recipes' means, of runs on the same images.

    Runs are not paired: which seed they had says nothing. Images are.

    Args:
        values: (R,) of the first recipe, (S,) of the second.
        covariance: (R + S, R + S) of all values, the first recipe's before.
        num_units: images, or groups of them, in the smaller class.

    Returns:
        The difference with its 95 % interval, and a two-sided p-value; NaN if nothing
        varies.

    Source: Obuchowski & Rockette 1995, with readers nested in modalities by Hillis
        2014: MS_a / R + MS_b / S + C_a + C_b - 2 C_ab. Otherwise as `combine_runs`.
    """
    first, second = values
    size = len(first)
    own = covariance[:size, :size], covariance[size:, size:]
    parts = [
        (_find_mean_square(row, of) / len(row), len(row) - 1)
        for row, of in zip(values, own, strict=True)
    ]
    of_images = sum(map(_average_pairs, own)) - 2 * covariance[:size, size:].mean()
    parts.append((max(float(of_images), 0.0), num_units - 1))
    difference = float(np.mean(first) - np.mean(second))
    num_free = _count_free(parts)
    error = np.sqrt(sum(variance for variance, _ in parts))
    margin = scipy.stats.t.ppf(0.975, num_free) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * scipy.stats.t.sf(abs(np.float64(difference) / error), num_free)
    ends = difference - margin, difference + margin
    return RunsTest(*map(float, (difference, *ends, num_free, p_value)))


def _find_mean_square(values: np.ndarray, covariance: np.ndarray) -> float:
    """Return the variance of runs' values, at least what images alone make of it."""
    shared = max(_average_pairs(covariance), 0.0)
    return max(
        float(np.var(values, ddof=1)), float(np.diag(covariance).mean()) - shared
    )


def _average_pairs(covariance: np.ndarray) -> float:
    """Return the mean of what is beside a square's diagonal."""
    size = len(covariance)
    return float(covariance.sum() - np.trace(covariance)) / (size * (size - 1))


def _count_free(parts: Sequence[tuple[float, int]]) -> float:
    """Return the degrees of freedom of a sum of variances (Satterthwaite 1946)."""
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / max(num_free, 1) for variance, num_free in parts)
    return total**2 / spread if spread > 0 else np.inf


def estimate_covariances(
    runs: Sequence[Samples], *, num_resamples: int = 1000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Estimate how the runs' values of each metric vary together with the images.

    Args:
        runs: R detectors' scores of the same images, in the same order; of groups,
            whole groups are drawn.
        num_resamples, seed: of the bootstrap.

    Returns:
        Metric name -> (R, R); metrics that a resample lacks are left out.

    Source: of the AUC DeLong's. Of others each class is resampled, as
        `bootstrap_metrics` does, the same images for all runs, and widened by
        n / (n - 1) for n images in the smaller class.
    """
    labels, groups = runs[0].labels, runs[0].group_index
    rows = np.stack([run.scores for run in runs])
    index = index_groups(None, labels.size) if groups is None else groups
    found = {"auc": compute_aucs_and_covariance(rows, labels, index)[1]}
    units = runs[0].units.smaller
    for name, values in _resample(runs, num_resamples, seed).items():
        if np.isfinite(values).all():
            found[name] = np.cov(values) * units / max(units - 1, 1)
    return {name: c for name, c in found.items() if np.isfinite(c).all()}


def _resample(
    runs: Sequence[Samples], num_resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return by metric its values (R, B) on the same B resamples of the images."""
    labels, groups = runs[0].labels, runs[0].group_index
    places = -np.arange(labels.size, dtype=np.float64)  # a cell for each image
    images = check_samples(places, labels, groups=groups)
    pooled = [build_cells(run, MAX_CELLS) for run in runs]
    each = np.arange(labels.size)
    contents = [
        count_contents(each, of.index, (labels.size, of.counts.shape[1]))
        for of in pooled
    ]
    chunks: list[list[dict[str, np.ndarray]]] = []
    for drawn in draw_weights(images, build_cells(images), num_resamples, seed=seed):
        chunks.append(
            [
                compute_weighted_metrics(
                    cells,
                    np.stack([weights @ content for weights in drawn]),
                    without=("auc", *_BIASED),
                )
                for cells, content in zip(pooled, contents, strict=True)
            ]
        )
    names = [n for n in METRICS if all(n in found for found in chunks[0])]
    return {
        name: np.hstack([[found[name] for found in chunk] for chunk in chunks])
        for name in names
    }


def measure_runs(
    runs: Sequence[Samples], *, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Compute the mean of every metric over runs, its spread and its interval.

    Args:
        runs: two or more detectors' scores of the same images, in the same order.
        num_resamples, seed: of the bootstrap.

    Returns:
        Plain Python values. By a metric's NAME its mean, NAME_interval [low, high] as
        `combine_runs` has it (on the metric's own scale; None where it has none),
        NAME_deviation over the runs, NAME_range [least, most] and NAME_runs; and
        NAME_variance, that of the mean: `of_runs`, `of_images`, and its `num_free`.
    """
    covariances = estimate_covariances(runs, num_resamples=num_resamples, seed=seed)
    measured = [measure_samples(run) for run in runs]
    first, units = measured[0], runs[0].units
    numbers: dict[str, Any] = {"num_runs": len(runs)}
    numbers |= {n: first[n] for n in ("num_samples", "num_real", "num_fake")}
    numbers["num_groups"] = None if runs[0].group_index is None else units.total
    for name, metric in METRICS.items():
        values = [of[name] for of in measured]
        if None in values:
            numbers |= dict.fromkeys((name, f"{name}_interval"))
            continue
        numbers |= _describe_spread(name, np.array(values))
        if name in covariances:
            mean = combine_runs(np.array(values), covariances[name], units.smaller)
            ends = place_mean(mean, metric) or _bound_perfect(runs, mean, metric)
            held = ends and [min(end, metric.highest) for end in ends]
            numbers[f"{name}_interval"] = held
            if mean.standard_error > 0:
                parts = ("of_runs", "of_images", "num_free")
                numbers[f"{name}_variance"] = {n: getattr(mean, n) for n in parts}
    return numbers


def _describe_spread(name: str, values: np.ndarray) -> dict[str, Any]:
    """Return the mean of a metric's values (R,), and how they vary."""
    return {
        name: float(values.mean()),
        f"{name}_interval": None,
        # Equal values leave a rounding error.
        f"{name}_deviation": float(values.std(ddof=1)) if np.ptp(values) else 0.0,
        f"{name}_range": [float(values.min()), float(values.max())],
        f"{name}_runs": values.tolist(),
    }


def place_mean(mean: MeanOfRuns, metric: Metric) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean, on a scale that keeps it in its bounds."""
    if not mean.standard_error > 0:
        return None
    scale = "logit" if metric.scale == "percentiles" else metric.scale
    return place_interval(mean.mean, mean.margin, scale)


def _bound_perfect(
    runs: Sequence[Samples], mean: MeanOfRuns, metric: Metric
) -> tuple[float, float] | None:
    """Return the exact bound of an AUC that is 0 or 1 in all runs."""
    if metric.name != "auc" or mean.mean not in (0.0, 1.0):
        return None
    groups = runs[0].group_index
    return compute_delong_interval(runs[0].scores, runs[0].labels, groups=groups)[1:3]


def compare_sets(
    first: Sequence[Samples],
    second: Sequence[Samples],
    *,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, RunsTest]:
    """Test for every metric whether two recipes' runs differ on the same images.

    It takes what `measure_runs` takes, of both recipes. Metrics without an interval
    have no test.
    """
    runs = [*first, *second]
    covariances = estimate_covariances(runs, num_resamples=num_resamples, seed=seed)
    measured = [measure_samples(run) for run in runs]
    tests = {}
    for name, covariance in covariances.items():
        row = np.array([of[name] for of in measured])
        values = row[: len(first)], row[len(first) :]
        tests[name] = compare_means(values, covariance, runs[0].units.smaller)
    return tests
