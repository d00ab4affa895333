"""The parts of the long run: planned, kept, gone on with, and summed up."""

import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fuzzing
import pytest

# `import survival` is tests/survival.py.
SPEC = importlib.util.spec_from_file_location(
    "survival_benchmark", fuzzing.PROJECT / "benchmarks/survival.py"
)
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


def make_result(kind: str, failures: Sequence[str] = ()) -> dict[str, Any]:
    """Return what running a part may give."""
    counts = {"kills": 50, "within_write": 25, "before_snapshot": 5, "trainings": 4}
    files = {"read": 30, "refused": 70, "slowest_s": 0.25, "max_rss_mib": 600}
    result = counts if kind == benchmark.KILLS else files
    return {**result, "seconds": 30.0, "failures": list(failures)}


def test_plan_parts_cover_all_with_seeds_of_their_own() -> None:
    parts = benchmark.plan_parts(120, 6602, seed=3)
    kills = [part for part in parts if part.kind == benchmark.KILLS]
    assert [(part.seed, part.count) for part in kills] == [
        *((3000, 50), (3001, 50), (3002, 20)),
    ]
    images = [part.count for part in parts if part.kind == "images"]
    assert images == [1000, 101]
    assert sum(part.count for part in parts) == 120 + 6602
    assert len({part.name for part in parts}) == len(parts)


def test_main_interrupted_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    argv = ["--kills", "100", "--files", "12", "--state", str(tmp_path / "state.json")]
    ran: list[str] = []

    def run_parts(parts: Sequence[Any], folder: object) -> Iterator[Any]:
        for part in parts:
            if len(ran) == 3:
                ran.append("stop")
                raise KeyboardInterrupt
            ran.append(part.name)
            yield part, make_result(part.kind)

    monkeypatch.setattr(benchmark, "run_parts", run_parts)
    with pytest.raises(KeyboardInterrupt):
        benchmark.main(argv)
    assert len(json.loads((tmp_path / "state.json").read_text())["parts"]) == 3
    assert benchmark.main(argv) == 0
    ran.remove("stop")
    assert ran == [part.name for part in benchmark.plan_parts(100, 12, 0)]
    output = capsys.readouterr().out
    assert "| kills | 100 | 50 within a write, 10 before a snapshot; 8 train" in output
    assert "| hostile weights | 2 | 30 read, 70 refused | 0 | 0.2 | 600 |" in output
    with pytest.raises(ValueError, match="was begun with"):
        benchmark.main([*argv, "--seed", "1"])


def test_main_failure_is_named_and_gives_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(
        benchmark,
        "run_parts",
        lambda parts, folder: [(p, make_result(p.kind, ["bad 7"])) for p in parts],
    )
    state = str(tmp_path / "state.json")
    assert benchmark.main(["--kills", "0", "--files", "1", "--state", state]) == 1
    assert "bad 7" in capsys.readouterr().out


@pytest.mark.slow
def test_damage_files_names_the_file_on_which_the_process_died() -> None:
    assert benchmark.damage_files(benchmark.Part("histories", 0, 5))["failures"] == []
    # No such target: it dies before the first file.
    (line,) = benchmark.damage_files(benchmark.Part("x", 4, 1))["failures"]
    assert line == "x 4, file start: the process ended with status 1"


@pytest.mark.slow
def test_killer_few_kills_end_as_undisturbed(tmp_path: Path) -> None:
    part = benchmark.Part(benchmark.KILLS, 0, 2)
    ((_, result),) = benchmark.run_parts([part], tmp_path)
    assert result["failures"] == []
    assert result["kills"] == 2
    assert result["trainings"] >= 1
