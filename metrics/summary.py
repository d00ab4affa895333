"""Every number of one detector with its interval, and notes on them."""

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from files.classes import FAKE, REAL
from metrics.all_metrics import (
    MAX_FPRS,
    METRICS,
    Metric,
    compute_weighted_metrics,
    list_columns,
)
from metrics.bootstrap import draw_weights
from metrics.calibration import compute_calibration_test
from metrics.delong import compute_delong_interval
from metrics.error_rates import compute_point, hold_estimate
from metrics.likelihood_ratios import describe_cllr, describe_median_ratios
from metrics.measures import find_eer_threshold
from metrics.operating_point import find_fpr_threshold
from metrics.samples import (
    MAX_CELLS,
    Samples,
    Units,
    build_cells,
    check_samples,
)

_POINT_FPRS = (0.1, *MAX_FPRS)
# Of a class (benchmarks/interval_coverage.py). With 25 fakes 86 to 89 % of the
# intervals held the Cllr; with 100 a class 89 to 92 % held the average precision.
_FEW_UNITS = 30
_MANY_UNITS = 100
_SKEWED = {
    "average_precision": "average precision",
    "log_loss": "log loss",
    "cllr": "Cllr",
}
_HEAVY_KURTOSIS = 5.0  # of a class's scores; 3 normal, 4.2 logistic, 6 Laplace
_CHOSEN_HERE = "chosen on these samples"


def compute_metrics(
    fake_scores: ArrayLike, labels: ArrayLike, threshold: float = 0.5
) -> dict[str, Any]:
    """Compute every metric of scores that are probabilities, without intervals.

    Args:
        fake_scores: (N,) probabilities of 'fake'.
        threshold: a score at or above it is called fake.

    Returns:
        As `measure_samples`.
    """
    samples = check_samples(fake_scores, labels, threshold, fake_scores=fake_scores)
    return measure_samples(samples)


def measure_samples(samples: Samples) -> dict[str, Any]:
    """Compute every metric, without intervals.

    Returns:
        Plain Python values, ready for JSON: `num_samples`, `num_real`, `num_fake`,
        `threshold`, `confusion_matrix` (counts; rows true real and fake, columns
        called real and fake), and each of `METRICS` by its name, None if the samples
        do not tell it. `notes` says in words why.
    """
    cells = build_cells(samples)
    values = compute_weighted_metrics(cells, cells.counts[:, None].astype(np.float64))
    num_real, num_fake = (int(count) for count in cells.counts.sum(axis=1))
    confusion = np.zeros((2, 2), dtype=int)
    np.add.at(confusion, (samples.labels, samples.called_fake.astype(int)), 1)
    numbers: dict[str, Any] = {
        "num_samples": num_real + num_fake,
        "num_real": num_real,
        "num_fake": num_fake,
        "threshold": samples.threshold,
        "confusion_matrix": confusion.tolist(),
    }
    for name, metric in METRICS.items():
        numbers[name] = None
        if metric.value is not None and metric.needs in cells.means:
            numbers[name] = metric.value(samples)
        elif name in values and np.isfinite(values[name][0]):
            numbers[name] = float(values[name][0])
    numbers["notes"] = [
        _explain_too_few(rate, f"{num_real} real samples")
        for rate in MAX_FPRS
        if numbers[_name_tpr(rate)] is None
    ]
    if numbers["d_prime"] is None:
        infinite = "d' is infinite: within each class all scores are equal"
        numbers["notes"] += [infinite]
    return numbers


def _name_tpr(max_fpr: float) -> str:
    return f"tpr_at_fpr_{max_fpr:g}"


def _explain_too_few(max_fpr: float, given: str) -> str:
    """Say why there is no TPR at a false-positive rate."""
    return (
        f"no TPR at FPR {100 * max_fpr:g} %: {given} are too few, at least "
        f"{round(1 / max_fpr)} are needed"
    )


def compute_summary(
    samples: Samples,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    prevalence: float | None = None,
) -> dict[str, Any]:
    """Compute every metric with its 95 % confidence interval.

    Args:
        samples: what was judged; samples of one group count as one draw.
        num_resamples, seed: of the bootstrap.
        prevalence: share of fakes for which `ppv` and `npv` are wanted.

    Returns:
        The values of `measure_samples`, and beside each NAME a NAME_interval,
        [low, high] or None. `ece` has `ece_noise_floor` and `ece_p_value` instead.
        Further `operating_points`, `cllr_in_words`, and `intervals`, which says how
        they were made. `notes` are sentences for the user: why a number is missing, or
        what to beware of.
    """
    resampled = bootstrap_metrics(samples, num_resamples=num_resamples, seed=seed)
    numbers = _measure_with_intervals(samples, resampled, METRICS.values(), seed)
    numbers["notes"] += _explain_missing_intervals(numbers, resampled)
    numbers["notes"] += _warn(numbers, samples)
    delong = compute_delong_interval(
        samples.scores, samples.labels, groups=samples.group_index
    )
    is_known = np.isfinite(delong.standard_error)
    return numbers | {
        "auc_standard_error": delong.standard_error if is_known else None,
        **_test_calibration(samples, seed),
        "cllr_in_words": _describe_ratios(samples, numbers),
        "prevalence": prevalence,
        "operating_points": _list_points(samples, prevalence, seed),
        "num_groups": None if samples.group_index is None else samples.units.total,
        "intervals": {
            "confidence": 0.95,
            **_list_methods(),
            "auc": delong.method,
            "unit": "sample" if samples.group_index is None else "group",
            "num_resamples": num_resamples,
            "seed": seed,
        },
    }


def compute_columns(samples: Samples, table: str, *, seed: int = 0) -> dict[str, Any]:
    """Compute only the metrics that `list_columns` says a table shows.

    Returns:
        Each NAME and NAME_interval, as `compute_summary` has them.
    """
    shown = list_columns(table)
    others = METRICS.keys() - {metric.name for metric in shown}
    resampled = bootstrap_metrics(samples, seed=seed, without=others)
    numbers = _measure_with_intervals(samples, resampled, shown, seed)
    keys = [key for metric in shown for key in (metric.name, f"{metric.name}_interval")]
    return {key: numbers[key] for key in keys}


def _measure_with_intervals(
    samples: Samples,
    resampled: dict[str, np.ndarray],
    metrics: Iterable[Metric],
    seed: int,
) -> dict[str, Any]:
    """Return all that `measure_samples` does, and some metrics' intervals."""
    numbers = measure_samples(samples)
    _drop_tpr_of_few_groups(numbers, samples)
    for metric in metrics:
        name, highest = metric.name, metric.highest
        if metric.interval is not None or name in resampled:
            value, drawn = numbers[name], resampled.get(name)
            ends = metric.compute_interval(samples, value, drawn, seed)
            held = ends and hold_estimate(ends, value)
            numbers[f"{name}_interval"] = held and [min(end, highest) for end in held]
    return numbers


def _list_methods() -> dict[str, str]:
    """Return how each interval is made."""
    key_of = dict.fromkeys(map(_name_tpr, MAX_FPRS), "tpr_at_fpr")
    return {
        **{key_of.get(n, n): m.method for n, m in METRICS.items() if m.method},
        "operating_points": "Clopper-Pearson; ppv and npv: draws of both rates",
    }


def bootstrap_metrics(
    samples: Samples,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    without: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """Compute every metric that has a formula on resamples of the samples.

    Args:
        samples: N samples; of groups, whole groups are drawn. Scores beyond `MAX_CELLS`
            are pooled into as many cells, which changes the metrics by less than one
            part in a thousand.
        num_resamples: how many resamples (R).
        seed: the same seed draws the same resamples.
        without: metrics to leave out.

    Returns:
        Metric name -> (R,) values.

    Source: Efron & Tibshirani 1993, ch. 8 (each class is a sample of its own).
    """
    cells = build_cells(samples, MAX_CELLS)
    draws = draw_weights(samples, cells, num_resamples, seed=seed)
    chunks = [compute_weighted_metrics(cells, weights, without) for weights in draws]
    return {
        name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]
    }


def _drop_tpr_of_few_groups(numbers: dict[str, Any], samples: Samples) -> None:
    """For a rate the groups count, not their samples."""
    num_real = samples.units.real
    for rate in MAX_FPRS if samples.group_index is not None else ():
        if numbers[_name_tpr(rate)] is not None and num_real * rate < 1 - 1e-9:
            numbers[_name_tpr(rate)] = None
            given = f"{num_real} groups of real samples"
            numbers["notes"].append(_explain_too_few(rate, given))


def _test_calibration(samples: Samples, seed: int) -> dict[str, float | None]:
    if samples.fake_scores is None:
        return {"ece_noise_floor": None, "ece_p_value": None}
    test = compute_calibration_test(
        samples.fake_scores, samples.labels, group_index=samples.group_index, seed=seed
    )
    return {"ece_noise_floor": test.noise_floor, "ece_p_value": test.p_value}


def _describe_ratios(samples: Samples, numbers: dict[str, Any]) -> str | None:
    """Say what the likelihood ratios are worth; None without any."""
    if samples.llrs is None:
        return None
    cost = describe_cllr(numbers["cllr"], numbers["min_cllr"])
    return f"{cost}; {describe_median_ratios(samples.llrs, samples.labels)}"


def _list_points(
    samples: Samples, prevalence: float | None, seed: int
) -> list[dict[str, Any]]:
    """Return the threshold in use, and some chosen on the samples themselves."""
    in_use = "score" if samples.fake_scores is None else "P(fake)"
    found = {"EER": find_eer_threshold(samples.in_order)}
    for rate in _POINT_FPRS:
        if samples.units.real * rate > 1 - 1e-9:
            found[f"FPR {100 * rate:g} %"] = find_fpr_threshold(samples.in_order, rate)
    points = [("threshold in use", samples.threshold, in_use, samples.called_fake, "")]
    for name, threshold in found.items():
        called = samples.scores >= threshold
        place = _place_among_fake_scores(samples, threshold)
        if place is not None and np.array_equal(samples.fake_scores >= place, called):
            threshold, scale = place, "P(fake)"
        else:  # P(fake) cannot tell the scores apart
            scale = "score"
        points.append((name, threshold, scale, called, _CHOSEN_HERE))
    return [
        {
            "name": name,
            "threshold": threshold,
            "threshold_scale": scale,
            "chosen": chosen or None,
            **compute_point(samples, called, prevalence=prevalence, seed=seed),
        }
        for name, threshold, scale, called, chosen in points
    ]


def _place_among_fake_scores(samples: Samples, threshold: float) -> float | None:
    """Return the P(fake) that a score stands for, or None."""
    if samples.fake_scores is None:
        return None
    in_order = samples.in_order
    rising = in_order.scores[::-1], samples.fake_scores[in_order.order[::-1]]
    return float(np.interp(threshold, *rising))


def _explain_missing_intervals(
    numbers: dict[str, Any], resampled: dict[str, np.ndarray]
) -> list[str]:
    """Say why numbers have no interval: no spread, or resamples that have no value."""
    notes, flat = [], []
    for name, values in resampled.items():
        if numbers[name] is None or numbers[f"{name}_interval"] is not None:
            continue
        words, num_undefined = METRICS[name].words, np.sum(~np.isfinite(values))
        if num_undefined:
            notes.append(
                f"{words} has no interval: it is infinite in {num_undefined} of "
                f"{values.size} resamples"
            )
        else:
            flat.append(words)
    if flat:
        notes.append(f"no interval, the samples show no spread: {', '.join(flat)}")
    return notes


def _warn(numbers: dict[str, Any], samples: Samples) -> list[str]:
    """Say what a reader of the numbers should beware of."""
    units = samples.units
    what = "samples" if samples.group_index is None else "groups"
    auc = numbers["auc"], *numbers["auc_interval"]
    notes = warn_of_samples(auc, units, what=what)
    if _FEW_UNITS <= units.smaller <= _MANY_UNITS:
        shown = [w for n, w in _SKEWED.items() if numbers.get(f"{n}_interval")]
        if shown:
            notes.append(
                f"with up to {_MANY_UNITS} of a class the intervals of "
                f"{' and '.join(', '.join(shown).rsplit(', ', 1))} hold the truth in "
                "about 90 % of cases, not 95 %"
            )
    notes += [
        f"the TPR at FPR {100 * rate:g} % is too high on average: its threshold was "
        f"chosen on these {units.real} real {what}, and of others more score above it; "
        "the interval allows for that"
        for rate in MAX_FPRS
        if numbers[_name_tpr(rate)] and _is_optimistic(samples, rate)
    ]
    return notes + _warn_of_heavy_tails(samples)


def _is_optimistic(samples: Samples, max_fpr: float) -> bool:
    """Say whether a threshold chosen here has a higher FPR on average, by a tenth.

    Of n real samples k score above it; of others (k + 1) / (n + 1) do on average.
    """
    threshold = find_fpr_threshold(samples.in_order, max_fpr)
    num_real = samples.units.real
    share = np.mean(samples.scores[samples.labels == REAL] >= threshold)
    return bool((share * num_real + 1) / (num_real + 1) > 1.1 * max_fpr)


def warn_of_samples(
    auc: tuple[float, float, float], units: Units, *, what: str = "samples"
) -> list[str]:
    """Say what is doubtful of samples with this AUC, its low and high end."""
    value, low, high = auc
    notes = []
    if high < 0.5:
        notes.append(
            f"the AUC is well below 0.5 ({value:.3f}): either these fakes are "
            "of a kind that the detector was not trained on, or the labels or the "
            "direction of the scores are swapped"
        )
    elif low <= 0.5:
        notes.append(
            "the AUC's interval holds 0.5: these samples do not show that the detector "
            "is better than chance"
        )
    if units.smaller < _FEW_UNITS:
        excepted = "AUC and TPR" if what == "groups" else "AUC, error rates and TPR"
        notes.append(
            f"only {units.real} real and {units.fake} fake {what}: with fewer than "
            f"{_FEW_UNITS} of a class intervals may hold the truth less often than "
            f"95 % (those of {excepted} excepted)"
        )
    return notes


def _warn_of_heavy_tails(samples: Samples) -> list[str]:
    """Say it if the fourth moment shows that d' depends on few scores."""
    for label in (REAL, FAKE):
        scores = samples.scores[samples.labels == label]
        scaled = scores / (np.abs(scores).max() or 1.0)
        squares = (scaled - scaled.mean()) ** 2
        if np.mean(squares**2) > _HEAVY_KURTOSIS * np.mean(squares) ** 2:
            return [
                "the scores have heavy tails: the interval of d' holds the truth in "
                "about 85 to 90 % of cases, not 95 %"
            ]
    return []
