"""Every number of one detector with its interval, and what to know about them."""

from typing import Any, NamedTuple

import numpy as np

from files.names import FAKE, REAL
from metrics.bootstrap import bootstrap_metrics, compute_bootstrap_interval
from metrics.calibration import compute_calibration_test
from metrics.cells import MAX_CELLS, Samples, build_cells, number_folds
from metrics.delong import compute_delong_interval
from metrics.error_rates import (
    bound_separated,
    compute_proportion_interval,
    compute_tpr_intervals,
    count_hits,
    describe_point,
)
from metrics.likelihood_ratios import (
    compute_cross_fitted_cllr,
    describe_cllr,
    describe_median_ratios,
)
from metrics.measures import (
    MAX_FPRS,
    compute_decision_metrics,
    explain_too_few,
    find_eer_threshold,
    measure,
)
from metrics.operating_point import find_fpr_threshold

# The scale on which a metric's resamples spread most like a normal distribution: where
# intervals covered best (benchmarks/interval_coverage.py). Percentiles need none.
_SCALES = {
    **dict.fromkeys(("average_precision", "precision", "f1"), "logit"),
    **dict.fromkeys(("accuracy", "balanced_accuracy"), "logit"),
    **dict.fromkeys(("log_loss", "brier", "cllr"), "log"),
    "eer": "percentiles",
    "mcc": "atanh",
    "d_prime": "identity",
}
_METHODS = {
    name: f"stratified bootstrap, {scale}{'' if scale == 'percentiles' else ' scale'}"
    for name, scale in _SCALES.items()
} | {
    "real_accuracy": "Clopper-Pearson; groups by their effective size",
    "fake_accuracy": "Clopper-Pearson; groups by their effective size",
    "tpr_at_fpr": "order statistics, no distribution assumed",
    "min_cllr": "stratified bootstrap, from the fitted to the cross-fitted value: wide",
    "operating_points": "Clopper-Pearson; ppv and npv: draws of both rates",
}
_HIGHEST = {"brier": 1.0, "min_cllr": 1.0}  # which a log scale does not know
_POINT_FPRS = (0.1, *MAX_FPRS)
# Of a class (benchmarks/interval_coverage.py). With 25 fakes a Cllr was held by 86 to
# 89 % of its intervals; with 100 a class average precision by 89 to 92 %.
_FEW_UNITS = 30
_MANY_UNITS = 100
_HEAVY_KURTOSIS = 5.0  # of a class's scores; 3 normal, 4.2 logistic, 6 Laplace
_CHOSEN_HERE = "chosen on these samples"

Interval = tuple[float, float]


class Units(NamedTuple):
    """Independent draws behind the intervals: samples, or groups of samples."""

    real: int
    fake: int
    total: int

    @property
    def smaller(self) -> int:
        """Those of the class that has fewer."""
        return min(self.real, self.fake)


def compute_report(
    samples: Samples,
    group_index: np.ndarray | None = None,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    prevalence: float | None = None,
) -> dict[str, Any]:
    """Compute every metric with its 95 % confidence interval.

    Args:
        samples: what was judged.
        group_index: (N,) numbers, as of `index_groups`; samples of one group, such as
            the frames of a video, are drawn together and so count once.
        num_resamples, seed: of the bootstrap.
        prevalence: share of fakes that `ppv` and `npv` are wanted for.

    Returns:
        The values of `measure`, and beside each NAME a NAME_interval, [low, high] or
        None. Beside `ece`, instead, `ece_noise_floor` and `ece_p_value`. Further
        `operating_points`, `cllr_in_words`, and `intervals`, which says how they were
        made. `notes` are sentences for the user: why a number is missing, or what to
        beware of.

    Raises:
        ValueError: as for `bootstrap_metrics`.
    """
    report = measure(samples)
    units = count_units(samples.labels, group_index)
    _drop_tpr_of_few(report, units, grouped=group_index is not None)
    resampled = bootstrap_metrics(
        samples, group_index, num_resamples=num_resamples, seed=seed
    )
    delong = compute_delong_interval(samples.scores, samples.labels, groups=group_index)
    intervals = {
        "auc": (delong.low, delong.high),
        **_compute_bootstrap_intervals(report, resampled, units),
        **_compute_exact_intervals(samples, report, group_index, seed),
    }
    intervals["min_cllr"] = _compute_min_cllr_interval(
        samples, report["min_cllr"], resampled["min_cllr"], group_index
    )
    intervals |= _bound_perfect(report, units)
    for name, interval in intervals.items():
        highest = _HIGHEST.get(name, np.inf)
        report[f"{name}_interval"] = interval and [min(v, highest) for v in interval]
    report["notes"] += _explain_missing_intervals(report, resampled)
    report["notes"] += _warn(report, units, grouped=group_index is not None)
    report["notes"] += _warn_of_heavy_tails(samples)
    return report | {
        "auc_standard_error": (
            delong.standard_error if np.isfinite(delong.standard_error) else None
        ),
        **_test_calibration(samples, group_index, seed),
        "cllr_in_words": _describe_ratios(samples, report),
        "prevalence": prevalence,
        "operating_points": _describe_points(
            samples, group_index, units, prevalence=prevalence, seed=seed
        ),
        "num_groups": None if group_index is None else units.total,
        "intervals": {
            "confidence": 0.95,
            **_METHODS,
            "auc": delong.method,
            "unit": "sample" if group_index is None else "group",
            "num_resamples": num_resamples,
            "seed": seed,
        },
    }


def _compute_bootstrap_intervals(
    report: dict[str, Any], resampled: dict[str, np.ndarray], units: Units
) -> dict[str, Interval | None]:
    return {
        name: compute_bootstrap_interval(
            resampled[name], report[name], scale, units.smaller
        )
        for name, scale in _SCALES.items()
        if name in resampled
    }


def count_units(labels: np.ndarray, group_index: np.ndarray | None) -> Units:
    """Count the independent draws: samples, or groups of samples."""
    if group_index is None:
        real, fake = (np.count_nonzero(labels == c) for c in (REAL, FAKE))
        return Units(int(real), int(fake), labels.size)
    real, fake, either = (
        int(np.count_nonzero(np.bincount(group_index[chosen])))
        for chosen in (labels == REAL, labels == FAKE, slice(None))
    )
    return Units(real, fake, either)


def _drop_tpr_of_few(report: dict[str, Any], units: Units, *, grouped: bool) -> None:
    """Groups are what counts for a rate, not their samples."""
    for rate in MAX_FPRS if grouped else ():
        name = f"tpr_at_fpr_{rate:g}"
        if report[name] is not None and units.real * rate < 1 - 1e-9:
            report[name] = None
            given = f"{units.real} groups of real samples"
            report["notes"].append(explain_too_few(rate, given))


def _compute_exact_intervals(
    samples: Samples,
    report: dict[str, Any],
    group_index: np.ndarray | None,
    seed: int,
) -> dict[str, Interval | None]:
    """Return the intervals that need no bootstrap."""
    intervals: dict[str, Interval | None] = {}
    for label, name in ((REAL, "real_accuracy"), (FAKE, "fake_accuracy")):
        chosen = samples.labels == label
        hits = samples.called_fake[chosen] == label
        index = None if group_index is None else group_index[chosen]
        intervals[name] = compute_proportion_interval(*count_hits(hits, index))
    lows, highs = compute_tpr_intervals(samples, MAX_FPRS, group_index, seed=seed)
    for rate, low, high in zip(MAX_FPRS, lows, highs, strict=True):
        name = f"tpr_at_fpr_{rate:g}"
        known = report[name] is not None
        intervals[name] = (float(low), float(high)) if known else None
    return intervals


def _compute_min_cllr_interval(
    samples: Samples,
    min_cllr: float,
    values: np.ndarray,
    group_index: np.ndarray | None,
) -> Interval | None:
    """Reach from the fitted value, too low on average, to the one that is too high."""
    units = count_units(samples.labels, group_index)
    cells = build_cells(samples, MAX_CELLS)
    folds = number_folds(samples.labels, group_index)
    cross_fitted = compute_cross_fitted_cllr(
        cells.counts,
        [cells.count(samples.labels, folds == k) for k in np.unique(folds)],
    )
    if not np.isfinite(cross_fitted):
        return None
    ends = [
        compute_bootstrap_interval(values, value, "log", units.smaller)
        for value in (min_cllr, max(min_cllr, cross_fitted))
    ]
    return None if None in ends else (ends[0][0], ends[1][1])


def _bound_perfect(report: dict[str, Any], units: Units) -> dict[str, Interval]:
    """Return exact bounds of what an error-free detector shows no spread of."""
    bounds = bound_separated(units.real, units.fake)
    intervals: dict[str, Interval] = {}
    if report["auc"] in (0.0, 1.0):
        ends = (0.0, bounds.eer) if report["auc"] == 1.0 else (1 - bounds.eer, 1.0)
        intervals["eer"] = ends
    if report["auc"] == 1.0:
        share = report["num_fake"] / report["num_samples"]
        intervals["average_precision"] = (bounds.compute_average_precision(share), 1.0)
        intervals["min_cllr"] = (0.0, bounds.compute_min_cllr())
    if report["accuracy"] in (0.0, 1.0):
        hits = int(report["accuracy"]) * units.total
        intervals["accuracy"] = compute_proportion_interval(hits, units.total)
    if report["accuracy"] == 1.0:
        worst = compute_decision_metrics(
            bounds.fpr, bounds.fnr, report["num_real"], report["num_fake"]
        )
        names = ("balanced_accuracy", "precision", "f1", "mcc")
        intervals |= {name: (float(worst[name]), 1.0) for name in names}
    return intervals


def _test_calibration(
    samples: Samples, group_index: np.ndarray | None, seed: int
) -> dict[str, float | None]:
    if samples.fake_scores is None:
        return {"ece_noise_floor": None, "ece_p_value": None}
    test = compute_calibration_test(
        samples.fake_scores, samples.labels, group_index=group_index, seed=seed
    )
    return {"ece_noise_floor": test.noise_floor, "ece_p_value": test.p_value}


def _describe_ratios(samples: Samples, report: dict[str, Any]) -> str | None:
    """Say what the likelihood ratios are worth; None without any."""
    if samples.llrs is None:
        return None
    cost = describe_cllr(report["cllr"], report["min_cllr"])
    return f"{cost}; {describe_median_ratios(samples.llrs, samples.labels)}"


def _describe_points(
    samples: Samples,
    group_index: np.ndarray | None,
    units: Units,
    *,
    prevalence: float | None,
    seed: int,
) -> list[dict[str, Any]]:
    """Describe the threshold in use, and some chosen on the samples themselves."""
    in_use = "score" if samples.fake_scores is None else "P(fake)"
    found = {"EER": find_eer_threshold(samples.in_order)}
    for rate in _POINT_FPRS:
        if units.real * rate > 1 - 1e-9:
            found[f"FPR {100 * rate:g} %"] = find_fpr_threshold(samples.in_order, rate)
    points = [("threshold in use", samples.threshold, in_use, samples.called_fake, "")]
    for name, threshold in found.items():
        called = samples.scores >= threshold
        place = _place_among_fake_scores(samples, threshold)
        if place is not None and np.array_equal(samples.fake_scores >= place, called):
            threshold, scale = place, "P(fake)"
        else:  # where P(fake) cannot tell the scores apart
            scale = "score"
        points.append((name, threshold, scale, called, _CHOSEN_HERE))
    return [
        {
            "name": name,
            "threshold": threshold,
            "threshold_scale": scale,
            "chosen": chosen or None,
            **describe_point(
                samples, called, group_index, prevalence=prevalence, seed=seed
            ),
        }
        for name, threshold, scale, called, chosen in points
    ]


def _place_among_fake_scores(samples: Samples, threshold: float) -> float | None:
    """Return the P(fake) that a score stands for, None where there is none."""
    if samples.fake_scores is None:
        return None
    in_order = samples.in_order
    rising = in_order.scores[::-1], samples.fake_scores[in_order.order[::-1]]
    return float(np.interp(threshold, *rising))


def _explain_missing_intervals(
    report: dict[str, Any], resampled: dict[str, np.ndarray]
) -> list[str]:
    """Say why numbers have no interval: no spread, or resamples without a value."""
    missing = [
        name
        for name in resampled
        if report[name] is not None and report[f"{name}_interval"] is None
    ]
    notes = []
    for name in missing:
        num_undefined = np.count_nonzero(~np.isfinite(resampled[name]))
        if num_undefined:
            total = resampled[name].size
            notes.append(
                f"{_name_in_words(name)} has no interval: it is infinite in "
                f"{num_undefined} of {total} resamples"
            )
    flat = [name for name in missing if np.isfinite(resampled[name]).all()]
    if flat:
        names = ", ".join(map(_name_in_words, flat))
        notes.append(f"no interval, the samples show no spread: {names}")
    return notes


def _name_in_words(name: str) -> str:
    return "d'" if name == "d_prime" else name.replace("_", " ")


def _warn(report: dict[str, Any], units: Units, *, grouped: bool) -> list[str]:
    """Say what a reader of the numbers should beware of."""
    notes = []
    if report["auc_interval"][1] < 0.5:
        notes.append(
            f"the AUC is well below 0.5 ({report['auc']:.3f}): either these fakes are "
            "of a kind that the detector was not trained on, or the labels or the "
            "direction of the scores are swapped"
        )
    elif report["auc_interval"][0] <= 0.5:
        notes.append(
            "the AUC's interval holds 0.5: these samples do not show that the detector "
            "is better than chance"
        )
    if units.smaller < _FEW_UNITS:
        few = "groups" if grouped else "samples"
        notes.append(
            f"only {units.real} real and {units.fake} fake {few}: with fewer than "
            f"{_FEW_UNITS} of a class intervals may hold the truth less often than "
            "95 % (those of AUC, error rates and TPR excepted)"
        )
    elif units.smaller <= _MANY_UNITS:
        notes.append(
            f"with up to {_MANY_UNITS} of a class the intervals of average precision, "
            "log loss and Cllr hold the truth in about 90 % of cases, not 95 %"
        )
    for rate in MAX_FPRS:
        if report[f"tpr_at_fpr_{rate:g}"] is not None and units.real * rate < 10:
            num_above = int(units.real * rate + 1e-9)
            notes.append(
                f"the TPR at FPR {100 * rate:g} % is too high on average: of these "
                f"{units.real} real samples {num_above} score above its threshold, of "
                "others more would; the interval allows for that"
            )
    return notes


def _warn_of_heavy_tails(samples: Samples) -> list[str]:
    """Say that d' hangs on few scores, where the fourth moment says so."""
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
