"""The simulation of intervals, small: they hold what they say."""

import interval_coverage
import pytest


@pytest.mark.parametrize("frames", [1, 4])
def test_intervals_on_known_truth_cover_it(frames):
    # A small version of benchmarks/interval_coverage.py: 300 repetitions have a
    # standard error of 1.3 %, so 92 to 98 % is what an honest 95 % interval gives.
    coverage = interval_coverage.measure_coverage(
        120, 0.85, frames, repetitions=300, num_resamples=200
    )

    for method in ("AUC DeLong, logit", "EER bootstrap", "accuracy bootstrap"):
        assert 0.92 <= coverage[method] <= 0.98, method
