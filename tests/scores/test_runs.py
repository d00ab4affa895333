"""Runs are told apart from other recipes' runs, paired by name, and compared."""

from dataclasses import replace

import numpy as np
import pytest

from metrics.runs import measure_runs
from metrics.samples import check_samples
from scores.analysis import correct_by_holm
from scores.runs import analyse_runs, find_sets
from scores.score_sets import ARBITRARY, ScoreSet

LABELS = np.repeat([0, 1], 30)
NAMES = [f"v{i // 3}_{i}.png" for i in range(60)]


def make_run(number, flags=None, quality=1.5, **options):
    noise = np.random.default_rng(number).normal(size=60)
    noise += np.random.default_rng(99).normal(size=60)
    options = {"detector": f"A_seed{number}", "paths": NAMES, **options}
    inputs = [{"path": f"{options['detector']}.pt", "sha256": ""}]
    return ScoreSet(
        "faces",
        f"Net_seed{number}" if flags else "",
        quality * LABELS + noise,
        LABELS,
        None,
        provenance={"inputs": inputs},
        flags=flags or {},
        **options,
    )


def list_detectors(sets):
    return [[run.detector for run in runs] for runs in sets]


def test_find_sets_by_recipe_by_sizes_or_all_as_one():
    runs = [
        make_run(0, {"lr": 1, "seed": 0, "name": "seed0"}),
        make_run(1, {"lr": 2, "seed": 0, "fold": "0/2"}),
        make_run(2, {"name": "seed1", "seed": 1, "lr": 1, "fold": None}),
        make_run(3, {"seed": 0, "lr": 2, "fold": "1/2"}),
    ]
    by_recipe = [["A_seed0", "A_seed2"], ["A_seed1", "A_seed3"]]
    assert list_detectors(find_sets(runs)) == by_recipe
    by_sizes = [["A_seed0", "A_seed1"], ["A_seed2", "A_seed3"]]
    assert list_detectors(find_sets(runs, [2, 2])) == by_sizes
    files = [replace(run, flags={}, model="") for run in runs]
    assert list_detectors(find_sets(files)) == [[run.detector for run in runs]]
    elsewhere = [replace(run, dataset="other") for run in runs]
    assert len(find_sets([*runs, *elsewhere], [2, 2])) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"A_seed0\.pt and copy\.pt hold the same scores"),
        ({"scores": LABELS}, r"copy\.pt are of one recipe, --seed and --fold"),
        ({"split": "val"}, "is of fold '0/2', which trained on images of val"),
    ],
)
def test_find_sets_what_is_no_other_run_is_refused(changes, message, refused):
    runs = [make_run(n, {"lr": 1, "seed": n, "fold": "0/2"}) for n in range(2)]
    inputs = [{"path": "copy.pt", "sha256": ""}]
    copy = replace(runs[0], provenance={"inputs": inputs}, **changes)
    with refused(message):
        find_sets([*runs, copy])
    elsewhere = [replace(run, dataset="other") for run in runs]
    assert len(find_sets([*runs, *elsewhere])) == 2


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((), r"A_seed2\.pt is the only run of its recipe: --runs needs two or more"),
        ((2, 2), "--runs 2 2 are 4 runs, but there are 3 inputs"),
    ],
)
def test_find_sets_what_is_no_set_is_refused(sizes, message, refused):
    runs = [make_run(n, {"lr": n // 2, "seed": n}) for n in range(3)]
    with refused(message):
        find_sets(runs, sizes)


def test_analyse_runs_pairs_images_by_name_whatever_their_order():
    groups = [name.partition("_")[0] for name in NAMES]
    runs = [make_run(n, groups=groups) for n in range(3)]
    order = np.random.default_rng(0).permutation(60)
    shuffled = replace(
        runs[1],
        scores=runs[1].scores[order],
        labels=LABELS[order],
        paths=[f"root/{NAMES[i]}" for i in order],
        groups=[groups[i] for i in order],
    )
    options = {"num_resamples": 50}
    (found,), tests = analyse_runs([[runs[0], shuffled, runs[2]]], **options)
    samples = [check_samples(r.scores, LABELS, groups=groups) for r in runs]
    expected = measure_runs(samples, **options)
    assert expected["num_groups"] == 20
    assert {n: found.numbers[n] for n in expected} == expected
    assert "3 runs say little" in found.numbers["notes"][0]
    assert len(found.numbers["notes"]) == 1
    raw = replace(runs[0], threshold_source=f"{ARBITRARY}, as")
    (said,), _ = analyse_runs([[raw, shuffled, runs[2]]], **options)
    assert said.numbers["notes"][1].endswith(f"threshold 0: {ARBITRARY}, as")
    assert tests == []
    assert (found.title, found.name) == ("faces, 3 runs", "faces_runs")
    area = np.trapezoid(*found.mean_roc[1::-1])
    assert area == pytest.approx(found.numbers["auc"])


def test_analyse_runs_judges_each_group_as_one_where_it_has_one_label():
    groups = [name.partition("_")[0] for name in NAMES]
    runs = [make_run(0, groups=groups), make_run(1), make_run(2)]
    options = {"num_resamples": 50}
    (found,), _ = analyse_runs([runs], group_score="max", **options)
    rows = [run.scores.reshape(20, 3).max(axis=1) for run in runs]
    expected = measure_runs([check_samples(r, LABELS[::3]) for r in rows], **options)
    for name in ("auc", "auc_interval", "eer_runs", "num_real"):
        assert found.groups.numbers[name] == pytest.approx(expected[name])
    assert found.groups.sizes == "10 real and 10 fake groups"
    words = "highest of its images' scores"
    assert found.groups.numbers["group_score_in_words"] == words
    mixed = replace(runs[0], groups=["a", "b"] * 30)
    (found,), _ = analyse_runs([[mixed, *runs[1:]]], **options)
    assert found.groups is None
    assert "2 of 2 groups hold both" in found.numbers["notes"][-1]


def test_analyse_runs_tests_each_pair_of_recipes_on_common_images():
    sets = [
        [
            make_run(n, {"lr": lr, "fold": f"{n}/3"}, quality, detector=f"{lr}_seed{n}")
            for n in range(3)
        ]
        for lr, quality in (("a", 3.0), ("b", 0.5), ("c", 2.9))
    ]
    less = [
        replace(run, scores=run.scores[2:], labels=LABELS[2:], paths=NAMES[2:])
        for run in sets[2]
    ]
    found, pairs = analyse_runs([*sets[:2], less], num_resamples=50)
    assert [runs.label for runs in found] == ["a", "b", "c"]
    assert found[1].title == "Net (b) on faces, 3 runs"
    assert [(p.a.label + p.b.label, p.num_common) for p in pairs] == [
        ("ab", 60),
        ("ac", 58),
        ("bc", 58),
    ]
    assert "trainings on wholly other images" in found[0].numbers["notes"][1]
    assert pairs[0].tests["auc"].low > 0
    assert pairs[1].tests["auc"].p_value > 0.05
    p_values = correct_by_holm([p.tests["auc"].p_value for p in pairs])
    assert [p.holm_p_value for p in pairs] == p_values
    assert [p.note for p in pairs] == ["", *["tested on the 58 samples in both"] * 2]
    names = [runs.name for runs in analyse_runs([sets[0], sets[0]])[0]]
    assert names == ["faces_Net_set1_runs", "faces_Net_set2_runs"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paths": None}, "have no names to pair runs by"),
        ({"labels": 1 - LABELS}, "say real and fake of one sample"),
        ({"paths": [f"x{n}" for n in NAMES]}, "60 and 60 images, of which 0 are the"),
    ],
)
def test_analyse_runs_of_other_images_are_refused(changes, message, refused):
    runs = [make_run(0), replace(make_run(1), **changes)]
    with refused(message):
        analyse_runs([runs])
