"""The simulation's intervals hold a truth that is known by hand."""

import interval_coverage
import numpy as np
import pytest
from interval_coverage import Setup
from scipy import stats


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 4])
def test_intervals_on_known_truth_cover_it(frames):
    # 40 repetitions have a standard error of 3.4 %: an honest 95 % interval covers
    # 33 or more of them.
    setup, results = Setup(120, 120, 0.85, frames=frames), {}
    interval_coverage.add_repetitions(results, setup, 40, 50)
    counts = results[setup.name]["counts"]
    for name in ("auc", "eer", "accuracy", "fpr", "mcc", "cllr"):
        held, total = counts[name]
        assert total == 40
        assert held >= 33, name
    assert ("tpr_at_fpr_0.01" in counts) == (frames == 1)
    assert counts["paired DeLong"][0] <= 7


@pytest.mark.slow
def test_compute_truth_is_that_of_two_normal_distributions():
    truth = interval_coverage.compute_truth(Setup(50, 50, 0.9))
    shift = np.sqrt(2) * stats.norm.ppf(0.9)
    assert truth["auc"] == pytest.approx(0.9, abs=2e-3)
    assert truth["eer"] == pytest.approx(stats.norm.sf(shift / 2), abs=2e-3)
    tpr = stats.norm.sf(stats.norm.isf(0.01) - shift)
    assert truth["tpr_at_fpr_0.01"] == pytest.approx(tpr, abs=0.01)
    assert truth["cllr"] == pytest.approx(truth["min_cllr"], abs=2e-3)


def test_check_runs_counts_intervals_of_the_truth_and_their_widths():
    setup, results = interval_coverage.RunsSetup(3, 60, 0.8, 0.2), {}
    interval_coverage.add_repetitions(results, setup, 20, 30)
    row = results[setup.name]
    for name in ("auc of runs", "eer of runs", "accuracy of runs"):
        held, total = row["counts"][name]
        assert total == 20
        assert held >= 15, name  # of an honest 95 % interval in all but 1 of 40,000
        assert 0.1 < row["widths"][name] / total < 0.5
    assert row["counts"]["two sets of runs"][0] <= 5
    assert setup.name in interval_coverage.format_widths(results)
    assert "ignored" not in interval_coverage.format_table(results)
