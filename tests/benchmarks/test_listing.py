"""A small folder is opened, measured and removed."""

import json

import listing
import pytest


@pytest.mark.slow
def test_listing_of_a_few_files_prints_and_saves_a_row(tmp_path, capsys):
    path = tmp_path / "listing.json"
    flags = ["--sizes", "100", "--folder", str(tmp_path), "--json", str(path)]
    listing.main(flags)
    (row,) = json.loads(path.read_text())
    assert row["files"] == 100
    assert row["first_batch_seconds"] >= row["list_seconds"] > 0
    assert list(tmp_path.iterdir()) == [path]
    assert "100" in capsys.readouterr().out
