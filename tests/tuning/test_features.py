"""Features that are kept in files."""

import numpy as np
import pytest

from faces_dataset import FacesDataset
from tuning.features import KeptFeatures, hash_files

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_kept_features_are_there_for_the_next_run(tmp_path):
    kept = KeptFeatures(tmp_path / "f", {"layers": ["a"]}, (4, 3))
    kept.put(np.array([2, 0]), ROWS[[2, 0]])
    again = KeptFeatures(tmp_path / "f", {"layers": ["a"]}, (4, 3))
    assert again.done.tolist() == [1, 0, 1, 0]
    assert not again.is_whole
    again.put(np.array([1, 3]), ROWS[[1, 3]])
    assert kept.is_whole  # a file for both
    np.testing.assert_array_equal(kept.rows, ROWS)
    other = KeptFeatures(tmp_path / "f", {"layers": ["b"]}, (4, 3))
    assert not other.done.any()
    assert len(list((tmp_path / "f").iterdir())) == 4  # two, and what they are


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY damaged", None])
def test_kept_features_that_are_damaged_or_of_another_shape_are_made_anew(
    tmp_path, content
):
    kept = KeptFeatures(tmp_path, {}, (4, 3))
    kept.put(np.arange(4), ROWS)
    path = kept.path
    del kept
    if content is None:
        np.save(path, ROWS)
    else:
        path.write_bytes(content)
    again = KeptFeatures(tmp_path, {}, (4, 3))
    assert again.path == path
    assert not again.done.any()


def test_hash_files_sees_names_and_contents(own_faces_root):
    def compute() -> str:
        return hash_files(FacesDataset(own_faces_root / "train"))

    first = compute()
    assert compute() == first
    path = own_faces_root / "train" / "real" / "00.png"
    path.write_bytes(path.read_bytes() + b"x")
    changed = compute()
    path.rename(path.with_name("0a.png"))
    assert len({first, changed, compute()}) == 3
