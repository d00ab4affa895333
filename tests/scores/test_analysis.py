"""One detector analysed whole and in parts, and several compared sample by sample."""

from dataclasses import replace

import numpy as np
import pytest

from metrics.delong import compute_paired_delong_test
from scores.analysis import analyse, compare_detectors, correct_by_holm
from scores.score_sets import ScoreSet

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], 20)
SCORES = RNG.normal(size=40) + 1.5 * LABELS
OTHERS = RNG.normal(size=40) + 1.5 * LABELS
PATHS = [f"{number}.png" for number in range(40)]


def make_set(scores=SCORES, labels=LABELS, paths=PATHS, **options):
    fake_scores = 1 / (1 + np.exp(-scores))
    return ScoreSet("faces", "net", scores, labels, fake_scores, paths=paths, **options)


def compare(*score_sets):
    return compare_detectors([analyse(s, num_resamples=5) for s in score_sets])


def test_analyse_ranks_by_scores_where_probabilities_saturate():
    scores = np.array([40.0, 50.0, 60.0, 70.0])
    score_set = ScoreSet("d", "m", scores, np.array([0, 0, 1, 1]), np.ones(4))

    analysis = analyse(score_set, num_resamples=5)

    assert analysis.numbers["auc"] == 1.0
    assert analysis.roc.thresholds[1:].tolist() == [70, 60, 50, 40]
    assert analysis.bins.counts.tolist() == [4]
    ranked = analyse(replace(score_set, fake_scores=None), num_resamples=5)
    assert ranked.bins is None


def test_analyse_says_what_was_analysed_and_warns_of_validation():
    score_set = make_set(split="val", threshold=0.4, threshold_source="EER")

    numbers = analyse(score_set, num_resamples=5).numbers

    assert (numbers["dataset"], numbers["model"], numbers["split"]) == (
        *("faces", "net", "val"),
    )
    assert (numbers["threshold"], numbers["threshold_source"]) == (0.4, "EER")
    assert numbers["auc_of_real_score"] == 1 - numbers["auc"]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, "epoch, the threshold, the calibration"),
        ({"threshold_source": "given by --threshold"}, "epoch, the calibration"),
        ({"threshold_source": "default", "llr_source": "none"}, "epoch"),
        ({"provenance": {"trained_on": "faces"}}, "epoch, the threshold, the calib"),
        ({"provenance": {"trained_on": "others"}}, None),
        ({"split": "test"}, None),
    ],
)
def test_analyse_says_what_validation_images_chose(options, chosen):
    source = "chosen on validation, in the checkpoint"
    known = {"split": "val", "threshold_source": source, "llr_source": source}

    notes = analyse(make_set(**{**known, **options}), num_resamples=5).numbers["notes"]

    said = [note for note in notes if "these images chose" in note]
    assert len(said) == (chosen is not None)
    assert all(f"these images chose the {chosen}" in note for note in said)


def test_analyse_errors_name_the_file():
    ones = np.ones(40, dtype=int)
    score_set = make_set(labels=ones, provenance={"inputs": [{"path": "a/b.csv"}]})

    with pytest.raises(ValueError, match=r"^a/b.csv: both classes are needed"):
        analyse(score_set)


@pytest.mark.slow
def test_analyse_subsets_borrow_the_class_they_lack():
    subsets = ["", *["camera"] * 19, *["swap"] * 10, *["morph"] * 10]

    analysis = analyse(make_set(subsets=subsets, detector="a"), num_resamples=5)

    sizes = {s.scores.detector: s.sizes for s in analysis.subsets}
    assert sizes == {
        "a, camera": "19 real and 20 fake images",
        "a, morph": "20 real and 10 fake images",
        "a, swap": "20 real and 10 fake images",
    }
    (swap,) = [s for s in analysis.subsets if "swap" in s.scores.title]
    chosen = np.r_[:30]
    pairs = SCORES[20:30, None] > SCORES[:20]
    assert swap.numbers["auc"] == pytest.approx(pairs.mean())
    assert swap.scores.paths == [PATHS[place] for place in chosen]

    whole = analyse(make_set(subsets=["all"] * 40), num_resamples=5)
    assert not whole.subsets


@pytest.mark.slow
def test_analyse_group_scores_are_measured_if_groups_are_pure():
    groups = [f"video{number // 4}" for number in range(40)]

    pure, mixed = (
        analyse(make_set(groups=of), num_resamples=5).numbers
        for of in (groups, ["one"] * 40)
    )

    assert (pure["num_groups"], pure["group_level"]["num_samples"]) == (10, 10)
    assert mixed["group_level"] is None
    assert pure["group_level"]["group_score"] == "mean-logit"
    assert "mean of its images' P(fake)" in pure["group_level"]["group_score_in_words"]
    assert "both real and fake" in mixed["group_level_note"]


@pytest.mark.slow
def test_analyse_subsets_have_groups_of_their_own():
    groups = [f"video{number // 4}" for number in range(40)]
    subsets = [*[""] * 20, *["swap"] * 12, *["morph"] * 8]

    analysis = analyse(make_set(groups=groups, subsets=subsets), num_resamples=5)

    sizes = [part.groups.sizes for part in (analysis, *analysis.subsets)]
    assert sizes == [f"5 real and {n} fake groups" for n in (5, 2, 3)]


def test_compare_detectors_joins_by_name_whatever_the_order():
    order = RNG.permutation(40)
    shuffled = make_set(OTHERS[order], LABELS[order], [PATHS[i] for i in order])

    (comparison,) = compare(make_set(), shuffled)

    expected = compute_paired_delong_test(SCORES, OTHERS, LABELS)
    assert comparison.test == pytest.approx(expected)
    assert (comparison.num_common, comparison.note) == (40, "")
    assert comparison.holm_p_value == pytest.approx(expected.p_value)


@pytest.mark.slow
def test_compare_detectors_tests_on_the_common_samples_and_says_so():
    part = make_set(OTHERS[5:], LABELS[5:], PATHS[5:])

    (comparison,) = compare(make_set(), part)

    expected = compute_paired_delong_test(SCORES[5:], OTHERS[5:], LABELS[5:])
    assert comparison.test == pytest.approx(expected)
    assert comparison.note == "tested on the 35 samples in both, of 40 and 35"
    assert (comparison.num_real, comparison.num_fake) == (15, 20)
    assert comparison.data == "faces"
    split, other = replace(make_set(), split="val"), replace(part, dataset="masks")
    assert compare(part, split)[0].data == "faces, val split"
    (comparison,) = compare(split, other)
    assert (comparison.data, comparison.num_common) == (
        "faces, val split and masks",
        35,
    )
    (comparison,) = compare(split, replace(other, split="test"))
    assert comparison.note == "not tested: the images are of two datasets"


@pytest.mark.parametrize(
    ("other", "note"),
    [
        (make_set(OTHERS, paths=None), "have no names to pair by"),
        (make_set(OTHERS, paths=[f"x{p}" for p in PATHS]), "no sample is in both"),
        (make_set(OTHERS, 1 - LABELS), "40 of 40 common samples are real for one"),
        (
            make_set(OTHERS, paths=PATHS[:20] + [f"x{p}" for p in PATHS[20:]]),
            "the 20 common samples are of one class",
        ),
    ],
    ids=["no names", "disjoint", "labels", "one class"],
)
def test_compare_detectors_untestable_pair_says_why(other, note):
    (comparison,) = compare(make_set(), other)

    assert (comparison.test, comparison.holm_p_value) == (None, None)
    assert note in comparison.note


@pytest.mark.slow
def test_compare_detectors_groups_of_the_first_count():
    groups = [f"video{number // 4}" for number in range(40)]

    (comparison,) = compare(make_set(groups=groups), make_set(OTHERS))

    expected = compute_paired_delong_test(SCORES, OTHERS, LABELS, groups=groups)
    assert comparison.test == pytest.approx(expected)


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        # Sorted .01 .02 .03 .04: times 4, 3, 2, 1 gives .04 .06 .06 .04, never falling.
        ([0.04, 0.01, 0.03, 0.02], [0.06, 0.04, 0.06, 0.06]),
        ([0.7, None, np.nan, 0.9], [1.0, None, None, 1.0]),
        ([], []),
    ],
)
def test_correct_by_holm_by_hand(p_values, corrected):
    assert correct_by_holm(p_values) == pytest.approx(corrected)


@pytest.mark.slow
def test_compare_detectors_three_equal_detectors_are_corrected_together():
    comparisons = compare(make_set(), make_set(OTHERS), make_set(SCORES + OTHERS))

    raw = [comparison.test.p_value for comparison in comparisons]
    corrected = [comparison.holm_p_value for comparison in comparisons]
    assert corrected == pytest.approx(correct_by_holm(raw))
    assert min(corrected) == pytest.approx(min(1, 3 * min(raw)))


def test_analyse_refuses_a_subset_for_each_image():
    labels = np.tile([0, 1], 600)
    subsets = [f"image {number}" for number in range(1200)]
    columns = {"scores": np.arange(1200.0), "labels": labels, "fake_scores": None}
    scores = ScoreSet(dataset="d", model="m", **columns, subsets=subsets)
    with pytest.raises(ValueError, match="1,200 subsets, such as 'image 0', and at"):
        analyse(scores)
