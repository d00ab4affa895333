"""Maps are compared by the ranks of their pixels."""

import map_agreement
import numpy as np
import pytest


def test_compare_maps_equal_and_reversed_ranks():
    exact = np.array([[[1.0, 2], [3, 4]], [[1, 2], [3, 4]], [[4, 3], [2, 1]]])
    reduced = np.array([[[1.0, 2], [3, 9]], [[4, 3], [2, 1]], [[40, 30], [20, 10]]])
    real, fake = map_agreement.compare_maps(exact, reduced, np.array([0, 0, 1]))
    assert (real["images"], fake["images"]) == (2, 1)
    assert real["median"] == pytest.approx(0)  # of 1 and -1
    assert real["lowest"] == pytest.approx(-1)
    assert fake["median"] == fake["mean_map"] == pytest.approx(1)


def test_compare_maps_constant_maps_are_counted_not_ranked():
    exact = np.array([[[0.0, 0], [0, 0]], [[1, 2], [3, 4]], [[0, 0], [0, 0]]])
    real, fake = map_agreement.compare_maps(exact, exact, np.array([0, 0, 1]))
    assert (real["images"], real["constant"]) == (2, 1)
    assert real["median"] == real["lowest"] == pytest.approx(1)
    assert fake["constant"] == 1
    assert np.isnan([fake["median"], fake["mean_map"]]).all()
