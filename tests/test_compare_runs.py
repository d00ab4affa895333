"""The script that says what ran."""

import csv
import json

import pytest
from reported_runs import FLAGS, make_run

import compare_runs
from plots.trainings import format_time


def test_main_prints_and_saves_all_runs_and_those_of_one_recipe(tmp_path, capsys):
    (out := tmp_path / "out").mkdir()
    for seed in (0, 1):
        flags = {**FLAGS, "seed": seed, "epochs": 2, "lr": 0.5}
        known = {"model": "Net", "dataset": "a|b", "flags": flags, "seconds": 75.2}
        runs = [make_run(2, **known), make_run(1, **known)]
        (out / f"s{seed}.json").write_text(json.dumps(runs))
    (out / "broken.json").write_text("{")
    figures = tmp_path / "figures"

    compare_runs.main(["--out-dir", str(out), "--figures-dir", str(figures)])

    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert [line.split()[7] for line in lines[1:3]] == ["51.00", "51.00"]
    assert lines[3].split()[4:9] == ["1", "of", "1,", "interrupted", "before"]
    assert "1 min 15 s" in lines[1]
    assert lines[1].endswith("--lr 0.5")
    assert "2     51.00 %  0.00  61.00 %  0.00  --lr 0.5" in printed
    assert f"left out: {out}/broken.json is not JSON" in printed
    with (figures / "trainings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == ["1", "1", "2", "2"]
    assert {row["test_acc"] for row in rows} == {"61.0", "60.0"}
    assert r"| a\|b | Net |" in (figures / "trainings.md").read_text()


def test_main_without_one_usable_run_writes_nothing(tmp_path, refused):
    (tmp_path / "a.json").write_text("{")
    words = ["--out-dir", str(tmp_path), "--figures-dir", str(tmp_path / "f")]
    with refused(r"no history .* can be used: .*a\.json"):
        compare_runs.main(words)
    assert not list(tmp_path.rglob("trainings*"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0 s"), (59.7, "1 min 00 s"), (3725, "1 h 02 min")],
)
def test_format_time(seconds, text):
    assert format_time(seconds) == text
