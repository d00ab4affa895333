"""Ratios of tracks whose truth is known, and what is counted of claims."""

import numpy as np
import pytest
import track_ratios
from track_ratios import TrackSetup


def test_tracks_vary_as_is_known_of_them():
    rng = np.random.default_rng(0)
    for setup in (TrackSetup(2000, 0.0, 7), TrackSetup(2000, 0.5, 30)):
        scores, labels = track_ratios.draw_tracks(setup, 2000, setup.num_frames, rng)
        means = scores.mean(axis=1) - track_ratios.SHIFT * (labels - 0.5)
        known = track_ratios.compute_variance(setup, setup.num_frames)
        assert means.var() == pytest.approx(known, rel=0.1)
        assert scores.var(axis=0, where=labels[:, None] == 0) == pytest.approx(1, 0.2)


def test_a_product_claims_too_much_and_a_line_of_tracks_does_not():
    claims = track_ratios.claim(TrackSetup(100, 0.5), np.random.default_rng(0))
    found = {way: track_ratios.measure(of) for way, of in claims.items()}
    assert found["product"]["exaggerated"] > 0.5
    assert found["product"]["Cllr"] > 1
    for way in ("tracks", "images"):
        assert found[way]["misleading by 10"] <= 0.1
        assert found[way]["exaggerated"] == 0
        assert found[way]["Cllr"] < 0.7


def test_true_ratios_cost_least_and_none_cost_a_bit():
    labels = np.repeat([0, 1], 500)
    scores = np.random.default_rng(0).normal(size=1000) + 2 * (labels - 0.5)
    costs = [
        track_ratios.compute_cllr(by * 2 * scores, labels) for by in (0, 0.5, 1, 2)
    ]
    assert costs[0] == pytest.approx(1)
    assert np.argmin(costs) == 2


def test_the_table_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        track_ratios, "SETUPS", (TrackSetup(20, 0.5), TrackSetup(30, 0.9))
    )
    out = tmp_path / "table.md"
    track_ratios.main(["--repetitions", "2", "--out", str(out)])
    lines = out.read_text().splitlines()
    assert len(lines) == 2 + 2 * len(track_ratios.WAYS)
    assert len({line.count("|") for line in lines}) == 1
    assert f"wrote {out}" in capsys.readouterr().out
