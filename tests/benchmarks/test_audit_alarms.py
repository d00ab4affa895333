"""Tests of the count of the audit's false alarms."""

import json

import audit_alarms
import pytest
from drawn_photos import write_dataset


@pytest.mark.slow
def test_main_counts_alarms_on_random_splits(tmp_path, capsys):
    write_dataset(tmp_path / "faces", {"train": 60, "val": 20, "test": 20})
    path = tmp_path / "alarms.json"

    flags = ["-d", "faces", "--data-root", str(tmp_path), "--repetitions", "3"]
    audit_alarms.main([*flags, "--json", str(path)])

    result = json.loads(path.read_text())
    assert result["images"] == 100
    assert result["repetitions"] == 3
    assert result["pairs_that_show_the_same"] == 0
    assert result["splits_with_a_false_alarm"] <= 1
    assert capsys.readouterr().out.endswith(f"wrote {path}\n")


def test_store_randomly_is_the_same_for_the_same_seed(tmp_path):
    root = write_dataset(tmp_path / "faces", {"train": 6, "val": 1, "test": 1})
    paths = audit_alarms.list_real_images(root, None)
    assert len(paths) == 8

    stored = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        files = audit_alarms.store_randomly(paths, tmp_path / name, seed)
        stored.append([file.read_bytes() for file in files])

    assert stored[0] == stored[1] != stored[2]
