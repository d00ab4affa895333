"""Everything computed from one score set, and comparisons of several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from files.classes import FAKE, REAL
from hardware import show_progress
from metrics.calibration import ReliabilityBins, compute_reliability_bins
from metrics.cross_entropy import CrossEntropies, compute_cross_entropies
from metrics.delong import AucComparison, compute_paired_delong_test
from metrics.error_rates import (
    RocBand,
    RocCurve,
    compute_proportion_interval,
    compute_roc_band,
    compute_roc_curve,
)
from metrics.likelihood_ratios import describe_llr_bounds
from metrics.summary import compute_summary
from scores.group_scores import MixedGroupsError, score_groups
from scores.pairing import pair_names
from scores.score_sets import STORED, ScoreSet

MOST_SUBSETS = 500


@dataclass(frozen=True)
class Analysis:
    """All there is to show of one score set.

    Attributes:
        scores: what was analysed.
        roc, band: its ROC curve, and the band around it.
        bins: of the reliability diagram; None if scores are not probabilities.
        numbers: by name, as saved in the JSON file.
        subsets: the analysis of each of the samples' subsets.
        groups: that of the samples' groups, each judged as one; None where there are
            none, or their samples have different labels.
    """

    scores: ScoreSet
    roc: RocCurve
    band: RocBand
    bins: ReliabilityBins | None
    numbers: dict[str, Any]
    subsets: Sequence["Analysis"] = ()
    groups: "Analysis | None" = None

    @property
    def sizes(self) -> str:
        """What was judged, such as '60 real and 40 fake images'."""
        num_real, num_fake = self.numbers["num_real"], self.numbers["num_fake"]
        return f"{num_real} real and {num_fake} fake {self.scores.unit}"

    @property
    def fake_share(self) -> float:
        """The share of fakes among the samples."""
        return self.numbers["num_fake"] / self.numbers["num_samples"]

    @cached_property
    def misled(self) -> tuple[float, float]:
        """The shares of real samples, and of fakes, whose ratio speaks for the other.

        The scores have `llrs`.
        """
        llrs, labels = self.scores.llrs, self.scores.labels
        reals, fakes = llrs[labels == REAL] > 0, llrs[labels == FAKE] < 0
        return float(np.mean(reals)), float(np.mean(fakes))

    @cached_property
    def cross_entropies(self) -> CrossEntropies:
        """What the scores' `llrs` leave unknown, for every prior."""
        scores = self.scores
        return compute_cross_entropies(scores.scores, scores.labels, scores.llrs)

    @cached_property
    def bin_intervals(self) -> np.ndarray | None:
        """Exact 95 % intervals (bins, 2) of the bins' shares of fakes.

        None for samples in groups, which are not independent.
        """
        if self.scores.groups is not None:
            return None
        _, shares, counts = self.bins
        fakes = np.rint(shares * counts)
        return np.array([*map(compute_proportion_interval, fakes, counts)])


class Comparison(NamedTuple):
    """Two detectors, and the test of AUC(a) - AUC(b) on the samples of both."""

    a: Analysis
    b: Analysis
    test: AucComparison | None  # None if there is none, and `note` says why
    num_common: int = 0
    holm_p_value: float | None = None  # corrected for the number of tests
    note: str = ""
    num_real: int = 0  # of the common samples, as the first has them
    num_fake: int = 0

    @property
    def data(self) -> str:
        """What the detectors were tested on, such as 'faces, test split'."""
        splits: dict[str, str] = {}
        for scores in (self.a.scores, self.b.scores):
            splits[scores.dataset] = splits.get(scores.dataset) or scores.split
        names = (f"{d}, {split} split" if split else d for d, split in splits.items())
        return " and ".join(names)


def analyse(
    scores: ScoreSet,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    prevalence: float | None = None,
    group_score: str = "mean-logit",
) -> Analysis:
    """Compute the numbers, curves and bands of one score set, its subsets and groups.

    Args:
        scores: what to analyse; with groups, intervals are by group.
        num_resamples, seed: of the bootstrap.
        prevalence: share of fakes where the detector is to be used, in (0, 1), for
            the predictive values; None leaves these out.
        group_score: how a group is judged, as for `score_groups`.

    Raises:
        ValueError: for scores or labels that cannot be measured, or too many subsets;
            the message names where they are from.
    """
    options = {"num_resamples": num_resamples, "prevalence": prevalence, "seed": seed}
    with scores.name_errors():
        parts = [scores, *_split_subsets(scores)]
        whole, *subsets = (
            _analyse_groups(_analyse_whole(part, **options), group_score, **options)
            for part in (show_progress(parts, "subsets") if parts[1:] else parts)
        )
    return replace(whole, subsets=subsets)


def _analyse_whole(scores: ScoreSet, **options: Any) -> Analysis:
    samples = scores.check()
    numbers = compute_summary(samples, **options)
    numbers["notes"] = [*scores.notes, *_note_use(scores), *numbers["notes"]]
    curve = compute_roc_curve(samples)
    bins = None
    if samples.fake_scores is not None:
        bins = compute_reliability_bins(samples.fake_scores, samples.labels)
    return Analysis(
        scores=scores,
        roc=curve,
        band=compute_roc_band(samples, curve, seed=options["seed"]),
        bins=bins,
        numbers={
            "dataset": scores.dataset,
            "split": scores.split or None,
            "model": scores.model,
            "detector": scores.detector or None,
            "positive_class": "fake",
            "threshold_source": scores.threshold_source,
            "auc_of_real_score": 1 - numbers["auc"],
            **_list_llr_bounds(scores),
            **numbers,
        },
    )


def _list_llr_bounds(scores: ScoreSet) -> dict[str, Any]:
    """Return the bounds of the likelihood ratios, None if unknown, and a sentence."""
    lower, upper = (end if np.isfinite(end) else None for end in scores.llr_bounds)
    words = None
    if scores.llrs is not None:
        words = describe_llr_bounds(scores.llrs, scores.labels, scores.llr_bounds)
    return {"llr_lower": lower, "llr_upper": upper, "llr_bounds_in_words": words}


def _note_use(scores: ScoreSet) -> list[str]:
    """Say what validation images chose, as far as that is known."""
    is_home = scores.provenance.get("trained_on") in (None, scores.dataset)
    if scores.split != "val" or not is_home:
        return []
    sources = {"threshold": scores.threshold_source, "calibration": scores.llr_source}
    chosen = [what for what, source in sources.items() if STORED in source]
    if scores.flags.get("fold"):
        fold = scores.flags["fold"]
        return [f"most of these images trained this detector, which is of fold {fold}"]
    whole = ", the ".join(["epoch", *chosen])
    return [f"these images chose the {whole}: the numbers are better than on others"]


def _analyse_groups(analysis: Analysis, how: str, **options: Any) -> Analysis:
    """Add the groups' own analysis, if every group has one label."""
    if analysis.scores.groups is None:
        return analysis
    try:
        scores, words = score_groups(analysis.scores, how)
    except MixedGroupsError as error:  # an answer, not a failure
        numbers = {"group_level": None, "group_level_note": str(error)}
        return replace(analysis, numbers={**analysis.numbers, **numbers})
    groups = _analyse_whole(scores, **options)
    numbers = {"group_score": how, "group_score_in_words": words, **groups.numbers}
    return replace(
        analysis,
        numbers={**analysis.numbers, "group_level": numbers},
        groups=replace(groups, numbers=numbers),
    )


def _split_subsets(scores: ScoreSet) -> list[ScoreSet]:
    """Return each subset by itself; one of a single class with all of the other."""
    if scores.subsets is None:
        return []
    names, kinds = np.asarray(scores.subsets), sorted(set(scores.subsets) - {""})
    if len(kinds) > MOST_SUBSETS:
        raise ValueError(
            f"there are {len(kinds):,} subsets, such as {kinds[0]!r:.60}, and at most "
            f"{MOST_SUBSETS} are analysed: a subset is a kind of fake, not an image"
        )
    parts = []
    for name in kinds:
        chosen = names == name
        missing = set(np.unique(scores.labels)) - set(np.unique(scores.labels[chosen]))
        for label in missing:
            chosen |= scores.labels == label
        if not chosen.all():  # else it is the whole
            part = scores.select(np.flatnonzero(chosen))
            detector = ", ".join(filter(None, (scores.own_name, name)))
            parts.append(replace(part, detector=detector, origin=""))
    return parts


def compare_detectors(analyses: Sequence[Analysis]) -> list[Comparison]:
    """Test each pair of detectors on the samples that both judged.

    Samples are joined by `pair_names`, whatever their order. Each pair has its paired
    DeLong test, by group if the first of the two has groups, and the p-value corrected
    by Holm for all tests. A pair that cannot be tested says why.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    pairs = [_compare(a, b) for a, b in combinations(analyses, 2)]
    p_values = correct_by_holm([pair.test and pair.test.p_value for pair in pairs])
    corrected = zip(pairs, p_values, strict=True)
    return [pair._replace(holm_p_value=p_value) for pair, p_value in corrected]


def correct_by_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for the chance of any false alarm; None where there is none."""
    known = np.array(p_values, dtype=np.float64)  # None becomes NaN, and stays last
    order = np.argsort(known)[: np.count_nonzero(np.isfinite(known))]
    factors = np.arange(order.size, 0, -1)
    corrected: list[float | None] = [None] * known.size
    for place, value in zip(
        order, np.maximum.accumulate(known[order] * factors), strict=True
    ):
        corrected[place] = min(float(value), 1.0)
    return corrected


def _compare(a: Analysis, b: Analysis) -> Comparison:
    for scores in (a.scores, b.scores):
        if scores.paths is None:
            note = f"not tested: the samples of {scores.title} have no names to pair by"
            return Comparison(a, b, None, note=note)
    if a.scores.split and b.scores.split and a.scores.dataset != b.scores.dataset:
        # Names are a dataset's own: 1.png of another is another image.
        return Comparison(a, b, None, note="not tested: the images are of two datasets")
    places_a, places_b = pair_names(
        *(of.scores.keys or of.scores.paths for of in (a, b))
    )
    num_common = len(places_a)
    labels = a.scores.labels[places_a]
    num_real, num_fake = np.bincount(labels, minlength=2).tolist()
    sizes = {"num_common": num_common, "num_real": num_real, "num_fake": num_fake}
    untested = Comparison(a, b, None, **sizes)
    if not num_common:
        return untested._replace(note="not tested: no sample is in both")
    num_conflicts = np.count_nonzero(labels != b.scores.labels[places_b])
    if num_conflicts:
        note = f"not tested: {num_conflicts} of {num_common} common samples are "
        return untested._replace(note=f"{note}real for one and fake for the other")
    if np.unique(labels).size < 2:
        note = f"not tested: the {num_common} common samples are of one class"
        return untested._replace(note=note)
    groups = a.scores.groups and [a.scores.groups[i] for i in places_a]
    test = compute_paired_delong_test(
        a.scores.scores[places_a], b.scores.scores[places_b], labels, groups=groups
    )
    return untested._replace(test=test, note=_describe_common(a, b, num_common))


def _describe_common(a: Analysis, b: Analysis, num_common: int) -> str:
    sizes = a.scores.labels.size, b.scores.labels.size
    if sizes == (num_common, num_common):
        return ""
    return f"tested on the {num_common} samples in both, of {sizes[0]} and {sizes[1]}"
