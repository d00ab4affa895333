"""Several runs of one recipe: told apart from others, measured, compared."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from metrics.error_rates import RocCurve, average_roc_curves, compute_roc_curve
from metrics.runs import RunsTest, compare_sets, measure_runs
from metrics.samples import Samples
from records.recipe import describe_shared
from scores.analysis import correct_by_holm
from scores.group_scores import MixedGroupsError, score_groups
from scores.pairing import pair_names
from scores.score_sets import ARBITRARY, ScoreSet

_FEW_RUNS = 5
# What `list_runs` of records/recipe.py adds to names.
_NUMBERS = re.compile(r"(_?(fold|seed)\d+)+$")


@dataclass(frozen=True)
class RunSet:
    """The runs of one recipe, measured on the same images.

    Attributes:
        runs: two or more.
        numbers: as `measure_runs` returns them, and `notes`.
        rocs: of each run.
        mean_roc: their vertical mean.
        label: what to call it if model and dataset do not tell it from others.
        groups: the same of the images' groups, each judged as one; None where there
            are none, or their images have different labels.
    """

    runs: Sequence[ScoreSet]
    numbers: dict[str, Any]
    rocs: Sequence[RocCurve]
    mean_roc: RocCurve
    label: str = ""
    groups: "RunSet | None" = None

    @property
    def _as_one(self) -> ScoreSet:
        """A run, called what the set is called."""
        model = _find_common([run.model for run in self.runs])
        return replace(self.runs[0], model=model, detector=self.label)

    @property
    def title(self) -> str:
        """What titles and tables call it."""
        return f"{self._as_one.title}, {len(self.runs)} runs"

    @property
    def name(self) -> str:
        """The start of file names."""
        return f"{self._as_one.name}_runs"

    @property
    def sizes(self) -> str:
        """What was judged, such as '60 real and 40 fake images'."""
        num_real, num_fake = self.numbers["num_real"], self.numbers["num_fake"]
        return f"{num_real} real and {num_fake} fake {self.runs[0].unit}"


class RunsComparison(NamedTuple):
    """Two recipes, and by metric the test of the difference of their means."""

    a: RunSet
    b: RunSet
    tests: Mapping[str, RunsTest]
    num_common: int = 0
    holm_p_value: float | None = None  # of the AUC, for the number of pairs
    note: str = ""


def find_sets(
    score_sets: Sequence[ScoreSet], sizes: Sequence[int] = ()
) -> list[list[ScoreSet]]:
    """Tell apart which scores are of runs of one recipe, on one dataset.

    Args:
        score_sets: of checkpoints, or of files, whose training's flags nobody knows.
        sizes: how many of the inputs, in order, are of the first recipe, of the
            second, ...; none: checkpoints whose flags differ in `OF_A_RUN` alone are
            of one recipe, and files are all of one.

    Raises:
        ValueError: the sizes do not add up, a set has one run alone or a run twice, or
            a run of a fold was judged on the images that trained it.
    """
    _refuse_twice(score_sets, _identify_file, "hold the same scores")
    _refuse_validation_of_folds(score_sets)
    inputs = list(map(_get_path, score_sets))
    places = {path: number for number, path in enumerate(dict.fromkeys(inputs))}
    if sizes and sum(sizes) != len(places):
        raise ValueError(
            f"--runs {' '.join(map(str, sizes))} are {sum(sizes)} runs, but there are "
            f"{len(places)} inputs"
        )
    owners = np.repeat(np.arange(len(sizes)), sizes)
    found: dict[Any, list[ScoreSet]] = {}
    for scores, path in zip(score_sets, inputs, strict=True):
        recipe = owners[places[path]] if sizes else describe_recipe(scores)
        found.setdefault((scores.dataset, scores.split, recipe), []).append(scores)
    for runs in found.values():
        if len(runs) < 2:
            raise ValueError(
                f"{_get_path(runs[0])} is the only run of its recipe: --runs needs two "
                "or more that differ in --seed, --fold and --name alone, or the number "
                "of runs of each recipe, as in --runs 3 3"
            )
        _refuse_twice(runs, _identify_training, "are of one recipe, --seed and --fold")
    return list(found.values())


def _get_path(scores: ScoreSet) -> str:
    return scores.provenance["inputs"][0]["path"]


def _identify_file(scores: ScoreSet) -> tuple[object, ...]:
    """Return what only a copy shares: a file may hold scores of several runs."""
    digest = scores.provenance["inputs"][0]["sha256"]
    return scores.dataset, scores.split, digest, scores.scores.tobytes()


def _identify_training(scores: ScoreSet) -> tuple[str, ...] | None:
    """Return what only a repeated training shares; None if that is not known."""
    if "seed" not in scores.flags:
        return None
    numbers = [repr(scores.flags.get(name)) for name in ("seed", "fold")]
    return describe_recipe(scores), *numbers


def _refuse_twice(
    score_sets: Sequence[ScoreSet],
    identify: Callable[[ScoreSet], tuple[object, ...] | None],
    what: str,
) -> None:
    """Raise ValueError if two score sets are of one run."""
    seen: dict[tuple[object, ...], str] = {}
    for scores in score_sets:
        path, key = _get_path(scores), identify(scores)
        if key in seen:
            raise ValueError(
                f"{seen[key]} and {path} {what}: give --runs each run once, because "
                "one that counts twice hides how runs vary"
            )
        if key is not None:
            seen[key] = path


def _refuse_validation_of_folds(score_sets: Sequence[ScoreSet]) -> None:
    """Raise ValueError if a fold's training images would judge it."""
    for scores in score_sets:
        is_home = scores.provenance.get("trained_on") in (None, scores.dataset)
        if scores.split == "val" and scores.flags.get("fold") and is_home:
            raise ValueError(
                f"{_get_path(scores)} is of fold {scores.flags['fold']!r:.20}, which "
                "trained on images of val: judge --runs of folds with --split test"
            )


def describe_recipe(scores: ScoreSet) -> str:
    """Return what runs of one recipe share, as far as that is known."""
    return describe_shared(scores.flags) if scores.flags else scores.model


def _find_common(names: Sequence[str]) -> str:
    """Return what is common to runs' names, without the number of a run."""
    bases = [_NUMBERS.sub("", name) for name in names]
    return os.path.commonprefix(bases).rstrip("_-")  # noqa: RUF071, not of paths


def analyse_runs(
    sets: Sequence[Sequence[ScoreSet]],
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    group_score: str = "mean-logit",
) -> tuple[list[RunSet], list[RunsComparison]]:
    """Measure sets of runs and of their groups, and test each pair on one dataset.

    The sets are as `find_sets` returns them, `group_score` as for `score_groups`; the
    resamples and the seed are the bootstrap's.

    Raises:
        ValueError: runs of one recipe judged other images, or images without names.
    """
    options = {"num_resamples": num_resamples, "seed": seed}
    measured = _tell_apart(
        [
            _add_groups(_analyse_set(_align(runs), **options), group_score, **options)
            for runs in sets
        ]
    )
    pairs = [
        _compare(a, b, **options)
        for a, b in combinations(measured, 2)
        if _get_images(a) == _get_images(b)
    ]
    tests = [pair.tests.get("auc") for pair in pairs]
    p_values = correct_by_holm([test and test.p_value for test in tests])
    corrected = zip(pairs, p_values, strict=True)
    return measured, [p._replace(holm_p_value=p_value) for p, p_value in corrected]


def _get_images(runs: RunSet) -> tuple[str, str]:
    return runs.runs[0].dataset, runs.runs[0].split


def _tell_apart(sets: Sequence[RunSet]) -> list[RunSet]:
    """Label sets that model and dataset do not tell apart, by files or a number."""
    commons = [_find_common([run.detector for run in of.runs]) for of in sets]
    for labels in (commons, [f"set{number}" for number in range(1, len(sets) + 1)]):
        names = [runs.name for runs in sets]
        sets = [
            replace(runs, label=label) if names.count(runs.name) > 1 else runs
            for runs, label in zip(sets, labels, strict=True)
        ]
    return list(sets)


def _align(runs: Sequence[ScoreSet]) -> list[ScoreSet]:
    """Bring runs to one order of their images."""
    first, aligned = runs[0], [runs[0]]
    for run in runs[1:]:
        places = _pair(first, run)
        if not len(places[0]) == first.labels.size == run.labels.size:
            raise ValueError(
                f"{first.title} and {run.title} judged {first.labels.size} and "
                f"{run.labels.size} {run.unit}, of which {len(places[0])} are the "
                "same: runs of one recipe must have judged the same"
            )
        aligned.append(run.select(places[1]))
    return aligned


def _pair(a: ScoreSet, b: ScoreSet) -> tuple[list[int], list[int]]:
    """Find the images that two runs share; refuse those that cannot be paired."""
    for scores in (a, b):
        if scores.paths is None:
            raise ValueError(
                f"the samples of {scores.title} have no names to pair runs by: name "
                "their column with --path-column"
            )
    places = pair_names(a.keys or a.paths, b.keys or b.paths)
    if np.any(a.labels[places[0]] != b.labels[places[1]]):
        raise ValueError(f"{a.title} and {b.title} say real and fake of one sample")
    return places


def _check(runs: Sequence[ScoreSet]) -> list[Samples]:
    """Return the runs as samples; what belongs together the first one says."""
    samples = []
    for run in runs:
        with run.name_errors():
            samples.append(replace(run, groups=runs[0].groups).check())
    return samples


def _analyse_set(runs: Sequence[ScoreSet], **options: Any) -> RunSet:
    samples = _check(runs)
    numbers = measure_runs(samples, **options)
    rocs = [compute_roc_curve(of) for of in samples]
    numbers["notes"] = _list_notes(runs)
    return RunSet(runs, numbers, rocs, average_roc_curves(rocs))


def _add_groups(runs: RunSet, how: str, **options: Any) -> RunSet:
    """Measure each group as one, if every group has one label."""
    known = runs.runs[0].groups  # the first run says what belongs together
    if known is None:
        return runs
    try:
        scored = [score_groups(replace(run, groups=known), how) for run in runs.runs]
    except MixedGroupsError as error:  # an answer, not a failure
        note = f"no group-level scores: {error}"
        return replace(
            runs, numbers={**runs.numbers, "notes": [*runs.numbers["notes"], note]}
        )
    groups = _analyse_set([of_groups for of_groups, _ in scored], **options)
    said = {"group_score": how, "group_score_in_words": scored[0][1], "notes": []}
    return replace(runs, groups=replace(groups, numbers={**groups.numbers, **said}))


def _list_notes(runs: Sequence[ScoreSet]) -> list[str]:
    """Say what a reader of the numbers should beware of."""
    notes = []
    if len(runs) < _FEW_RUNS:
        notes.append(
            f"{len(runs)} runs say little of how runs vary, so the intervals are wide: "
            f"with {_FEW_RUNS} or more they shrink"
        )
    for source in dict.fromkeys(run.threshold_source for run in runs):
        if source.startswith(ARBITRARY):
            notes.append(f"accuracy, F1 and the like are at threshold 0: {source}")
    if any(run.flags.get("fold") for run in runs):
        notes.append(
            "folds share most of their training images, so that trainings on wholly "
            "other images would vary more than these runs"
        )
    return notes


def _compare(a: RunSet, b: RunSet, **options: Any) -> RunsComparison:
    places = _pair(a.runs[0], b.runs[0])
    num_common = len(places[0])
    if np.unique(a.runs[0].labels[places[0]]).size < 2:
        note = f"not tested: {num_common} common samples do not hold both classes"
        return RunsComparison(a, b, {}, num_common, note=note)
    chosen = [
        _check([run.select(of) for run in runs.runs])
        for runs, of in zip((a, b), places, strict=True)
    ]
    groups = chosen[0][0].group_index  # the first set says what belongs together
    chosen[1] = [replace(samples, group_index=groups) for samples in chosen[1]]
    note, sizes = "", {runs.numbers["num_samples"] for runs in (a, b)}
    if sizes != {num_common}:
        note = f"tested on the {num_common} samples in both"
    return RunsComparison(a, b, compare_sets(*chosen, **options), num_common, note=note)
