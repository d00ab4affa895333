"""Everything computed from one score set, and comparisons of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from metrics.calibration import ReliabilityBins, compute_reliability_bins
from metrics.cells import Samples, check_samples
from metrics.checks import index_groups
from metrics.delong import AucComparison, compute_paired_delong_test
from metrics.report import compute_report
from metrics.roc import RocCurve, compute_roc_band, compute_roc_curve
from scores.groups import compute_group_scores
from scores.score_sets import ScoreSet

_VALIDATION_NOTE = (
    "these images chose the epoch, the threshold and the calibration: the numbers are "
    "better than on others"
)


@dataclass(frozen=True)
class Analysis:
    """The numbers behind every figure of one score set."""

    scores: ScoreSet
    roc: RocCurve
    band_fprs: np.ndarray  # (F,)
    band_low: np.ndarray  # (F,) lowest TPR
    band_high: np.ndarray  # (F,) highest TPR
    bins: ReliabilityBins | None  # None where scores are no probabilities
    report: dict[str, Any]  # as saved in the JSON file
    subsets: Sequence[Analysis] = ()  # of each of the samples' subsets

    @property
    def sizes(self) -> str:
        """What was judged, such as '60 real and 40 fake images'."""
        num_real, num_fake = self.report["num_real"], self.report["num_fake"]
        return f"{num_real} real and {num_fake} fake {self.scores.unit}"


class Comparison(NamedTuple):
    """Two detectors, and the test of AUC(a) - AUC(b) on the samples of both."""

    a: Analysis
    b: Analysis
    test: AucComparison | None  # None: could not be tested, and `note` says why
    num_common: int = 0
    holm_p_value: float | None = None  # corrected for the number of tests
    note: str = ""


def analyse(
    scores: ScoreSet,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    prevalence: float | None = None,
) -> Analysis:
    """Compute the report, curves and bands of one score set, and of its subsets.

    Args:
        scores: what to analyse; with groups, intervals are by group.
        num_resamples, seed: of the bootstrap.
        prevalence: share of fakes where the detector is to be used, in (0, 1), for
            the predictive values; None leaves these out.

    Returns:
        The numbers, drawing and saving nothing.

    Raises:
        ValueError: for scores or labels that cannot be measured.
    """
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence must lie between 0 and 1, got {prevalence:g}")
    options = {
        "num_resamples": num_resamples,
        "seed": seed,
        "prevalence": prevalence,
    }
    analysis = _analyse_whole(scores, **options)
    subsets = [_analyse_whole(part, **options) for part in _split_subsets(scores)]
    return replace(analysis, subsets=subsets)


def _analyse_whole(scores: ScoreSet, *, seed: int, **options: Any) -> Analysis:
    samples = check_samples(
        scores.scores,
        scores.labels,
        scores.threshold,
        fake_scores=scores.fake_scores,
        llrs=scores.llrs,
    )
    group_index = None
    if scores.groups is not None:
        group_index = index_groups(scores.groups, scores.labels.size)
    report = compute_report(samples, group_index, seed=seed, **options)
    report |= _analyse_groups(scores, samples, seed=seed, **options)
    curve = compute_roc_curve(samples.scores, samples.labels)
    band = compute_roc_band(samples, curve, group_index, seed=seed)
    bins = None
    if samples.fake_scores is not None:
        bins = compute_reliability_bins(samples.fake_scores, samples.labels)
    notes = list(report["notes"])
    if scores.split == "val":
        notes.insert(0, _VALIDATION_NOTE)
    return Analysis(
        scores=scores,
        roc=curve,
        band_fprs=band.false_positive_rates,
        band_low=band.low,
        band_high=band.high,
        bins=bins,
        report={**_describe(scores, report), **report, "notes": notes},
    )


def _describe(scores: ScoreSet, report: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataset": scores.dataset,
        "split": scores.split or None,
        "model": scores.model,
        "detector": scores.detector or None,
        "positive_class": "fake",
        "threshold_source": scores.threshold_source,
        "auc_of_real_score": 1 - report["auc"],
    }


def _analyse_groups(
    scores: ScoreSet, samples: Samples, **options: Any
) -> dict[str, Any]:
    """Metrics of the groups' mean scores, where every group has one label."""
    if scores.groups is None:
        return {}
    try:
        grouped = compute_group_scores(samples.judged, samples.labels, scores.groups)
        means = grouped.fake_scores
        group_samples = check_samples(
            means,
            grouped.labels,
            samples.threshold,
            fake_scores=None if samples.fake_scores is None else means,
        )
    except ValueError as error:  # an answer, not a failure: say why there is none
        return {"group_level": None, "group_level_note": str(error)}
    return {"group_level": compute_report(group_samples, **options)}


def _split_subsets(scores: ScoreSet) -> list[ScoreSet]:
    """Return each subset by itself: of one class only, against all of the other."""
    if scores.subsets is None:
        return []
    names = np.asarray(scores.subsets)
    parts = []
    for name in sorted(set(scores.subsets) - {""}):
        chosen = names == name
        missing = set(np.unique(scores.labels)) - set(np.unique(scores.labels[chosen]))
        for label in missing:
            chosen |= scores.labels == label
        if not chosen.all():  # else it is the whole
            parts.append(_choose(scores, np.flatnonzero(chosen), name))
    return parts


def _choose(scores: ScoreSet, places: np.ndarray, name: str) -> ScoreSet:
    """Return some of the samples, as a detector's named part."""
    columns = {
        column: None if values is None else [values[place] for place in places]
        for column in ("paths", "groups")
        for values in [getattr(scores, column)]
    }
    arrays = {
        column: None if values is None else values[places]
        for column in ("scores", "labels", "fake_scores", "llrs")
        for values in [getattr(scores, column)]
    }
    detector = ", ".join(filter(None, (scores.detector, name)))
    return replace(scores, **columns, **arrays, subsets=None, detector=detector)


def compare_detectors(analyses: Sequence[Analysis]) -> list[Comparison]:
    """Test each pair of detectors on the samples that both judged.

    Args:
        analyses: any number.

    Returns:
        All pairs. Samples are joined by their names, whatever their order; each pair
        has its paired DeLong test, by group where the first of the two has groups,
        and the p-value corrected by Holm for all the tests that were made. A pair that
        cannot be tested says why.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    pairs = [_compare(a, b) for a, b in combinations(analyses, 2)]
    tested = [
        number
        for number, pair in enumerate(pairs)
        if pair.test is not None and np.isfinite(pair.test.p_value)
    ]
    p_values = correct_by_holm([pairs[number].test.p_value for number in tested])
    for number, p_value in zip(tested, p_values, strict=True):
        pairs[number] = pairs[number]._replace(holm_p_value=p_value)
    return pairs


def correct_by_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that keep the chance of any false alarm, each up to 1."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    result = np.empty(len(p_values))
    result[order] = np.minimum(corrected, 1.0)
    return result.tolist()


def _compare(a: Analysis, b: Analysis) -> Comparison:
    for scores in (a.scores, b.scores):
        if scores.paths is None:
            note = f"not tested: the samples of {scores.title} have no names to pair by"
            return Comparison(a, b, None, note=note)
    lookup = {path: place for place, path in enumerate(b.scores.paths)}
    places_a = [i for i, path in enumerate(a.scores.paths) if path in lookup]
    places_b = [lookup[a.scores.paths[i]] for i in places_a]
    num_common = len(places_a)
    labels = a.scores.labels[places_a]
    if not num_common:
        return Comparison(a, b, None, note="not tested: no sample is in both")
    num_conflicts = np.count_nonzero(labels != b.scores.labels[places_b])
    if num_conflicts:
        note = f"not tested: {num_conflicts} of {num_common} common samples are "
        note += "real for one and fake for the other"
        return Comparison(a, b, None, num_common, note=note)
    if np.unique(labels).size < 2:
        note = f"not tested: the {num_common} common samples are of one class"
        return Comparison(a, b, None, num_common, note=note)
    groups = a.scores.groups and [a.scores.groups[i] for i in places_a]
    test = compute_paired_delong_test(
        a.scores.scores[places_a], b.scores.scores[places_b], labels, groups=groups
    )
    return Comparison(a, b, test, num_common, note=_describe_common(a, b, num_common))


def _describe_common(a: Analysis, b: Analysis, num_common: int) -> str:
    sizes = a.scores.labels.size, b.scores.labels.size
    if sizes == (num_common, num_common):
        return ""
    return f"tested on the {num_common} samples in both, of {sizes[0]} and {sizes[1]}"
